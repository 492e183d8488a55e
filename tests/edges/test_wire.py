"""WebSocket connections after the take-over from aiohttp: the bytes on the wire, and what is left behind."""

import asyncio
import gc
import json
import socket
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_websocket import WebSocketWriter
from aiohttp.web_protocol import RequestHandler
from conftest import Server
from websockets.frames import Frame, Opcode

from cidadao_rt.edges import takeover
from cidadao_rt.words import frames

Serve = Callable[..., Awaitable[Server]]
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PING = b'{"type":"ping","data":{}}'


def request(server: Server, path: str = "/ws", **headers: str) -> bytes:
    """A handshake with a good token."""
    lines = {
        "Host": "gateway", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13", "Authorization": f"Bearer {server.token()}", **headers,
    }  # fmt: skip
    return f"GET {path} HTTP/1.1\r\n".encode() + "".join(f"{k}: {v}\r\n" for k, v in lines.items()).encode() + b"\r\n"


def text(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=True)


async def read_messages(reader: asyncio.StreamReader, count: int) -> list[dict[str, Any]]:
    found = []
    while len(found) < count:
        _, second = await reader.readexactly(2)
        length = int.from_bytes(await reader.readexactly(2)) if second == 126 else second
        found.append(json.loads(await reader.readexactly(length)))
    return found


class Sink(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.data += data

    def writelines(self, list_of_data: Any) -> None:
        self.data += b"".join(list_of_data)

    def is_closing(self) -> bool:
        return False


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
async def test_our_frames_are_what_aiohttp_itself_would_send(length: int) -> None:
    sink = Sink()
    writer = WebSocketWriter(BaseProtocol(asyncio.get_running_loop()), sink)
    payload = b"x" * length
    await writer.send_frame(payload, WSMsgType.TEXT)
    assert frames.text(payload) == sink.data


async def test_control_frames_too() -> None:
    for ours, opcode, payload in [(frames.PING, WSMsgType.PING, b""), (frames.pong(b"ab"), WSMsgType.PONG, b"ab")]:
        sink = Sink()
        await WebSocketWriter(BaseProtocol(asyncio.get_running_loop()), sink).send_frame(payload, opcode)
        assert ours == sink.data
    sink = Sink()
    await WebSocketWriter(BaseProtocol(asyncio.get_running_loop()), sink).close(1001, b"restart")
    assert frames.close(1001, "restart") == sink.data


async def test_what_comes_with_the_handshake_is_not_lost(serve: Serve) -> None:
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server) + text(PING) * 3)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    told = await read_messages(reader, 4)
    assert [one["type"] for one in told] == ["connection_established", "pong", "pong", "pong"]
    writer.close()


async def test_a_frame_may_come_byte_by_byte(serve: Serve) -> None:
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    writer.write(request(server))
    await reader.readuntil(b"\r\n\r\n")
    for byte in text(PING):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    assert [one["type"] for one in await read_messages(reader, 2)] == ["connection_established", "pong"]
    writer.close()


async def test_an_unmasked_frame_ends_the_connection_with_1002(serve: Serve) -> None:
    """RFC 6455 section 5.1; aiohttp's own reader lets it pass."""
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server) + frames.text(PING))
    await reader.readuntil(b"\r\n\r\n")
    await read_messages(reader, 1)
    rest = await reader.read()
    assert rest[:1] == b"\x88"
    assert int.from_bytes(rest[2:4]) == 1002
    writer.close()
    await server.settled(lambda: not len(server.gateway.hub))


async def test_a_flood_of_pings_holds_up_nobody(serve: Serve) -> None:
    server = await serve()
    flood_reader, flood = await asyncio.open_connection("127.0.0.1", server.port)
    flood.write(request(server))
    await flood_reader.readuntil(b"\r\n\r\n")
    await read_messages(flood_reader, 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server))
    await reader.readuntil(b"\r\n\r\n")
    await read_messages(reader, 1)
    flood.write(Frame(Opcode.PING, b"x").serialize(mask=True) * 10_000)
    writer.write(text(PING))
    (told,) = await asyncio.wait_for(read_messages(reader, 1), 5)
    assert told["type"] == "pong"
    for _ in range(10_000):
        assert await flood_reader.readexactly(3) == b"\x8a\x01x"
    flood.close()
    writer.close()


async def test_a_small_bound_holds_for_a_message_that_comes_in_one_piece(serve: Serve) -> None:
    server = await serve(limits={"message_bytes": 1000, "frame_bytes": 1000})
    async with server.connect() as client:
        await client.ws.send("x" * 1000)
        assert (await client.recv())["data"]["code"] != "MESSAGE_TOO_LARGE"
        await client.ws.send("x" * 1001)
        async with asyncio.timeout(10):
            assert (await client.closed())[0] == 1009


async def test_who_is_heard_while_a_message_is_waited_for_is_not_dead(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve()
    hub, gate = server.gateway.hub, asyncio.Event()
    monkeypatch.setattr(hub, "caught_up", lambda _: gate.wait())
    async with server.connect() as client:
        (connection,) = hub
        before = connection.message_at
        try:
            await client.send("subscribe", {"events": ["investigation_update"]})
            await server.settled(lambda: connection.message_at > before)
            heard = connection.heard_at
            await client.ws.pong()
            await server.settled(lambda: connection.heard_at > heard)
        finally:
            gate.set()


async def test_what_comes_after_the_goodbye_is_not_unpacked(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve()
    unpacked: list[bytes] = []

    def spy(payload: bytes, most: int) -> bytes:
        unpacked.append(payload)
        return b"{}"

    monkeypatch.setattr("cidadao_rt.edges.wire.inflate", spy)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    headers = {"Sec-WebSocket-Extensions": "permessage-deflate", "Authorization": "Bearer none"}
    writer.write(request(server, **headers))
    assert b"permessage-deflate" in await reader.readuntil(b"\r\n\r\n")
    bomb = bytearray(Frame(Opcode.TEXT, b"x").serialize(mask=True))
    bomb[0] |= 0x40
    writer.write(bytes(bomb) * 100 + Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
    assert (await reader.read())[0] == 0x88
    assert not unpacked
    writer.close()


async def test_aiohttp_keeps_nothing_of_a_connection(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a release of aiohttp changes what the take-over rests on, this says so."""
    server = await serve()
    kept: list[weakref.ref[Any]] = []
    original = takeover.take_over

    def spy(request: web.Request, successor: asyncio.Protocol) -> takeover.Taken:
        kept.append(weakref.ref(request))
        return original(request, successor)

    def handlers() -> int:
        gc.collect()
        return sum(isinstance(one, RequestHandler) for one in gc.get_objects())

    monkeypatch.setattr("cidadao_rt.edges.websocket.take_over", spy)
    before = handlers()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server))
    await reader.readuntil(b"\r\n\r\n")
    await read_messages(reader, 1)

    def is_gone() -> bool:
        return handlers() <= before and len(kept) == 1 and kept[0]() is None

    await server.settled(is_gone)
    writer.write(text(PING))
    assert (await read_messages(reader, 1))[0]["type"] == "pong"
    writer.close()


async def test_the_slow_path_serves_as_well(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where aiohttp would not let go, it stays behind ours until the end."""
    monkeypatch.setattr(takeover, "_let_go", lambda _: False)
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server) + text(PING))
    await reader.readuntil(b"\r\n\r\n")
    assert [one["type"] for one in await read_messages(reader, 2)] == ["connection_established", "pong"]
    writer.write(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
    assert (await reader.read())[:4] == b"\x88\x02\x03\xe8"
    writer.close()
    await server.settled(lambda: not len(server.gateway.hub))
