"""Starlette on uvicorn with uvloop and httptools: `send_text` to each subscriber in turn. Argument: PORT."""

import sys
from collections import defaultdict

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

topics: defaultdict[str, set[WebSocket]] = defaultdict(set)


async def publish(ws: WebSocket) -> None:
    """A message is a topic of four digits and a payload."""
    await ws.accept()
    try:
        while True:
            message = await ws.receive_text()
            for subscriber in list(topics[message[:4]]):
                await subscriber.send_text(message[4:])
    except WebSocketDisconnect:
        return


async def subscribe(ws: WebSocket) -> None:
    """Follow a topic; what is sent comes back."""
    await ws.accept()
    members = topics[ws.query_params.get("t", "0000")]
    members.add(ws)
    try:
        while True:
            await ws.send_text(await ws.receive_text())
    except WebSocketDisconnect:
        return
    finally:
        members.discard(ws)


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[WebSocketRoute("/pub", publish), WebSocketRoute("/ws", subscribe)]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        ws="websockets-sansio",
        loop="uvloop",
        http="httptools",
        log_level="error",
        access_log=False,
        lifespan="off",
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        backlog=4096,
    )
