"""The JavaScript client under Node, one process for all clients of a test. See client_driver.mjs."""

import asyncio
import contextlib
import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

from contract.drivers import BACKOFF_SECONDS, Ended, Json, Options, Refused, Token
from machine import need

EXIT_SECONDS = 20.0
"""In which Node ends by itself once all is closed; a timer that was left behind would keep it. Node itself may wait
10 s for a connection that was being made."""


def _module() -> Path:
    spec = importlib.util.find_spec("cidadao_rt.edges")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0], "static", "client.js")


MODULE = _module()


class Workshop:
    """The Node process, started at the first client."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._leftovers: list[str] = []
        self._clients: dict[int, Client] = {}
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Json]] = {}

    async def __aenter__(self) -> "Workshop":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._reading is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                await self._reading
                status = await self._process.wait()
                # Its pipe is closed a turn later than its end is known.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    await self._process.stdin.wait_closed()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError(f"closed clients keep Node alive by what they left: {self._leftovers}") from None
        assert status == 0

    async def client(self, base: str, token: Token, options: Options, transport: str) -> "Client":
        """A client, not open yet. Its `transport` may be several, with commas between."""
        async with self._starting:
            if self._process is None:
                await self._start()
        client = Client(self, next(self._numbers), base, token, options, transport)
        self._clients[client.number] = client
        return client

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            need("node"),
            "--experimental-websocket",
            "--no-warnings",
            str(Path(__file__).with_name("client_driver.mjs")),
            str(MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )
        self._reading = asyncio.create_task(self._read())

    async def call(self, op: str, **arguments: Any) -> Json:
        """Have something done; what came of it. Raises `EOFError` if Node is gone."""
        if self._reading is not None and self._reading.done():
            raise EOFError("Node is gone")
        number = next(self._numbers)
        self._calls[number] = asyncio.get_running_loop().create_future()
        self.tell(op, call=number, **arguments)
        return await self._calls[number]

    def tell(self, op: str, **arguments: Any) -> None:
        """Say something that has no answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "leftovers" in said:
                self._leftovers = said["leftovers"]
            elif "call" in said:
                self._calls.pop(said["call"]).set_result(said)
            else:
                self._clients[said["client"]].heard(said)
        for call in self._calls.values():
            call.set_exception(EOFError("Node is gone"))


class Client:
    """One client in that process. See `Driver`."""

    def __init__(
        self, workshop: Workshop, number: int, base: str, token: Token, options: Options, transport: str
    ) -> None:
        self.number = number
        self.transport: str | None = None
        self.session_id: str | None = None
        self.verdicts: list[bool] = []
        self.wire_faults: list[str] = []
        self._workshop = workshop
        self._base = base
        self._token = token
        self._options = {
            "transports": transport.split(","),
            "connectionType": options.connection_type,
            "events": options.events,
            "investigationIds": options.investigation_ids,
            "batch": options.batch,
            "backoffSeconds": BACKOFF_SECONDS,
            "backoffMaxSeconds": BACKOFF_SECONDS * 10,
            # Node 20's own WebSocket never says that a handshake was cut; only this notices.
            "openSeconds": options.open_seconds,
        }
        self._messages: asyncio.Queue[Json] = asyncio.Queue()
        self._fetching: set[asyncio.Task[None]] = set()

    def heard(self, said: Json) -> None:
        """Something that the client said by itself."""
        if "status" in said:
            status = said["status"]
            if status["state"] == "open":
                self.transport, self.session_id = status["transport"], status["session_id"]
                self.verdicts.append(status["recovered"])
        elif "asks_token" in said:
            fetching = asyncio.create_task(self._fetch(said["asks_token"]))
            self._fetching.add(fetching)
            fetching.add_done_callback(self._fetching.discard)
        else:
            self._messages.put_nowait(said)

    async def _fetch(self, asked: int) -> None:
        assert not isinstance(self._token, str)
        self._workshop.tell("token", asked=asked, token=await self._token())

    async def open(self) -> None:
        """See `Driver.open`."""
        token = self._token if isinstance(self._token, str) else None
        options = {key: value for key, value in self._options.items() if value is not None}
        said = await self._workshop.call("open", client=self.number, url=self._base, token=token, options=options)
        if "error" in said:
            raise Ended(said["error"]["message"])

    async def next(self) -> Json:
        """See `Driver.next`."""
        said = await self._messages.get()
        if "ended" in said:
            self._messages.put_nowait(said)
            raise Ended(said["ended"] and said["ended"]["message"])
        return dict(said["event"])

    async def start(self, query: str) -> str:
        """See `Driver.start`."""
        return str(await self._command("start", query=query))

    async def chat(self, agent: str, message: str) -> str:
        """See `Driver.chat`."""
        return str(await self._command("chat", agent=agent, message=message))

    async def subscribe(self, *, events: list[str] | None = None, investigation_ids: list[str] | None = None) -> None:
        """See `Driver.subscribe`."""
        asked = {"events": events, "investigationIds": investigation_ids}
        await self._command("subscribe", **{key: value for key, value in asked.items() if value is not None})

    async def _command(self, op: str, **arguments: Any) -> Any:
        said = await self._workshop.call(op, client=self.number, **arguments)
        if "error" in said:
            raise Refused(said["error"]["code"])
        return said["value"]

    async def close(self) -> None:
        """See `Driver.close`."""
        with contextlib.suppress(EOFError):
            await self._workshop.call("close", client=self.number)
