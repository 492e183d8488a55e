"""The simulator: plays invented investigations and chats in real time, divided by `speed`."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import orjson

from ...words.agents import DEFAULT_TEAM
from ...words.errors import ErrorCode, Refusal
from ...words.events import NOTIFICATION
from . import story, voices
from .library import Library


class Happening(msgspec.Struct, frozen=True):
    """One thing that happens in an investigation: an event's type and data, without the investigation's id."""

    type: str
    data: dict[str, Any]


class Closing(msgspec.Struct, frozen=True):
    """The end of an agent's answer: what it suggests to do next."""

    suggested_actions: Sequence[str] = ()


class Agents(Protocol):
    """Whoever does the agents' work. What they raise ends the investigation as `failed`, or the chat in an error."""

    def team(self, filters: Mapping[str, Any]) -> Sequence[str]:
        """Who works where a request names nobody (canonical ids). Raises `Refusal` for filters that nobody can serve.

        Called before an investigation starts, so that what is refused has not begun.
        """

    def investigate(self, query: str, filters: Mapping[str, Any], agents: Sequence[str]) -> AsyncIterator[Happening]:
        """All that happens after `started`, as it happens; the last is an update with a final status."""

    def answer(self, agent: str, message: str, subject: Mapping[str, Any] | None) -> AsyncIterator[str | Closing]:
        """The pieces of an answer, which joined are the whole of it, and at the end a `Closing`.

        `subject` is the state of the investigation that the chat is about.
        """


class Simulator:
    """Agents that invent, as the scenario says that a request chooses. The same seed, request and scenario give the
    same events and the same words.
    """

    def __init__(self, seed: int, speed: float, library: Library) -> None:
        self._seed = seed
        self._speed = speed
        self._library = library

    def team(self, filters: Mapping[str, Any]) -> Sequence[str]:
        """See `Agents.team`."""
        return self._library.choose(filters).scenario.agents or DEFAULT_TEAM

    async def investigate(
        self, query: str, filters: Mapping[str, Any], agents: Sequence[str]
    ) -> AsyncIterator[Happening]:
        """See `Agents.investigate`."""
        choice = self._library.choose(filters)
        if choice.fault is not None:
            yield _warning(choice.fault)
        scenario = choice.scenario
        # Which scenario it is makes no other story of it than what the scenario says.
        rest = {name: value for name, value in filters.items() if name != "scenario"}
        speed = self._speed * (scenario.timing.speed or 1.0)
        for event in scenario.event:
            await asyncio.sleep(event.after / speed)
            yield Happening(event.type, orjson.loads(event.data))
        if scenario.event:
            return
        for step in story.tell(self._seed, query, rest, agents, scenario):
            await asyncio.sleep(step.after / speed)
            yield Happening(step.type, step.data)

    async def answer(self, agent: str, message: str, subject: Mapping[str, Any] | None) -> AsyncIterator[str | Closing]:
        """See `Agents.answer`."""
        scenario = self._library.choose({}).scenario
        seed = self._seed if scenario.seed is None else scenario.seed
        reply = voices.reply(seed, agent, message, subject)
        await asyncio.sleep(scenario.chat.delay_seconds / self._speed)
        for number, chunk in enumerate(reply.chunks):
            if number == scenario.chat.error_after:
                break
            await asyncio.sleep(chunk.after / self._speed)
            yield chunk.content
        if scenario.chat.error_after is not None:
            raise Refusal(ErrorCode.AGENT_UNAVAILABLE, "The agent failed to answer")
        yield Closing(reply.suggested_actions)


def _warning(fault: str) -> Happening:
    return Happening(
        NOTIFICATION,
        {
            "level": "warning",
            "title": "Cenário com erro: vale a última versão boa",
            "message": fault,
            "simulated": True,
        },
    )
