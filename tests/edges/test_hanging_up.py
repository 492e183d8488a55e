"""A client that hangs up before it is answered is nobody's bug: no traceback, and no place kept for it."""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
from conftest import Server

Serve = Callable[..., Awaitable[Server]]

UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.mark.parametrize("resets", [True, False])
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/v1/events?", ""),
        ("/api/v1/events?connection_type=nonsense&", ""),
        ("/api/v1/events/poll?", ""),
        ("/ws?", UPGRADE),
        ("/ws?connection_type=nonsense&", UPGRADE),
        ("/ws?token=nonsense&", UPGRADE),
    ],
)
async def test_who_hangs_up_with_the_question_leaves_no_trace(
    serve: Serve, caplog: pytest.LogCaptureFixture, path: str, headers: str, resets: bool
) -> None:
    server = await serve(limits={"connections_per_user": 100})
    request = f"GET {path}token={server.token()} HTTP/1.1\r\nHost: gateway\r\n{headers}\r\n".encode()
    async with asyncio.timeout(20):
        for _ in range(30):
            with socket.socket() as sock:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
                sock.send(request)
                if resets:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with server.connect(user="bia") as other:
            await other.ask("ping")
        await server.settled(lambda: len(server.gateway.hub) == 0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
