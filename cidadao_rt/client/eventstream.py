"""The event stream format, read piece by piece as it arrives. Pure.

Source: the HTML standard, section 9.2.6 "Interpreting an event stream".
"""

from dataclasses import dataclass

BLOCK_BYTES = 4 * 1024 * 1024
"""One event may be so long; a longer one is no stream of ours, and `ValueError` is raised."""


@dataclass(frozen=True, slots=True)
class Block:
    """What a blank line ended. `data` is None where there was none; `id` is the last event id, which stays."""

    data: str | None
    id: str | None


class EventStream:
    """`retry` is the last reconnection time that the stream asked for, in seconds."""

    def __init__(self) -> None:
        self.retry: float | None = None
        self._rest = b""
        self._started = False
        self._after_return = False
        self._data: list[str] = []
        self._size = 0
        self._id: str | None = None
        self._touched = False

    def feed(self, piece: bytes) -> list[Block]:
        """The blocks that this piece completes. Raises `ValueError` for an event longer than `BLOCK_BYTES`."""
        if not piece:
            return []
        if self._after_return:
            # A line ended with CR, and the LF of the same ending may have come in the next piece.
            piece = piece.removeprefix(b"\n")
            self._after_return = False
        text = self._rest + piece
        if not self._started:
            # At most one byte order mark, which may come in pieces as well.
            if b"\xef\xbb\xbf".startswith(text):
                self._rest = text
                if text != b"\xef\xbb\xbf":
                    return []
            self._started = True
            text = text.removeprefix(b"\xef\xbb\xbf")
        self._after_return = text.endswith(b"\r")
        lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()
        blocks = [block for line in lines if (block := self._line(line)) is not None]
        if len(self._rest) + self._size > BLOCK_BYTES:
            raise ValueError("event is too long")
        return blocks

    def _line(self, line: bytes) -> Block | None:
        if not line:
            return self._dispatch()
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
                self._size += len(line)
                if self._size > BLOCK_BYTES:
                    raise ValueError("event is too long")
            case "id" if "\0" not in value:
                self._id = value
                self._touched = True
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value) / 1000
        return None

    def _dispatch(self) -> Block | None:
        data = "\n".join(self._data) if self._data else None
        touched, self._touched = self._touched, False
        self._data, self._size = [], 0
        return Block(data, self._id or None) if data is not None or touched else None
