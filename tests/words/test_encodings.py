"""How messages are packed: one frame each, or arrays of bounded size."""

import json

from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.streams import StreamReader

from cidadao_rt.words import encodings, frames
from cidadao_rt.words.deflate import deflate
from cidadao_rt.words.encodings import (
    ANEW_EVENTS,
    BATCH_BYTES,
    POLL,
    SSE,
    WEBSOCKET,
    WEBSOCKET_BATCHED,
    Encoding,
    chunk,
)


class Inflater(PerMessageDeflate):
    """Inflates what is compressed, and remembers whether it was."""

    saw_compressed = False

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        self.saw_compressed = frame.rsv1
        return super().decode(frame, max_size=max_size)


def frames_of(data: bytes) -> list[bytes]:
    """The payloads of the frames in `data`, decoded by a library that is not ours."""
    return [payload for payload, _ in compressed_frames_of(data)]


def compressed_frames_of(data: bytes) -> list[tuple[bytes, bool]]:
    """The same, and whether each was compressed."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found: list[tuple[bytes, bool]] = []
    while True:
        at_eof = reader.at_eof()
        try:
            assert next(at_eof)
        except StopIteration as stop:
            if stop.value:
                return found
        inflater = Inflater(True, True, 12, 15)
        parse = Frame.parse(reader.read_exact, mask=False, extensions=[inflater])
        try:
            next(parse)
        except StopIteration as stop:
            found.append((bytes(stop.value.data), inflater.saw_compressed))


def body(n: int, size: int = 1) -> bytes:
    return json.dumps({"n": n, "pad": "x" * size}).encode()


def test_each_message_is_a_frame_of_its_own() -> None:
    bodies = [body(n) for n in range(3)]
    assert frames_of(WEBSOCKET.join([WEBSOCKET.part(one, "c") for one in bodies])) == bodies


@given(st.lists(st.integers(0, 70_000), max_size=6))
def test_batches_hold_everything_in_order_within_their_bound(sizes: list[int]) -> None:
    """Only a single message that is longer by itself makes a longer frame."""
    bodies = [body(n, size) for n, size in enumerate(sizes)]
    arrays = frames_of(WEBSOCKET_BATCHED.join([WEBSOCKET_BATCHED.part(one, None) for one in bodies]))
    assert [one for array in arrays for one in json.loads(array)] == [json.loads(one) for one in bodies]
    assert all(len(array) <= BATCH_BYTES or len(json.loads(array)) == 1 for array in arrays)


def test_a_batch_is_filled_as_far_as_it_goes() -> None:
    half = BATCH_BYTES // 2 - 2
    assert len(encodings.batches([half, half])) == 1
    assert len(encodings.batches([half, half, half])) == 2
    assert encodings.batches([]) == []
    assert encodings.batches([BATCH_BYTES * 2, 1]) == [range(1), range(1, 2)]


def packed(encoding: Encoding, one: bytes) -> bytes:
    """An event, deflated."""
    assert encoding.pack is not None
    return encoding.pack(deflate(one), one)


def test_deflated_events_and_plain_messages_share_a_connection() -> None:
    encoding = encodings.websocket(batched=False, deflated=True)
    written = encoding.join([encoding.part(body(0), None), packed(encoding, body(1)), encoding.part(body(2), None)])
    assert compressed_frames_of(written) == [(body(0), False), (body(1), True), (body(2), False)]


@given(st.lists(st.tuples(st.one_of(st.integers(0, 500), st.integers(0, 70_000)), st.booleans()), max_size=24))
def test_arrays_of_deflated_events_keep_the_same_bound(sizes: list[tuple[int, bool]]) -> None:
    """It is of what the client gets to see: 64 KiB of what has been deflated may be megabytes."""
    encoding = encodings.websocket(batched=True, deflated=True)
    bodies = [body(n, size) for n, (size, _) in enumerate(sizes)]
    parts = [
        packed(encoding, one) if is_event else encoding.part(one, None)
        for one, (_, is_event) in zip(bodies, sizes, strict=True)
    ]
    arrays = frames_of(encoding.join(parts))
    assert arrays == frames_of(WEBSOCKET_BATCHED.join(bodies))


def test_an_array_without_a_deflated_event_is_plain() -> None:
    encoding = encodings.websocket(batched=True, deflated=True)
    written = encoding.join([encoding.part(body(0), None), encoding.part(body(1), None)])
    assert written == WEBSOCKET_BATCHED.join([body(0), body(1)])
    mixed = encoding.join([encoding.part(body(0), None), packed(encoding, body(1))])
    assert compressed_frames_of(mixed) == [(encodings.array([body(0), body(1)]), True)]


def test_a_long_array_is_deflated_as_a_whole() -> None:
    """So that what its events have in common is sent once. A short one is put together of what is deflated already."""
    encoding = encodings.websocket(batched=True, deflated=True)
    bodies = [body(n, 300) for n in range(ANEW_EVENTS)]
    long = encoding.join([encoding.part(bodies[0], None)] + [packed(encoding, one) for one in bodies[1:]])
    assert long == frames.deflated_text(deflate(encodings.array(bodies)))
    assert compressed_frames_of(long) == [(encodings.array(bodies), True)]
    short = encoding.join([packed(encoding, one) for one in bodies[1:]])
    assert all(deflate(one) in short for one in bodies[1:])


def test_without_compression_nothing_is_packed_deflated() -> None:
    for batched in (False, True):
        assert encodings.websocket(batched=batched, deflated=False).pack is None
    assert (SSE.pack, POLL.pack) == (None, None)


def test_a_server_sent_event_is_a_chunk_with_its_cursor() -> None:
    assert SSE.part(b"{}", "e-1") == chunk(b"id: e-1\ndata: {}\n\n")
    assert SSE.part(b"{}", None) == b"a\r\ndata: {}\n\n\r\n"
    assert encodings.sse(batched=False, chunked=True) is SSE


def test_without_chunks_the_stream_is_bare() -> None:
    plain = encodings.sse(batched=False, chunked=False)
    assert plain.join([plain.part(b"{}", "e-1"), plain.part(b"[]", None)]) == b"id: e-1\ndata: {}\n\ndata: []\n\n"


def test_a_batch_of_events_has_the_newest_cursor_in_it() -> None:
    """So that a browser that reconnects continues after the last event it was given."""
    bare = encodings.sse(batched=True, chunked=False)
    parts = [bare.part(b'{"n":1}', "e-1"), bare.part(b'{"n":2}', "e-2"), bare.part(b'{"n":3}', None)]
    assert bare.join(parts) == b'id: e-2\ndata: [{"n":1},{"n":2},{"n":3}]\n\n'
    assert bare.join(parts[2:]) == b'data: [{"n":3}]\n\n'
    chunked = encodings.sse(batched=True, chunked=True)
    assert chunked.join(parts) == chunk(bare.join(parts))


def test_polled_messages_are_the_items_of_an_array() -> None:
    assert POLL.join([POLL.part(b"{}", "e-1"), POLL.part(b"[]", None)]) == b"{},[]"
    assert encodings.array([b"{}", b"[]"]) == b"[{},[]]"
