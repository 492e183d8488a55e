"""How messages are packed for a transport: one part per message, made once for all who share the encoding, and a join.

Source: PROTOCOL 2 "Envelope" (`batch=1`), 8 "HTTP shapes"; RFC 9112 section 7.1 (chunks); the HTML standard, section
"Server-sent events".
"""

from collections.abc import Callable, Sequence

import msgspec

from . import frames

BATCH_BYTES = 65_536
"""An array of envelopes in one frame is at most so long, unless a single envelope is longer."""


class Encoding(msgspec.Struct, frozen=True, eq=False):
    """`transport` is the label in metrics. `part(body, cursor)` packs one envelope, whose cursor is None if it is
    transient; `join(parts)` packs what one write carries."""

    transport: str
    part: Callable[[bytes, str | None], bytes]
    join: Callable[[Sequence[bytes]], bytes]


def _text_part(body: bytes, _: str | None) -> bytes:
    return frames.text(body)


def _body_part(body: bytes, _: str | None) -> bytes:
    return body


def _sse_part(body: bytes, cursor: str | None) -> bytes:
    # A JSON text has no raw line breaks, so one `data:` line holds it.
    block = b"data: %b\n\n" % body if cursor is None else b"id: %b\ndata: %b\n\n" % (cursor.encode(), body)
    return chunk(block)


def chunk(data: bytes) -> bytes:
    """One chunk of a body in chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def batches(parts: Sequence[bytes]) -> list[bytes]:
    """JSON arrays of these envelopes, in order, each at most `BATCH_BYTES` long unless one envelope is longer."""
    arrays: list[bytes] = []
    start = size = 0
    for index, part in enumerate(parts):
        # The brackets, and the comma before each but the first.
        if index > start and size + len(part) + 1 > BATCH_BYTES - 1:
            arrays.append(b"[%b]" % b",".join(parts[start:index]))
            start, size = index, 0
        size += len(part) + 1
    if parts:
        arrays.append(b"[%b]" % b",".join(parts[start:]))
    return arrays


def _join_batches(parts: Sequence[bytes]) -> bytes:
    return b"".join([frames.text(array) for array in batches(parts)])


WEBSOCKET = Encoding("websocket", _text_part, b"".join)
WEBSOCKET_BATCHED = Encoding("websocket", _body_part, _join_batches)
SSE = Encoding("sse", _sse_part, b"".join)
