"""The table for a person, and the JSON for a program."""

import os
import platform
import time
from collections.abc import Sequence
from typing import Any

from .. import __version__
from .sample import Result, Spread

HEAD = ("row", "what", "gateway", "floor", "ratio", "target", "met", "ok", "generator")


def table(results: Sequence[Result]) -> str:
    """One line a row: medians, with least and most where there are several runs."""
    lines = [HEAD, *map(_line, results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _line(result: Result) -> tuple[str, ...]:
    busiest = max((run.generator for sample in result.samples for run in sample.runs.values()), default=None)
    return (
        result.name,
        result.title,
        f"{_figure(result.spread('value'))} {result.unit}",
        _figure(result.spread("floor")),
        _figure(result.spread("ratio")),
        str(result.bound or "-"),
        {True: "yes", False: "no", None: "-"}[result.met],
        "yes" if result.ok else "NO",
        "-" if busiest is None else f"{busiest:.0%}",
    )


def _figure(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    if spread.least == spread.most:
        return _short(spread.median)
    return f"{_short(spread.median)} [{_short(spread.least)}-{_short(spread.most)}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def document(results: Sequence[Result], *, began: float, quick: bool) -> dict[str, Any]:
    """All figures, with where and when; `began` in seconds since 1970."""
    return {
        "version": __version__,
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        "quick": quick,
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()}",
            "processors": os.cpu_count(),
        },
        "rows": [result.as_json() for result in results],
    }
