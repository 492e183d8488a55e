"""What each client was given, and what that says about the gateway: lost, duplicated, reordered. Pure.

What was sent is what any client was given, since they follow the same, and what the gateway's history has. Of one
client's events none may be missing, come twice, or come before one with a lower cursor of the same epoch (PROTOCOL 7).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..memory.cursor import parse


@dataclass(slots=True)
class Taken:
    """What one client was given, in order: ids with their investigations. `latencies` in seconds."""

    transport: str
    events: list[tuple[str, str]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    unrecovered: int = 0
    cuts: int = 0

    def of(self, investigations: set[str]) -> list[str]:
        """The ids of events of these."""
        return [id_ for id_, investigation in self.events if investigation in investigations]


@dataclass(frozen=True, slots=True)
class Totals:
    """Over all clients. `received` counts each event once per client; so do the others."""

    sent: int
    received: int
    lost: int
    duplicated: int
    reordered: int
    unrecovered: int

    @property
    def is_clean(self) -> bool:
        """Whether the gateway kept its word, and there was anything to keep it about."""
        return self.sent > 0 and not (self.lost or self.duplicated or self.reordered or self.unrecovered)


def tally(clients: Sequence[Taken], investigations: set[str], known: Iterable[str] = ()) -> Totals:
    """Count, for events of these investigations; the ids `known` were sent, whoever was given them."""
    given = [taken.of(investigations) for taken in clients]
    sent = set(known).union(*given)
    distinct = [set(ids) for ids in given]
    return Totals(
        sent=len(sent),
        received=sum(len(ids) for ids in distinct),
        lost=sum(len(sent) - len(ids) for ids in distinct),
        duplicated=sum(len(ids) - len(set(ids)) for ids in given),
        reordered=sum(_reordered(ids) for ids in given),
        unrecovered=sum(taken.unrecovered for taken in clients),
    )


def _reordered(ids: Iterable[str]) -> int:
    """How many came after one with a higher cursor; a repeated one is no second time out of order."""
    highest: dict[str, int] = {}
    seen: set[str] = set()
    count = 0
    for id_ in ids:
        cursor = parse(id_)
        if cursor is None or id_ in seen:
            continue
        seen.add(id_)
        if cursor.offset < highest.get(cursor.epoch, 0):
            count += 1
        else:
            highest[cursor.epoch] = cursor.offset
    return count


def quantile(values: Sequence[float], part: float) -> float | None:
    """The value below which this part of them lies (nearest rank); None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else None
