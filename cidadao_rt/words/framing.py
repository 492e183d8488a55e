"""Reading the frames of a WebSocket client, without I/O: bytes in, messages out, or the error that ends the connection.

What a server sends is in `frames`. Source: RFC 6455 sections 5 (framing), 7.4 (close codes), 8.1 (UTF-8).
"""

from collections.abc import Callable

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes (section 5.2)."""

CONTROL_BYTES = 125
"""The longest payload of a control frame (section 5.5)."""

FRAGMENTS = 16_384
"""Frames that one message may come in: 16 bytes each at the largest message. One in more is refused with 1009."""

PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009

_FINAL, _RESERVED, _COMPRESSED, _MASKED = 0x80, 0x70, 0x40, 0x80
_OPCODES = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
# Those of section 7.4.1 that may be on the wire, and what IANA has registered since.
_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_APPLICATION_CODES = range(3000, 5000)

Inflate = Callable[[bytes, int], bytes]
"""`inflate(payload, most)`: a whole compressed message, unpacked to at most so many bytes. Raises `FramingError`."""


class FramingError(Exception):
    """What came is no WebSocket conversation any more. `code` and `reason` are for our close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def whole_text(data: bytes) -> bytes | None:
    """The payload of `data` where it is exactly one unfragmented text frame shorter than 64 KiB, else None.

    That is what clients send nearly always, and it needs no `Reader`. Raises `FramingError` where it is no UTF-8.
    """
    size = len(data)
    if size < 6 or data[0] != _FINAL | TEXT:
        return None
    second = data[1]
    if second == _MASKED | 126:
        at = 8
        if size < at or size - at != data[2] << 8 | data[3]:
            return None
    else:
        at = 6
        if second > _MASKED | 126 or size - at != second - _MASKED:
            return None
    return _text(unmask(data[at:], data[at - 4 : at]))


class Reader:
    """Takes up bytes as they come and gives out what they hold, one frame's worth at a time.

    Holds at most one message of `most` bytes and one frame beside what it was fed last; the length that a frame claims
    is checked before its payload is waited for. With `inflate` the first frame of a message may say that it is
    compressed (RSV1, RFC 7692); `most` then holds for both sizes.
    """

    __slots__ = ("_buffer", "_fragments", "_inflate", "_is_compressed", "_message", "_most", "_opcode")

    def __init__(self, most: int, inflate: Inflate | None = None) -> None:
        self._most = most
        self._inflate = inflate
        self._buffer = bytearray()
        # The message whose fragments are being taken up; CONTINUATION: there is none.
        self._opcode = CONTINUATION
        self._is_compressed = False
        self._message = bytearray()
        self._fragments = 0

    def __len__(self) -> int:
        """Bytes that were fed and not read yet."""
        return len(self._buffer)

    @property
    def is_idle(self) -> bool:
        """Whether it holds nothing, so that a new one would do as well."""
        return not self._buffer and self._opcode == CONTINUATION

    def feed(self, data: bytes) -> None:
        """Take up what has come."""
        self._buffer += data

    def read(self) -> tuple[int, bytes] | None:
        """The next whole message or control frame: its opcode and its payload. None: more bytes are needed.

        A `CONTINUATION`, always empty, says that a fragment was taken up and there may be more to read. A text is valid
        UTF-8, and what a `CLOSE` carries is sound. Raises `FramingError`; after that nothing more can be read.
        """
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode, length = first & 0x0F, second & 0x7F
        self._check(first, second)
        at = 2
        if length > CONTROL_BYTES:
            at = 4 if length == 126 else 10
            if len(buffer) < at:
                return None
            length = int.from_bytes(buffer[2:at])
            if length >> 63:
                raise FramingError(PROTOCOL_ERROR, "Frame length is out of range")
        is_control = opcode >= CLOSE
        if not is_control and len(self._message) + length > self._most:
            raise FramingError(TOO_BIG, f"Message is larger than {self._most} bytes")
        end = at + 4 + length
        if len(buffer) < end:
            return None
        payload = unmask(buffer[at + 4 : end], buffer[at : at + 4])
        del buffer[:end]
        if is_control:
            if opcode == CLOSE:
                _check_close(payload)
            return opcode, payload
        return self._take(first, opcode, payload)

    def _check(self, first: int, second: int) -> None:
        """Raise `FramingError` for a frame that may not begin like this, now."""
        opcode = first & 0x0F
        reserved = first & _RESERVED
        if opcode not in _OPCODES:
            raise FramingError(PROTOCOL_ERROR, "Unknown opcode")
        if reserved and (reserved != _COMPRESSED or self._inflate is None or opcode not in (TEXT, BINARY)):
            raise FramingError(PROTOCOL_ERROR, "Reserved bits are set")
        if not second & _MASKED:
            raise FramingError(PROTOCOL_ERROR, "Frame is not masked")
        if opcode >= CLOSE:
            if not first & _FINAL:
                raise FramingError(PROTOCOL_ERROR, "Control frame is fragmented")
            if second & 0x7F > CONTROL_BYTES:
                raise FramingError(PROTOCOL_ERROR, "Control frame is too long")
        elif (opcode == CONTINUATION) != (self._opcode != CONTINUATION):
            raise FramingError(PROTOCOL_ERROR, "Fragments are out of order")

    def _take(self, first: int, opcode: int, payload: bytes) -> tuple[int, bytes]:
        """Take up one frame of a message, and give out the message if it was the last."""
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._is_compressed = bool(first & _COMPRESSED)
            self._fragments = 0
        if not first & _FINAL:
            self._fragments += 1
            if self._fragments == FRAGMENTS:
                raise FramingError(TOO_BIG, f"Message comes in more than {FRAGMENTS} frames")
            self._message += payload
            return CONTINUATION, b""
        if opcode == CONTINUATION:
            payload = bytes(self._message + payload)
            self._message = bytearray()
        opcode, self._opcode = self._opcode, CONTINUATION
        if self._is_compressed and self._inflate is not None:
            payload = self._inflate(payload, self._most)
        return opcode, _text(payload) if opcode == TEXT else payload


def unmask(payload: bytes | bytearray, key: bytes | bytearray) -> bytes:
    """The payload without its mask of 4 bytes, or with it (section 5.3): masking twice is not masking."""
    length = len(payload)
    # As one number each: the only loop over bytes that this language runs in C.
    mask = int.from_bytes((key * (length // 4 + 1))[:length], "little")
    return (int.from_bytes(payload, "little") ^ mask).to_bytes(length, "little")


def close_code(payload: bytes) -> int | None:
    """The code in a sound `CLOSE`; None where the peer gave none."""
    return int.from_bytes(payload[:2]) if payload else None


def _check_close(payload: bytes) -> None:
    code = close_code(payload)
    if code is None:
        return
    if len(payload) == 1 or not (code in _CODES or code in _APPLICATION_CODES):
        raise FramingError(PROTOCOL_ERROR, "Invalid close code")
    _text(payload[2:])


def _text(payload: bytes) -> bytes:
    """The same bytes. Raises `FramingError` where they are no UTF-8."""
    # Cheaper than decoding, and most messages are nothing else.
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError:
            raise FramingError(INVALID_DATA, "Text is not valid UTF-8") from None
    return payload
