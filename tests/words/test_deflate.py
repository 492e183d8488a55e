"""Compressed messages, with zlib itself and the `permessage-deflate` of `websockets` at the other end."""

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.headers import parse_extension

from cidadao_rt.words import deflate, frames
from cidadao_rt.words.deflate import inflate, negotiate
from cidadao_rt.words.framing import FramingError

TAIL = b"\x00\x00\xff\xff"
MOST = 262_144
BOTH = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

# Text as JSON has it, and what does not compress.
payloads = st.one_of(
    st.binary(max_size=2000),
    st.text(max_size=500).map(lambda text: text.encode(errors="replace")),
    st.tuples(st.binary(min_size=1, max_size=20), st.integers(0, 5000)).map(lambda pair: pair[0] * pair[1]),
)


def peer() -> PerMessageDeflate:
    """The client's end, as `websockets` builds it from our answer to its own offer."""
    factory = ClientPerMessageDeflateFactory(server_max_window_bits=12, client_max_window_bits=True)
    answer = negotiate([f"permessage-deflate; {'; '.join(_written(factory))}"])
    assert answer is not None
    ((_, parameters),) = parse_extension(answer)
    return factory.process_response_params(parameters, [])


def _written(factory: ClientPerMessageDeflateFactory) -> list[str]:
    return [key if value is None else f"{key}={value}" for key, value in factory.get_request_params()]


def zlib_end(payload: bytes, bits: int = 15) -> bytes:
    """What zlib makes of a payload, in one window of `bits` bits."""
    return zlib.decompressobj(-bits).decompress(payload + TAIL)


def squeeze(data: bytes, flush: int = zlib.Z_SYNC_FLUSH, bits: int = 15) -> bytes:
    squeezer = zlib.compressobj(wbits=-bits)
    return squeezer.compress(data) + squeezer.flush(flush)


# -- what is agreed on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        ["permessage-deflate"],
        # What Chromium, Firefox and aiohttp send.
        ["permessage-deflate; client_max_window_bits"],
        ["permessage-deflate;client_max_window_bits=15"],
        ["permessage-deflate; client_no_context_takeover; server_no_context_takeover"],
        ["  permessage-deflate  ;  client_max_window_bits = 10  "],
        ['permessage-deflate; client_max_window_bits="8"'],
        ['permessage-deflate; client_max_window_bits="1\\2"'],
        ["x-webkit-deflate-frame, permessage-deflate"],
        ['x-other; a=1; b="c"; d', "permessage-deflate"],
        [",, permessage-deflate ,,"],
        # The second offer is the one that can be met (RFC 7692 section 5.1).
        ["permessage-deflate; server_max_window_bits=9, permessage-deflate"],
        ["permessage-deflate; unknown", "permessage-deflate"],
    ],
)
def test_an_offer_is_met_without_taking_context_over(headers: list[str]) -> None:
    assert negotiate(headers) == BOTH


@pytest.mark.parametrize("bits", range(8, 16))
def test_a_window_that_the_client_asks_for_is_kept_to_or_declined(bits: int) -> None:
    offer = f"permessage-deflate; server_max_window_bits={bits}"
    assert negotiate([offer]) == (None if bits < 12 else f"{BOTH}; server_max_window_bits=12")
    assert negotiate([f'permessage-deflate; server_max_window_bits="{bits}"']) == negotiate([offer])


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x-other",
        "Permessage-Deflate",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=15",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=012",
        "permessage-deflate; server_max_window_bits=+12",
        "permessage-deflate; server_max_window_bits=1²",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        # No list of extensions at all: what can be read of it is not believed either.
        "permessage-deflate;",
        "permessage-deflate;;",
        "permessage-deflate; =1",
        "permessage-deflate=1",
        "permessage-deflate; client_max_window_bits=",
        'permessage-deflate; client_max_window_bits=""',
        'permessage-deflate; client_max_window_bits="1 2"',
        'permessage-deflate; client_max_window_bits="12',
        "permessage-deflate client_max_window_bits",
        "permessage-deflate, x y",
        "permessage-deflate, ;",
        "permessage-deflate, \x00",
    ],
)
def test_what_cannot_be_met_is_declined(header: str) -> None:
    assert negotiate([header]) is None


def test_no_header_offers_nothing() -> None:
    assert negotiate([]) is None


@given(st.lists(st.text('permessage-deflate; client_max_window_bits="\\,\t1é', max_size=80), max_size=3))
def test_any_header_has_an_answer(headers: list[str]) -> None:
    assert negotiate(headers) in (None, BOTH)


# -- what we send -----------------------------------------------------------------------------------------------------


@given(payloads)
def test_what_we_deflate_is_read_by_whoever_has_the_window_agreed_on(payload: bytes) -> None:
    assert zlib_end(deflate.deflate(payload), 12) == payload
    assert zlib_end(deflate.deflate(payload), 15) == payload


@given(st.lists(payloads, min_size=1, max_size=5), st.booleans())
def test_an_array_of_what_is_deflated_already_is_the_array(bodies: list[bytes], is_stored: bool) -> None:
    each = [deflate.stored(body) if is_stored and n % 2 else deflate.deflate(body) for n, body in enumerate(bodies)]
    assert zlib_end(deflate.array(each), 12) == b"[" + b",".join(bodies) + b"]"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_what_is_stored_is_as_it_was(size: int) -> None:
    payload = bytes(n % 251 for n in range(size))
    assert zlib_end(deflate.stored(payload)) == payload


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 262_144])
def test_the_frames_are_read_by_a_client_of_another_hand(length: int) -> None:
    """Several on one connection: the context of the one before is not taken over."""
    end = peer()
    assert (end.remote_no_context_takeover, end.local_no_context_takeover) == (True, True)
    body = (b'{"a":1}' * (length // 7 + 1))[:length]
    for _ in range(2):
        wire = frames.deflated_text(deflate.deflate(body))
        assert wire[0] == 0xC1
        frame = Frame(Opcode.TEXT, wire[-len(deflate.deflate(body)) :], rsv1=True)
        assert bytes(end.decode(frame).data) == body


# -- what clients send ------------------------------------------------------------------------------------------------


@given(payloads)
def test_what_a_client_of_another_hand_sends_is_read(payload: bytes) -> None:
    sent = peer().encode(Frame(Opcode.TEXT, payload))
    assert inflate(bytes(sent.data), MOST) == payload


@given(payloads, st.integers(8, 15), st.integers(0, 9), st.sampled_from([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH]))
def test_every_level_and_window_is_read(payload: bytes, bits: int, level: int, flush: int) -> None:
    squeezer = zlib.compressobj(level, zlib.DEFLATED, -max(bits, 9))
    sent = squeezer.compress(payload) + squeezer.flush(flush)
    assert inflate(sent[:-4], MOST) == payload


@pytest.mark.parametrize(
    ("sent", "data"),
    [
        # The examples of RFC 7692 section 7.2.3, by their numbers.
        ("f2 48 cd c9 c9 07 00", b"Hello"),  # 1
        ("00 05 00 fa ff 48 65 6c 6c 6f 00", b"Hello"),  # 3
        ("f3 48 cd c9 c9 07 00 00", b"Hello"),  # 4: a final block
        ("f2 48 05 00 00 00 ff ff ca c9 c9 07 00", b"Hello"),  # 5: two blocks
        ("00", b""),  # 6
        ("", b""),
    ],
)
def test_the_examples_of_the_rfc(sent: str, data: bytes) -> None:
    assert inflate(bytes.fromhex(sent), MOST) == data


def test_the_window_goes_on_past_a_final_block() -> None:
    """A second block may point into the first although that one was final (RFC 7692 section 7.2.1)."""
    first = b"the same long words again and again "
    squeezer = zlib.compressobj(wbits=-15, zdict=first)
    second = squeezer.compress(first) + squeezer.flush(zlib.Z_SYNC_FLUSH)
    assert inflate(squeeze(first, zlib.Z_FINISH) + second[:-4], MOST) == first * 2


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_up_to_the_bound_is_let_through(size: int) -> None:
    assert inflate(squeeze(b"x" * size)[:-4], 1000) == b"x" * size


@pytest.mark.parametrize("size", [1001, 100 << 20])
def test_past_the_bound_is_refused(size: int) -> None:
    sent = squeeze(bytes(size))[:-4]
    tracemalloc.start()
    with pytest.raises(FramingError) as caught:
        inflate(sent, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code == 1009
    assert peak < 2 * len(sent) + 100_000, "what was sent, and no more of what it stands for than the bound"


def test_the_bound_is_of_all_streams_together() -> None:
    half = squeeze(b"x" * 600, zlib.Z_FINISH)
    assert inflate(half + half + b"\x00", 1200) == b"x" * 1200
    with pytest.raises(FramingError) as caught:
        inflate(half + half + b"\x00", 1199)
    assert caught.value.code == 1009


def test_streams_without_end_are_refused() -> None:
    """Each costs a decompressor and a copy of what follows it."""
    empty = squeeze(b"", zlib.Z_FINISH)
    assert inflate(empty * (deflate.STREAMS - 1) + b"\x00", 10) == b""
    with pytest.raises(FramingError) as caught:
        inflate(empty * deflate.STREAMS + b"\x00", 10)
    assert caught.value.code == 1009


@pytest.mark.parametrize(
    "sent",
    [
        b"\x07",  # a block of a kind that there is not
        b"hello world",
        squeeze(b"cut short" * 20)[:-9],
        squeeze(b"cut short" * 20, zlib.Z_FINISH)[:-3],
        squeeze(b"and then", zlib.Z_FINISH) + b"rubbish",
        squeeze(b"the tail was not taken off"),
        b"\x00\x05\x00\xfa\xffHel",
        b"\x00\x14\x00\xeb\xffHel",  # all that is put behind it still is what it promised
    ],
)
def test_what_is_corrupt_is_told(sent: bytes) -> None:
    with pytest.raises(FramingError) as caught:
        inflate(sent, MOST)
    assert caught.value.code == 1007
    assert len(caught.value.reason) <= 123


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_are_data_or_an_error(sent: bytes) -> None:
    code = None
    try:
        assert len(inflate(sent, 1000)) <= 1000
    except FramingError as error:
        code = error.code
    assert code in (None, 1007, 1009)
