"""The load generator tells a server that is exact from one that is not, however its bytes are cut and merged."""

import asyncio
import random
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from cidadao_rt.bench import wire
from cidadao_rt.bench.chunks import Chunks
from cidadao_rt.bench.generator import Generator, Rate, Window
from cidadao_rt.bench.measure import Run, measure
from cidadao_rt.bench.payload import COUNT_MASK, MARKER, payload, weight
from cidadao_rt.bench.target import Target
from cidadao_rt.words import frames

SUBSCRIBERS = 5


class Fake:
    """A server of one topic that does to one of its subscribers what it is told to.

    `mode`: "exact"; "drop", the tenth event; "twice", the tenth; "swap", drops the tenth and sends the eleventh twice,
    so that the number is right; "close", after the tenth; "cut", exact but in pieces of a few bytes.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.events = 0
        self.subscribers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            if not request.startswith(b"GET /pub"):
                self.subscribers.append(writer)
            while True:
                head = await reader.readexactly(2)
                assert head[1] == 0x80 | 126, "a publication has some hundred bytes"
                length = int.from_bytes(await reader.readexactly(2))
                body = (await reader.readexactly(4 + length))[4:]
                await self.publish(frames.text(body[4:]))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def publish(self, frame: bytes) -> None:
        self.events += 1
        for place, writer in enumerate(self.subscribers):
            if self.mode == "cut":
                await self.in_pieces(writer, frame, place)
            else:
                writer.write(frame * (self.times() if place == 2 else 1))
                if self.mode == "close" and self.events == 10 and place == 2:
                    writer.write(frames.close(1011, "broken"))

    def times(self) -> int:
        return {("drop", 10): 0, ("swap", 10): 0, ("twice", 10): 2, ("swap", 11): 2}.get((self.mode, self.events), 1)

    async def in_pieces(self, writer: asyncio.StreamWriter, frame: bytes, place: int) -> None:
        # Not at the frame's bounds, and different for each.
        at = 7 + 13 * place + self.events % 90
        writer.write(frame[:at])
        await asyncio.sleep(0)
        writer.write(frame[at:])


@contextmanager
def serving(fake: Fake) -> Iterator[int]:
    """The fake on a loop in a thread, since the generator is a loop of its own; its port."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(fake.serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def end(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def driven(mode: str) -> tuple[Run, Generator]:
    with serving(Fake(mode)) as port, Generator(Target("127.0.0.1", port)) as load:
        load.open(SUBSCRIBERS)
        load.open_publishers()
        load.publish(20)
        return measure(load, Rate(100), warm=0.0, seconds=0.1, drain_seconds=0.5), load


@pytest.mark.parametrize("mode", ["exact", "cut"])
def test_an_exact_server_is_found_right(mode: str) -> None:
    run, load = driven(mode)
    assert run.ok, run
    assert load.delivered == load.published * SUBSCRIBERS
    assert run.delivered > 0
    assert 0 < run.p50 <= run.p99 <= run.max


@pytest.mark.parametrize("mode", ["drop", "twice", "swap", "close"])
def test_a_server_that_is_not_exact_is_found_wrong(mode: str) -> None:
    run, load = driven(mode)
    assert not run.ok
    assert run.wrong == 1
    if mode == "swap":
        assert load.delivered == load.published * SUBSCRIBERS, "the number alone would not have told"
    if mode == "close":
        assert run.faults == ["closed with 1011 broken"]


def test_a_window_keeps_no_more_outstanding_than_asked() -> None:
    with serving(Fake("exact")) as port, Generator(Target("127.0.0.1", port)) as load:
        load.open(SUBSCRIBERS)
        load.open_publishers()
        load.flow = Window(3)
        for _ in range(200):
            load.turn()
            assert load.outstanding <= 3 * SUBSCRIBERS
        assert load.drain(5.0)
        assert load.published > 3


def test_what_is_offered_does_not_wait_for_the_server() -> None:
    """The stamps are those of the schedule, so a server that stands still is charged for all of it."""
    flow = Rate(1000)
    load = Generator(Target("127.0.0.1", 1))
    begin = 10**9
    assert flow.due(load, begin) == [begin]
    late = flow.due(load, begin + 5_000_000)
    assert late == [begin + n * 1_000_000 for n in range(1, 6)]
    flow.returned(2)
    assert flow.due(load, begin + 5_000_000) == late[-2:]
    load.close()


def stream(numbers: Sequence[int]) -> bytes:
    return b"".join(frames.text(payload(10**9 + number, number, 100 + number % 300)) for number in numbers)


def test_a_stream_counts_the_same_however_it_is_cut() -> None:
    whole = stream(range(60)) + frames.PING + stream(range(60, 64))
    draw = random.Random(1)
    for _ in range(300):
        chunks, rest, total, stamps, pings, at = Chunks(MARKER), b"", 0, [], 0, 0
        while at < len(whole):
            size = draw.choice((1, 3, 50, 400, 5000))
            chunk = chunks.read(rest + whole[at : at + size])
            at += size
            rest, total = chunk.rest, total + chunk.weight
            stamps += chunk.stamps
            pings += len(chunk.other)
        assert total == sum(map(weight, range(64)))
        assert total & COUNT_MASK == 64
        assert stamps == [10**9 + number for number in range(64)]
        assert (pings, rest) == (1, b"")


def test_a_compressed_frame_counts_like_a_plain_one() -> None:
    body = payload(10**9, 7, 300)
    deflater = zlib.compressobj(wbits=-15)
    packed = (deflater.compress(body) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    first, rest = frames.text(packed)[:1], frames.text(packed)[1:]
    chunk = Chunks(MARKER).read(bytes([first[0] | wire.RSV1]) + rest)
    assert (chunk.count, chunk.weight, chunk.stamps) == (1, weight(7), [10**9])


def test_a_frame_that_a_server_may_not_send_is_refused() -> None:
    with pytest.raises(wire.WireError):
        Chunks(MARKER).read(wire.frame(b"masked"))
    with pytest.raises(wire.WireError):
        Chunks(MARKER).read(b"\x01\x02ab")
