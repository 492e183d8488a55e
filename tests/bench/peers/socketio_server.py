"""python-socketio on aiohttp: a room for each topic, one `emit` to the room for each message. Argument: PORT."""

import asyncio
import sys
from urllib.parse import parse_qs

import socketio
from aiohttp import web

LONG = 300
"""Seconds between pings, so that none falls into a measurement."""

sio = socketio.AsyncServer(
    async_mode="aiohttp", ping_interval=LONG, ping_timeout=LONG, http_compression=False, max_http_buffer_size=1 << 16
)


@sio.event
async def connect(sid: str, environ: dict) -> None:
    """Enter the room of the topic."""
    await sio.enter_room(sid, parse_qs(environ["QUERY_STRING"]).get("t", ["0000"])[0])


@sio.on("pub")
async def publish(_sid: str, topic: str, data: object) -> None:
    """What a publisher sends goes to a room."""
    await sio.emit("m", data, room=topic)


@sio.on("echo")
async def echo(sid: str, data: object) -> None:
    """What a subscriber sends comes back to it."""
    await sio.emit("m", data, to=sid)


async def main() -> None:
    """Serve until the process is ended."""
    app = web.Application()
    sio.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]), backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
