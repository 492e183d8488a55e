"""How WebSocket connections end: broken frames, half-closed sockets, TLS, waiting messages, the server's shutdown."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from conftest import Server, configure
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from test_wire import KEY, PING, read_messages, request, text
from websockets.asyncio.client import connect
from websockets.frames import Frame, Opcode

from cidadao_rt.app import GATEWAY, build
from cidadao_rt.edges import wire
from cidadao_rt.motion.gateway import Gateway

Serve = Callable[..., Awaitable[Server]]
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def welcomed(server: Server) -> Stream:
    """A connection whose welcome has been read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server))
    await reader.readuntil(b"\r\n\r\n")
    assert (await read_messages(reader, 1))[0]["type"] == "connection_established"
    return reader, writer


def masked(first: int, length: bytes, payload: bytes = b"") -> bytes:
    """A frame of any first byte and any length field; its mask changes nothing."""
    return bytes([first]) + length + b"\0\0\0\0" + payload


BROKEN = {
    "reserved bit 2": (masked(0xA1, b"\x82", b"{}"), 1002),
    "compressed, not agreed on": (masked(0xC1, b"\x82", b"{}"), 1002),
    "unknown opcode": (masked(0x83, b"\x80"), 1002),
    "fragmented ping": (masked(0x09, b"\x80"), 1002),
    "long ping": (masked(0x89, b"\xfe\x00\x7e"), 1002),
    "continues nothing": (masked(0x80, b"\x80"), 1002),
    "length of 2**63": (masked(0x81, b"\xff" + struct.pack("!Q", 2**63)), 1002),
    "length of 2**62": (masked(0x81, b"\xff" + struct.pack("!Q", 2**62)), 1009),
    "one byte too many": (masked(0x81, b"\xff" + struct.pack("!Q", 262_145)), 1009),
    "text is no UTF-8": (masked(0x81, b"\x81", b"\xff"), 1007),
    "close of one byte": (masked(0x88, b"\x81", b"\x03"), 1002),
    "close code 1005": (masked(0x88, b"\x82", b"\x03\xed"), 1002),
    "close code 5000": (masked(0x88, b"\x82", b"\x13\x88"), 1002),
    "close reason is no UTF-8": (masked(0x88, b"\x83", b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
async def test_what_breaks_the_protocol_ends_the_connection_and_says_why(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, data: bytes, code: int
) -> None:
    """Without waiting for the client: it reads the close frame and then the end, however much it still sends."""
    monkeypatch.setattr(wire, "REFUSED_SECONDS", 50)
    server = await serve()
    reader, writer = await welcomed(server)
    writer.write(data + text(PING) * 1000)
    end = await reader.read()
    assert (end[0], int.from_bytes(end[2:4]), len(end)) == (0x88, code, 2 + end[1])
    assert len(server.gateway.hub) == 0
    writer.close()


async def test_who_does_not_close_after_a_broken_frame_is_cut(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "REFUSED_SECONDS", 0.05)
    server = await serve()
    reader, writer = await welcomed(server)
    writer.write(masked(0x83, b"\x80"))
    assert (await reader.read())[0] == 0x88
    with pytest.raises(ConnectionError):
        while True:
            writer.write(text(PING) * 1000)
            await writer.drain()
    writer.close()


async def test_the_close_code_of_the_client_is_returned_and_nothing_after_it_is_heard(serve: Serve) -> None:
    server = await serve()
    reader, writer = await welcomed(server)
    writer.write(text(PING) + Frame(Opcode.CLOSE, b"\x0f\xa0bye").serialize(mask=True) + text(PING))
    assert [one["type"] for one in await read_messages(reader, 1)] == ["pong"]
    assert await reader.read() == b"\x88\x02\x0f\xa0"
    assert len(server.gateway.hub) == 0
    writer.close()


async def test_a_client_that_ends_its_side_has_left(serve: Serve) -> None:
    server = await serve()
    reader, writer = await welcomed(server)
    writer.write(text(PING))
    writer.write_eof()
    assert (await read_messages(reader, 1))[0]["type"] == "pong"
    assert await reader.read() == b""
    await server.settled(lambda: len(server.gateway.hub) == 0)
    writer.close()


async def test_what_comes_while_a_message_waits_has_its_turn_after_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, with its socket read no further than the bound meanwhile, and without holding up anybody else."""
    server = await serve(limits={"messages_per_minute": 100_000})
    gate = asyncio.Event()
    receive = Gateway.receive

    def slow(self: Gateway, connection: Any, frame: bytes, **options: Any) -> Any:
        rest = receive(self, connection, frame, **options)
        return gate.wait() if b"wait" in frame else rest

    monkeypatch.setattr(Gateway, "receive", slow)
    reader, writer = await welcomed(server)
    (connection,) = server.gateway.hub
    writer.write(text(b'{"type":"ping","correlation_id":"wait"}'))
    sent = 0
    while connection.outlet._transport.is_reading():  # type: ignore[attr-defined]
        writer.write(text(b'{"type":"ping","correlation_id":"%d","pad":"%b"}' % (sent, b"x" * 1000)))
        await asyncio.wait_for(writer.drain(), 5)
        await asyncio.sleep(0)
        sent += 1
    async with server.connect(user="bia") as other:
        assert (await other.ask("ping"))["type"] == "pong"
    gate.set()
    told = await read_messages(reader, 1 + sent)
    assert [one["correlation_id"] for one in told] == ["wait", *map(str, range(sent))]
    writer.close()


async def test_who_leaves_while_a_message_waits_is_noticed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve()
    gate = asyncio.Event()
    monkeypatch.setattr(Gateway, "receive", lambda *_, **__: gate.wait())
    _, writer = await welcomed(server)
    writer.write(text(PING) * 3)
    writer.close()
    await server.settled(lambda: len(server.gateway.hub) == 0)
    gate.set()


async def test_a_bug_in_what_waits_is_told_like_any(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("a bug")

    monkeypatch.setattr(Gateway, "receive", lambda *_, **__: fail())
    reader, writer = await welcomed(server)
    writer.write(text(PING))
    (told,) = await read_messages(reader, 1)
    assert told["data"]["code"] == "INTERNAL_ERROR"
    assert int.from_bytes((await reader.readexactly(4))[2:]) == 1011
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == ["bug"]
    writer.close()


@pytest.mark.parametrize(
    "change",
    [
        {"Sec-WebSocket-Version": "8"}, {"Sec-WebSocket-Key": "c2hvcnQ="}, {"Connection": "keep-alive"},
        {"Upgrade": "websocket, h2c"}, {"Content-Length": "2"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
async def test_no_sound_handshake_is_426_with_the_version_that_is_spoken(serve: Serve, change: dict[str, str]) -> None:
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server, **change) + b"{}" * ("Content-Length" in change))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 426 ")
    assert "Sec-WebSocket-Version: 13\r\n" in head
    writer.close()


async def test_a_connection_header_may_come_in_two_lines(serve: Serve) -> None:
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(server).replace(b"Connection: ", b"Connection: keep-alive\r\nConnection: "))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    writer.close()


def certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "both.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + signed.public_bytes(pem)
    )  # fmt: skip
    return path


async def test_tls_serves_the_same(tmp_path: Path) -> None:
    """A conversation, a message in many records, a broken frame without half a close, and the client's own goodbye."""
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    app = build(configure())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    assert runner.server is not None
    server = Server(app[GATEWAY], runner.addresses[0][1], runner.server)
    trust = ssl.create_default_context(cafile=path)
    options: dict[str, Any] = {"ssl": trust, "server_hostname": "localhost", "ping_interval": None, "max_size": None}
    url = server.url().replace("ws://", "wss://")
    async with connect(url, **options) as ws:
        assert json.loads(await ws.recv())["type"] == "connection_established"
        await ws.send(json.dumps({"type": "ping", "pad": "x" * 60_000}))
        assert json.loads(await ws.recv())["type"] == "pong"
    assert ws.protocol.close_rcvd is not None
    await server.settled(lambda: len(server.gateway.hub) == 0)
    async with connect(url, **options) as ws:
        await ws.recv()
        ws.transport.write(b"\x83\x80\0\0\0\0")
        await ws.wait_closed()
        assert ws.protocol.close_rcvd is not None
        assert ws.protocol.close_rcvd.code == 1002
    open_, ws = [await connect(url, **options) for _ in range(2)]
    await ws.close()
    await runner.cleanup()
    assert await asyncio.wait_for(open_.wait_closed(), 5) is None  # type: ignore[func-returns-value]


async def test_shutdown_leaves_no_task_and_no_socket(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of those that converse, nor of those that wait, nor of those that were turned away and do not answer."""
    monkeypatch.setattr(wire, "REFUSED_SECONDS", 0.1)
    before = asyncio.all_tasks()
    app = build(configure())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    assert runner.server is not None
    server = Server(app[GATEWAY], runner.addresses[0][1], runner.server)
    talking = await welcomed(server)
    waiting = await welcomed(server)
    for_ever: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await for_ever

    monkeypatch.setattr(Gateway, "receive", lambda *_, **__: wait())
    waiting[1].write(text(PING))
    monkeypatch.setattr(wire, "GOODBYE_SECONDS", 50)
    away = socket.create_connection(("127.0.0.1", server.port))
    away.sendall(f"GET /ws?token=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())  # fmt: skip
    await server.settled(lambda: bool(server.gateway.metrics.registry.get_sample_value(
        "cidadao_ai_websocket_errors_total", {"code": "AUTHENTICATION_REQUIRED"})))  # fmt: skip
    await runner.cleanup()
    for reader, writer in (talking, waiting):
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()
    away.settimeout(5)
    with contextlib.suppress(ConnectionResetError):
        while away.recv(65_536):
            pass
    away.close()
    assert asyncio.all_tasks() - before == set()
    assert len(server.gateway.hub) == 0
