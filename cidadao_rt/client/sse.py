"""The Server-Sent Events way: events in one long answer, commands by POST."""

import asyncio
import contextlib

import aiohttp

from ..words.errors import CloseCode
from .eventstream import Block, EventStream
from .returning import ABNORMAL, MOVED, Ended
from .transport import Call, Delivery, Envelope, Posting, broken, read, refused, told

SILENCE_SECONDS = 60.0
"""A stream may be silent for so long at the least, whatever the heartbeat: the gateway's own comes every 25 s."""


class SseLink(Posting):
    """See `Link`."""

    def __init__(self, call: Call, response: aiohttp.ClientResponse) -> None:
        super().__init__(call)
        self._response = response
        self._stream = EventStream()
        self._blocks: list[Block] = []
        self._silence = max(SILENCE_SECONDS, 2 * call.heartbeat_seconds)
        self._error: Envelope | None = None
        self._welcomed = False
        self._going_away = False

    @classmethod
    async def open(cls, call: Call) -> "SseLink":
        """Open one. Raises `Ended`."""
        query = call.fallback_query(last_event_id=call.cursor)
        headers = call.headers | {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        # The session's own limit on the whole answer would cut every stream.
        timeout = aiohttp.ClientTimeout(total=None)
        try:
            response = await call.http.get(
                call.base / "api/v1/events", params=query, headers=headers, timeout=timeout, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise broken(error, opening=True) from error
        if response.status == 200 and response.content_type == "text/event-stream":
            return cls(call, response)
        try:
            raise await refused(response)
        finally:
            response.close()

    async def receive(self, cursor: str | None) -> Delivery:
        """See `Link.receive`."""
        while not self._blocks:
            try:
                async with asyncio.timeout(self._silence):
                    piece = await self._response.content.readany()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise self._end(broken(error, opening=not self._welcomed)) from error
            if not piece:
                raise self._end(Ended(ABNORMAL, "the stream ended", blocked=not self._welcomed))
            try:
                self._blocks = self._stream.feed(piece)
            except ValueError as error:
                raise Ended(ABNORMAL, str(error)) from None
        block = self._blocks.pop(0)
        if block.data is None:
            return Delivery((), block.id)
        messages = read(block.data)
        for message in messages:
            self._notice(message)
        if self._error is not None and (not self._welcomed or self._error.get("message") == MOVED):
            # It says in the stream what a close says elsewhere; the end has nothing to add but when to come back.
            return await self.receive(cursor)
        return Delivery(messages, block.id)

    def _notice(self, message: Envelope) -> None:
        """Remember what says why the stream is about to end, since its end itself says nothing."""
        self._welcomed = self._welcomed or message.get("type") == "connection_established"
        self._going_away = self._going_away or message.get("type") == "going_away"
        is_last_word = message.get("type") == "error" and message.get("correlation_id") is None
        self._error = message.get("data") if is_last_word else None

    def _end(self, ended: Ended) -> Ended:
        if self._going_away:
            return Ended(CloseCode.GOING_AWAY, ended.reason)
        if self._error is not None:
            ended = told(self._error)
        if ended.retry_in is None:
            ended.retry_in = self._stream.retry
        return ended

    def abort(self) -> None:
        """See `Link.abort`."""
        self._response.close()

    async def close(self) -> None:
        """See `Link.close`. Closing the connection is the only goodbye there is."""
        with contextlib.suppress(aiohttp.ClientError, OSError):
            self._response.close()
