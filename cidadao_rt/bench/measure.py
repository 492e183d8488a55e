"""What a server costs and takes, from outside: `/proc` of Linux. And where this process runs."""

import gc
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .generator import Flow, Generator

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pids: Sequence[int]) -> list[int]:
    """These processes and all that descend from them."""
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Processor time of these processes and those that descend from them, user and system; what is gone has none."""
    total = 0
    for pid in family(pids):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def resident_bytes(pids: Sequence[int]) -> int:
    """Resident memory of these processes and those that descend from them."""
    total = 0
    for pid in family(pids):
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total


def processors() -> tuple[set[int], set[int]]:
    """One processor for the server, and the others for the generator; the same one where there is no other."""
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


def raise_open_files() -> int:
    """Allow as many open files as this process may; returns how many that are. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def settle(pids: Sequence[int], seconds: float = 6.0) -> None:
    """Wait until these do nothing, at most so long."""
    end = time.monotonic() + seconds
    while pids and time.monotonic() < end:
        before = cpu_seconds(pids)
        time.sleep(0.2)
        if cpu_seconds(pids) - before <= 1 / _TICKS:
            return


@dataclass(slots=True)
class Run:
    """One measurement. Latencies in milliseconds, utilisations as parts of one core, `us` of the server per delivery,
    and per event where nothing is delivered.

    `ok`: every connection stayed open, and each got exactly what was published to what it follows.
    """

    connections: int = 0
    published: int = 0
    delivered: int = 0
    seconds: float = 0.0
    events_per_second: float = 0.0
    us_per_event: float = 0.0
    deliveries_per_second: float = 0.0
    us: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    server: float = 0.0
    generator: float = 0.0
    wrong: int = 0
    ok: bool = False
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


class Meter:
    """The measured part of a run, between its making and `stop`. The collector of garbage rests meanwhile."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        gc.collect()
        gc.disable()
        generator.chunks.restart()
        self._delivered, self._answered = generator.delivered, generator.answered
        self._server, self._own = cpu_seconds(generator.target.pids), time.process_time()
        self._began = time.monotonic()
        self._since = time.monotonic_ns()

    def stop(self, *, fresh: bool = False) -> Run:
        """The end of the measured part. What is still to come is not waited for.

        `fresh`: latencies of what was due before the measured part, as a replay's are, do not count.
        """
        generator = self._generator
        seconds = time.monotonic() - self._began
        server = cpu_seconds(generator.target.pids) - self._server
        own = time.process_time() - self._own
        gc.enable()
        delivered = generator.delivered - self._delivered
        events = generator.answered - self._answered
        latencies = generator.chunks.latencies(self._since if fresh else 0)
        return Run(
            connections=len(generator.subscribers),
            published=events,
            delivered=delivered,
            seconds=round(seconds, 3),
            events_per_second=round(events / seconds, 1),
            deliveries_per_second=round(delivered / seconds, 1),
            us_per_event=round(server * 1e6 / events, 3) if events else 0.0,
            us=round(server * 1e6 / delivered, 3) if delivered else 0.0,
            p50=percentile(latencies, 0.5),
            p90=percentile(latencies, 0.9),
            p99=percentile(latencies, 0.99),
            max=percentile(latencies, 1.0),
            server=round(server / seconds, 3),
            generator=round(own / seconds, 3),
        )


def percentile(latencies: list[int], part: float) -> float:
    """Of sorted nanoseconds, in milliseconds; 0 of none."""
    if not latencies:
        return 0.0
    return round(latencies[min(len(latencies) - 1, int(len(latencies) * part))] / 1e6, 3)


def judge(generator: Generator, run: Run, *, drain_seconds: float = 10.0) -> Run:
    """Publish no more, wait for what is owed, and say whether all was right."""
    generator.drain(drain_seconds)
    # One event too many comes after the last one that is owed.
    generator.run(0.05)
    wrong = generator.wrong()
    run.wrong = len(wrong)
    run.faults = list(generator.faults)
    run.ok = not wrong and not generator.faulty and generator.outstanding == 0 and generator.unanswered == 0
    return run


def measure(
    generator: Generator, flow: Flow | None, *, warm: float, seconds: float, drain_seconds: float = 10.0
) -> Run:
    """Publish as `flow` says (None: echo), and measure after `warm` seconds for `seconds`."""
    generator.flow = flow
    if flow is None:
        generator.echo()
    generator.run(warm)
    meter = Meter(generator)
    generator.run(seconds)
    run = meter.stop()
    if not run.published and not run.delivered:
        generator.fault("nothing was published or delivered while it was measured")
    return judge(generator, run, drain_seconds=drain_seconds)
