"""The Python client: `from cidadao_rt.client import connect`. It needs `words` and aiohttp's client, no server."""

from .client import Client
from .errors import ClosedError, CommandError, OutcomeUnknownError, RealtimeError, RefusedError
from .investigation import Investigation
from .opening import connect
from .values import ChatAnswer, Event, State, Status

__all__ = [
    "ChatAnswer",
    "Client",
    "ClosedError",
    "CommandError",
    "Event",
    "Investigation",
    "OutcomeUnknownError",
    "RealtimeError",
    "RefusedError",
    "State",
    "Status",
    "connect",
]
