"""WebSocket frames from server to client: unmasked, unfragmented.

Source: RFC 6455 section 5.2; RFC 7692 section 6 (RSV1).
"""

from struct import pack

_TEXT, _DEFLATED_TEXT = 0x81, 0xC1
PING = b"\x89\x00"
"""A whole ping frame without payload (RFC 6455 section 5.5.2)."""

REASON_LENGTH = 123
"""Bytes of UTF-8 that a close reason may have, so that the control frame stays legal (RFC 6455 section 5.5)."""


def text(payload: bytes) -> bytes:
    """One text frame; `payload` is UTF-8."""
    return _frame(_TEXT, payload)


def deflated_text(payload: bytes) -> bytes:
    """One text frame whose payload is compressed (`deflate.deflate`), which is what RSV1 says."""
    return _frame(_DEFLATED_TEXT, payload)


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return pack("!BB", first, length) + payload
    if length < 65536:
        return pack("!BBH", first, 126, length) + payload
    return pack("!BBQ", first, 127, length) + payload


def pong(payload: bytes) -> bytes:
    """The answer to a ping, whose payload (at most 125 bytes) it returns (section 5.5.3)."""
    return pack("!BB", 0x8A, len(payload)) + payload


def close(code: int, reason: str = "") -> bytes:
    """A close frame (section 5.5.1). A reason too long for a legal one is cut at a character."""
    text_ = reason.encode()[:REASON_LENGTH].decode(errors="ignore").encode()
    return pack("!BBH", 0x88, 2 + len(text_), code) + text_
