"""The options of the tools. Loads nothing of them, so that other commands start as fast as without."""

import argparse
import math
from collections.abc import Callable

from ..words.settings import TOKEN_VARIABLE

TRANSPORTS = ("websocket", "sse", "poll")
CONNECTION_TYPES = ("general", "investigation", "analysis", "notifications")

MOST_SECONDS = 86_400.0
MOST_CLIENTS = 50
MOST_INVESTIGATIONS = 1_000
MOST_CUTS = 20.0


def add(parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the three commands; `parser` is the `add_parser` of a parser's commands."""
    common = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_argument("url", metavar="URL", help="of the gateway; http, https, ws or wss")
    common.add_argument("--token", metavar="TOKEN", help=f"default: ${TOKEN_VARIABLE}, else ?token= of the URL")
    _tail(parser("tail", parents=[common], allow_abbrev=False, help="follow a gateway's events"))
    _record(parser("record", parents=[common], allow_abbrev=False, help="keep events as a scenario"))
    _verify(parser("verify", parents=[common], allow_abbrev=False, help="cut own connections, count loss"))


def _tail(tail: argparse.ArgumentParser) -> None:
    tail.add_argument("--connection-type", choices=CONNECTION_TYPES, default="general", help="default: %(default)s")
    tail.add_argument("--events", metavar="TYPE,TYPE", help="only these types")
    tail.add_argument("--investigation", action="append", metavar="ID", help="only this one; may be repeated")
    tail.add_argument("--since", metavar="CURSOR", help="begin after this event's id")
    tail.add_argument("--transport", choices=(*TRANSPORTS, "auto"), default="auto", help="default: %(default)s")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")
    tail.add_argument("--no-color", action="store_true", help="also: $NO_COLOR")
    tail.add_argument("--grep", metavar="TEXT", help="only what holds this text; case does not matter")
    tail.add_argument("--count", type=_whole(1, 10**9), metavar="N", help="end after so many events")
    tail.add_argument("--seconds", type=_number(MOST_SECONDS), metavar="S", help="end after so long")


def _record(record: argparse.ArgumentParser) -> None:
    record.add_argument("file", metavar="FILE", help="what to write, a .toml; replaced if it is there")
    record.add_argument("--seconds", type=_number(MOST_SECONDS), metavar="S", help="end after so long")
    record.add_argument("--until-done", action="store_true", help="end with the investigation's final status")
    which = record.add_mutually_exclusive_group()
    which.add_argument("--investigation", metavar="ID", help="only this one")
    which.add_argument("--query", metavar="TEXT", help="start one, record it to its end")


def _verify(verify: argparse.ArgumentParser) -> None:
    verify.add_argument(
        "--clients",
        type=_whole(1, MOST_CLIENTS),
        default=4,
        metavar="N",
        help="that are cut, beside one that is not; 4",
    )
    verify.add_argument(
        "--investigations", type=_whole(1, MOST_INVESTIGATIONS), default=8, metavar="M", help="to start; 8"
    )
    verify.add_argument("--seconds", type=_number(3600.0), default=30.0, metavar="S", help="how long; 30")
    verify.add_argument(
        "--cuts-per-second", type=_number(MOST_CUTS, zero=True), default=1.0, metavar="C", help="over all clients; 1"
    )
    verify.add_argument("--transport", choices=(*TRANSPORTS, "all"), default="all", help="default: %(default)s")
    verify.add_argument("--seed", type=_whole(0, 2**53), metavar="K", help="of the cuts; random by default")
    verify.add_argument("--json", action="store_true", help="the report as one JSON object")


def _number(most: float, *, zero: bool = False) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (0 < value <= most or (zero and value == 0)):
            raise argparse.ArgumentTypeError(f"must be a number {'from' if zero else 'above'} 0 to {most:g}")
        return value

    return number


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
        return value

    return whole
