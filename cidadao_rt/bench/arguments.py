"""The options of `bench`. Loads nothing else of it, so that other commands start as fast as without."""

import argparse
from collections.abc import Callable

MOST_RUNS = 100
SECRET_VARIABLE = "JWT_SECRET_KEY"  # noqa: S105 - a name


def add(parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `parser` is the `add_parser` of a parser's commands."""
    bench = parser("bench", allow_abbrev=False, help="measure a gateway, by default one that it starts")
    bench.add_argument("--runs", type=_runs, default=1, metavar="N", help="medians of so many; 1")
    bench.add_argument("--only", metavar="ROW,ROW", help="only these rows of the table")
    bench.add_argument("--quick", action="store_true", help="small and short: shows that it works, not how fast")
    bench.add_argument("--list", action="store_true", help="name the rows, measure nothing")
    bench.add_argument("--json", metavar="FILE", help="write all figures of all runs")
    bench.add_argument("--plots", metavar="FOLDER", help="draw what was measured, as SVG; needs cidadao-rt[bench]")
    bench.add_argument("--url", metavar="URL", help="of a gateway that runs; http")
    bench.add_argument("--secret", metavar="SECRET", help=f"with --url: what signs its tokens; ${SECRET_VARIABLE}")
    bench.add_argument("--pid", type=_pid, metavar="PID", help="with --url: its process here, for its cost")


def _runs(text: str) -> int:
    return _whole(text, MOST_RUNS)


def _pid(text: str) -> int:
    return _whole(text, 2**31)


def _whole(text: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:12]) <= most:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}")
    return int(text)
