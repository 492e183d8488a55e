"""What is measured beside plain fan-out (`fan`): each function is one measurement of one row, on servers of its own."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from . import gateway, server
from .generator import FALLS_BEHIND, Connection, Flow, Generator, Rate, Window
from .measure import Meter, Run, cpu_seconds, judge, measure, resident_bytes, settle
from .sample import Sample
from .server import Server
from .target import Target

IDLE_SECONDS = 1.0
"""How long connections are left alone before memory is looked at."""


@dataclass(slots=True)
class Bench:
    """How large, how long, and where. `running` is a gateway that somebody else started."""

    scale: float = 1.0
    warm: float = 0.5
    seconds: float = 2.0
    cpus: set[int] | None = None
    running: Server | None = None

    def count(self, full: int, least: int = 10) -> int:
        """So many connections or topics at this scale."""
        return min(full, max(least, round(full * self.scale)))

    @property
    def has_floor(self) -> bool:
        """Whether there is something to hold a gateway against: not one that runs on another machine."""
        return self.running is None or bool(self.running.pids)

    @contextmanager
    def gateway(self, **settings: str) -> Iterator[Server]:
        """A gateway with these keys (`section__key`); one that runs already is taken as it is."""
        if self.running is not None:
            settle(self.running.pids)
            yield self.running
            return
        named: Mapping[str, str] = {key.replace("__", "."): value for key, value in settings.items()}
        with server.gateway(named, cpus=self.cpus) as started:
            yield started

    @contextmanager
    def bare(self) -> Iterator[Server]:
        """The bare loop."""
        with server.bare(cpus=self.cpus) as started:
            yield started


@dataclass(frozen=True, slots=True)
class Crowd:
    """Subscribers and topics: with `each` topics a connection, neighbours share them; 1 deals them out in turn."""

    subscribers: int
    topics: int = 1
    each: int = 1

    def follows(self, number: int) -> Sequence[int]:
        """See `gateway.Follows`."""
        first = number * self.each % self.topics
        return range(first, first + self.each)


def driven(bench: Bench, target: Target, crowd: Crowd, flow: Flow) -> Run:
    """Open a crowd, publish, measure."""
    with Generator(target) as load:
        load.topics = crowd.topics
        load.open(crowd.subscribers, follows=crowd.follows)
        load.open_publishers()
        settle(target.pids)
        return measure(load, flow, warm=bench.warm, seconds=bench.seconds)


def gateway_run(bench: Bench, crowd: Crowd, flow: Flow, *, batch: int, deflate: bool = False) -> Run:
    """The same on a gateway of its own."""
    with bench.gateway() as running:
        gateway.begin(running, crowd.topics)
        return driven(bench, gateway.target(running, crowd.follows, batch=batch, deflate=deflate), crowd, flow)


def bare_run(bench: Bench, crowd: Crowd, flow: Flow) -> Run:
    """The same on the bare loop."""
    with bench.bare() as running:
        return driven(bench, gateway.bare_target(running, crowd.follows), crowd, flow)


def outstanding(bench: Bench, crowd: Crowd, window: int) -> Sample:
    """Cost per delivery with so many events outstanding; where there are several, in lists."""
    runs = {"gateway": gateway_run(bench, crowd, Window(window), batch=min(window, 256))}
    if bench.has_floor:
        runs["floor"] = bare_run(bench, crowd, Window(window))
    return _costs(runs)


def offered(bench: Bench, crowd: Crowd, deliveries: int) -> Sample:
    """p99 latency, in ms, where so many deliveries a second are offered, whatever happens."""
    per_second = deliveries / crowd.subscribers * bench.scale
    runs = {"gateway": gateway_run(bench, crowd, Rate(per_second), batch=1)}
    if bench.has_floor:
        runs["floor"] = bare_run(bench, crowd, Rate(per_second))
    sample = Sample(runs["gateway"].p99, runs["floor"].p99 if "floor" in runs else None, runs=runs)
    # A floor that falls behind is no fault of the gateway's; its latency tells. One that loses something is no floor.
    sample.faults = [fault for fault in sample.faults if fault != f"floor: {FALLS_BEHIND}"]
    return sample


def rates(bench: Bench, deliveries: Sequence[int]) -> Sample:
    """p99 latency at the highest of these rates; percentiles over all of them for the plot."""
    crowd = Crowd(bench.count(1000))
    sample = Sample()
    for rate in deliveries:
        run = gateway_run(bench, crowd, Rate(rate / crowd.subscribers * bench.scale), batch=1)
        sample.points.append({"x": rate * bench.scale, "p50": run.p50, "p90": run.p90, "p99": run.p99})
        sample.runs[f"{rate}"] = run
        sample.value = run.p99
    sample.conclude()
    return sample


def subscribers(bench: Bench, counts: Sequence[int]) -> Sample:
    """How much the dearest of these crowds costs a delivery over the cheapest; each for the plot."""
    sample = Sample()
    for count in dict.fromkeys(bench.count(count) for count in counts):
        one = outstanding(bench, Crowd(count), 1)
        if one.value is not None:
            sample.points.append({"x": count, "gateway": one.value, "floor": one.floor or 0.0})
        sample.runs.update({f"{name} {count}": run for name, run in one.runs.items()})
    costs = [point["gateway"] for point in sample.points]
    if costs and min(costs) > 0:
        sample.value = costs[-1]
        sample.ratio = max(costs) / min(costs)
    sample.conclude()
    return sample


def handshakes(bench: Bench, count: int) -> Sample:
    """Processor time of a handshake in us: its token checked, the connection registered, the welcome written."""
    with bench.gateway() as running:
        value, faults = _opened(gateway.target(running), count)
    floor = None
    if bench.has_floor:
        with bench.bare() as running:
            floor, more = _opened(gateway.bare_target(running, checks=True), count)
            faults += more
    return Sample(value, floor, faults=faults)


def _opened(target: Target, count: int) -> tuple[float | None, list[str]]:
    # The tokens are made before, so that they do not slow down the opening.
    paths = [target.path(number) for number in range(count)]
    with Generator(target) as load:
        before = cpu_seconds(target.pids)
        load.open(count, path=paths.__getitem__)
        spent = cpu_seconds(target.pids) - before
        return (spent * 1e6 / count if target.pids else None), list(load.faults)


def pings(bench: Bench) -> Sample:
    """Processor time from a `ping` to its `pong` in us; 100 connections with one on its way each."""
    count = bench.count(100)
    runs = {}
    # More than anybody sends: what a message is counted for stays.
    with bench.gateway(limits__messages_per_minute="100000000") as running:
        runs["gateway"] = _echoed(bench, gateway.target(running), count)
    if bench.has_floor:
        with bench.bare() as running:
            runs["floor"] = _echoed(bench, gateway.bare_target(running), count)
    return _costs(runs)


def _echoed(bench: Bench, target: Target, count: int) -> Run:
    with Generator(target, echo=True) as load:
        load.open(count)
        settle(target.pids)
        return measure(load, None, warm=bench.warm, seconds=bench.seconds)


def idle(bench: Bench, count: int, *, deflate: bool = False) -> Sample:
    """Resident memory of a connection that follows a topic, in KiB; at steps for the plot."""
    sample = Sample()
    if not bench.has_floor:
        return sample
    steps = [round(count * part) for part in (0.1, 0.25, 0.5, 1.0)]
    crowd = Crowd(count)
    with bench.gateway() as running:
        gateway.begin(running, 1)
        ours = _held(gateway.target(running, crowd.follows, deflate=deflate), crowd, steps, sample.faults)
    with bench.bare() as running:
        floor = _held(gateway.bare_target(running, crowd.follows), crowd, steps, sample.faults)
    sample.points = [
        {"x": step, "gateway": a * step / 1024, "floor": b * step / 1024}
        for step, a, b in zip(steps, ours, floor, strict=True)
    ]
    sample.value, sample.floor = ours[-1], floor[-1]
    sample.conclude()
    return sample


def _held(target: Target, crowd: Crowd, steps: Sequence[int], faults: list[str]) -> list[float]:
    """KiB a connection, at each of these counts."""
    found = []
    with Generator(target) as load:
        # What the first connections make the process load is not theirs alone.
        load.drop(load.open(10, follows=crowd.follows))
        settle(target.pids)
        before = resident_bytes(target.pids)
        for step in steps:
            load.open(step - len(load.subscribers), follows=crowd.follows)
            load.run(IDLE_SECONDS * min(1.0, step / 1000))
            found.append((resident_bytes(target.pids) - before) / 1024 / step)
        faults += load.faults
    return found


def slow_reader(bench: Bench) -> Sample:
    """Cost per delivery where one of a thousand reads nothing, over that where all do; afterwards it gets all."""
    crowd = Crowd(bench.count(1000))
    # So much room that the one is not turned out for what it has yet to read.
    with bench.gateway(buffer__events_per_topic="100000", buffer__bytes_per_topic=str(1 << 26)) as running:
        gateway.begin(running, 1)
        target = gateway.target(running, crowd.follows, batch=16)
        with Generator(target) as load:
            load.open(crowd.subscribers, follows=crowd.follows)
            load.open_publishers()
            settle(target.pids)
            before = measure(load, Window(16), warm=bench.warm, seconds=bench.seconds)
            slow = load.subscribers[len(load.subscribers) // 2]
            load.pause(slow)
            during = measure(load, Window(16), warm=bench.warm, seconds=bench.seconds)
            load.resume(slow)
            after = judge(load, Run())
    value = during.us if target.pids else during.p99
    return Sample(value, before.us if target.pids else before.p99, runs={"slow": during, "all": before, "after": after})


def storm(bench: Bench) -> Sample:
    """p99 in ms of live events, while many clients come back at once and are each replayed what they missed."""
    clients, missed = bench.count(1000), bench.count(1000)
    with bench.gateway(buffer__replay_events="10000") as running:
        gateway.begin(running, 2)
        target = gateway.target(running, lambda _: (1,), batch=100)
        with Generator(target) as load:
            away = load.open(clients, follows=lambda _: (1,))
            load.open_publishers()
            since = load.sent((1,))
            paths = _returning(running, away)
            load.drop(away)
            # The live ones are other users than those who come back.
            live = gateway.path(running, lambda _: (0,))
            load.open(bench.count(100), follows=lambda _: (0,), path=lambda n: live(n + clients))
            load.publish(missed, topic=1)
            settle(target.pids)
            load.flow = Rate(50)
            load.run(bench.warm)
            meter = Meter(load)
            first = len(load.subscribers)
            for one in load.open(clients, follows=lambda _: (1,), path=lambda n: paths[n - first]):
                load.owe(one, since, missed)
            end = time.monotonic() + 60.0
            while load.outstanding > 10 * bench.count(100) and time.monotonic() < end:
                load.run(0.01)
            load.run(bench.seconds / 4)
            run = meter.stop(fresh=True)
            if not run.p99:
                load.fault("no live event came meanwhile")
            run = judge(load, run, drain_seconds=30.0)
    return Sample(run.p99, runs={"gateway": run})


def _returning(running: Server, away: Sequence[Connection]) -> list[str]:
    """Where each comes back to, with its session and where that began. A session knows what it follows."""

    def session(number: int) -> str:
        welcome = json.loads(away[number].greeting)
        return f"&session_id={welcome['data']['session_id']}&last_event_id={welcome['id']}"

    path = gateway.path(running, lambda _: (1,), session)
    return [path(number) for number in range(len(away))]


def publishing(bench: Bench, batch: int) -> Sample:
    """Events a second that the gateway takes over HTTP from one connection at a time, and one subscriber gets."""
    crowd = Crowd(1)
    run = gateway_run(bench, crowd, Window(4 * batch if batch > 1 else 1), batch=batch)
    return Sample(run.events_per_second, runs={"gateway": run})


def lists(bench: Bench) -> Sample:
    """Events a second in lists of 100, over those one by one."""
    many, single = publishing(bench, 100), publishing(bench, 1)
    return Sample(many.value, single.value, runs={"lists": many.runs["gateway"], "single": single.runs["gateway"]})


def compression(bench: Bench) -> Sample:
    """Cost per delivery compressed, over that of the same uncompressed."""
    crowd = Crowd(bench.count(1000))
    runs = {
        "compressed": gateway_run(bench, crowd, Window(16), batch=16, deflate=True),
        "plain": gateway_run(bench, crowd, Window(16), batch=16),
    }
    return Sample(runs["compressed"].us or None, runs["plain"].us or None, runs=runs)


def compressed_memory(bench: Bench, count: int) -> Sample:
    """KiB that a connection takes more where it is compressed."""
    with_, without = idle(bench, count, deflate=True), idle(bench, count)
    value = with_.value - without.value if with_.value is not None and without.value is not None else None
    return Sample(value, faults=with_.faults + without.faults)


def topics(bench: Bench, counts: Sequence[int]) -> Sample:
    """Processor time of an event published where the most of these topics are, in us, over the fewest."""
    sample = Sample()
    costs = []
    for count in dict.fromkeys(bench.count(count) for count in counts):
        run = gateway_run(bench, Crowd(0, count), Window(100), batch=100)
        sample.runs[f"{count}"] = run
        sample.points.append({"x": count, "us": run.us_per_event})
        costs.append(run.us_per_event)
    return _growth(sample, costs)


def full_buffer(bench: Bench) -> Sample:
    """Processor time of an event published to a full buffer, in us, over that to an empty one."""
    kept = round((32 << 20) * bench.scale)
    crowd = Crowd(0, 100)
    sample = Sample()
    with bench.gateway(buffer__total_bytes=str(kept)) as running:
        gateway.begin(running, crowd.topics)
        target = gateway.target(running, batch=100)
        with Generator(target) as load:
            load.topics = crowd.topics
            load.open_publishers()
            settle(target.pids)
            sample.runs["empty"] = measure(load, Window(100), warm=0.1, seconds=bench.seconds / 2)
            # An event takes no less than its frame.
            load.publish(kept // gateway.FRAME_BYTES)
            settle(target.pids)
            sample.runs["full"] = measure(load, Window(100), warm=0.1, seconds=bench.seconds)
    return _growth(sample, [sample.runs["empty"].us_per_event, sample.runs["full"].us_per_event])


def _growth(sample: Sample, costs: list[float]) -> Sample:
    if min(costs) > 0:
        sample.value, sample.floor = costs[-1], costs[0]
    sample.conclude()
    return sample


def _costs(runs: dict[str, Run]) -> Sample:
    us = {name: run.us or None for name, run in runs.items()}
    return Sample(us.get("gateway"), us.get("floor"), runs=runs)
