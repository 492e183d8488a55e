"""The state of every investigation, as a fold over its events: what snapshots are made of and rules are checked on.

Source: PROTOCOL 4 "Events", 5 "Who may see what", 9 "investigations".
"""

import copy
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from ..words import events, topics
from ..words.errors import ErrorCode, Refusal
from ..words.events import FINAL, STAGE_WEIGHTS, Status
from ..words.tokens import Principal
from .log import Draft

FINDINGS = 50
"""Findings of one investigation that are remembered for chats about it; later ones are in the log alone."""

_MOVING = frozenset({events.INVESTIGATION_UPDATE, events.PROGRESS_UPDATE})
"""The types whose order matters: they tell how far an investigation has come."""


class Investigation(msgspec.Struct):
    """What is known of one investigation. Times are seconds since 1970; `finished_at` is None while it runs.

    `number` counts them in the order in which they began.
    """

    id: str
    owner: str
    started_at: float
    updated_at: float
    status: str = Status.STARTED
    progress: int = 0
    current_agent: str | None = None
    message: str | None = None
    query: str | None = None
    agents: list[str] = msgspec.field(default_factory=list)
    stages: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(STAGE_WEIGHTS, 0))
    findings: list[dict[str, Any]] = msgspec.field(default_factory=list)
    simulated: bool = False
    finished_at: float | None = None
    number: int = 0

    def snapshot(self) -> dict[str, Any]:
        """The `data` of an `investigation_update` that tells the present state."""
        data: dict[str, Any] = {
            "investigation_id": self.id,
            "status": self.status,
            "progress": self.progress,
            "current_agent": self.current_agent,
            "message": self.message,
            "query": self.query,
            "agents": self.agents,
            "stages": self.stages,
        }
        if self.simulated:
            data["simulated"] = True
        return data


class Investigations:
    """All investigations of the node, by id and by owner."""

    def __init__(self) -> None:
        self._all: dict[str, Investigation] = {}
        # By owner, in the order in which they began; unfinished ones again, since every new connection asks for them.
        self._owned: dict[str, dict[str, Investigation]] = {}
        self._running: dict[str, dict[str, Investigation]] = {}
        # In the order in which they finished, so the oldest is first to be forgotten.
        self._finished: dict[str, Investigation] = {}
        self._begun = 0

    def __len__(self) -> int:
        return len(self._all)

    @property
    def running(self) -> int:
        """How many have not finished."""
        return len(self._all) - len(self._finished)

    def get(self, investigation_id: str) -> Investigation | None:
        """The investigation, whoever owns it."""
        return self._all.get(investigation_id)

    def seen_by(self, principal: Principal, investigation_id: str) -> Investigation:
        """The investigation if `principal` may see it.

        Raises `NOT_FOUND`, the same for one that does not exist and one that belongs to another.
        """
        found = self._all.get(investigation_id)
        # Both look-ups are always made, so that the time taken tells nothing either.
        allowed = principal.may_see(investigation_id, found.owner if found is not None else "")
        if found is None or not allowed:
            raise Refusal(ErrorCode.NOT_FOUND, "Investigation not found")
        return found

    def of(self, owner: str) -> Iterator[Investigation]:
        """All of one owner's, the newest first."""
        return reversed(self._owned.get(owner, {}).values())

    def running_of(self, owner: str) -> Collection[Investigation]:
        """One owner's that have not finished, the oldest first."""
        return self._running.get(owner, {}).values()

    def check(self, draft: Draft) -> None:
        """Refuse an event that breaks the order of its investigation.

        Raises `CONFLICT`: another owner, a progress or stage that goes back, anything but an analysis or a
        notification after the end.
        """
        key = topics.investigation_id(draft.topic)
        found = self._all.get(key) if key is not None else None
        if found is None:
            return
        if draft.owner != found.owner:
            raise Refusal(ErrorCode.CONFLICT, "Investigation belongs to another owner")
        if draft.type not in _MOVING:
            return
        if found.finished_at is not None:
            raise Refusal(ErrorCode.CONFLICT, "Investigation has already ended", status=found.status)
        progress, stages = _reached(draft, found)
        if progress < found.progress:
            raise Refusal(ErrorCode.CONFLICT, "Progress must not go back", progress=found.progress)
        if any(stages[stage] < done for stage, done in found.stages.items()):
            raise Refusal(ErrorCode.CONFLICT, "Progress of a stage must not go back", stages=found.stages)

    def check_all(self, drafts: Sequence[Draft]) -> None:
        """Refuse a row of events if any of them would be refused after those before it.

        Raises as `check` does, with the `index` of that event in `details`.
        """
        if len(drafts) == 1:
            self._check_at(0, drafts[0])
            return
        if all(draft.type not in _MOVING for draft in drafts):
            self._check_owners(drafts)
            return
        # The row is played on copies of the investigations that it touches.
        rehearsal = Investigations()
        for topic in {draft.topic for draft in drafts}:
            found = self._all.get(topics.investigation_id(topic) or "")
            if found is not None:
                rehearsal._put(copy.deepcopy(found))
        for index, draft in enumerate(drafts):
            rehearsal._check_at(index, draft)
            rehearsal.apply(draft, 0.0)

    def _check_owners(self, drafts: Sequence[Draft]) -> None:
        """All that `check` asks of events which do not move their investigation: one owner each."""
        owners: dict[str, str] = {}
        for index, draft in enumerate(drafts):
            owner = owners.get(draft.topic)
            if owner is None:
                self._check_at(index, draft)
                owners[draft.topic] = draft.owner
            elif owner != draft.owner:
                raise Refusal(ErrorCode.CONFLICT, "Investigation belongs to another owner", index=index)

    def _check_at(self, index: int, draft: Draft) -> None:
        try:
            self.check(draft)
        except Refusal as refusal:
            raise Refusal(refusal.code, refusal.message, **refusal.details, index=index) from None

    def _put(self, found: Investigation) -> None:
        self._all[found.id] = found
        self._owned.setdefault(found.owner, {})[found.id] = found
        if found.finished_at is None:
            self._running.setdefault(found.owner, {})[found.id] = found
        else:
            self._finished[found.id] = found

    def apply(self, draft: Draft, now: float) -> None:
        """Fold one event, which `check` has let pass, into the state."""
        key = topics.investigation_id(draft.topic)
        if key is None:
            return
        found = self._all.get(key)
        if found is None:
            self._begun += 1
            found = Investigation(key, draft.owner, now, now, number=self._begun)
            self._put(found)
        found.updated_at = now
        data = draft.data
        if "simulated" in data:
            found.simulated = found.simulated or bool(data["simulated"])
        if draft.type in _MOVING:
            found.progress, found.stages = _reached(draft, found)
        if draft.type == events.INVESTIGATION_UPDATE:
            self._update(found, data, now)
        elif draft.type == events.AGENT_ANALYSIS:
            room = FINDINGS - len(found.findings)
            found.findings.extend(data.get("findings", [])[:room])

    def _update(self, found: Investigation, data: dict[str, Any], now: float) -> None:
        found.status = data.get("status", found.status)
        found.current_agent = data.get("current_agent", found.current_agent)
        found.message = data.get("message", found.message)
        found.query = data.get("query", found.query)
        found.agents = data.get("agents", found.agents)
        if found.status in FINAL:
            found.finished_at = now
            _remove(self._running, found)
            self._finished[found.id] = found

    def idle(self, before: float) -> list[Investigation]:
        """The unfinished ones without an event since `before`."""
        return [found for running in self._running.values() for found in running.values() if found.updated_at < before]

    def forget(self, before: float, most: int) -> int:
        """Forget those that finished before `before`, and the oldest beyond `most`; returns how many."""
        gone = 0
        while self._finished:
            oldest = next(iter(self._finished.values()))
            if len(self._finished) <= most and (oldest.finished_at or 0) >= before:
                break
            del self._finished[oldest.id], self._all[oldest.id]
            _remove(self._owned, oldest)
            gone += 1
        return gone


def _reached(draft: Draft, found: Investigation) -> tuple[int, dict[str, int]]:
    """Progress and stages after an event of a moving type. Each has fields of its own; others' names mean nothing."""
    data = draft.data
    if draft.type == events.INVESTIGATION_UPDATE:
        return data.get("progress", found.progress), found.stages
    stages = data.get("stages", {})
    return data.get("overall_progress", found.progress), {
        stage: stages.get(stage, done) for stage, done in found.stages.items()
    }


def _remove(by_owner: dict[str, dict[str, Investigation]], found: Investigation) -> None:
    of_owner = by_owner[found.owner]
    del of_owner[found.id]
    if not of_owner:
        del by_owner[found.owner]
