"""The WebSocket way."""

import asyncio
import contextlib
import logging
import socket
import struct

import aiohttp

from ..words.errors import CloseCode
from .returning import ABNORMAL, Ended
from .transport import GOODBYE_SECONDS, Call, Delivery, Envelope, broken, read

_log = logging.getLogger(__name__)


class WebSocketLink:
    """See `Link`. Events, commands and answers go over the one socket."""

    asks_pings = True
    renews = True

    def __init__(self, call: Call, opened: aiohttp.ClientWebSocketResponse) -> None:
        self.token = call.token
        self._socket = opened
        self._heard = False
        self._silence = 2 * call.heartbeat_seconds

    @classmethod
    async def open(cls, call: Call) -> "WebSocketLink":
        """Open one. Raises `Ended`."""
        query = call.query(
            last_event_id=call.cursor, connection_type=call.connection_type if call.path == "/ws" else None
        )
        url = call.base.joinpath(call.path.lstrip("/")).with_query(query)
        try:
            opened = await call.http.ws_connect(
                url, headers=call.headers, timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE_SECONDS)
            )
        except aiohttp.WSServerHandshakeError as error:
            raise _not_upgraded(error) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise broken(error, opening=True) from error
        return cls(call, opened)

    async def receive(self, cursor: str | None) -> Delivery:
        """See `Link.receive`."""
        try:
            message = await self._socket.receive(self._silence)
        except TimeoutError as error:
            raise broken(error) from error
        if message.type is aiohttp.WSMsgType.TEXT:
            self._heard = True
            return Delivery(read(message.data))
        code, reason = self._socket.close_code, ""
        if message.type is aiohttp.WSMsgType.CLOSE:
            code, reason = message.data, message.extra or ""
        elif code == CloseCode.NORMAL:
            # aiohttp's word for an end of the stream without a goodbye.
            code = ABNORMAL
        # A close frame without a code is nobody's goodbye to a client that wants to stay.
        code = code or ABNORMAL
        raise Ended(code, reason, blocked=code == ABNORMAL and not self._heard)

    async def send(self, text: str, session_id: str | None) -> list[Envelope]:
        """See `Link.send`. What cannot be written is not lost: it waits for its answer on the next connection."""
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, OSError) as error:
            # Why the connection has ended is for the reader to say, which may find a goodbye.
            _log.debug("not written: %s", type(error).__name__)
        return []

    def abort(self) -> None:
        """See `Link.abort`. Without lingering, the close that follows is a reset."""
        wire = self._socket.get_extra_info("socket")
        if wire is not None:
            with contextlib.suppress(OSError):
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                wire.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """See `Link.close`."""
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._socket.close(code=CloseCode.NORMAL)


def _not_upgraded(error: aiohttp.WSServerHandshakeError) -> Ended:
    if error.status in (429, 503):
        retry = error.headers.get("Retry-After", "") if error.headers is not None else ""
        return Ended(
            CloseCode.TRY_AGAIN_LATER,
            f"HTTP status {error.status}",
            retry_in=float(retry) if retry.isascii() and retry.isdigit() else None,
        )
    return Ended(ABNORMAL, f"HTTP status {error.status}", blocked=error.status not in (502, 504))
