"""How messages are packed for a transport: one part per message, made once for all who share the encoding, and a join.

Source: PROTOCOL 2 "Envelope" (`batch=1`), 8 "HTTP shapes"; RFC 9112 section 7.1 (chunks); the HTML standard,
"Server-sent events"; RFC 7692 section 7.
"""

from collections.abc import Callable, Sequence
from struct import pack

import msgspec

from . import deflate, frames

BATCH_BYTES = 65_536
"""An array of envelopes in one frame is at most so long, unless a single envelope is longer."""

ANEW_EVENTS = 16
"""From so many events on an array is deflated anew, as a whole: what they have in common is then found, and it takes no
longer than to put together what is deflated already. A smaller one never is, whoever it is for."""

_SEPARATOR = b"\n"


class Encoding(msgspec.Struct, frozen=True, eq=False):
    """`transport` is the label in metrics. `part(body, cursor)` packs one envelope, whose cursor is None if it is
    transient; `join(parts)` makes of them the bytes of one write. A page of replay has at most `page_events` events
    and `page_bytes` bytes of bodies; others get their turn between two pages.

    Where there is `pack`, events go deflated: `pack(payload, body)` is `part` for an event whose body has been deflated
    already. What is for one client alone, or not worth it, still goes by `part`, as it is."""

    transport: str
    part: Callable[[bytes, str | None], bytes]
    join: Callable[[Sequence[bytes]], bytes]
    page_events: int = 256
    page_bytes: int = 65_536
    pack: Callable[[bytes, bytes], bytes] | None = None


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


def _plain_item(body: bytes, _: str | None) -> bytes:
    return b"\0" + body


def _deflated_item(payload: bytes, body: bytes) -> bytes:
    return pack("!BI", 1, len(payload)) + payload + body


def _join_items(parts: Sequence[bytes]) -> bytes:
    """Arrays within the same bound, which is one of sizes before deflating. One without anything deflated is plain."""
    # Of each its body, and its payload where it is deflated.
    items: list[tuple[bytes, bytes]] = []
    for part in parts:
        end = 5 + int.from_bytes(part[1:5]) if part[0] else 1
        items.append((part[end:], part[5:end]))
    joined = []
    for group in batches([len(body) for body, _ in items]):
        bodies = [items[index][0] for index in group]
        payloads = [items[index][1] for index in group]
        if not any(payloads):
            joined.append(frames.text(array(bodies)))
        elif len(group) < ANEW_EVENTS:
            pairs = zip(bodies, payloads, strict=True)
            payload = deflate.array([payload or deflate.stored(body) for body, payload in pairs])
            joined.append(frames.deflated_text(payload))
        else:
            joined.append(frames.deflated_text(deflate.deflate(array(bodies))))
    return b"".join(joined)


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
WEBSOCKET_DEFLATED = Encoding(
    "websocket", WEBSOCKET.part, b"".join, pack=lambda payload, _: frames.deflated_text(payload)
)
WEBSOCKET_BATCHED_DEFLATED = Encoding("websocket", _plain_item, _join_items, pack=_deflated_item)
SSE = Encoding("sse", lambda body, cursor: chunk(_sse_part(body, cursor)), b"".join)
SSE_BATCHED = Encoding("sse", _cursor_and_body, lambda parts: chunk(_join_blocks(parts)))
# For HTTP/1.0, which knows no chunks: the stream ends with the connection.
SSE_PLAIN = Encoding("sse", _sse_part, b"".join)
SSE_PLAIN_BATCHED = Encoding("sse", _cursor_and_body, _join_blocks)
# An answer is one page, so it may be as large as PROTOCOL 8 allows: each page costs its client a request.
POLL = Encoding("poll", lambda body, _: body, b",".join, page_events=500, page_bytes=262_144)


def websocket(*, batched: bool, deflated: bool) -> Encoding:
    """The WebSocket encoding for what the client asked for and was granted."""
    if deflated:
        return WEBSOCKET_BATCHED_DEFLATED if batched else WEBSOCKET_DEFLATED
    return WEBSOCKET_BATCHED if batched else WEBSOCKET


def sse(*, batched: bool, chunked: bool) -> Encoding:
    """The SSE encoding for what the client asked for and its HTTP version allows."""
    if chunked:
        return SSE_BATCHED if batched else SSE
    return SSE_PLAIN_BATCHED if batched else SSE_PLAIN
