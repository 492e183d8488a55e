"""The bare loop, which the gateway is held against: aiohttp, one token check, one prepared frame, a write a delivery.

No topics to match but by name, no log, no cursors, no limits, no metrics. `python -m cidadao_rt.bench.bare PORT`, with
the secret in `$BENCH_SECRET`. `/ws?t=0000,0001` follows topics; a `token` in the query is checked; what is sent comes
back. On `/pub` a message is a topic of four digits and a payload.
"""

import asyncio
import os
import sys
import time
from typing import cast

from aiohttp import WSMsgType, web

from ..words.frames import text
from ..words.tokens import Keyring, verify


class Bare:
    """Subscribers by topic."""

    def __init__(self, secret: str) -> None:
        self._keys = Keyring((secret,))
        self._members: dict[str, dict[asyncio.Transport, None]] = {}

    async def publish(self, request: web.Request) -> web.WebSocketResponse:
        """Write each message to all who follow its topic."""
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            body: str = message.data
            frame = text(body[4:].encode())
            for transport in self._members.get(body[:4], ()):
                transport.write(frame)
        return ws

    async def subscribe(self, request: web.Request) -> web.WebSocketResponse:
        """Follow topics, and say again what is said."""
        token = request.query.get("token")
        if token is not None:
            verify(token, self._keys, time.time())
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        transport = cast(asyncio.Transport, request.transport)
        topics = request.query.get("t", "").split(",")
        for topic in topics:
            self._members.setdefault(topic, {})[transport] = None
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
        for topic in topics:
            del self._members[topic][transport]
        return ws


async def serve(port: int, secret: str) -> None:
    """Serve on the loopback until the process is ended."""
    bare = Bare(secret)
    app = web.Application()
    app.add_routes([web.get("/pub", bare.publish), web.get("/ws", bare.subscribe)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), os.environ["BENCH_SECRET"]))
