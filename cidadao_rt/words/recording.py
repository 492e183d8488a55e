"""Recordings: what a live connection received, as a scenario that plays the same again.

A recording holds whatever came; what is played is one investigation's events. They are checked here against the rules
that a publisher has to keep, since a fault in a file is better told when it is read than in the middle of a play.

Source: PROTOCOL 4 "Events"; docs/scenarios.md "Recordings".
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta, Struct

from . import events
from .errors import Refusal
from .events import FINAL, STAGE_WEIGHTS, Status
from .messages import check_depth, convert
from .payloads import EVENT_BYTES, PAYLOADS, check_type

PAUSE_SECONDS = 86_400.0
"""Seconds between two events, at most."""


class Fault(Struct, frozen=True):
    """What is wrong with a key of a scenario."""

    key: str
    text: str


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One message of a recording. `after` is in seconds since the one before; `data` is JSON.

    `id` is the cursor that came with it. Where any event of a file has one, those without were answers, snapshots and
    other messages of the moment, and are not played; nor is what came a second time with the same `id`.
    """

    type: str
    data: str
    after: Annotated[float, Meta(ge=0, le=PAUSE_SECONDS)] = 0.0
    id: str | None = None


def playable(recorded: Sequence[Event], investigation: str | None) -> tuple[list[Event], list[Fault]]:
    """The events of one investigation (the recording's first, unless it is named), and what is wrong with them.

    In what is returned `data` has no `investigation_id`, and the pauses of what is left out are added up. An update to
    `started` is left out and begins the time: whoever plays the recording says it anew.
    """
    faults: list[Fault] = []
    parsed = list(_parsed(recorded, faults))
    has_ids = any(event.id is not None for event in recorded)
    chosen = investigation
    if chosen is None:
        named = (data.get("investigation_id") for _, event, data in parsed if _is_event(event, has_ids))
        chosen = next((id_ for id_ in named if isinstance(id_, str)), None)
    seen: set[str | None] = set()
    play: list[Event] = []
    course = _Course()
    pause = 0.0
    for key, event, data in parsed:
        pause += event.after
        if data.get("investigation_id") != chosen or not _is_event(event, has_ids) or (has_ids and event.id in seen):
            continue
        seen.add(event.id)
        if event.type == events.INVESTIGATION_UPDATE and data.get("status") == Status.STARTED:
            pause = 0.0
            continue
        wrong = course.wrong(event.type, data)
        if wrong is not None:
            faults.append(Fault(f"{key}.data", wrong))
        whole = orjson.dumps({name: value for name, value in data.items() if name != "investigation_id"})
        play.append(Event(type=event.type, data=whole.decode(), after=pause, id=event.id))
        pause = 0.0
    if not play and not faults:
        faults.append(Fault("event" if investigation is None else "investigation", "has no event that can be played"))
    return play, faults


def _parsed(recorded: Sequence[Event], faults: list[Fault]) -> Iterator[tuple[str, Event, dict[str, Any]]]:
    for place, event in enumerate(recorded):
        key = f"event[{place}]"
        try:
            data = orjson.loads(event.data)
        except orjson.JSONDecodeError:
            faults.append(Fault(f"{key}.data", "must be JSON"))
            continue
        if not isinstance(data, dict):
            faults.append(Fault(f"{key}.data", "must be a JSON object"))
        elif len(event.data.encode()) > EVENT_BYTES:
            faults.append(Fault(f"{key}.data", f"must have at most {EVENT_BYTES} bytes"))
        else:
            yield key, event, data


def _is_event(event: Event, has_ids: bool) -> bool:
    """Whether this was an event of an investigation, and no message of the moment."""
    if has_ids and event.id is None:
        return False
    try:
        check_type(event.type, of_investigation=True)
    except Refusal:
        return False
    return True


class _Course:
    """How far an investigation has got, and what may not come after that."""

    def __init__(self) -> None:
        self._progress = 0
        self._stages = dict.fromkeys(STAGE_WEIGHTS, 0)
        self._ended = False

    def wrong(self, type_: str, data: dict[str, Any]) -> str | None:
        """What is wrong with the next event, or None, and then it is taken into account."""
        if self._ended:
            return "comes after the final status"
        try:
            check_depth(data, "data")
            payload = convert(data, PAYLOADS[type_]) if type_ in PAYLOADS else None
        except Refusal as refusal:
            return refusal.message
        progress, stages = self._progress, self._stages
        if type_ == events.INVESTIGATION_UPDATE:
            progress = data["progress"]
            self._ended = data["status"] in FINAL
        elif type_ == events.PROGRESS_UPDATE:
            progress = data["overall_progress"]
            stages = msgspec.structs.asdict(payload.stages)  # type: ignore[union-attr]
        if progress < self._progress:
            return f"progress must not go back from {self._progress} to {progress}"
        for stage, done in self._stages.items():
            if stages[stage] < done:
                return f"progress of {stage} must not go back from {done} to {stages[stage]}"
        self._progress, self._stages = progress, stages
        return None
