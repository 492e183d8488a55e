"""Compression over real sockets, with clients that we did not write: `websockets`, aiohttp's, and Chromium."""

import asyncio
import contextlib
import json
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from conftest import Client, Server
from playwright.async_api import Browser
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from cidadao_rt.memory.log import Draft, Event
from cidadao_rt.motion import packing
from cidadao_rt.words import deflate, encodings, topics
from cidadao_rt.words.config import Config

Serve = Callable[..., Awaitable[Server]]

ANA = topics.user("ana")
BOTH = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LONG = "o contrato do município com o fornecedor " * 20


@pytest.fixture
def deflated(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that the gateway has deflated, in order."""
    found: list[bytes] = []
    real = deflate.deflate

    def spy(payload: bytes) -> bytes:
        found.append(payload)
        return real(payload)

    monkeypatch.setattr(packing, "deflate", spy)
    monkeypatch.setattr(deflate, "deflate", spy)
    return found


async def publish(server: Server, n: int, text: str = LONG) -> Event:
    return await server.gateway.broker.publish(Draft(ANA, "ana", "numbered", {"n": n, "text": text}))


@contextlib.asynccontextmanager
async def opened(server: Server, path: str = "/ws", **query: Any) -> AsyncIterator[Client]:
    """A `websockets` connection that has agreed on compression, as that library offers it by itself."""
    async with connect(server.url(path, **query), max_size=None, compression="deflate", ping_interval=None) as ws:
        assert [extension.name for extension in ws.protocol.extensions] == ["permessage-deflate"]
        client = Client(ws)
        client.welcome = await client.recv()
        yield client


class Raw:
    """A connection by hand, which sees the frames as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.answer = ""

    async def frame(self) -> tuple[int, bytes]:
        """The next frame's first byte and payload."""
        first, length = await self.reader.readexactly(2)
        if length == 126:
            length = int.from_bytes(await self.reader.readexactly(2))
        elif length == 127:
            length = int.from_bytes(await self.reader.readexactly(8))
        return first, await self.reader.readexactly(length)

    async def send(self, payload: bytes, first: int = 0xC1) -> None:
        """One masked frame, whatever it holds; the mask of zeros changes nothing."""
        size = (
            struct.pack("!BH", 0xFE, len(payload)) if len(payload) < 65536 else struct.pack("!BQ", 0xFF, len(payload))
        )
        self.writer.write(bytes([first]) + size + bytes(4) + payload)
        await self.writer.drain()

    async def closed(self) -> int:
        """The code of the close frame."""
        while True:
            first, payload = await self.frame()
            if first == 0x88:
                return int.from_bytes(payload[:2])


@contextlib.asynccontextmanager
async def by_hand(server: Server, extensions: str | None, path: str = "/ws", **query: Any) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    target = server.url(path, **query).removeprefix(f"ws://127.0.0.1:{server.port}")
    lines = [
        f"GET {target} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]  # fmt: skip
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    writer.write("\r\n".join([*lines, "", ""]).encode())
    raw = Raw(reader, writer)
    raw.answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    await raw.frame()
    try:
        yield raw
    finally:
        writer.transport.abort()


# -- what is agreed on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        ("permessage-deflate; client_max_window_bits", BOTH),
        ("permessage-deflate; server_max_window_bits=12", f"{BOTH}; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=9", None),
        ("permessage-deflate; unknown", None),
        ("nonsense;;", None),
        (None, None),
    ],
)
async def test_the_handshake_tells_what_is_agreed_on(serve: Serve, offer: str | None, agreed: str | None) -> None:
    server = await serve()
    async with by_hand(server, offer) as raw:
        found = [line for line in raw.answer.split("\r\n") if line.lower().startswith("sec-websocket-extensions")]
        assert found == ([] if agreed is None else [f"Sec-WebSocket-Extensions: {agreed}"])
        event = await publish(server, 1)
        first, payload = await raw.frame()
        if agreed is None:
            assert (first, payload) == (0x81, event.body)
        else:
            assert (first, payload) == (0xC1, deflate.deflate(event.body))


async def test_switched_off_nothing_is_agreed_on(serve: Serve, deflated: list[bytes]) -> None:
    assert Config().server.compression
    server = await serve(server={"compression": False})
    async with by_hand(server, "permessage-deflate") as raw:
        assert "extensions" not in raw.answer.lower()
        event = await publish(server, 1)
        assert await raw.frame() == (0x81, event.body)
        assert deflated == []
        await raw.send(deflate.deflate(b'{"type":"ping"}'))
        assert await raw.closed() == 1002, "nobody has agreed on RSV1"


# -- events -----------------------------------------------------------------------------------------------------------


async def test_an_event_is_deflated_once_for_all_who_get_it(serve: Serve, deflated: list[bytes]) -> None:
    """Live, replayed and sent again, beside those who agreed on nothing."""
    server = await serve(limits={"connections_per_user": 50})
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(opened(server)) for _ in range(8)]
        plain = [await stack.enter_async_context(server.connect()) for _ in range(2)]
        events = [await publish(server, n) for n in range(20)]
        bodies = [json.loads(event.body) for event in events]
        for client in [*clients, *plain]:
            assert [await client.recv() for _ in events] == bodies
        before = f"{server.gateway.log.epoch}-0"
        late = await stack.enter_async_context(opened(server, last_event_id=before))
        assert [await late.recv() for _ in events] == bodies
        for client in clients:
            await client.send("subscribe", {"events": ["numbered"], "after": before})
            await client.until("subscribed")
            assert [await client.recv() for _ in events] == bodies
    assert deflated == [event.body for event in events]


async def test_an_array_is_deflated_once_for_all_who_get_it(serve: Serve, deflated: list[bytes]) -> None:
    """A short one not even once: it is put together of its events."""
    server = await serve(limits={"connections_per_user": 50})
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(opened(server, batch="1")) for _ in range(5)]
        short = [await publish(server, n) for n in range(3)]
        for client in clients:
            assert await batches(client, 3) == [json.loads(event.body) for event in short]
        assert deflated == [event.body for event in short]
        deflated.clear()
        # Published within one turn of the loop, so that they go in one array.
        long = [
            server.gateway.log.append(Draft(ANA, "ana", "numbered", {"n": n, "text": LONG}), 0.0) for n in range(20)
        ]
        for event in long:
            server.gateway.hub.deliver(event)
        for client in clients:
            assert await batches(client, 20) == [json.loads(event.body) for event in long]
        assert deflated == [*[event.body for event in long], encodings.array([event.body for event in long])]
        before = f"{server.gateway.log.epoch}-0"
        late = await stack.enter_async_context(opened(server, batch="1", last_event_id=before))
        assert await batches(late, 23) == [json.loads(event.body) for event in [*short, *long]]
        assert len(deflated) == 22


async def batches(client: Client, count: int) -> list[Any]:
    """So many messages out of arrays."""
    found: list[Any] = []
    while len(found) < count:
        found += await client.recv()
    assert len(found) == count
    return found


@pytest.mark.parametrize("batch", [None, "1"])
async def test_answers_come_between_events_in_order(serve: Serve, batch: str | None) -> None:
    """Uncompressed, on the same connection: each is for one client alone."""
    server = await serve()
    async with opened(server, batch=batch) as client:
        for n in range(5):
            await publish(server, n, LONG if n % 2 else "")
            await client.send("ping", correlation_id=f"p{n}")
            seen: list[Any] = []
            while len(seen) < 2:
                message = await client.recv()
                seen += message if batch else [message]
            assert [(one["type"], one["data"].get("n")) for one in seen] == [("numbered", n), ("pong", None)]


async def test_aiohttps_client_reads_and_is_read(serve: Serve) -> None:
    server = await serve()
    async with aiohttp.ClientSession() as session, session.ws_connect(server.url(), compress=15) as ws:
        assert ws.compress
        await ws.receive()
        bodies = [json.loads((await publish(server, n)).body) for n in range(10)]
        assert [await ws.receive_json() for _ in bodies] == bodies
        # Long enough that aiohttp compresses it, and twice, since it must not take its context over.
        for n in range(2):
            await ws.send_json({"type": "ping", "correlation_id": f"p{n}", "pad": LONG})
            assert (await ws.receive_json())["correlation_id"] == f"p{n}"


async def test_aiohttp_itself_would_send_what_we_send(serve: Serve) -> None:
    """With the same window and no context takeover it differs in zlib's level alone; what it stands for is the same."""
    bodies: list[bytes] = []

    async def handler(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=True)
        await ws.prepare(request)
        for body in bodies:
            await ws.send_str(body.decode())
        await ws.close()
        return ws

    server = await serve()
    app = web.Application()
    app.router.add_get("/ws", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    offer = "permessage-deflate; server_no_context_takeover; server_max_window_bits=12"
    try:
        async with by_hand(server, offer) as ours:
            for size in (300, 4_000, 40_000):
                bodies.append((await publish(server, size, (LONG * 50)[:size])).body)
            their_server = Server(server.gateway, runner.addresses[0][1], server.http_server)
            mine = [await ours.frame() for _ in bodies]
        theirs = await _frames_of(their_server, offer, len(bodies))
    finally:
        await runner.cleanup()
    for (our_first, our_payload), (first, payload), body in zip(mine, theirs, bodies, strict=True):
        assert our_first == first == 0xC1
        assert inflated(our_payload) == inflated(payload) == body
        assert len(our_payload) < 1.1 * len(payload) + 10


async def _frames_of(server: Server, offer: str, count: int) -> list[tuple[int, bytes]]:
    """The first frames of a server that sends no welcome."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: %b\r\n\r\n" % offer.encode()
    )
    raw = Raw(reader, writer)
    await reader.readuntil(b"\r\n\r\n")
    found = [await raw.frame() for _ in range(count)]
    writer.transport.abort()
    return found


def inflated(payload: bytes) -> bytes:
    return zlib.decompressobj(-12).decompress(payload + b"\x00\x00\xff\xff")


async def test_a_browser_agrees_by_itself(serve: Serve, browser: Browser, deflated: list[bytes]) -> None:
    server = await serve()
    page = await browser.new_page()
    await page.goto(f"{server.http}/healthz")
    await page.evaluate(
        """url => new Promise(done => {
            window.seen = [];
            window.ws = new WebSocket(url);
            ws.onmessage = event => { seen.push(JSON.parse(event.data)); if (seen.length == 1) done(); };
        })""",
        server.url(),
    )
    assert (await page.evaluate("ws.extensions")).startswith("permessage-deflate")
    bodies = [json.loads((await publish(server, n)).body) for n in range(5)]
    # Chromium compresses what it sends.
    await page.evaluate("pad => ws.send(JSON.stringify({type: 'ping', correlation_id: 'last', pad}))", LONG)
    await page.wait_for_function("seen.some(message => message.correlation_id == 'last')")
    seen = await page.evaluate("seen")
    assert [message for message in seen if message["type"] == "numbered"] == bodies
    assert len(deflated) == 5


# -- what clients send ------------------------------------------------------------------------------------------------


async def test_a_bomb_is_refused_and_never_unpacked(serve: Serve) -> None:
    """100 MiB of zeros in 100 KB, within the bound as it comes."""
    server = await serve()
    squeezer = zlib.compressobj(wbits=-15)
    bomb = (squeezer.compress(bytes(100 << 20)) + squeezer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(bomb) < 150_000
    async with by_hand(server, "permessage-deflate") as raw:
        tracemalloc.start()
        await raw.send(bomb)
        assert await raw.closed() == 1009
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 5 << 20
    counted = server.gateway.metrics.registry.get_sample_value
    assert counted("cidadao_ai_websocket_errors_total", {"code": "MESSAGE_TOO_LARGE"}) == 1


async def test_a_small_bomb_is_refused_as_well(serve: Serve) -> None:
    server = await serve()
    async with by_hand(server, "permessage-deflate") as raw:
        await raw.send(deflate.deflate(bytes(1 << 20)))
        assert await raw.closed() == 1009


@pytest.mark.parametrize("payload", [b"\x07", b"hello world", deflate.deflate(b'{"type":"ping"}' * 9)[:-6]])
async def test_what_is_corrupt_is_closed_with_1007(serve: Serve, payload: bytes) -> None:
    server = await serve()
    async with server.connect() as bystander, by_hand(server, "permessage-deflate") as raw:
        await raw.send(payload)
        assert await raw.closed() == 1007
        assert (await bystander.ask("ping"))["type"] == "pong"


async def test_text_that_is_no_utf_8_after_inflating_is_closed_with_1007(serve: Serve) -> None:
    server = await serve()
    async with by_hand(server, "permessage-deflate") as raw:
        await raw.send(deflate.deflate(b'{"type":"\xff"}'))
        assert await raw.closed() == 1007


async def test_a_message_in_fragments_is_one_stream(serve: Serve) -> None:
    """Only the first has RSV1 (RFC 7692 section 6.1)."""
    server = await serve()
    payload = deflate.deflate(b'{"type":"ping","correlation_id":"whole"}')
    async with by_hand(server, "permessage-deflate") as raw:
        await raw.send(payload[:7], 0x41)
        await raw.send(payload[7:20], 0x00)
        await raw.send(payload[20:], 0x80)
        first, answer = await raw.frame()
        assert (first, json.loads(answer)["correlation_id"]) == (0x81, "whole")
        await raw.send(payload[:7], 0x01)
        await raw.send(payload[7:], 0xC0)
        assert await raw.closed() == 1002


async def test_a_client_with_the_smallest_window_that_we_meet_reads_all(serve: Serve) -> None:
    server = await serve()
    factory = ClientPerMessageDeflateFactory(server_max_window_bits=12)
    async with connect(server.url(), compression=None, extensions=[factory], ping_interval=None) as ws:
        client = Client(ws)
        await client.recv()
        far = " ".join(f"{n:x}" for n in range(9000))
        event = await publish(server, 1, far + far)
        assert await client.recv() == json.loads(event.body)
