"""The document's four metrics, by their exact names, on a registry of our own.

Source: the API document, "Métricas WebSocket"; PROTOCOL 11 "Metrics".
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from ..words.errors import ErrorCode
from ..words.events import SERVER_TYPES
from ..words.messages import CLIENT_TYPES

_KNOWN = SERVER_TYPES | CLIENT_TYPES
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Messages(Collector):
    """Messages by (direction, type, transport), added up in a plain dict.

    A message sent to a thousand clients is counted once, but a message to each of a thousand topics is counted a
    thousand times, and the library's own counter costs more than such a message does.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str], int] = {}

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "cidadao_ai_websocket_messages",
            "Messages received (in) and sent (out)",
            labels=["direction", "type", "transport"],
        )
        for labels, count in self.counts.items():
            family.add_metric(labels, count)
        yield family


class _Durations(Collector):
    """A histogram of seconds, without the library's lock for each of them."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(_BUCKETS, seconds)] += 1
        self._sum += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        names = [*(str(bound) for bound in _BUCKETS), "+Inf"]
        yield HistogramMetricFamily(
            "cidadao_ai_websocket_message_duration_seconds",
            "Seconds from a client's message to its last direct answer",
            buckets=list(zip(names, accumulate(self._counts), strict=True)),
            sum_value=self._sum,
        )


class Metrics:
    """Counts. Labels are few and bounded: a type that is not ours counts as `other`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._connections = Gauge(
            "cidadao_ai_websocket_connections_active", "Open connections", ["transport"], registry=self.registry
        )
        self._messages = _Messages()
        self.registry.register(self._messages)
        self._errors = Counter(
            "cidadao_ai_websocket_errors_total", "Errors answered, by code", ["code"], registry=self.registry
        )
        self._durations = _Durations()
        self.registry.register(self._durations)
        for code in ErrorCode:
            self._errors.labels(code.value)
        self.response_time = 0.0
        self.opened("websocket", 0)

    def opened(self, transport: str, count: int = 1) -> None:
        """A connection began."""
        self._connections.labels(transport).inc(count)

    def closed(self, transport: str) -> None:
        """A connection ended."""
        self._connections.labels(transport).dec()

    def received(self, type_: str, transport: str) -> None:
        """A client's message came in."""
        self._count("in", type_, transport, 1)

    def sent(self, type_: str, transport: str, count: int = 1) -> None:
        """A message went out to `count` connections."""
        self._count("out", type_, transport, count)

    def error(self, code: str) -> None:
        """An error was answered, or a connection refused for it."""
        self._errors.labels(code).inc()

    def answered(self, seconds: float) -> None:
        """A client's message has had its last direct answer."""
        self._durations.observe(seconds)
        # An exponential mean over about the last 20 messages, for `metrics_update`.
        self.response_time += (seconds - self.response_time) / 20

    def _count(self, direction: str, type_: str, transport: str, count: int) -> None:
        counts = self._messages.counts
        key = (direction, type_ if type_ in _KNOWN else "other", transport)
        counts[key] = counts.get(key, 0) + count
