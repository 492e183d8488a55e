"""The Python client. See `Driver`."""

import asyncio
import contextlib
from typing import Any

from contract.drivers import BACKOFF_SECONDS, Ended, Json, Options, Refused, Token

from cidadao_rt import client


class Client:
    """One client. `transport` may be several, with commas between."""

    def __init__(self, base: str, token: Token, options: Options, transport: str) -> None:
        self.verdicts: list[bool] = []
        self.wire_faults: list[str] = []
        self._rt = client.connect(
            base,
            token=token,
            transports=tuple(transport.split(",")),
            connection_type=options.connection_type or "general",
            events=options.events,
            investigation_ids=options.investigation_ids,
            batch=options.batch,
            backoff_seconds=BACKOFF_SECONDS,
            backoff_max_seconds=BACKOFF_SECONDS * 10,
            open_seconds=options.open_seconds,
        )
        self._rt.on_status(self._told)

    def _told(self, status: Any) -> None:
        if status.state == "open":
            self.verdicts.append(status.recovered)

    @property
    def transport(self) -> str | None:
        """See `Driver.transport`."""
        return self._rt.transport  # type: ignore[no-any-return]

    @property
    def session_id(self) -> str | None:
        """See `Driver.session_id`."""
        return self._rt.session_id  # type: ignore[no-any-return]

    async def open(self) -> None:
        """See `Driver.open`."""
        try:
            await self._rt.__aenter__()
        except client.RefusedError as refused:
            raise Ended(str(refused)) from None

    async def next(self) -> Json:
        """See `Driver.next`."""
        try:
            event = await anext(self._rt)
        except (StopAsyncIteration, client.RefusedError) as ended:
            raise Ended(str(ended)) from None
        found = {
            "type": event.type,
            "data": dict(event.data),
            "timestamp": event.timestamp,
            "id": event.id,
            "correlation_id": event.correlation_id,
        }
        return {key: value for key, value in found.items() if value is not None}

    async def start(self, query: str) -> str:
        """See `Driver.start`."""
        with self._refusals():
            return str((await self._rt.start_investigation(query)).id)

    async def chat(self, agent: str, message: str) -> str:
        """See `Driver.chat`."""
        with self._refusals():
            return str((await self._rt.chat(agent, message)).message)

    async def subscribe(self, *, events: list[str] | None = None, investigation_ids: list[str] | None = None) -> None:
        """See `Driver.subscribe`."""
        with self._refusals():
            await self._rt.subscribe(events=events, investigation_ids=investigation_ids)

    @contextlib.contextmanager
    def _refusals(self) -> Any:
        try:
            yield
        except client.CommandError as error:
            raise Refused(error.code) from None

    async def close(self) -> None:
        """See `Driver.close`."""
        async with asyncio.timeout(10):
            await self._rt.close()
