"""The long-polling way: a page of events with each answer, commands by POST."""

import asyncio
import json

import aiohttp

from .returning import ABNORMAL, Ended
from .transport import Call, Delivery, Envelope, Posting, bearer, broken, refused

POLL_SECONDS = 25.0
"""How long one request waits for events; less where the heartbeat is shorter."""


class PollLink(Posting):
    """See `Link`. The first answer of a session, and one that could not catch up, count as a welcome."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self._session_id = call.session_id
        self._welcomed = False
        self._seconds = min(POLL_SECONDS, call.heartbeat_seconds)
        self._ended: Ended | None = None

    @classmethod
    async def open(cls, call: Call) -> "PollLink":
        """There is nothing to open; the first answer is waited for in `receive`."""
        return cls(call)

    async def receive(self, cursor: str | None) -> Delivery:
        """See `Link.receive`."""
        if self._ended is not None:
            raise self._ended
        page = await self._page(cursor)
        messages: list[Envelope] = [message for message in page["events"] if isinstance(message, dict)]
        resumed = page["session_id"] == self._session_id
        if not self._welcomed or not resumed or not page["recovered"]:
            data = {"session_id": page["session_id"], "resumed": resumed, "recovered": page["recovered"]}
            begins = cursor if page["recovered"] and cursor is not None else page["cursor"]
            messages.insert(0, {"type": "connection_established", "data": data, "id": begins})
            self._session_id = page["session_id"]
            self._welcomed = True
        if any(message.get("type") == "going_away" for message in messages):
            self._ended = Ended(1001, "going away")
        return Delivery(tuple(messages), page["cursor"], ids_move=False)

    async def _page(self, cursor: str | None) -> Envelope:
        call = self._call
        # The first answer is wanted at once: it tells that this way gets through.
        seconds = self._seconds if self._welcomed else 0.0
        asked = {"after": cursor, "timeout": f"{seconds:g}"}
        query = call.fallback_query(**asked)
        if self._session_id is not None:
            query["session_id"] = self._session_id
        try:
            async with (
                asyncio.timeout(seconds + 2 * call.heartbeat_seconds),
                call.http.get(
                    call.base / "api/v1/events/poll",
                    params=query,
                    headers=bearer(self.token),
                    timeout=aiohttp.ClientTimeout(total=None),
                    allow_redirects=False,
                ) as response,
            ):
                if response.status != 200:
                    raise await refused(response, opening=not self._welcomed)
                page = json.loads(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise broken(error, opening=not self._welcomed) from error
        except ValueError:
            raise Ended(ABNORMAL, "unreadable answer", blocked=not self._welcomed) from None
        if not isinstance(page, dict) or not {"events", "cursor", "recovered", "session_id"} <= page.keys():
            raise Ended(ABNORMAL, "unreadable answer", blocked=not self._welcomed)
        return page

    def abort(self) -> None:
        """See `Link.abort`. A request under way ends when its reader is cancelled."""

    async def close(self) -> None:
        """See `Link.close`. Between two requests there is nothing to close."""
