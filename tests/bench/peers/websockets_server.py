"""websockets: its own `broadcast()` to a topic's subscribers. Argument: PORT."""

import asyncio
import sys
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast, serve

topics: defaultdict[str, set[ServerConnection]] = defaultdict(set)


async def serve_one(ws: ServerConnection) -> None:
    """A publisher (a message is a topic of four digits and a payload), or a subscriber, whose messages come back."""
    url = urlsplit(ws.request.path)
    if url.path == "/pub":
        async for message in ws:
            broadcast(topics[message[:4]], message[4:])
        return
    members = topics[parse_qs(url.query).get("t", ["0000"])[0]]
    members.add(ws)
    try:
        async for message in ws:
            await ws.send(message)
    finally:
        members.discard(ws)


async def main() -> None:
    """Serve until the process is ended."""
    port = int(sys.argv[1])
    async with serve(serve_one, "127.0.0.1", port, compression=None, ping_interval=None, backlog=4096):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
