"""One measurement of a row, and many of them as one result."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .measure import Run


class Spread(NamedTuple):
    """Median, least and most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """That of some values, at least one."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(slots=True)
class Sample:
    """What one measurement gave: a value in the row's unit, and the floor it is held against, if there is one.

    `ratio` is what the target bounds, where it is no plain value over floor. `points` are for plots.
    """

    value: float | None = None
    floor: float | None = None
    ratio: float | None = None
    runs: dict[str, Run] = field(default_factory=dict)
    points: list[dict[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conclude()

    def conclude(self) -> None:
        """Make of what was set what follows from it."""
        self.faults = [fault for fault in self.faults if fault.partition(": ")[0] not in self.runs]
        if self.ratio is None and self.value is not None and self.floor:
            self.ratio = self.value / self.floor
        for name, run in self.runs.items():
            if not run.ok:
                told = "; ".join(run.faults) or f"{run.wrong} connections did not get exactly what was published"
                self.faults.append(f"{name}: {told}")


@dataclass(frozen=True, slots=True)
class Bound:
    """What must be reached: of the ratio, or of the value itself; at most, or at least."""

    limit: float
    of: str = "ratio"
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{' x' if self.of == 'ratio' else ''}"

    def met_by(self, figure: float) -> bool:
        """Whether it is reached."""
        return figure >= self.limit if self.at_least else figure <= self.limit


@dataclass(slots=True)
class Result:
    """All samples of one row. `unit` is that of the value."""

    name: str
    title: str
    unit: str
    bound: Bound | None
    samples: list[Sample]

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, doubled or closed."""
        return not any(sample.faults for sample in self.samples)

    def spread(self, name: str) -> Spread | None:
        """That of `value`, `floor` or `ratio`; None where it was not to be had."""
        values = [value for sample in self.samples if (value := getattr(sample, name)) is not None]
        return Spread.of(values) if values else None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached by the median; None where there is none, or no figure."""
        spread = self.spread(self.bound.of) if self.bound is not None else None
        return self.bound.met_by(spread.median) if self.bound is not None and spread is not None else None

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        spreads = {name: self.spread(name) for name in ("value", "floor", "ratio")}
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "target": str(self.bound) if self.bound is not None else None,
            "met": self.met,
            "ok": self.ok,
            **{name: spread and spread._asdict() for name, spread in spreads.items()},
            "samples": [
                {
                    "value": sample.value,
                    "floor": sample.floor,
                    "ratio": sample.ratio,
                    "faults": sample.faults,
                    "points": sample.points,
                    "runs": {name: run.as_json() for name, run in sample.runs.items()},
                }
                for sample in self.samples
            ],
        }
