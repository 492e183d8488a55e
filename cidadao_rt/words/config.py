"""The typed configuration: every key, its default, its range, and what it means.

The annotations are the one place that knows a key: `settings` reads types and ranges from them, `config.toml`
repeats their descriptions. What a type alone cannot say is in `faults`.

Source: PROTOCOL 12 "Configuration names", 9 "Limits", 6 "Token".
"""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Annotated, Literal

from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError
from msgspec import Meta, Struct, field

# The upper bounds only keep arithmetic out of trouble (JSON numbers, dates): nobody means more than these.
Count = Annotated[int, Meta(ge=1, le=2**53)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=1e9)]

# Bytes that a secret needs by algorithm: as many as its hash has (RFC 7518 section 3.2).
SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
PUBLIC_KEY_ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})

# Never shown, neither in an error nor in a description of what is in force.
SECRET_KEYS = frozenset({"auth.jwt_secrets", "metrics.bearer_token"})

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_METRICS_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_TAKEN_PATHS = frozenset({"/healthz", "/readyz", "/asyncapi.json", "/openapi.json", "/docs"})
_TAKEN_PATHS |= {"/client.js", "/client.d.ts"}
_TAKEN_PATHS |= {f"/docs/docs.{kind}" for kind in ("js", "css", "svg")}
_TAKEN_PATHS |= {
    f"/api/v1/{name}" for name in ("events", "events/poll", "messages", "investigations", "connections", "faults")
}
_TAKEN_PATHS |= {f"{prefix}/ws{name}" for prefix in ("", "/api/v1") for name in ("", "/chat", "/investigations")}
# Below these every path stands for something that clients name as they like.
_TAKEN_FAMILIES = tuple(f"/api/v1/{name}/" for name in ("investigations", "topics", "presence", "users", "receipts"))
_TAKEN_FAMILIES += ("/console/",)


def says(description: str) -> Meta:
    """What a key means, its unit, and what happens at its bound, in one line."""
    return Meta(description=description)


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: Annotated[str, says("Address to listen on. Any but a loopback address needs auth.jwt_secrets.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535), says("TCP port to listen on; 0 lets the system choose one.")] = 8080
    drain_seconds: Annotated[
        SecondsOrNone,
        says("Seconds from SIGTERM to the end of the process; clients are told, and closed with 1001 over this time."),
    ] = 10.0
    tls_cert: Annotated[str, says("PEM file of the certificate chain: https and wss. Goes with tls_key.")] = ""
    tls_key: Annotated[str, says("PEM file of the private key, without a passphrase. Goes with tls_cert.")] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        says("Addresses or networks (CIDR) of the proxies whose forwarding headers are believed; none by default."),
    ] = ()
    mode: Annotated[
        Literal["production", "development"],
        says('"production" or "development"; a run that makes its own secret is in development.'),
    ] = "production"
    console: Annotated[bool, says("Whether the console is served at /; if not, / is 404.")] = True
    compression: Annotated[
        bool, says("Whether events go compressed to the WebSocket clients that offer permessage-deflate.")
    ] = True
    ping_seconds: Annotated[
        Seconds, says("Seconds between two protocol pings; a peer that does not answer is taken for dead.")
    ] = 25.0
    slow_reader_seconds: Annotated[
        Seconds, says("Seconds a client may read nothing of what it is owed; then it is closed with 1013.")
    ] = 60.0


class Auth(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    jwt_secrets: Annotated[
        tuple[str, ...],
        says("Secrets, each valid, the first one signs; at least as long as the hash (HS256: 32 bytes)."),
    ] = ()
    algorithms: Annotated[
        tuple[str, ...], says("Algorithms a token may be signed with: HS256, HS384, HS512. The first one signs.")
    ] = ("HS256",)
    jwks_url: Annotated[str, says("Where public keys are published. Not available in this version.")] = ""
    issuer: Annotated[str, says("What a token's iss must be; empty: not checked.")] = ""
    audience: Annotated[str, says("What a token's aud must be or contain; empty: not checked.")] = ""
    leeway_seconds: Annotated[
        SecondsOrNone, says("Seconds that clocks may differ where the times of a token are checked.")
    ] = 0.0
    allowed_origins: Annotated[
        tuple[str, ...],
        says('Origins ("https://app.example") whose pages may connect; empty, or with "*" among them: all may.'),
    ] = ()


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    connections_per_user: Annotated[
        Count, says("Connections a user may have over all transports; the next gets CONNECTION_LIMIT and 1013.")
    ] = 5
    messages_per_minute: Annotated[
        Count, says("Messages of a user in any 60 s, over all connections; more get RATE_LIMIT_EXCEEDED.")
    ] = 100
    message_bytes: Annotated[Count, says("Bytes of a message; a longer one gets MESSAGE_TOO_LARGE.")] = 65536
    frame_bytes: Annotated[
        Count, says("Bytes of a message, unpacked, past which the connection is closed with 1009; >= message_bytes.")
    ] = 262144
    inactivity_seconds: Annotated[
        Seconds, says("Seconds without a message from the client; then the connection is closed with 1001.")
    ] = 300.0
    max_connections: Annotated[
        Count, says("Connections of this process; the next is refused with 1013, or 503 and Retry-After.")
    ] = 10000
    connections_per_address: Annotated[
        Count, says("Connections from one address; the next is refused with 1013, or 503 and Retry-After.")
    ] = 1000
    handshakes_per_second: Annotated[
        Count, says("Connections accepted in a second; more are refused with 1013, or 503 and Retry-After.")
    ] = 500
    buffered_bytes: Annotated[
        Count, says("Bytes waiting for all clients together; past it those for whom most waits are closed with 1013.")
    ] = 67108864
    refusals_per_minute: Annotated[
        Count, says("RATE_LIMIT_EXCEEDED answers to one connection within 60 s; then it is closed with 1008.")
    ] = 100
    investigations_per_user: Annotated[
        Count, says("Investigations of a user that run at once; the next is answered OVERLOADED.")
    ] = 10
    chats_per_user: Annotated[Count, says("Chat answers to a user at once; the next is answered OVERLOADED.")] = 3
    detached_sessions_per_user: Annotated[
        Count, says("Sessions without a connection kept for a user; past it the oldest is forgotten.")
    ] = 20
    session_seconds: Annotated[
        Seconds, says("Seconds that a session is kept after its connection is gone; then it cannot be resumed.")
    ] = 300.0
    investigation_idle_seconds: Annotated[
        Seconds, says("Seconds without an event after which an unfinished investigation ends as failed.")
    ] = 86400.0
    finished_seconds: Annotated[
        Seconds, says("Seconds that a finished investigation is kept; then its id is unknown.")
    ] = 86400.0
    finished_investigations: Annotated[Count, says("Finished investigations kept in all; past it the oldest goes.")] = (
        10000
    )
    named_investigations: Annotated[
        Count, says("Investigations one connection may name in its subscriptions; more get INVALID_REQUEST.")
    ] = 128


class Buffer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    events_per_topic: Annotated[Count, says("Events kept for replay in one topic; past it the oldest goes.")] = 2000
    bytes_per_topic: Annotated[Count, says("Bytes kept for replay in one topic; past it the oldest event goes.")] = (
        4194304
    )
    age_seconds: Annotated[Seconds, says("Seconds that an event is kept for replay.")] = 3600.0
    total_bytes: Annotated[
        Count,
        says("Bytes kept for replay in all; past it the owner who holds most loses the oldest of their largest topic."),
    ] = 67108864
    replay_events: Annotated[
        Count, says("Events replayed to one connection; to one that is owed more, snapshots with recovered: false.")
    ] = 10000
    path: Annotated[str, says("Where events survive a restart. Not available in this version.")] = ""


class Broker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: Annotated[str, says("Where events are published; this version has memory:// only.")] = "memory://"


class Agents(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    speed: Annotated[float, Meta(gt=0, le=1e6), says("How fast simulated agents work; 2.0 takes half the time.")] = 1.0
    seed: Annotated[
        int, Meta(ge=-(2**53), le=2**53), says("What the simulator draws from; the same seed tells the same stories.")
    ] = 0
    scenario: Annotated[
        str,
        says('What is played where filters.scenario names nothing: the name of a scenario, or the path of a ".toml".'),
    ] = "padrao"
    scenarios_path: Annotated[
        str, says("Folder of further scenarios that filters.scenario may name by their file's name; empty: none.")
    ] = ""


class Metrics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    interval_seconds: Annotated[Seconds, says("Seconds between two metrics_update messages.")] = 5.0
    bearer_token: Annotated[
        str, says("Bearer token that opens the metrics to other machines; empty: to loopback requests only.")
    ] = ""
    path: Annotated[str, says("Path of the Prometheus metrics.")] = "/metrics"


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        says('The least that is logged: "debug", "info", "warning" or "error".'),
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "text"], says('"json", "text", or "auto": text on a terminal, else json.')
    ] = "auto"


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that can be set. A default `Config()` is valid; one built by `settings.merge` is checked as well."""

    server: Server = field(default_factory=Server)
    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
    buffer: Buffer = field(default_factory=Buffer)
    broker: Broker = field(default_factory=Broker)
    agents: Agents = field(default_factory=Agents)
    metrics: Metrics = field(default_factory=Metrics)
    log: Log = field(default_factory=Log)


class Fault(Struct, frozen=True):
    """What is wrong with a key's value, without the value. `item` says which one of a list."""

    key: str
    text: str
    item: int | None = None


def faults(config: Config) -> Iterator[Fault]:
    """What is impossible in a configuration although every value has the right type and range."""
    server, auth = config.server, config.auth
    if not server.host or re.search(r"[\s\[\]/]", server.host):
        # An empty host would listen on every address.
        yield Fault("server.host", "must be an address or a host name, IPv6 without brackets")
    if bool(server.tls_cert) != bool(server.tls_key):
        missing = "server.tls_key" if server.tls_cert else "server.tls_cert"
        yield Fault(missing, "must be set too: a certificate and its key go together")
    for item, proxy in enumerate(server.trusted_proxies):
        try:
            ip_network(proxy, strict=False)
        except ValueError:
            yield Fault("server.trusted_proxies", "must hold IP addresses or CIDR networks", item)
    yield from _auth_faults(auth)
    if config.limits.frame_bytes < config.limits.message_bytes:
        yield Fault("limits.frame_bytes", "must be at least limits.message_bytes")
    if config.buffer.path:
        yield Fault("buffer.path", "is not available in this version: leave it empty")
    if config.broker.url != "memory://":
        yield Fault("broker.url", 'is not available in this version: only "memory://" is')
    if config.metrics.bearer_token and not re.fullmatch(r"[!-~]+", config.metrics.bearer_token):
        yield Fault("metrics.bearer_token", "must be ASCII without spaces, as a header carries it")
    path = config.metrics.path
    if not _METRICS_PATH.fullmatch(path) or path in _TAKEN_PATHS or path.startswith(_TAKEN_FAMILIES):
        yield Fault("metrics.path", 'must be a path of its own such as "/metrics"')


def _auth_faults(auth: Auth) -> Iterator[Fault]:
    if not auth.algorithms:
        yield Fault("auth.algorithms", "must name at least one algorithm")
    for item, algorithm in enumerate(auth.algorithms):
        if algorithm in PUBLIC_KEY_ALGORITHMS:
            yield Fault(
                "auth.algorithms", "names one that needs public keys, which this version does not have yet", item
            )
        elif algorithm not in SECRET_BYTES:
            yield Fault("auth.algorithms", f"must be among {', '.join(SECRET_BYTES)}", item)
    least = max((SECRET_BYTES.get(algorithm, 0) for algorithm in auth.algorithms), default=0)
    for item, secret in enumerate(auth.jwt_secrets):
        if len(secret.encode()) < least:
            yield Fault("auth.jwt_secrets", f"must be at least {least} bytes long each for these algorithms", item)
        elif _is_public(secret):
            yield Fault("auth.jwt_secrets", "must be secrets, not a public key or certificate", item)
    if auth.jwks_url:
        yield Fault("auth.jwks_url", "is not available in this version: leave it empty")
    for item, origin in enumerate(auth.allowed_origins):
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            text = 'must hold origins such as "https://app.example", in lower case and without a path, or "*"'
            yield Fault("auth.allowed_origins", text, item)


def _is_public(secret: str) -> bool:
    """Whether PyJWT would refuse it for every token, as what is published cannot be a secret."""
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        return True
    return False
