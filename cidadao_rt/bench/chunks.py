"""What a piece of a connection's stream holds. Many subscribers get the very same bytes, so each piece is read once."""

import zlib

from .payload import ONE, STAMP_LENGTH, weight
from .wire import RSV1, Frame, Opcode, WireError, frames

KEPT = 4096
"""Pieces remembered; past it all are forgotten, and merely read again."""

_TAIL = b"\0\0\xff\xff"
"""What a compressed message ends in and a frame leaves out (RFC 7692 section 7.2.2)."""


class Chunk:
    """`count` events with their `stamps` (ns) and the sum of their weights; what is no event, and what is left over.

    `times` are when it came, one for each connection that it came to.
    """

    __slots__ = ("count", "other", "rest", "stamps", "times", "weight")

    def __init__(self, rest: bytes = b"") -> None:
        self.count = 0
        self.weight = 0
        self.stamps: list[int] = []
        self.times: list[int] = []
        self.other: list[Frame] = []
        self.rest = rest


class Chunks:
    """Reads pieces. `marker` is what stands before a stamp."""

    def __init__(self, marker: bytes) -> None:
        self.known: dict[bytes, Chunk] = {}
        self._marker = marker
        self._old: list[Chunk] = []

    def read(self, data: bytes) -> Chunk:
        """What `data` holds, which is remembered. Raises `WireError`."""
        if len(self.known) >= KEPT:
            self._retire()
        chunk = self.known[data] = self.parse(data)
        return chunk

    def parse(self, data: bytes, inflater: "Inflater | None" = None) -> Chunk:
        """What `data`, from a frame's beginning, holds. Raises `WireError`.

        Without an `inflater` every compressed message must stand for itself.
        """
        chunk = Chunk()
        for one in frames(data):
            if isinstance(one, bytes):
                chunk.rest = one
                break
            first, body = one
            opcode = first & 0x0F
            if opcode == Opcode.CONTINUATION or not first & 0x80:
                raise WireError("a message in fragments")
            if first & RSV1:
                if inflater is not None and inflater.counts_only:
                    chunk.count += 1
                    chunk.weight += ONE
                    continue
                body = (inflater or Inflater()).inflate(body)
            if opcode > Opcode.BINARY or not self._stamps(chunk, body):
                chunk.other.append((first & ~RSV1, body))
        return chunk

    def _stamps(self, chunk: Chunk, body: bytes) -> bool:
        marker = self._marker
        at = body.find(marker)
        found = False
        while at >= 0:
            at += len(marker)
            stamp = body[at : at + STAMP_LENGTH]
            if len(stamp) == STAMP_LENGTH and stamp.isdigit():
                found = True
                chunk.count += 1
                chunk.stamps.append(int(stamp[:19]))
                chunk.weight += weight(int(stamp[19:]))
            at = body.find(marker, at)
        return found

    def restart(self) -> None:
        """Forget when anything came."""
        self.known.clear()
        self._old = []

    def latencies(self, since: int = 0, most: int = 1_000_000) -> list[int]:
        """Nanoseconds from stamp to arrival of what came since the restart, sorted.

        What is stamped before `since` does not count; of more than about `most` every n-th does.
        """
        self._retire()
        total = sum(len(chunk.stamps) * len(chunk.times) for chunk in self._old)
        step = total // most + 1
        found = [
            time - stamp
            for chunk in self._old
            for offset, stamp in enumerate(chunk.stamps)
            if stamp >= since
            for time in chunk.times[offset % step :: step]
        ]
        found.sort()
        return found

    def keep(self, chunk: Chunk) -> None:
        """Have the latencies of a piece that `parse` read count."""
        self._old.append(chunk)

    def _retire(self) -> None:
        self._old += [chunk for chunk in self.known.values() if chunk.times]
        self.known.clear()


class Inflater:
    """The stream of one connection whose messages build on earlier ones; or one that only counts them."""

    __slots__ = ("_stream", "counts_only")

    def __init__(self, *, counts_only: bool = False) -> None:
        self.counts_only = counts_only
        self._stream = zlib.decompressobj(-15)

    def inflate(self, body: bytes) -> bytes:
        """One message's text. Raises `WireError`."""
        try:
            return self._stream.decompress(body + _TAIL)
        except zlib.error as error:
            raise WireError(f"not to be inflated: {error}") from None
