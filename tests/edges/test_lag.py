"""A slow reader costs a position and its socket's buffer, delays nobody, and loses nothing in silence."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from conftest import Server
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.uri import parse_uri

from cidadao_rt.memory.log import Draft
from cidadao_rt.motion import hub
from cidadao_rt.motion.connection import Connection
from cidadao_rt.words import topics
from cidadao_rt.words.encodings import WEBSOCKET

Serve = Callable[..., Awaitable[Server]]
PAD = "x" * 4000


class Sluggard:
    """A client that reads only when told to: the `websockets` protocol over a plain socket with a small buffer."""

    def __init__(self, sock: socket.socket, url: str) -> None:
        self.sock = sock
        self.protocol = ClientProtocol(parse_uri(url), max_size=None)
        self.loop = asyncio.get_running_loop()

    async def open(self) -> None:
        self.protocol.send_request(self.protocol.connect())
        await self.flush()
        while self.protocol.state.name != "OPEN":
            self.protocol.receive_data(await self.loop.sock_recv(self.sock, 100))
            self.protocol.events_received()

    async def flush(self) -> None:
        for data in self.protocol.data_to_send():
            await self.loop.sock_sendall(self.sock, data)

    async def send(self, **message: Any) -> None:
        self.protocol.send_text(json.dumps(message).encode())
        await self.flush()

    async def read(self) -> AsyncIterator[dict[str, Any]]:
        """Messages until the connection ends."""
        while data := await self.loop.sock_recv(self.sock, 65536):
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                if getattr(event, "opcode", None) is Opcode.TEXT:
                    yield json.loads(event.data)  # type: ignore[union-attr]


@asynccontextmanager
async def sluggard(server: Server, sub: str = "slow") -> AsyncIterator[tuple[Sluggard, Connection]]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", server.port))
        client = Sluggard(sock, server.url(token=server.token(sub)))
        await client.open()
        await server.settled(lambda: server.gateway.hub.of_user(sub) == 1)
        yield client, next(c for c in server.gateway.hub if c.session.sub == sub)


async def publish(server: Server, count: int, sub: str = "slow", pad: str = PAD) -> list[int]:
    """Publish events to everyone, giving the loop its turns in between; returns their numbers."""
    numbers = []
    for _ in range(count):
        numbers.append(server.gateway.log.head + 1)
        data = {"n": numbers[-1], "pad": pad}
        await server.gateway.broker.publish(Draft(topics.EVERYONE, "", "numbered", data))
        await asyncio.sleep(0)
    return numbers


async def test_it_is_held_by_its_position_while_others_go_on_and_catches_up_exactly(serve: Serve) -> None:
    server = await serve(buffer={"events_per_topic": 5000, "bytes_per_topic": 1 << 26})
    async with sluggard(server) as (slow, connection), server.connect(user="fast") as fast:
        numbers: list[int] = []
        most = 0
        while len(numbers) < 3000:
            numbers += await publish(server, 50)
            most = max(most, connection.outlet.buffered())
            got = [(await fast.until("numbered"))["data"]["n"] for _ in range(50)]
            assert got == numbers[-50:], "others are not held up"
        assert connection.paused
        assert not connection.live
        assert connection.position < server.gateway.log.head
        assert not connection.answers
        # Its high-water mark of 64 KiB, and the one write that went over it.
        assert most <= 65_536 + WEBSOCKET.page_bytes + 50 * 5000
        seen = []
        async for message in slow.read():
            if message["type"] == "numbered":
                seen.append(message["data"]["n"])
            if len(seen) == len(numbers):
                break
        assert seen == numbers
        await server.settled(lambda: connection.live)
        assert (await publish(server, 1))[0] == server.gateway.log.head
        async for message in slow.read():
            assert message["data"]["n"] == server.gateway.log.head
            break


async def test_it_is_sent_away_when_the_log_has_passed_it(serve: Serve) -> None:
    server = await serve(buffer={"events_per_topic": 200})
    async with sluggard(server) as (slow, connection):
        await publish(server, 3000)
        assert connection.paused
        seen = []
        async for message in slow.read():
            seen.append(message)
        numbers = [message["data"]["n"] for message in seen if message["type"] == "numbered"]
        assert numbers == list(range(1, len(numbers) + 1)), "what it got has no gap"
        assert len(numbers) < 3000
        assert slow.protocol.close_rcvd is not None
        assert slow.protocol.close_rcvd.code == 1013
        assert len(server.gateway.hub) == 0


async def test_it_is_cut_when_it_reads_nothing_for_too_long(serve: Serve) -> None:
    server = await serve(server={"slow_reader_seconds": 0.5})
    async with sluggard(server) as (_, connection), server.connect(user="fast") as fast:
        while not connection.paused:
            await publish(server, 50)
        await server.settled(lambda: connection.closing)
        assert (await fast.ask("ping"))["type"] == "pong"
        assert server.gateway.hub.of_user("slow") == 0


async def test_when_the_node_is_out_of_buffers_the_fullest_goes(serve: Serve) -> None:
    server = await serve(limits={"buffered_bytes": 10_000})
    async with sluggard(server) as (_, connection), server.connect(user="fast") as fast:
        while not connection.closing:
            await publish(server, 50)
            for _ in range(50):
                await fast.until("numbered")
        assert (await fast.ask("ping"))["type"] == "pong"


async def test_what_may_be_skipped_is_skipped_and_answers_wait(serve: Serve) -> None:
    server = await serve(limits={"messages_per_minute": 10_000})
    async with sluggard(server) as (slow, connection):
        while not connection.paused:
            await publish(server, 50)
        await slow.send(type="ping", correlation_id="waits")
        await server.settled(lambda: len(connection.answers) == 1)
        server.gateway.tell_metrics()
        async for message in slow.read():
            assert message["type"] != "metrics_update"
            if message.get("correlation_id") == "waits":
                break
        # The pong's cursor is no further than what was written before it.
        assert message["type"] == "pong"


async def test_who_leaves_too_many_answers_unread_is_not_read_from(serve: Serve) -> None:
    server = await serve(limits={"messages_per_minute": 10_000})
    async with sluggard(server) as (slow, connection):
        while not connection.paused:
            await publish(server, 50)
        sent = 0
        while connection.answer_bytes <= hub.ANSWER_BYTES:
            await slow.send(type="made_up", correlation_id=f"c{sent}")
            sent += 1
            await asyncio.sleep(0)
        waiting = len(connection.answers)
        for _ in range(20):
            await slow.send(type="made_up", correlation_id="later")
            await asyncio.sleep(0)
        assert len(connection.answers) == waiting
        answered = 0
        async for message in slow.read():
            answered += message["type"] == "error"
            if answered == sent + 20:
                break
        await server.settled(lambda: connection.live)


async def test_a_snapshot_waits_until_what_is_older_has_been_sent(serve: Serve) -> None:
    """Else progress would seem to go back: the snapshot says 50, and events from before it would follow."""
    server = await serve()
    topic = topics.investigation("inv")

    async def happen(type_: str, **data: Any) -> None:
        await server.gateway.broker.publish(Draft(topic, "slow", type_, {"investigation_id": "inv", **data}))
        await asyncio.sleep(0)

    async with sluggard(server) as (slow, connection):
        await happen("investigation_update", status="started", progress=0)
        count = 1
        while not connection.paused:
            await happen("padding", pad=PAD)
            count += 1
        await happen("investigation_update", status="processing", progress=50)
        await slow.send(type="subscribe", data={"investigation_ids": ["inv"]}, correlation_id="c")
        await server.settled(lambda: connection.session.following.subscription.named != {})
        events = 0
        async for message in slow.read():
            events += "id" in message and message["type"] != "connection_established"
            if message["type"] == "investigation_update" and message.get("correlation_id") == "c":
                break
        assert message["data"]["progress"] == 50
        assert events == count + 1


async def test_batched_messages_come_as_arrays_and_are_the_same_messages(serve: Serve) -> None:
    server = await serve()
    async with server.raw(token=server.token("ana"), batch="1") as batched, server.connect(user="bia") as plain:
        assert [message["type"] for message in await batched.recv()] == ["connection_established"]
        for n in range(20):
            await server.gateway.broker.publish(Draft(topics.EVERYONE, "", "numbered", {"n": n}))
        got = await batched.recv()
        assert [message["data"]["n"] for message in got] == list(range(20)), "one turn, one array"
        assert got == [await plain.recv() for _ in range(20)]
