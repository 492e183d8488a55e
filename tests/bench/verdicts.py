"""From runs to medians, and from medians to what was to be reached."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from trial import Row

FLOOR = "floor"
GATEWAY = "gateway"

MEASURES = ("us", "p50", "p99", "handshake_us", "idle_kib")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some runs and their extremes; `whole`: how many of `runs` delivered everything."""

    median: float
    least: float
    most: float
    runs: int
    whole: int


Summary = dict[tuple[str, str, str], Spread]
"""By peer, workload and measure."""


def summarize(rows: Iterable[Row]) -> Summary:
    """The spreads of all that was measured. Runs that delivered too little count too, and are told by `whole`."""
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    whole: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in rows:
        for measure in MEASURES:
            if row.get(measure):
                key = (row["peer"], row["workload"], measure)
                values[key].append(row[measure])
                whole[key] += bool(row["ok"])
    return {key: Spread(median(some), min(some), max(some), len(some), whole[key]) for key, some in values.items()}


@dataclass(frozen=True, slots=True)
class Aim:
    """The gateway's measure of a workload, as a part of a peer's (None: itself), is at most `most`."""

    work: str
    workload: str
    measure: str
    peer: str | None
    most: float
    against: str = ""
    """The peer's workload where it is another one."""

    faster: bool = False
    """Whether it is told as a factor by which the gateway is faster, at least 1/`most`."""


AIMS = (
    Aim("A: many events outstanding", "A", "us", "uws", 1.15),
    Aim("B: many events outstanding, 5,000 subscribers", "B", "us", "uws", 1.15),
    Aim("A1: one event outstanding", "A1", "us", FLOOR, 1.15),
    Aim("D: 1,000 topics of 5", "D", "us", FLOOR, 1.3),
    Aim("D, ahead of uWebSockets", "D", "us", "uws", 1.0),
    Aim("D, ahead of Nchan", "D", "us", "nchan", 1.0),
    Aim("D, ahead of Node ws", "D", "us", "ws", 1.0),
    Aim("E10: 10 topics each, 16 outstanding", "E10", "us", FLOOR, 0.25),
    Aim("p99 at 150,000 deliveries/s", "L150", "p99", FLOOR, 1.0),
    Aim("p99 at 50,000 deliveries/s", "L50", "p99", "ws", 1.0),
    Aim("handshake, with token and welcome", "idle", "handshake_us", "aiohttp-token", 1.2),
    Aim("`ping` to `pong`", "echo", "us", "aiohttp", 1.25),
    Aim("idle memory, KiB a connection", "idle", "idle_kib", None, 10.0),
    Aim("publish, one event a request", "publish", "us", "socketio", 1 / 3, faster=True),
    Aim("publish, lists of 100 against one by one", "publish100", "us", GATEWAY, 1 / 10, "publish", faster=True),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`verdict` is "reached", "missed" or "not measured"; `detail` says why where it is not the ratio."""

    aim: Aim
    verdict: str
    ratio: float | None
    detail: str = ""


def judge(summary: Mapping[tuple[str, str, str], Spread], aims: Iterable[Aim] = AIMS) -> list[Verdict]:
    """Each aim and whether it is reached. A gateway that lost a delivery in any run has not reached it."""
    return [_judge(summary, aim) for aim in aims]


def _judge(summary: Mapping[tuple[str, str, str], Spread], aim: Aim) -> Verdict:
    ours = summary.get((GATEWAY, aim.workload, aim.measure))
    if ours is None:
        return Verdict(aim, "not measured", None, GATEWAY)
    if aim.peer is None:
        ratio = ours.median
    else:
        theirs = summary.get((aim.peer, aim.against or aim.workload, aim.measure))
        if theirs is None:
            return Verdict(aim, "not measured", None, aim.peer)
        ratio = ours.median / theirs.median
    if ours.whole < ours.runs:
        return Verdict(aim, "missed", ratio, f"not everything was delivered in {ours.runs - ours.whole} of {ours.runs}")
    return Verdict(aim, "reached" if ratio <= aim.most else "missed", ratio)
