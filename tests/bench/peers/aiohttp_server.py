"""Bare aiohttp: `send_str` to each subscriber in turn. Arguments: PORT, and for tokens to be checked the SECRET.

With a secret a handshake has one check of an HS256 token in `?token=` before it: what the gateway's is held against.
"""

import asyncio
import sys
from collections import defaultdict

import jwt
from aiohttp import WSMsgType, web

topics: defaultdict[str, set[web.WebSocketResponse]] = defaultdict(set)
SECRET = sys.argv[2] if len(sys.argv) > 2 else ""


async def publish(request: web.Request) -> web.WebSocketResponse:
    """A message is a topic of four digits and a payload."""
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    async for message in ws:
        if message.type is WSMsgType.TEXT:
            for subscriber in list(topics[message.data[:4]]):
                await subscriber.send_str(message.data[4:])
    return ws


async def subscribe(request: web.Request) -> web.WebSocketResponse:
    """Follow a topic; what is sent comes back."""
    if SECRET:
        jwt.decode(request.query["token"], SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    members = topics[request.query.get("t", "0000")]
    members.add(ws)
    try:
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await ws.send_str(message.data)
    finally:
        members.discard(ws)
    return ws


async def main() -> None:
    """Serve until the process is ended."""
    app = web.Application()
    app.router.add_get("/pub", publish)
    app.router.add_get("/ws", subscribe)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]), backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
