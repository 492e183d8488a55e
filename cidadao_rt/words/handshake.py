"""The WebSocket handshake as text. Source: RFC 6455 section 4.2."""

import base64
import binascii
import hashlib

VERSION = "13"
"""The one version there is (section 4.2.1)."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_key(key: str) -> bool:
    """Whether a `Sec-WebSocket-Key` is the base64 of 16 bytes."""
    try:
        return len(base64.b64decode(key.encode(), validate=True)) == 16
    except (binascii.Error, UnicodeEncodeError):
        return False


def has_token(header: str, token: str) -> bool:
    """Whether a comma-separated header names `token`, in whatever case."""
    return header.lower() == token or token in [name.strip() for name in header.lower().split(",")]


def switch(key: str, extensions: str | None = None) -> bytes:
    """The `101` that accepts the handshake with this key, and with the extensions agreed on (section 4.2.2)."""
    agreed = b"" if extensions is None else b"Sec-WebSocket-Extensions: %b\r\n" % extensions.encode()
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accept, agreed)
    )
