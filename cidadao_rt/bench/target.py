"""What the generator is pointed at: where it connects, what it says, and how it publishes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .payload import MARKER
from .wire import frame, post

DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
"""An offer that lets a server compress once for all (RFC 7692 section 7.1.1)."""

Published = tuple[int, bytes]
"""A topic's number and a payload."""


class Publisher(Protocol):
    """How events get to the server. `batch`: the most events that one request carries.

    `path` is that of a WebSocket to publish on, or None: then requests are HTTP, and one is answered before the next.
    """

    connections: int
    batch: int
    path: str | None

    def request(self, events: Sequence[Published]) -> bytes:
        """The bytes to send."""
        ...


@dataclass(slots=True)
class WebSocketPublisher:
    """A frame an event, without waiting. In `template` stand `{topic}`, `{length}` and `{payload}`."""

    path: str | None = "/pub"
    template: bytes = b"{topic}{payload}"
    topic: str = "%04d"
    binary: bool = False
    connections: int = 1
    batch: int = 1

    def request(self, events: Sequence[Published]) -> bytes:
        """See `Publisher`."""
        return b"".join(frame(self._fill(*event), binary=self.binary) for event in events)

    def _fill(self, topic: int, payload: bytes) -> bytes:
        filled = self.template.replace(b"{topic}", (self.topic % topic).encode())
        return filled.replace(b"{length}", b"%d" % len(payload)).replace(b"{payload}", payload)


@dataclass(slots=True)
class PathPublisher:
    """A POST of the payload to a path of the topic."""

    topic_path: str = "/pub/%04d"
    connections: int = 16
    batch: int = 1
    path: str | None = None

    def request(self, events: Sequence[Published]) -> bytes:
        """See `Publisher`."""
        ((topic, payload),) = events
        return post(self.topic_path % topic, payload)


@dataclass(slots=True)
class ApiPublisher:
    """`POST /api/v1/events`, one event or a list. Each request takes the next token, since a publisher has a limit."""

    tokens: Sequence[str] = field(repr=False)
    investigation: Callable[[int], str] = "bench-{:06d}".format
    type: str = "bench_event"
    owner: str | None = None
    connections: int = 1
    batch: int = 1
    path: str | None = None
    _turn: int = 0

    def request(self, events: Sequence[Published]) -> bytes:
        """See `Publisher`."""
        token = self.tokens[self._turn % len(self.tokens)]
        self._turn += 1
        owner = b',"owner":"%s"' % self.owner.encode() if self.owner else b""
        bodies = [
            b'{"to":{"investigation_id":"%s"%s},"type":"%s","data":%s}'
            % (self.investigation(topic).encode(), owner, self.type.encode(), payload)
            for topic, payload in events
        ]
        body = bodies[0] if self.batch == 1 else b"[" + b",".join(bodies) + b"]"
        return post("/api/v1/events", body, f"Authorization: Bearer {token}\r\n")


def _path(_: int) -> str:
    return "/ws"


def _nothing(_: int) -> str:
    return ""


def _no_message(_: int) -> bytes:
    return b""


@dataclass(slots=True)
class Target:
    """A server. The functions take a connection's number, from 0.

    `path` is its request target, `headers` further header lines, each with its CRLF; `first` is sent once it is open
    ("" : nothing). With a `greeting`, a connection is open only when a frame that holds it came. `deflate` is offered
    as `Sec-WebSocket-Extensions`. `ping` makes the message of an echo from a stamp, which comes back after
    `ping_marker`.
    """

    host: str
    port: int
    path: Callable[[int], str] = _path
    headers: Callable[[int], str] = _nothing
    first: Callable[[int], bytes] = _no_message
    greeting: bytes = b""
    marker: bytes = MARKER
    publisher: Publisher = field(default_factory=WebSocketPublisher)
    payload_bytes: int = 300
    ping: Callable[[bytes], bytes] = (b'{"t":"' + b"%s" + b'"}').__mod__
    ping_marker: bytes = MARKER
    binary: bool = False
    deflate: str = ""
    pids: Sequence[int] = ()
