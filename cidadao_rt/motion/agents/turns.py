"""Who works when: the stages of an investigation and the turns of its agents, on a line from 0 to 1.

Everything is laid out on one standard line first. Where a scenario gives stages other shares of the time, the line is
bent at the end, piece by piece, so that the order of what happens never changes.
"""

from collections.abc import Sequence

import msgspec

from ...words.events import STAGE_WEIGHTS
from ...words.scenario import At, Failure, Stages
from .parts import PARTS

# When a stage's agents work: one stage after the other. The last slice ends before time does.
WORK = ((0.0, 0.22), (0.22, 0.5), (0.5, 0.78), (0.78, 0.97))
_EDGES = (0.0, 0.22, 0.5, 0.78, 1.0)
_SHARES = (22.0, 28.0, 28.0, 22.0)
# An agent has its result a little before the next one begins.
_DONE = 0.96


class Turn(msgspec.Struct, frozen=True):
    """One agent's work: its stage (an index), and when it begins and has its result on the standard line.

    A stage that is nobody's has one turn too, in which the agent before goes on.
    """

    stage: int
    agent: str
    begin: float
    done: float
    is_own: bool = True


def turns(team: Sequence[str]) -> list[Turn]:
    """The turns of a team in which everybody stands in the order of `PARTS`."""
    laid: list[Turn] = []
    current = team[0]
    for stage, (begin, end) in enumerate(WORK):
        members = [agent for agent in team if PARTS[agent].stage == stage]
        if not members:
            laid.append(Turn(stage, current, begin, end, False))
        for place, current in enumerate(members):
            width = (end - begin) / len(members)
            laid.append(Turn(stage, current, begin + place * width, begin + (place + _DONE) * width))
    return laid


class Line:
    """The line of time, bent so that stages take the shares that a scenario gives them."""

    def __init__(self, stages: Stages) -> None:
        given = [getattr(stages, name).share for name in STAGE_WEIGHTS]
        self._bent: tuple[float, ...] = _EDGES
        if any(share is not None for share in given):
            shares = [usual if share is None else share for usual, share in zip(_SHARES, given, strict=True)]
            ends = [sum(shares[: count + 1]) / sum(shares) for count in range(len(shares))]
            self._bent = (0.0, *ends[:-1], 1.0)

    def bend(self, at: float) -> float:
        """A moment of the standard line, as it is in this one."""
        return _between(at, _EDGES, self._bent)

    def place(self, at: At) -> float:
        """A moment that a scenario names, on the standard line."""
        if isinstance(at, str):
            begin, end = WORK[list(STAGE_WEIGHTS).index(at)]
            return (begin + end) / 2
        return _between(at, self._bent, _EDGES)


def _between(at: float, here: Sequence[float], there: Sequence[float]) -> float:
    if here == there:
        return at
    piece = max(index for index in range(len(here) - 1) if here[index] <= at)
    share = (at - here[piece]) / (here[piece + 1] - here[piece])
    return there[piece] + share * (there[piece + 1] - there[piece])


def failing(failures: Sequence[Failure], laid: Sequence[Turn], line: Line) -> dict[str, tuple[float, Failure]]:
    """Who fails, when on the standard line, and how. Of two failures of one agent the first in the file counts."""
    found: dict[str, tuple[float, Failure]] = {}
    own = [turn for turn in laid if turn.is_own]
    for failure in failures:
        if failure.agent is not None:
            turn = next((turn for turn in own if turn.agent == failure.agent), None)
        else:
            at = line.place(0.5 if failure.at is None else failure.at)
            turn = next((turn for turn in own if turn.done >= at), own[-1])
        if turn is not None and turn.agent not in found:
            at = (turn.begin + turn.done) / 2 if failure.at is None else line.place(failure.at)
            found[turn.agent] = (min(max(at, turn.begin), turn.done), failure)
    return found
