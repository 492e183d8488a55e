"""The simulator: plays invented investigations and chats in real time, divided by `speed`."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from . import story, voices


class Happening(msgspec.Struct, frozen=True):
    """One thing that happens in an investigation: an event's type and data, without the investigation's id."""

    type: str
    data: dict[str, Any]


class Closing(msgspec.Struct, frozen=True):
    """The end of an agent's answer: what it suggests to do next."""

    suggested_actions: Sequence[str] = ()


class Agents(Protocol):
    """Whoever does the agents' work. What they raise ends the investigation as `failed`, or the chat in an error."""

    def investigate(self, query: str, filters: Mapping[str, Any], agents: Sequence[str]) -> AsyncIterator[Happening]:
        """All that happens after `started`, as it happens; the last is an update with a final status."""

    def answer(self, agent: str, message: str, subject: Mapping[str, Any] | None) -> AsyncIterator[str | Closing]:
        """The pieces of an answer, which joined are the whole of it, and at the end a `Closing`.

        `subject` is the state of the investigation that the chat is about.
        """


class Simulator:
    """Agents that invent. The same seed and the same request give the same findings and the same words."""

    def __init__(self, seed: int, speed: float) -> None:
        self._seed = seed
        self._speed = speed

    async def investigate(
        self, query: str, filters: Mapping[str, Any], agents: Sequence[str]
    ) -> AsyncIterator[Happening]:
        """See `Agents.investigate`."""
        for step in story.tell(self._seed, query, filters, agents):
            await asyncio.sleep(step.after / self._speed)
            yield Happening(step.type, step.data)

    async def answer(self, agent: str, message: str, subject: Mapping[str, Any] | None) -> AsyncIterator[str | Closing]:
        """See `Agents.answer`."""
        reply = voices.reply(self._seed, agent, message, subject)
        for chunk in reply.chunks:
            await asyncio.sleep(chunk.after / self._speed)
            yield chunk.content
        yield Closing(reply.suggested_actions)
