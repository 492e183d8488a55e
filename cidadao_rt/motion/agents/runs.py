"""Running investigations: what the agents find is published, and every run has an end that clients are told of."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from ...memory.investigations import Investigation, Investigations
from ...memory.log import Draft, Event
from ...words import events, topics
from ...words.errors import Refusal
from ...words.events import FINAL, Status
from ..broker import Broker
from .simulator import Agents

_log = logging.getLogger(__name__)


def new_investigation_id() -> str:
    """An id that nobody can guess: 128 random bits."""
    return f"inv_{secrets.token_hex(16)}"


class Runs:
    """One task per running investigation."""

    def __init__(self, agents: Agents, broker: Broker, investigations: Investigations) -> None:
        self._agents = agents
        self._broker = broker
        self._investigations = investigations
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def team(self, filters: Mapping[str, Any]) -> list[str]:
        """Who works where a request names nobody. Raises `Refusal` for filters that the agents cannot serve."""
        return list(self._agents.team(filters))

    async def start(
        self,
        investigation_id: str,
        owner: str,
        query: str,
        filters: Mapping[str, Any],
        agents: list[str],
        correlation_id: str | None,
    ) -> None:
        """Publish `started`, with the correlation id, and let the agents go to work."""
        started = {
            "investigation_id": investigation_id,
            "status": Status.STARTED,
            "progress": 0,
            "current_agent": agents[0],
            "message": "Investigação iniciada.",
            "query": query,
            "filters": dict(filters),
            "agents": agents,
            "simulated": True,
        }
        topic = topics.investigation(investigation_id)
        await self._broker.publish(Draft(topic, owner, events.INVESTIGATION_UPDATE, started, correlation_id))
        task = asyncio.create_task(self._run(investigation_id, owner, query, filters, agents))
        self._tasks[investigation_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(investigation_id, None))

    async def end(self, found: Investigation, status: Status, message: str, correlation_id: str | None = None) -> None:
        """End an investigation, whoever runs it. Raises `Refusal` (`CONFLICT`) if it has just ended by itself."""
        task = self._tasks.pop(found.id, None)
        if task is not None:
            task.cancel()
        await self._publish(
            found.id,
            found.owner,
            events.INVESTIGATION_UPDATE,
            {
                "status": status,
                "progress": found.progress,
                "current_agent": found.current_agent,
                "message": message,
                **({"simulated": True} if found.simulated else {}),
            },
            correlation_id,
        )

    async def end_all(self, status: Status, message: str) -> None:
        """End all that are running here."""
        for investigation_id in list(self._tasks):
            found = self._investigations.get(investigation_id)
            if found is not None and found.finished_at is None:
                await self.end(found, status, message)

    async def _run(
        self, investigation_id: str, owner: str, query: str, filters: Mapping[str, Any], agents: list[str]
    ) -> None:
        try:
            async with aclosing(self._agents.investigate(query, filters, agents)) as happenings:  # type: ignore[type-var]
                async for happening in happenings:
                    await self._publish(investigation_id, owner, happening.type, happening.data)
            reason = "A investigação terminou sem conclusão."
        except Refusal as refusal:
            # Someone else ended it between two steps, or an agent broke a rule: either way the state decides below.
            _log.warning("run refused", extra={"investigation_id": investigation_id, "code": refusal.code})
            reason = "Um agente informou um estado inválido."
        except Exception:
            # Agents may be anybody's code: the run ends, the reason is logged, clients are told below.
            _log.exception("run failed", extra={"investigation_id": investigation_id})
            reason = "Um agente falhou."
        found = self._investigations.get(investigation_id)
        if found is not None and found.status not in FINAL:
            self._tasks.pop(investigation_id, None)
            await self.end(found, Status.FAILED, reason)

    async def _publish(
        self, investigation_id: str, owner: str, type_: str, data: dict[str, Any], correlation_id: str | None = None
    ) -> Event:
        whole = {"investigation_id": investigation_id, **data}
        return await self._broker.publish(
            Draft(topics.investigation(investigation_id), owner, type_, whole, correlation_id)
        )
