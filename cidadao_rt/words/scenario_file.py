"""A scenario's file, read and checked: every fault is told with its line.

Source: docs/scenarios.md; docs/decisions/0011-scenarios.md.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import orjson
from msgspec import Struct

from .agents import AGENTS, Agent, find
from .errors import Refusal
from .messages import check_depth
from .patterns import LABELS
from .positions import line_of, lines
from .recording import Event, Fault, playable
from .scenario import Scenario

FILE_BYTES = 4 << 20
"""Bytes of a scenario's file; a longer one is refused."""

EVIDENCE_BYTES = 16_384
"""Bytes of the findings that a file gives one agent, as JSON, so that no event grows past what may be published."""

FAULTS = 5
"""Faults of one file that are told; the others are counted."""

_PATH = re.compile(r" - at `[^`]*`$")
_OF_STORIES = ("seed", "stages", "findings", "finding", "failure", "notification", "ending")


class ScenarioError(Exception):
    """A scenario that cannot be played; the message names the file, and of each fault the line and the key."""


def parse(text: bytes, name: str) -> Scenario:
    """The scenario that a TOML file holds; `name` is what errors call the file. Raises `ScenarioError`."""
    if len(text) > FILE_BYTES:
        raise ScenarioError(f"{name}: longer than {FILE_BYTES} bytes")
    try:
        decoded = text.decode("utf-8-sig")
        tables = tomllib.loads(decoded)
    except UnicodeDecodeError:
        raise ScenarioError(f"{name}: is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{name}: is not TOML: {error}") from None
    except (RecursionError, ValueError):
        raise ScenarioError(f"{name}: is not TOML to be read: a number too long, or nested too deep") from None
    faults = list(_misshapen(Scenario, tables, ""))
    if not faults:
        scenario = msgspec.convert(tables, Scenario)
        faults = list(_impossible(scenario, tables))
        if not faults:
            scenario, faults = _settled(scenario)
            if not faults:
                return scenario
    found = lines(decoded)
    told = sorted(((line_of(found, fault.key), fault.key, fault.text) for fault in faults), key=lambda fault: fault[0])
    texts = [f"line {line}: {key}: {text}" for line, key, text in told[:FAULTS]]
    more = f"; and {len(told) - FAULTS} more" if len(told) > FAULTS else ""
    raise ScenarioError(f"{name} {'; '.join(texts)}{more}")


def _misshapen(struct: Any, table: Mapping[str, Any], path: str) -> Iterator[Fault]:
    """Unknown and missing keys, and values of the wrong type or out of range, each by its own key."""
    hints = get_type_hints(struct, include_extras=True)
    for name, value in table.items():
        key = f"{path}.{name}".removeprefix(".")
        if name in hints:
            yield from _unfit(hints[name], value, key)
        else:
            yield Fault(key, f"unknown key{_nearest(name, hints)}")
    for field in msgspec.structs.fields(struct):
        if field.required and field.name not in table:
            yield Fault(path, f"needs the key {field.name}")


def _unfit(hint: Any, value: Any, key: str) -> Iterator[Fault]:
    bare, *limits = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    item = get_args(bare)[0] if get_origin(bare) is tuple else None
    if _is_struct(bare):
        if isinstance(value, dict):
            yield from _misshapen(bare, value, key)
        else:
            yield Fault(key, f"must be a table: [{key}]")
    elif _is_struct(item):
        if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
            yield Fault(key, f"must be tables: [[{key}]]")
        elif len(value) > limits[0].max_length:
            yield Fault(key, f"must be at most {limits[0].max_length}")
        else:
            for place, table in enumerate(value):
                yield from _misshapen(item, table, f"{key}[{place}]")
    else:
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            text = _PATH.sub("", str(error))
            yield Fault(key, f"must be {_listed(hint)}" if text.startswith("Invalid enum value") else text)


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _listed(hint: Any) -> str:
    """The words that a value may be, where it may be words of a list."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(f'"{word}"' for word in get_args(hint))
    return "".join(_listed(part) for part in get_args(hint))


def _impossible(scenario: Scenario, tables: Mapping[str, Any]) -> Iterator[Fault]:
    """What cannot be although every value has the right type and range."""
    timing, findings, ending = scenario.timing, scenario.findings, scenario.ending
    ranges: tuple[tuple[str, Any], ...] = (
        ("timing.seconds", timing.seconds),
        ("findings.count", findings.count),
        ("findings.confidence", findings.confidence),
    )
    for key, value in ranges:
        if isinstance(value, tuple) and value[0] > value[1]:
            yield Fault(key, "must be in order: [least, most]")
    if timing.seconds is not None and timing.speed is not None:
        yield Fault("timing.speed", "does not go with timing.seconds: one of them says how long it takes")
    if ending.status == "completed" and ending.at is not None:
        yield Fault("ending.at", 'goes with the status "failed" or "cancelled" only')
    yield from _unknown(scenario)
    yield from _heavy(scenario)
    if "event" in tables:
        for key in _OF_STORIES:
            if key in tables:
                yield Fault(key, "does not go with [[event]]: a recording tells the whole story")
        if timing.seconds is not None:
            yield Fault("timing.seconds", "does not go with [[event]]: a recording has its own time; use timing.speed")
    elif scenario.investigation is not None:
        yield Fault("investigation", "goes with [[event]] only")


def _unknown(scenario: Scenario) -> Iterator[Fault]:
    """Patterns and agents that do not exist."""
    patterns = [("findings.patterns", pattern) for pattern in scenario.findings.patterns or ()]
    patterns += [(f"finding[{place}].pattern", finding.pattern) for place, finding in enumerate(scenario.finding)]
    for key, pattern in patterns:
        if pattern not in LABELS:
            yield Fault(key, f"unknown pattern{_nearest(pattern, LABELS)}")
    for key, agent in _agents(scenario):
        if find(agent) is None:
            yield Fault(key, f"unknown agent{_nearest(agent, AGENTS)}")


def _agents(scenario: Scenario) -> Iterator[tuple[str, str]]:
    for agent in scenario.agents or ():
        yield "agents", agent
    for place, finding in enumerate(scenario.finding):
        yield f"finding[{place}].agent", finding.agent
    for place, failure in enumerate(scenario.failure):
        if failure.agent is not None:
            yield f"failure[{place}].agent", failure.agent


def _heavy(scenario: Scenario) -> Iterator[Fault]:
    """Evidence that is no JSON, and findings too large for the event that would carry them."""
    sizes: dict[Agent | None, int] = {}
    for place, finding in enumerate(scenario.finding):
        try:
            check_depth(finding.evidence, "evidence")
            size = len(orjson.dumps(msgspec.structs.asdict(finding)))
        except (Refusal, TypeError):
            yield Fault(f"finding[{place}].evidence", "must be plain values that JSON has, nested at most 16 levels")
            continue
        agent = find(finding.agent)
        before = sizes.get(agent, 0)
        sizes[agent] = before + size
        if before <= EVIDENCE_BYTES < before + size:
            yield Fault(f"finding[{place}]", f"findings of one agent must have at most {EVIDENCE_BYTES} bytes in all")


def _settled(scenario: Scenario) -> tuple[Scenario, list[Fault]]:
    """The scenario as it is played, and what a recording's events have wrong."""
    play: Sequence[Event] = ()
    faults: list[Fault] = []
    if scenario.event:
        play, faults = playable(scenario.event, scenario.investigation)
    settled = msgspec.structs.replace(
        scenario,
        agents=None if scenario.agents is None else tuple(dict.fromkeys(map(_canonical, scenario.agents))),
        finding=tuple(
            msgspec.structs.replace(
                finding,
                agent=_canonical(finding.agent),
                # Dates and numbers without end become what JSON makes of them.
                evidence=orjson.loads(orjson.dumps(finding.evidence)),
            )
            for finding in scenario.finding
        ),
        failure=tuple(
            failure if failure.agent is None else msgspec.structs.replace(failure, agent=_canonical(failure.agent))
            for failure in scenario.failure
        ),
        event=tuple(play),
    )
    return settled, faults


def _canonical(name: str) -> str:
    agent = find(name)
    assert agent is not None, "unknown agents were refused before"
    return agent.id


def _nearest(word: str, among: Mapping[str, Any]) -> str:
    near = get_close_matches(word.lower(), among, 1)
    return f"; did you mean {near[0]}?" if near else ""
