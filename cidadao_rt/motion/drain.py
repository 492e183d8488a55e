"""Drain: end what runs, tell every client when to come back, and close at a bounded pace.

Source: PROTOCOL 10 "Drain (SIGTERM)".
"""

import asyncio
import logging

from ..memory.effects import Say
from ..words.errors import CloseCode
from ..words.events import Status
from .gateway import Gateway

PACE = 1000
"""Connections closed, and expected back, in a second."""

RETURN_MS = 500
"""Milliseconds after which the first client should come back."""

_log = logging.getLogger(__name__)


async def drain(gateway: Gateway, seconds: float) -> None:
    """Empty the gateway within about `seconds`; what is left then is for the caller to cut."""
    gateway.draining = True
    loop = asyncio.get_running_loop()
    connections = list(gateway.hub)
    _log.info("draining", extra={"connections": len(connections), "seconds": seconds})
    await gateway.runs.end_all(Status.FAILED, "O servidor está reiniciando; inicie a investigação novamente.")
    await gateway.chats.finish(seconds / 4)
    # A quarter of the time was for the chats; half is for closing, the rest for peers that are slow to say goodbye.
    window = min(len(connections) / PACE, seconds / 2)
    began = loop.time()
    for index, connection in enumerate(connections):
        share = index / len(connections)
        if (wait := began + window * share - loop.time()) > 0:
            await asyncio.sleep(wait)
        # Clients are told to come back at the same pace, so that the successor is not stormed.
        data = {"reason": "restart", "retry_after_ms": RETURN_MS + 1000 * index // PACE}
        gateway.hub.say(connection, [Say("going_away", data)])
        gateway.hub.close(connection, CloseCode.GOING_AWAY, "Server going away")
