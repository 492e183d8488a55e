"""The table: what is measured, and what must be reached. Costs are processor time of the server."""

from collections.abc import Callable
from dataclasses import dataclass

from . import workloads
from .sample import Bound, Sample
from .workloads import Bench, Crowd


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `measure` makes one measurement."""

    name: str
    title: str
    unit: str
    measure: Callable[[Bench], Sample]
    bound: Bound | None = None


def _fan(subscribers: int, window: int, topics: int = 1, each: int = 1) -> Callable[[Bench], Sample]:
    def measured(bench: Bench) -> Sample:
        of_topics = topics if topics <= 10 else bench.count(topics)
        crowd = Crowd(bench.count(subscribers, of_topics), of_topics, each)
        return workloads.outstanding(bench, crowd, window)

    return measured


def _offered(deliveries: int) -> Callable[[Bench], Sample]:
    return lambda bench: workloads.offered(bench, Crowd(bench.count(1000)), deliveries)


ROWS = (
    Row("A", "1,000 subscribers, 16 events outstanding", "us", _fan(1000, 16), Bound(0.15)),
    Row("B", "5,000 subscribers, 16 events outstanding", "us", _fan(5000, 16), Bound(0.15)),
    Row("A1", "1,000 subscribers, 1 event outstanding", "us", _fan(1000, 1), Bound(1.15)),
    Row("D", "1,000 topics of 5 subscribers, 256 outstanding", "us", _fan(5000, 256, 1000), Bound(1.3)),
    Row("E10", "1,000 subscribers of 10 topics, 16 outstanding", "us", _fan(1000, 16, 10, 10), Bound(0.25)),
    Row("L50", "p99 at 50,000 deliveries/s", "ms", _offered(50_000)),
    Row("L150", "p99 at 150,000 deliveries/s", "ms", _offered(150_000), Bound(1.0)),
    Row("handshake", "handshake, token, welcome", "us", lambda b: workloads.handshakes(b, b.count(10_000)), Bound(1.2)),
    Row("ping", "ping to pong", "us", workloads.pings, Bound(1.25)),
    Row("idle", "memory, 10,000 connections", "KiB", lambda b: workloads.idle(b, b.count(10_000, 100)),
        Bound(10.0, "value")),
    Row("slow", "one slow reader among 1,000", "us", workloads.slow_reader, Bound(1.25)),
    Row("storm", "live p99, 1,000 replays of 1,000 events", "ms", workloads.storm, Bound(50.0, "value")),
    Row("deflate", "A compressed, over A plain", "us", workloads.compression, Bound(1.3)),
    Row("deflate-memory", "memory more when compressed", "KiB",
        lambda b: workloads.compressed_memory(b, b.count(5_000, 100)), Bound(1.0, "value")),
    Row("publish", "publish one by one", "events/s", lambda b: workloads.publishing(b, 1)),
    Row("lists", "lists of 100, over one by one", "events/s", workloads.lists, Bound(10.0, at_least=True)),
    Row("subscribers", "A1 from 100 to 10,000 subscribers", "us",
        lambda b: workloads.subscribers(b, (100, 300, 1000, 3000, 10_000)), Bound(1.25)),
    Row("topics", "publish, 10 to 100,000 topics", "us", lambda b: workloads.topics(b, (10, 1000, 100_000)),
        Bound(1.25)),
    Row("buffer", "publish, empty to full buffer", "us", workloads.full_buffer, Bound(1.25)),
    Row("rates", "p99 from 10,000 to 150,000 deliveries/s", "ms",
        lambda b: workloads.rates(b, (10_000, 25_000, 50_000, 100_000, 150_000))),
)  # fmt: skip
"""In the order in which they are measured and shown."""
