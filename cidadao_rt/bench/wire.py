"""Bytes on the wire, as a client writes and reads them. Source: RFC 6455 sections 4.1 and 5.2, RFC 9112."""

import struct
from collections.abc import Iterator
from enum import IntEnum

KEY = "Y2lkYWRhby1ydC1iZW5jaA=="
"""Always the same: nothing here has a secret to keep from a proxy's cache."""


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


RSV1 = 0x40
"""Compressed (RFC 7692 section 6)."""

Frame = tuple[int, bytes]
"""The first byte and the payload."""


class WireError(Exception):
    """The server sent what it may not send."""


def frame(body: bytes, *, binary: bool = False, opcode: int | None = None) -> bytes:
    """A client's frame. Its key is 0, which masks nothing and costs nothing."""
    first = 0x80 | (opcode if opcode is not None else Opcode.BINARY if binary else Opcode.TEXT)
    length = len(body)
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + b"\0\0\0\0" + body


def frames(data: bytes) -> Iterator[Frame | bytes]:
    """Each whole frame, and at last the bytes left over, which may be none. Raises `WireError`."""
    at, size = 0, len(data)
    while size - at >= 2:
        length, start = data[at + 1], at + 2
        if length == 126:
            if size - at < 4:
                break
            length, start = data[at + 2] << 8 | data[at + 3], at + 4
        elif length == 127:
            if size - at < 10:
                break
            length, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
        elif length > 127:
            raise WireError("a server's frame must not be masked")
        if size - start < length:
            break
        yield data[at], data[start : start + length]
        at = start + length
    yield data[at:]


def upgrade(host: str, path: str, headers: str, deflate: str) -> bytes:
    """The request of a handshake."""
    offer = f"Sec-WebSocket-Extensions: {deflate}\r\n" if deflate else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offer}{headers}\r\n"
    ).encode()


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """A request on a connection that is kept."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answer(data: bytes) -> tuple[int, bytes, bytes] | None:
    """The first response in `data`: its status, its head in lower case, and what follows it; None if not whole.

    A body is taken by its `Content-Length` alone, which all servers here send. Raises `WireError`.
    """
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        return None
    if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
        raise WireError("not an HTTP response")
    head, status = head.lower(), int(head[9:12])
    length = 0
    if b"\r\ncontent-length:" in head:
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
    elif b"chunked" in head:
        raise WireError("a chunked response")
    if status == 101 or len(rest) >= length:
        return status, head, rest if status == 101 else rest[length:]
    return None
