"""The peers: what each is, how it is started, and how the load generator speaks to it."""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from getpass import getuser
from pathlib import Path
from urllib.request import Request, urlopen

from install import SERVERS, Cache
from workloads import Workload

from cidadao_rt.bench.target import ApiPublisher, PathPublisher, Published, Publisher, Target
from cidadao_rt.bench.wire import frame
from cidadao_rt.words.tokens import mint

HOST = "127.0.0.1"
SECRET = secrets.token_urlsafe(64)
"""Of this comparison alone: it goes to the servers that it starts, and signs the tokens of its clients."""

TOKEN_SECONDS = 86400.0
OWNER = "owner"
_WELCOME = b'"connection_established"'
PUBLISHERS = 400
"""A publisher may send 1,000 events a second; so many share what the heaviest workload publishes."""

Launch = tuple[Sequence[str | Path], Mapping[str, str]]
"""A command, and what is added to its environment."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to be measured.

    `launch` gets the cache, a port and a folder for its files; it raises `Unavailable` where the peer cannot be
    installed. `target` is how the generator speaks to it under a workload, and `prepare` makes what that needs, before
    the first connection. `workloads`: the only ones it can run (empty:
    all but those of `without`). `ready` sees to what has to be installed, and raises the same.
    """

    name: str
    title: str
    launch: Callable[[Cache, int, Path], Launch]
    target: Callable[[int, Workload], Target]
    prepare: Callable[[int, Workload], None] = lambda _port, _workload: None
    workloads: frozenset[str] = field(default_factory=frozenset)
    without: frozenset[str] = frozenset({"E10", "publish", "publish100"})
    ready: Callable[[Cache], object] = lambda _: None

    def runs(self, workload: str) -> bool:
        """Whether the workload is one for this peer."""
        return workload in self.workloads if self.workloads else workload not in self.without


def _path(workload: Workload) -> Callable[[int], str]:
    return lambda number: "/ws?t=" + ",".join(f"{topic:04d}" for topic in workload.topics_of(number))


def _plain(port: int, workload: Workload) -> Target:
    return Target(HOST, port, path=_path(workload))


# --- what speaks WebSocket and nothing else


def _floor(*arguments: str) -> Callable[[Cache, int, Path], Launch]:
    return lambda cache, port, _: ([cache.floor(), str(port), *arguments], {})


def _own_python(file: str, *arguments: str) -> Callable[[Cache, int, Path], Launch]:
    return lambda _cache, port, _: ([sys.executable, SERVERS / file, str(port), *arguments], {})


def _python(file: str) -> Callable[[Cache, int, Path], Launch]:
    return lambda cache, port, _: ([cache.python(), SERVERS / file, str(port)], {})


def _node(cache: Cache, port: int, _: Path) -> Launch:
    return ["node", SERVERS / "ws.js", str(port)], {"NODE_PATH": str(cache.node())}


# --- Nchan


def _nchan(cache: Cache, port: int, folder: Path) -> Launch:
    nginx, modules = cache.nchan()
    text = (SERVERS / "nchan.conf").read_text()
    for name, value in (("PORT", str(port)), ("MODULES", str(modules)), ("USER", getuser())):
        text = text.replace(f"@{name}@", value)
    (folder / "nchan.conf").write_text(text)
    return [nginx, "-p", folder, "-e", "stderr", "-c", folder / "nchan.conf"], {}


def _nchan_target(port: int, workload: Workload) -> Target:
    if workload.kind == "echo":
        return Target(HOST, port, path="/echo?t={:04d}".format)
    connections = 64 if workload.topics > 100 else 16
    return Target(HOST, port, path=_path(workload), publisher=PathPublisher(connections=connections))


# --- Socket.IO: Engine.IO's and Socket.IO's packet types stand before the JSON


_SOCKETIO = "/socket.io/?EIO=4&transport=websocket&t={:04d}".format
_NOBODY = 9999


@dataclass(slots=True)
class SocketIoPublisher:
    """An event `pub` for each, on a connection that joins the namespace with its first packet."""

    connections: int = 1
    batch: int = 1
    path: str | None = _SOCKETIO(_NOBODY)
    _joined: bool = False

    def request(self, events: Sequence[Published]) -> bytes:
        """See `Publisher`."""
        packets = [b"" if self._joined else frame(b"40")]
        self._joined = True
        packets += [frame(b'42["pub","%04d",%s]' % event) for event in events]
        return b"".join(packets)


def _socketio_target(port: int, workload: Workload) -> Target:
    return Target(
        HOST,
        port,
        path=lambda number: _SOCKETIO(number % workload.topics),
        first=lambda _: b"40",
        ping=lambda stamp: b'42["echo",{"t":"' + stamp + b'"}]',
        publisher=SocketIoPublisher(),
    )


# --- the gateway and the bare server that checks tokens


def _token(sub: str, *, roles: Sequence[str] = (), investigations: Sequence[str] = ()) -> str:
    return mint(SECRET, sub=sub, issued_at=time.time(), ttl=TOKEN_SECONDS, roles=roles, investigations=investigations)


def _investigation(topic: int) -> str:
    return f"topic-{topic:04d}"


def _followed(workload: Workload, number: int) -> list[str]:
    return [_investigation(topic) for topic in workload.topics_of(number)]


def _with_token(workload: Workload) -> Callable[[int], str]:
    """Distinct users, whose tokens grant what the workload follows; made before the clock runs."""
    paths = [
        f"/ws?token={_token(f'user-{number}', investigations=_followed(workload, number))}"
        for number in range(workload.connections)
    ]
    return paths.__getitem__


def _gateway(_: Cache, port: int, folder: Path) -> Launch:
    limits = {
        "max_connections": 100_000,
        "connections_per_address": 100_000,
        "handshakes_per_second": 100_000,
        "messages_per_minute": 100_000_000,
    }
    # Only what bounds one machine's clients is lifted; every check is still made.
    settings = [f"--set=limits.{name}={value}" for name, value in limits.items()]
    (folder / "config.toml").write_text("")
    command = [sys.executable, "-m", "cidadao_rt", "serve", "--config", folder / "config.toml", "--port", str(port)]
    return [*command, "--set=log.level=warning", *settings], {"CIDADAO_RT_AUTH__JWT_SECRETS": json.dumps([SECRET])}


def _prepare_gateway(port: int, workload: Workload) -> None:
    """Nobody may follow an investigation that does not exist: publish an event of each."""
    events = [
        {"to": {"investigation_id": _investigation(topic), "owner": OWNER}, "type": "bench_begin", "data": {}}
        for topic in range(workload.topics)
    ]
    headers = {"Authorization": f"Bearer {_token('preparer', roles=['service'])}", "Content-Type": "application/json"}
    request = Request(f"http://{HOST}:{port}/api/v1/events", json.dumps(events).encode(), headers)
    with urlopen(request, timeout=30) as response:
        response.read()


def _subscribing(workload: Workload) -> Callable[[int], bytes]:
    # What a token grants is not one's own: a connection of the default type has to name it.
    def first(number: int) -> bytes:
        return json.dumps({"type": "subscribe", "data": {"investigation_ids": _followed(workload, number)}}).encode()

    return first


def _gateway_publisher(workload: Workload) -> Publisher:
    """Lists where events are outstanding, since that is what the API offers; else a POST for each."""
    tokens = [_token(f"publisher-{number}", roles=["service"]) for number in range(PUBLISHERS)]
    lists = workload.lists and workload.outstanding > 1
    connections = 1 if lists or workload.outstanding == 1 else 64 if workload.topics > 100 else 16
    batch = workload.outstanding if lists else 1
    return ApiPublisher(tokens, _investigation, owner=OWNER, batch=batch, connections=connections)


def _gateway_target(port: int, workload: Workload) -> Target:
    follows = workload.kind == "fan"
    return Target(
        HOST,
        port,
        path=_with_token(workload),
        first=_subscribing(workload) if follows else lambda _: b"",
        greeting=_WELCOME,
        ping=lambda stamp: b'{"type":"ping","data":{},"correlation_id":"' + stamp + b'"}',
        ping_marker=b'"correlation_id":"',
        publisher=_gateway_publisher(workload),
    )


def _gateway_single_target(port: int, workload: Workload) -> Target:
    return _gateway_target(port, replace(workload, lists=False))


def _checked_target(port: int, workload: Workload) -> Target:
    return Target(HOST, port, path=_with_token(workload))


_FAN = frozenset({"A", "B", "D", "E10"})
_PUBLISHING = frozenset({"publish", "publish100"})

PEERS = {
    one.name: one
    for one in (
        Peer("floor", "C, one `send` per delivery", _floor(), _plain, without=_PUBLISHING, ready=Cache.floor),
        Peer(
            "floor-batched",
            "C, one `send` per connection and turn",
            _floor("batched"),
            _plain,
            without=_PUBLISHING,
            ready=Cache.floor,
        ),
        Peer("gateway", "cidadao_rt", _gateway, _gateway_target, _prepare_gateway, without=frozenset()),
        Peer(
            "gateway-single", "cidadao_rt, one POST per event", _gateway, _gateway_single_target, _prepare_gateway, _FAN
        ),
        Peer("uws", "uWebSockets (socketify)", _python("uws.py"), _plain, ready=Cache.python),
        Peer("nchan", "Nchan", _nchan, _nchan_target, ready=Cache.nchan),
        Peer("ws", "Node ws", _node, _plain, ready=Cache.node),
        Peer("websockets", "websockets `broadcast()`", _python("websockets_server.py"), _plain, ready=Cache.python),
        Peer("starlette", "Starlette on uvicorn", _python("starlette_server.py"), _plain, ready=Cache.python),
        Peer(
            "socketio",
            "python-socketio",
            _python("socketio_server.py"),
            _socketio_target,
            without=frozenset({"E10", "publish100"}),
            ready=Cache.python,
        ),
        Peer("aiohttp", "bare aiohttp", _own_python("aiohttp_server.py"), _plain),
        Peer(
            "aiohttp-token",
            "bare aiohttp and a token check",
            _own_python("aiohttp_server.py", SECRET),
            _checked_target,
            workloads=frozenset({"idle"}),
        ),
    )
}


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a server is started with: ours, without settings of a gateway that the user runs beside it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CIDADAO_RT_")} | dict(extra)
