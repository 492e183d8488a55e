"""The document's four metrics, by their exact names, on a registry of our own.

Source: the API document, "Métricas WebSocket"; PROTOCOL 11 "Metrics".
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..words.errors import ErrorCode
from ..words.events import SERVER_TYPES
from ..words.messages import CLIENT_TYPES

_KNOWN = SERVER_TYPES | CLIENT_TYPES
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts. Labels are few and bounded: a type that is not ours counts as `other`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._connections = Gauge(
            "cidadao_ai_websocket_connections_active", "Open connections", ["transport"], registry=self.registry
        )
        self._messages = Counter(
            "cidadao_ai_websocket_messages_total",
            "Messages received (in) and sent (out)",
            ["direction", "type", "transport"],
            registry=self.registry,
        )
        self._errors = Counter(
            "cidadao_ai_websocket_errors_total", "Errors answered, by code", ["code"], registry=self.registry
        )
        self._duration = Histogram(
            "cidadao_ai_websocket_message_duration_seconds",
            "Seconds from a client's message to its last direct answer",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        # Children are looked up once: `labels()` costs more than counting does.
        self._cache: dict[tuple[str, str, str], Counter] = {}
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
        self._message("in", type_, transport).inc()

    def sent(self, type_: str, transport: str, count: int = 1) -> None:
        """A message went out to `count` connections."""
        self._message("out", type_, transport).inc(count)

    def error(self, code: str) -> None:
        """An error was answered, or a connection refused for it."""
        self._errors.labels(code).inc()

    def answered(self, seconds: float) -> None:
        """A client's message has had its last direct answer."""
        self._duration.observe(seconds)
        # An exponential mean over about the last 20 messages, for `metrics_update`.
        self.response_time += (seconds - self.response_time) / 20

    def _message(self, direction: str, type_: str, transport: str) -> Counter:
        if type_ not in _KNOWN:
            type_ = "other"
        key = (direction, type_, transport)
        child = self._cache.get(key)
        if child is None:
            child = self._cache[key] = self._messages.labels(*key)
        return child
