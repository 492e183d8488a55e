"""Chats: an agent's answer goes out in pieces to the connection that asked, and whole as an event of its session."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, Protocol

from ...memory.effects import Chat, Say, error
from ...memory.investigations import Investigations
from ...memory.log import Draft
from ...memory.session import Session
from ...words import agents as table
from ...words import events, topics
from ...words.errors import ErrorCode, Refusal
from ..broker import Broker
from .simulator import Agents, Closing

_log = logging.getLogger(__name__)


class Line(Protocol):
    """The way back to the connection that asked; it may be gone by now, and then nothing is sent."""

    @property
    def is_last_chance(self) -> bool:
        """Whether nobody will ever listen on the session, so that the whole answer must be said here."""

    def say(self, messages: Iterable[Say]) -> None:
        """Send what must arrive while the connection lasts."""

    def whisper(self, message: Say) -> None:
        """Send what a connection that is behind goes without."""


class Chats:
    """Answers under way."""

    def __init__(self, agents: Agents, broker: Broker, investigations: Investigations) -> None:
        self._agents = agents
        self._broker = broker
        self._investigations = investigations
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, session: Session, chat: Chat, line: Line, done: Callable[[], None]) -> None:
        """Begin an answer on a line to whoever asked; `done` is called when it has ended, however."""
        task = asyncio.create_task(self._answer(session, chat, line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: done())

    async def finish(self, seconds: float) -> None:
        """Let the answers under way come to their end, for so long; whoever asked for the others is told."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _answer(self, session: Session, chat: Chat, line: Line) -> None:
        def say(type_: str, **data: Any) -> None:
            line.whisper(Say(type_, {"agent": chat.agent, **data}, chat.correlation_id))

        about = self._investigations.get(chat.investigation_id) if chat.investigation_id is not None else None
        subject = None if about is None else {**about.snapshot(), "findings": about.findings}
        pieces: list[str] = []
        closing = Closing()
        say("typing", is_typing=True)
        try:
            async with aclosing(self._agents.answer(chat.agent, chat.message, subject)) as answer:  # type: ignore[type-var]
                async for piece in answer:
                    if isinstance(piece, Closing):
                        closing = piece
                    else:
                        say("agent_chat_chunk", content=piece, index=len(pieces), simulated=True)
                        pieces.append(piece)
        except asyncio.CancelledError:
            line.say([error(Refusal(ErrorCode.OVERLOADED, "The server is going away"), chat.correlation_id)])
            raise
        except Refusal as refusal:
            _log.warning("chat refused", extra={"session_id": session.id, "code": refusal.code})
            say("typing", is_typing=False)
            line.say([error(refusal, chat.correlation_id)])
            return
        except Exception:
            # Agents may be anybody's code: the asker is told, and the conversation goes on.
            _log.exception("chat failed", extra={"session_id": session.id, "correlation_id": chat.correlation_id})
            say("typing", is_typing=False)
            line.say([error(Refusal(ErrorCode.AGENT_UNAVAILABLE, "The agent failed to answer"), chat.correlation_id)])
            return
        say("typing", is_typing=False)
        data = {
            "agent": chat.agent,
            "agent_name": table.AGENTS[chat.agent].name,
            "role": "assistant",
            "message": "".join(pieces),
            "suggested_actions": list(closing.suggested_actions),
            "simulated": True,
        }
        if chat.investigation_id is not None:
            data["investigation_id"] = chat.investigation_id
        topic = topics.session(session.id)
        if line.is_last_chance:
            line.say([Say(events.AGENT_CHAT, data, chat.correlation_id)])
        else:
            await self._broker.publish(Draft(topic, session.sub, events.AGENT_CHAT, data, chat.correlation_id))
