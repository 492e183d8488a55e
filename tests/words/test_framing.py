"""Reading what WebSocket clients send, framed by a client that is not ours: the sans-I/O side of `websockets`."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame
from websockets.frames import Opcode as Op

from cidadao_rt.words import framing
from cidadao_rt.words.framing import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, FramingError, Reader

MOST = 262_144


def wire(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Op(opcode), payload, fin=fin).serialize(mask=True)


def read_all(reader: Reader) -> list[tuple[int, bytes]]:
    found = []
    while (one := reader.read()) is not None:
        found.append(one)
    return found


def refused(data: bytes, **options: object) -> FramingError:
    reader = Reader(MOST, **options)  # type: ignore[arg-type]
    reader.feed(data)
    with pytest.raises(FramingError) as caught:
        read_all(reader)
    return caught.value


texts = st.text(max_size=200).map(str.encode)
controls = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
messages = st.one_of(st.tuples(st.just(TEXT), texts), st.tuples(st.just(BINARY), st.binary(max_size=300)), controls)


@given(st.lists(messages, max_size=6), st.lists(st.integers(1, 40), min_size=1))
def test_any_cut_of_the_stream_gives_the_same_messages(sent: list[tuple[int, bytes]], sizes: list[int]) -> None:
    data = b"".join(wire(*one) for one in sent)
    reader, found, at, turn = Reader(MOST), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        reader.feed(data[at : at + size])
        found += read_all(reader)
        at, turn = at + size, turn + 1
    assert found == sent
    assert reader.is_idle
    assert len(reader) == 0


@given(st.lists(st.binary(max_size=50), min_size=2, max_size=6), st.binary(max_size=10))
def test_fragments_are_one_message_and_a_ping_may_come_between(parts: list[bytes], ping: bytes) -> None:
    reader = Reader(MOST)
    for index, part in enumerate(parts):
        reader.feed(wire(BINARY if index == 0 else CONTINUATION, part, fin=index == len(parts) - 1))
        if index == 0:
            reader.feed(wire(PING, ping))
    found = [one for one in read_all(reader) if one != (CONTINUATION, b"")]
    assert found == [(PING, ping), (BINARY, b"".join(parts))]


@given(st.binary(max_size=400))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    reader = Reader(1000)
    reader.feed(data)
    with suppress(FramingError):
        read_all(reader)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, MOST])
def test_every_length_class(length: int) -> None:
    reader = Reader(MOST)
    reader.feed(wire(BINARY, b"x" * length))
    assert reader.read() == (BINARY, b"x" * length)


@pytest.mark.parametrize(
    "data",
    [
        bytes([0x83, 0x80]) + b"mask",
        bytes([0xC1, 0x80]) + b"mask",
        bytes([0xA1, 0x80]) + b"mask",
        bytes([0x81, 0x00]),
        bytes([0x09, 0x80]) + b"mask",
        bytes([0x89, 0xFE]) + b"\x00\x7e",
        bytes([0x80, 0x80]) + b"mask",
        wire(TEXT, b"a", fin=False) + wire(TEXT, b"b"),
        bytes([0x81, 0xFF]) + struct.pack("!Q", 1 << 63),
        wire(CLOSE, b"\x03"),
        wire(CLOSE, struct.pack("!H", 1005)),
        wire(CLOSE, struct.pack("!H", 2999)),
    ],
    ids=[
        "opcode", "rsv1 without deflate", "rsv2", "not masked", "control in fragments", "long control",
        "continues nothing", "begins within", "length", "half a code", "1005", "2999",
    ],
)  # fmt: skip
def test_what_breaks_the_protocol_is_1002(data: bytes) -> None:
    assert refused(data).code == 1002


def test_what_is_no_utf8_is_1007() -> None:
    assert refused(wire(TEXT, b"\xff")).code == 1007
    assert refused(wire(CLOSE, struct.pack("!H", 1000) + b"\xff")).code == 1007
    with pytest.raises(FramingError):
        framing.whole_text(wire(TEXT, b"\xff"))


def test_a_character_may_be_cut_by_fragments() -> None:
    reader = Reader(MOST)
    reader.feed(wire(TEXT, b"\xc3", fin=False) + wire(CONTINUATION, b"\xa3"))
    assert read_all(reader)[-1] == (TEXT, "ã".encode())


def test_too_large_is_refused_by_what_it_claims_before_it_has_come() -> None:
    assert refused(bytes([0x82, 0xFF]) + struct.pack("!Q", MOST + 1)).code == 1009
    half = wire(BINARY, b"x" * (MOST // 2 + 1), fin=False)
    assert refused(half + wire(CONTINUATION, b"x" * (MOST // 2))).code == 1009


def test_endless_fragments_are_bounded() -> None:
    empty = wire(CONTINUATION, b"", fin=False)
    assert refused(wire(TEXT, b"", fin=False) + empty * framing.FRAGMENTS).code == 1009


def test_a_compressed_message_is_unpacked_as_a_whole() -> None:
    asked: list[tuple[bytes, int]] = []

    def inflate(payload: bytes, most: int) -> bytes:
        asked.append((payload, most))
        return b"plain"

    reader = Reader(MOST, inflate)
    first = bytearray(wire(TEXT, b"ab", fin=False))
    first[0] |= 0x40
    reader.feed(bytes(first) + wire(CONTINUATION, b"cd"))
    assert read_all(reader)[-1] == (TEXT, b"plain")
    assert asked == [(b"abcd", MOST)]


def test_the_bit_of_compression_is_for_the_first_frame_alone() -> None:
    last = bytearray(wire(CONTINUATION, b"b"))
    last[0] |= 0x40
    assert refused(wire(TEXT, b"a", fin=False) + bytes(last), inflate=lambda data, _: data).code == 1002


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535])
def test_byte_by_byte(length: int) -> None:
    reader, found = Reader(MOST), []
    for byte in wire(BINARY, b"x" * length):
        reader.feed(bytes([byte]))
        found += read_all(reader)
    assert found == [(BINARY, b"x" * length)]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535])
def test_one_whole_text_needs_no_reader(length: int) -> None:
    assert framing.whole_text(wire(TEXT, b"x" * length)) == b"x" * length


@pytest.mark.parametrize(
    "data",
    [
        b"", wire(TEXT, b"abc")[:-1], wire(TEXT, b"abc") + b"x", wire(BINARY, b"abc"), wire(TEXT, b"a", fin=False),
        wire(TEXT, b"x" * 200)[:-1], wire(TEXT, b"x" * 200)[:7], wire(TEXT, b"x" * 65_536), b"\x81\x03abcdef",
    ],
    ids=["nothing", "not whole", "more", "binary", "a fragment", "long, not whole", "half a head", "huge", "bare"],
)  # fmt: skip
def test_everything_else_does(data: bytes) -> None:
    assert framing.whole_text(data) is None


def test_the_code_of_a_close() -> None:
    reader = Reader(MOST)
    reader.feed(wire(CLOSE, Close(4001, "tchau").serialize()) + wire(CLOSE, b""))
    (_, told), (_, bare) = read_all(reader)
    assert framing.close_code(told) == 4001
    assert framing.close_code(bare) is None
