"""Our frames, decoded by a decoder that is not ours: the sans-I/O client of `websockets`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from cidadao_rt.words import frames
from cidadao_rt.words.errors import CloseCode

# Either side of each change of the length field (RFC 6455 section 5.2).
LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 262_144]


def client() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://gateway/ws"), state=State.OPEN)


def decoded(wire: bytes) -> list[Frame]:
    """The frames in `wire`, which must be whole ones without a byte left over."""
    protocol = client()
    protocol.receive_data(wire)
    found = [event for event in protocol.events_received() if isinstance(event, Frame)]
    assert protocol.parser_exc is None
    assert not protocol.reader.buffer
    return found


def closed(wire: bytes) -> Close:
    protocol = client()
    protocol.receive_data(wire)
    assert protocol.parser_exc is None
    assert protocol.close_rcvd is not None
    return protocol.close_rcvd


@pytest.mark.parametrize("length", LENGTHS)
def test_a_text_frame_of_every_length_class(length: int) -> None:
    """A client reads back exactly what was framed, as one final text frame, and nothing beside it."""
    payload = b"x" * length
    assert decoded(frames.text(payload)) == [Frame(Opcode.TEXT, payload)]


@pytest.mark.parametrize(("length", "header"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_the_length_takes_no_more_bytes_than_it_must(length: int, header: int) -> None:
    """RFC 6455 demands the shortest length field; a strict client closes on any other."""
    assert len(frames.text(b"x" * length)) == header + length


@settings(deadline=None)
@given(st.lists(st.text().map(str.encode), max_size=8))
def test_joined_frames_are_read_one_by_one(payloads: list[bytes]) -> None:
    """A flush joins the frames of a turn into one write, and the client still sees each message."""
    assert decoded(b"".join(map(frames.text, payloads))) == [Frame(Opcode.TEXT, payload) for payload in payloads]


def test_a_ping() -> None:
    """The ping of the dead-peer check is a whole legal frame."""
    assert decoded(frames.PING) == [Frame(Opcode.PING, b"")]


@pytest.mark.parametrize("length", [0, 1, 125])
def test_a_pong_returns_the_payload(length: int) -> None:
    """A client that measures its latency gets its own bytes back, up to the longest a ping may carry."""
    payload = bytes(range(length))
    assert decoded(frames.pong(payload)) == [Frame(Opcode.PONG, payload)]


@pytest.mark.parametrize("code", list(CloseCode))
def test_a_close_frame_tells_code_and_reason(code: CloseCode) -> None:
    """The client's close event has the code and the reason that were given, in any language."""
    assert closed(frames.close(code, "Sessão retomada")) == Close(int(code), "Sessão retomada")
    assert closed(frames.close(code)) == Close(int(code), "")


@settings(deadline=None)
@given(st.text() | st.text(st.sampled_from("aé€😀"), min_size=30, max_size=200))
def test_a_long_reason_is_cut_at_a_character(reason: str) -> None:
    """However long and in whatever script, the frame stays legal and keeps as many whole characters as fit."""
    received = closed(frames.close(CloseCode.TRY_AGAIN_LATER, reason)).reason
    assert reason.startswith(received)
    assert len(received.encode()) <= 123
    assert received == reason or len(reason[: len(received) + 1].encode()) > 123


@pytest.mark.parametrize(
    ("reason", "kept"),
    [("é" * 62, 61), ("a" + "é" * 61, 62), ("€" * 42, 41), ("😀" * 31, 30), ("a" * 124, 123), ("a" * 123, 123)],
    ids=lambda value: ascii(value)[:12],
)
def test_how_much_of_a_reason_is_kept(reason: str, kept: int) -> None:
    """123 bytes is all that a close frame has room for, and a character that would straddle that is left out."""
    assert closed(frames.close(CloseCode.GOING_AWAY, reason)).reason == reason[:kept]
