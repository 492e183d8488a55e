"""Clients that do just what the document advises, over each transport: come back with a growing wait, resume by session
and cursor, drop duplicates by a set of ids. They also watch the wire more closely than a client would."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
from contract.drivers import BACKOFF_SECONDS, CONTROL, Ended, Json, Options, Refused, Token
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

LONGEST_BACKOFF_SECONDS = 0.3
FINAL = ("Authentication required", "Invalid token", "Token expired")


class _Again(Exception):
    """Over for now; come back."""


def offset(cursor: str) -> int:
    """The place of a cursor in its epoch. Tests may look into what is opaque to clients."""
    return int(cursor.rpartition("-")[2])


class Raw:
    """What the three transports share."""

    transport: str | None = None

    def __init__(self, base: str, token: Token, options: Options) -> None:
        self.base = base
        self.options = options
        self.session_id: str | None = None
        self.cursor: str | None = None
        self.verdicts: list[bool] = []
        self.wire_faults: list[str] = []
        self.connections = 0
        self._token = token
        self._messages: asyncio.Queue[Json | None] = asyncio.Queue()
        self._welcomed = asyncio.Event()
        self._seen: set[str] = set()
        self._at: int | None = None
        self._awaited: dict[str, tuple[Json, asyncio.Future[Json]]] = {}
        self._subscription: Json | None = None
        self._count = 0
        self._failures = 0
        self._reason: str | None = None
        self._task: asyncio.Task[None] | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """See `Driver.open`."""
        self._task = asyncio.create_task(self._run())
        await self._welcomed.wait()
        if self._reason is not None:
            raise Ended(self._reason)

    async def close(self) -> None:
        """See `Driver.close`."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                self.connections += 1
                await self._converse()
            except Ended as ended:
                self._reason = str(ended)
                self._welcomed.set()
                self._messages.put_nowait(None)
                return
            except (_Again, OSError, ConnectionClosed, InvalidHandshake, InvalidMessage, aiohttp.ClientError, EOFError):
                self._failures += 1
            self._at = None
            longest = min(LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2 ** min(self._failures, 10))
            await asyncio.sleep(longest * random.random())

    async def _converse(self) -> None:
        """One connection, until it is over."""
        raise NotImplementedError

    async def _fresh_token(self) -> str:
        return self._token if isinstance(self._token, str) else await self._token()

    def _turned_away(self, reason: str) -> Exception:
        """What a refused token means: the end, unless a fresh one can be had."""
        if reason == "Token expired" and not isinstance(self._token, str):
            return _Again(reason)
        return Ended(reason)

    # -- what comes -----------------------------------------------------------------------------------------------

    async def next(self) -> Json:
        """See `Driver.next`."""
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)
            raise Ended(self._reason)
        return message

    def _take(self, message: Json) -> None:
        """One envelope from the wire."""
        id_ = message.get("id")
        if id_ is not None:
            self._check_order(message["type"], id_)
            self.cursor = id_
        if message["type"] == "connection_established":
            self._welcome(message["data"])
        self._answer(message)
        if message["type"] in CONTROL:
            return
        if id_ is not None:
            if id_ in self._seen:
                return
            self._seen.add(id_)
        self._messages.put_nowait(message)

    def _check_order(self, type_: str, id_: str) -> None:
        """Within one connection cursors only grow, and a resumed one begins where it was asked to."""
        here = offset(id_)
        if self._at is not None and (here < self._at or (here == self._at and type_ not in CONTROL)):
            self.wire_faults.append(f"{type_} {id_} came after {self._at}")
        self._at = here

    def _welcome(self, data: Json) -> None:
        self._failures = 0
        known = self.session_id is not None
        self.session_id = data["session_id"]
        self.verdicts.append(data["recovered"])
        if known and not data["resumed"] and self._subscription is not None:
            # A new session knows nothing of what the old one followed.
            self._ask("subscribe", self._subscription)
        self._welcomed.set()

    def _answer(self, message: Json) -> None:
        asked = self._awaited.get(message.get("correlation_id") or "")
        if asked is None or asked[1].done():
            return
        if message["type"] in ("error", *ANSWERS[asked[0]["type"]]):
            asked[1].set_result(message)

    # -- commands -------------------------------------------------------------------------------------------------

    async def start(self, query: str) -> str:
        """See `Driver.start`."""
        answer = await self._command("start_investigation", {"query": query})
        return str(answer["investigation_id"])

    async def chat(self, agent: str, message: str) -> str:
        """See `Driver.chat`."""
        return str((await self._command("agent_chat", {"agent": agent, "message": message}))["message"])

    async def subscribe(self, *, events: list[str] | None = None, investigation_ids: list[str] | None = None) -> None:
        """See `Driver.subscribe`."""
        data = {"events": events, "investigation_ids": investigation_ids}
        data = {key: value for key, value in data.items() if value is not None}
        await self._command("subscribe", data)
        self._subscription = data

    async def _command(self, type_: str, data: Json) -> Json:
        correlation_id, answered = self._ask(type_, data)
        try:
            message = await answered
        finally:
            del self._awaited[correlation_id]
        if message["type"] == "error":
            raise Refused(message["data"]["code"])
        return dict(message["data"])

    def _ask(self, type_: str, data: Json) -> tuple[str, asyncio.Future[Json]]:
        self._count += 1
        correlation_id = f"{id(self):x}-{self._count}"
        message = {"type": type_, "data": data, "correlation_id": correlation_id}
        answered = asyncio.get_running_loop().create_future()
        self._awaited[correlation_id] = (message, answered)
        self._send(message)
        return correlation_id, answered

    def _send(self, message: Json) -> None:
        """Send a command, or see to it that it is sent."""
        raise NotImplementedError


ANSWERS = {
    "start_investigation": ("investigation_update",),
    "agent_chat": ("agent_chat",),
    "subscribe": ("subscribed",),
}


class RawWebSocket(Raw):
    """Over a WebSocket."""

    transport = "websocket"

    def __init__(self, base: str, token: Token, options: Options) -> None:
        super().__init__(base, token, options)
        self._ws: ClientConnection | None = None
        self._unsent: asyncio.Queue[Json] = asyncio.Queue()

    async def _converse(self) -> None:
        query = self.options.query() | {"token": await self._fresh_token()}
        if self.session_id is not None:
            query["session_id"] = self.session_id
        if self.cursor is not None:
            query["last_event_id"] = self.cursor
        url = f"ws{self.base.removeprefix('http')}/ws?{urlencode(query)}"
        # Compressed, as browsers do it; the written clients offer nothing.
        async with connect(url, max_size=None, compression="deflate", ping_interval=None, close_timeout=0.5) as ws:
            try:
                await self._listen(ws)
            except ConnectionClosed:
                # What it means is read from the close frame.
                pass
            finally:
                self._ws = None
        said = ws.protocol.close_rcvd
        if said is not None and said.code == 1000 and said.reason == "Session resumed elsewhere":
            # A handshake of our own that came late took it. To come back under the same session would be to fight.
            self.session_id = None
        elif said is not None and said.code in (1000, 1008):
            raise self._turned_away(said.reason)
        raise _Again

    async def _listen(self, ws: ClientConnection) -> None:
        async for text in ws:
            messages = json.loads(text)
            for message in messages if isinstance(messages, list) else [messages]:
                self._take(message)
                if message["type"] == "connection_established":
                    self._ws = ws
                    self._resend()

    def _resend(self) -> None:
        for message, answered in self._awaited.values():
            if not answered.done():
                self._send(message)

    def _send(self, message: Json) -> None:
        if self._ws is not None:
            self._unsent.put_nowait(message)
            self._sender = asyncio.create_task(self._write(self._ws))

    async def _write(self, ws: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            while not self._unsent.empty():
                await ws.send(json.dumps(self._unsent.get_nowait()))


class Http(Raw):
    """Over HTTP: events as they come, commands by POST."""

    def __init__(self, base: str, token: Token, options: Options) -> None:
        super().__init__(base, token, options)
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
        self._posts: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """See `Driver.close`."""
        await super().close()
        for post in self._posts:
            post.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)
        await self._http.close()

    async def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self._fresh_token()}"}

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 200:
            problem = await response.json()
            if response.status == 401:
                raise self._turned_away(problem["message"])
            raise _Again(problem["code"])

    def _send(self, message: Json) -> None:
        post = asyncio.create_task(self._post(message))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _post(self, message: Json) -> None:
        """Post until it is known to have arrived; the correlation id keeps it from being done twice."""
        while True:
            try:
                async with self._http.post(
                    f"{self.base}/api/v1/messages",
                    params={"session_id": self.session_id or ""},
                    json=message,
                    headers=await self._headers(),
                ) as response:
                    answer = await response.json()
            except (OSError, aiohttp.ClientError):
                await asyncio.sleep(BACKOFF_SECONDS)
                continue
            for reply in answer.get("replies", []):
                self._answer(reply)
            if "replies" in answer:
                return
            await asyncio.sleep(BACKOFF_SECONDS)


class RawSse(Http):
    """Over Server-Sent Events."""

    transport = "sse"

    async def _converse(self) -> None:
        query = self.options.query()
        if self.session_id is not None:
            query["session_id"] = self.session_id
        headers = await self._headers()
        if self.cursor is not None:
            headers["Last-Event-ID"] = self.cursor
        async with self._http.get(f"{self.base}/api/v1/events", params=query, headers=headers) as response:
            await self._check(response)
            async for id_, data in blocks(response):
                messages = [] if data is None else json.loads(data)
                for message in messages if isinstance(messages, list) else [messages]:
                    self._take(message)
                if id_ is not None:
                    self.cursor = id_
        raise _Again


async def blocks(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str | None, str | None]]:
    """The blocks of a stream as pairs of id and data; what has no empty line after it is not taken."""
    rest = b""
    async for piece in response.content.iter_any():
        *whole, rest = (rest + piece).split(b"\n\n")
        for block in whole:
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if not line.startswith(":"))
            yield fields.get("id"), fields.get("data")


class RawPoll(Http):
    """Over long polling. `wait_seconds` is how long one poll waits."""

    transport = "poll"
    wait_seconds = 5.0

    async def _converse(self) -> None:
        query = self.options.query()
        query.pop("batch", None)
        while True:
            if self.session_id is not None:
                query["session_id"] = self.session_id
            if self.cursor is not None:
                query |= {"after": self.cursor, "timeout": str(self.wait_seconds)}
            async with self._http.get(
                f"{self.base}/api/v1/events/poll", params=query, headers=await self._headers()
            ) as response:
                await self._check(response)
                page = await response.json()
            self._take_page(page, query.get("after"))

    def _take_page(self, page: Json, after: str | None) -> None:
        resumed = page["session_id"] == self.session_id
        self._at = offset(after) if after is not None and page["recovered"] else None
        if page["recovered"] is False or not resumed or self._failures:
            self._welcome({"session_id": page["session_id"], "recovered": page["recovered"], "resumed": resumed})
        for message in page["events"]:
            self._take(message)
        if self._at is not None and offset(page["cursor"]) < self._at:
            self.wire_faults.append(f"page ends at {page['cursor']}, before its last event {self._at}")
        self.cursor = page["cursor"]


RAW: dict[str, Any] = {"websocket": RawWebSocket, "sse": RawSse, "poll": RawPoll}
