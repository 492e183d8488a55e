"""How messages are packed for a transport: one part per message, made once for all who share the encoding, and a join.

Source: PROTOCOL 2 "Envelope" (`batch=1`), 8 "HTTP shapes"; RFC 9112 section 7.1 (chunks); the HTML standard,
"Server-sent events".
"""

from collections.abc import Callable, Sequence

import msgspec

from . import frames

BATCH_BYTES = 65_536
"""An array of envelopes in one frame is at most so long, unless a single envelope is longer."""

_SEPARATOR = b"\n"


class Encoding(msgspec.Struct, frozen=True, eq=False):
    """`transport` is the label in metrics. `part(body, cursor)` packs one envelope, whose cursor is None if it is
    transient; `join(parts)` makes of them the bytes of one write. A page of replay has at most `page_events` events
    and `page_bytes` bytes of bodies; others get their turn between two pages."""

    transport: str
    part: Callable[[bytes, str | None], bytes]
    join: Callable[[Sequence[bytes]], bytes]
    page_events: int = 256
    page_bytes: int = 65_536


def chunk(data: bytes) -> bytes:
    """One chunk of a body in chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def batches(sizes: Sequence[int]) -> list[range]:
    """Which envelopes of these sizes go together into arrays of at most `BATCH_BYTES`, in order."""
    found: list[range] = []
    start = length = 0
    for index, size in enumerate(sizes):
        # Two brackets, and a comma between any two.
        if index > start and length + size + 2 > BATCH_BYTES:
            found.append(range(start, index))
            start, length = index, 0
        length += size + 1
    if sizes:
        found.append(range(start, len(sizes)))
    return found


def array(bodies: Sequence[bytes]) -> bytes:
    """A JSON array of envelopes."""
    return b"[%b]" % b",".join(bodies)


def _sse_part(body: bytes, cursor: str | None) -> bytes:
    # A JSON text has no raw line breaks, so one `data:` line holds it.
    return b"data: %b\n\n" % body if cursor is None else b"id: %b\ndata: %b\n\n" % (cursor.encode(), body)


def _cursor_and_body(body: bytes, cursor: str | None) -> bytes:
    return (cursor or "").encode() + _SEPARATOR + body


def _join_frames(parts: Sequence[bytes]) -> bytes:
    groups = batches([len(part) for part in parts])
    return b"".join([frames.text(array([parts[index] for index in group])) for group in groups])


def _join_blocks(parts: Sequence[bytes]) -> bytes:
    """An SSE event for each array; its id is the newest cursor in it."""
    pairs = [part.split(_SEPARATOR, 1) for part in parts]
    blocks = []
    for group in batches([len(body) for _, body in pairs]):
        cursors = [pairs[index][0] for index in group if pairs[index][0]]
        body = array([pairs[index][1] for index in group])
        blocks.append(_sse_part(body, cursors[-1].decode() if cursors else None))
    return b"".join(blocks)


WEBSOCKET = Encoding("websocket", lambda body, _: frames.text(body), b"".join)
WEBSOCKET_BATCHED = Encoding("websocket", lambda body, _: body, _join_frames)
SSE = Encoding("sse", lambda body, cursor: chunk(_sse_part(body, cursor)), b"".join)
SSE_BATCHED = Encoding("sse", _cursor_and_body, lambda parts: chunk(_join_blocks(parts)))
# For HTTP/1.0, which knows no chunks: the stream ends with the connection.
SSE_PLAIN = Encoding("sse", _sse_part, b"".join)
SSE_PLAIN_BATCHED = Encoding("sse", _cursor_and_body, _join_blocks)
# An answer is one page, so it may be as large as PROTOCOL 8 allows: each page costs its client a request.
POLL = Encoding("poll", lambda body, _: body, b",".join, page_events=500, page_bytes=262_144)


def sse(*, batched: bool, chunked: bool) -> Encoding:
    """The SSE encoding for what the client asked for and its HTTP version allows."""
    if chunked:
        return SSE_BATCHED if batched else SSE
    return SSE_PLAIN_BATCHED if batched else SSE_PLAIN
