"""Scenarios: what a simulated investigation is like, in the tables and keys of the TOML file that says it.

A `Scenario()` in which nothing is said is the one called `padrao`. Source: docs/scenarios.md;
docs/decisions/0011-scenarios.md.
"""

from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct

from .recording import PAUSE_SECONDS, Event

EVENTS = 10_000
"""Messages in a recording; a longer one is refused."""

Number = TypeVar("Number", int, float)
Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(gt=0, le=PAUSE_SECONDS)]
# Of any length to the types, since msgspec 0.22 crashes on a bounded number or a pair.
_Pair = Meta(min_length=2, max_length=2)
Count = Annotated[int, Meta(ge=0, le=12)]
StageName = Literal["data_collection", "anomaly_detection", "pattern_analysis", "report_generation"]
At = Fraction | StageName
"""A moment: 0 to 1 of the time that the agents work, or a stage, whose middle is meant."""


class Timing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long it takes, from `started` to the end: `seconds`, or between two; or the usual time through `speed`."""

    seconds: Seconds | Annotated[tuple[Seconds, ...], _Pair] | None = None
    speed: Annotated[float, Meta(gt=0, le=1e6)] | None = None


class Stage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage: its `share` of the time, relative to the others', and what agents say in it, spread over it."""

    share: Annotated[float, Meta(ge=0.01, le=1000)] | None = None
    messages: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=50)] | None = None


class Stages(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document's four stages."""

    data_collection: Stage = Stage()
    anomaly_detection: Stage = Stage()
    pattern_analysis: Stage = Stage()
    report_generation: Stage = Stage()


class Findings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What agents invent: how many each, how sure of it, and which patterns, of those that an agent can find."""

    count: Count | Annotated[tuple[Count, ...], _Pair] | None = None
    confidence: Fraction | Annotated[tuple[Fraction, ...], _Pair] | None = None
    patterns: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding of its own, beside those invented, told if its agent is on the team."""

    agent: str
    pattern: str
    description: Text
    confidence: Fraction = 0.8
    evidence_count: Annotated[int, Meta(ge=0, le=10**6)] = 1
    evidence: dict[str, Any] = {}


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent that fails in its own turn: the others go on ("skip"), or the investigation fails with it ("fail").

    `agent` is by default whoever works at `at`. `at` is by default the middle of the agent's turn, and where it lies
    outside that turn, the turn's begin or end.
    """

    agent: str | None = None
    at: At | None = None
    message: Text | None = None
    effect: Literal["skip", "fail"] = "skip"


class Notice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `notification` that is told on the way."""

    at: At
    title: Text
    message: Text
    level: Literal["info", "success", "warning", "error", "critical"] = "info"


class Ending(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it ends; one that is not completed breaks off `at` some moment, by default when all work is done."""

    status: Literal["completed", "failed", "cancelled"] = "completed"
    message: Text | None = None
    at: At | None = None


class Chat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How agents answer: `delay_seconds` before the first piece; after `error_after` pieces they fail."""

    delay_seconds: Annotated[float, Meta(ge=0, le=600)] = 0.0
    error_after: Annotated[int, Meta(ge=0, le=10_000)] | None = None


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scenario. Parsed, its agents are canonical ids and its `event`s those that are played (see `playable`)."""

    description: Annotated[str, Meta(max_length=1000)] = ""
    seed: Annotated[int, Meta(ge=-(2**53), le=2**53)] | None = None
    agents: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    timing: Timing = Timing()
    stages: Stages = Stages()
    findings: Findings = Findings()
    finding: Annotated[tuple[Finding, ...], Meta(max_length=100)] = ()
    failure: Annotated[tuple[Failure, ...], Meta(max_length=20)] = ()
    notification: Annotated[tuple[Notice, ...], Meta(max_length=100)] = ()
    ending: Ending = Ending()
    chat: Chat = Chat()
    investigation: str | None = None
    event: Annotated[tuple[Event, ...], Meta(max_length=EVENTS)] = ()


def span(value: Number | tuple[Number, ...]) -> tuple[Number, Number]:
    """The least and the most of what may be given as one number."""
    return (value[0], value[1]) if isinstance(value, tuple) else (value, value)
