"""`permessage-deflate`: what is agreed on, and messages deflated and inflated, each by itself.

No context is taken over in either direction. So what we send is the same bytes for everyone, deflated once, and nothing
is kept for a connection. Source: RFC 7692 sections 5 (negotiation), 7 (the extension); RFC 6455 section 9.1 (the
header); RFC 1951 section 3.2.4 (stored blocks).
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from struct import pack

from .framing import INVALID_DATA, TOO_BIG, FramingError

WINDOW_BITS = 12
"""The window of what we deflate, 4 KiB: whoever has a larger one can read it too, so one form serves all."""

THRESHOLD = 256
"""Bytes of a body below which it is sent as it is: deflating takes longer than what it saves is worth."""

STREAMS = 16
"""DEFLATE streams (each ends with a final block) that one message may have; a sender needs one. More end with 1009."""

_LEVEL, _MEMORY = 3, 5
_TAIL = b"\x00\x00\xff\xff"
# A stored block of nothing, and a final one: only data that ended at the end of a block ends with these.
_END = _TAIL + b"\x01\x00\x00\xff\xff"
_WINDOW = 32_768
_STORED_BYTES = 65_535

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a token of RFC 6455's grammar
_PARAMETER = re.compile(rf'[ \t]*({_TOKEN})[ \t]*(?:=[ \t]*({_TOKEN}|"(?:[^"\\]|\\.)*")[ \t]*)?([;,]|\Z)')
_NOTHING = re.compile(r"[ \t,]*")
_BITS = frozenset(str(bits) for bits in range(8, 16))

Parameters = list[tuple[str, str | None]]


def negotiate(headers: Iterable[str]) -> str | None:
    """The `Sec-WebSocket-Extensions` of our answer to the client's lines of that header; None: no compression.

    The first offer that can be met is taken (section 5). An offer with a parameter that is unknown, given twice or out
    of range is declined (section 7.1), and so is one for a window smaller than ours; a header that is no list of
    extensions offers nothing.
    """
    for name, parameters in _offers(",".join(headers)):
        if name == "permessage-deflate" and _is_met(parameters):
            # Both without being asked: sections 7.1.1.1 and 7.1.1.2 let the server.
            answer = f"{name}; server_no_context_takeover; client_no_context_takeover"
            asked = any(key == "server_max_window_bits" for key, _ in parameters)
            return f"{answer}; server_max_window_bits={WINDOW_BITS}" if asked else answer
    return None


def _is_met(parameters: Parameters) -> bool:
    if len(dict(parameters)) < len(parameters):
        return False
    for name, value in parameters:
        match name:
            case "server_no_context_takeover" | "client_no_context_takeover":
                fits = value is None
            case "server_max_window_bits":
                fits = value in _BITS and int(value or 0) >= WINDOW_BITS
            case "client_max_window_bits":
                # A hint that the client could do with less; what it sends may use the largest window.
                fits = value is None or value in _BITS
            case _:
                fits = False
        if not fits:
            return False
    return True


def _offers(header: str) -> list[tuple[str, Parameters]]:
    """The extensions in a header, in order, each with its parameters; none if it is malformed."""
    found: list[tuple[str, Parameters]] = []
    at = _skip(header, 0)
    is_name = True
    while at < len(header) or not is_name:
        match = _PARAMETER.match(header, at)
        if match is None:
            return []
        name, value, separator = match.groups()
        if value is not None and value[0] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
            if not re.fullmatch(_TOKEN, value):
                return []
        if not is_name:
            found[-1][1].append((name, value))
        elif value is None:
            found.append((name, []))
        else:
            return []
        is_name = separator != ";"
        at = _skip(header, match.end()) if is_name else match.end()
    return found


def _skip(header: str, at: int) -> int:
    """Past the empty elements that a list may have (RFC 9110 section 5.6.1)."""
    match = _NOTHING.match(header, at)
    assert match is not None, "it matches nothing at all too"
    return match.end()


def deflate(payload: bytes) -> bytes:
    """The payload of a compressed message (section 7.2.1)."""
    # Measured on envelopes: level 6 takes twice as long for 3 % less, and more memory costs its clearing.
    squeezer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -WINDOW_BITS, _MEMORY)
    return (squeezer.compress(payload) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def stored(payload: bytes) -> bytes:
    """The same without any deflating, 6 bytes longer: to stand between what is deflated."""
    blocks = [payload[at : at + _STORED_BYTES] for at in range(0, len(payload), _STORED_BYTES)]
    return b"".join([b"\x00%b%b" % (pack("<HH", len(block), len(block) ^ 0xFFFF), block) for block in blocks]) + b"\x00"


def array(payloads: Sequence[bytes]) -> bytes:
    """The compressed JSON array of values that are compressed each by itself, so that nothing is deflated again.

    Each ends with the head of a stored block that is empty but for this; here it holds the comma or the bracket.
    """
    return b"\x00\x01\x00\xfe\xff[%b\x01\x00\xfe\xff]\x00" % b"\x01\x00\xfe\xff,".join(payloads)


def inflate(payload: bytes, most: int) -> bytes:
    """A compressed message's data, at most `most` bytes (section 7.2.2); no more than one byte beyond is ever made.

    Raises `FramingError` with 1009 for a longer one, or one of more than `STREAMS` streams, and with 1007 for what is
    not DEFLATE or ends within a block.
    """
    if not payload:
        # An empty message is one byte; some senders leave that out as well.
        return b""
    made = b""
    rest = payload + _END
    for _ in range(STREAMS):
        # The window goes on past a final block: it is the message's, not the block's.
        inflater = zlib.decompressobj(-15, zdict=made[-_WINDOW:]) if made else zlib.decompressobj(-15)
        try:
            made += inflater.decompress(rest, most + 1 - len(made))
        except zlib.error:
            raise FramingError(INVALID_DATA, "Compressed data is corrupt") from None
        if len(made) > most:
            raise FramingError(TOO_BIG, f"Message is larger than {most} bytes")
        if not inflater.eof:
            raise FramingError(INVALID_DATA, "Compressed data ends within a block")
        rest = inflater.unused_data
        if not rest:
            return made
    raise FramingError(TOO_BIG, f"Message is in more than {STREAMS} streams")
