"""What all edges share: who is calling, from where, and whether the door opens.

The token is checked before anything else, and a bad one registers nothing. Source: PROTOCOL 6 "Token", 9 "Limits".
"""

import hashlib
import logging
import math
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ..memory.effects import error
from ..motion.gateway import Call, Gateway, TurnedAway
from ..motion.metrics import Metrics
from ..words.errors import CloseCode, ErrorCode, Refusal
from ..words.limits import SlidingWindow
from ..words.subscription import REQUESTABLE, ConnectionType, Kind
from ..words.tokens import TOKEN_EXPIRED, BadToken, Principal

REFUSED_TOKENS = 10_000
"""Hashes of refused tokens that are remembered; beyond it the oldest is forgotten and merely checked again."""

REFUSALS_PER_MINUTE = 60
"""How often the same bad token is refused in full; above it the answer is a plain 429. The document's own client
comes once a second, and is still told why."""

_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via")
"""By any of these a proxy is known, even one that tells nothing of the client."""

_HTTP_STATUS = {
    ErrorCode.AUTHENTICATION_REQUIRED: 401,
    ErrorCode.TOKEN_EXPIRED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.MESSAGE_TOO_LARGE: 413,
    ErrorCode.RATE_LIMIT_EXCEEDED: 429,
    ErrorCode.CONNECTION_LIMIT: 429,
    ErrorCode.OVERLOADED: 503,
    ErrorCode.INTERNAL_ERROR: 500,
}


_log = logging.getLogger(__name__)


class TooOften(Exception):
    """The same bad token again and again; answered without another look at it."""


class Admission:
    """The door. `address` of a request is the peer's, or behind a trusted proxy the one it forwards for."""

    def __init__(self, gateway: Gateway, trusted_proxies: Sequence[str], allowed_origins: Sequence[str]) -> None:
        self._gateway = gateway
        self._proxies = [ip_network(proxy, strict=False) for proxy in trusted_proxies]
        # No origin is refused unless some are named: a page elsewhere has no token that a browser would add by itself.
        self._origins = frozenset() if "*" in allowed_origins else frozenset(allowed_origins)
        self._refused: OrderedDict[bytes, tuple[str, SlidingWindow]] = OrderedDict()
        self._handshakes = SlidingWindow(gateway.config.limits.handshakes_per_second, 1.0)

    def principal(self, request: web.BaseRequest) -> Principal:
        """Whom the request speaks for.

        Raises `BadToken`, or `TooOften` for a token refused more than `REFUSALS_PER_MINUTE` times within a minute.
        """
        token = self._token(request)
        if not token:
            return self._gateway.verify(None)
        key = hashlib.blake2b(token.encode(errors="replace"), digest_size=16).digest()
        known = self._refused.get(key)
        if known is not None:
            reason, window = known
            if window.admit(self._gateway.clock()) is not None:
                raise TooOften
            raise BadToken(reason)
        try:
            return self._gateway.verify(token)
        except BadToken as bad:
            if bad.lasting:
                self._refused[key] = (bad.reason, SlidingWindow(REFUSALS_PER_MINUTE, 60.0))
                if len(self._refused) > REFUSED_TOKENS:
                    self._refused.popitem(last=False)
            raise

    def allows_origin(self, request: web.BaseRequest) -> bool:
        """Whether the page that sent the request, if it was one, may."""
        origin = request.headers.get(hdrs.ORIGIN)
        return not self._origins or origin is None or origin.lower() in self._origins

    def check_origin(self, request: web.BaseRequest) -> None:
        """Raise `TurnedAway` where a page asks that may not."""
        if not self.allows_origin(request):
            reason = "Origin not allowed"
            raise TurnedAway(Refusal(ErrorCode.FORBIDDEN, reason), CloseCode.POLICY_VIOLATION, reason)

    def check_handshake(self, request: web.BaseRequest) -> None:
        """The checks between the token and the gateway's own. Raises `TurnedAway`."""
        self.check_origin(request)
        if self._handshakes.admit(self._gateway.clock()) is not None:
            reason = "Too many connections at once"
            raise TurnedAway(Refusal(ErrorCode.OVERLOADED, reason), CloseCode.TRY_AGAIN_LATER, reason)

    def call(
        self, request: web.BaseRequest, principal: Principal, kind: Kind | None = None, voice: str | None = None
    ) -> Call:
        """What a request wants to follow. Without `kind` its `connection_type` says, or the session it resumes.

        Raises `TurnedAway` for an unknown `connection_type`.
        """
        query = request.query
        asked = query.get("connection_type")
        explicit = kind is not None or bool(asked)
        if kind is None:
            type_ = asked or ConnectionType.GENERAL
            if type_ not in REQUESTABLE:
                reason = "Unknown connection_type"
                raise TurnedAway(Refusal.field("connection_type", reason), CloseCode.POLICY_VIOLATION, reason)
            kind = Kind(ConnectionType(type_))
        return Call(
            principal,
            kind,
            self.address(request),
            explicit,
            query.get("session_id"),
            query.get("last_event_id"),
            voice,
            events=names(query.getall("events", [])),
            investigation_ids=names(query.getall("investigation_ids", [])),
            conflate=query.get("conflate") == "1",
            fault=query.get("fault"),
        )

    def address(self, request: web.BaseRequest) -> str:
        """The client's address: the last one forwarded by somebody we do not trust, or the peer's own."""
        address = peer(request)
        # A proxy may add a line of its own below what the client sent; together they are one list (RFC 9110 5.3).
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        for hop in reversed(forwarded.split(",")):
            if not self._is_proxy(address) or not _is_address(hop.strip()):
                break
            address = hop.strip()
        return address

    def _is_proxy(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in proxy for proxy in self._proxies)

    @staticmethod
    def _token(request: web.BaseRequest) -> str | None:
        scheme, _, credentials = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "bearer":
            return credentials.strip()
        return request.query.get("token")


def peer(request: web.BaseRequest) -> str:
    """The address at the other end of the socket."""
    peername = request.transport.get_extra_info("peername") if request.transport is not None else None
    # A socket that listens on both families shows IPv4 peers as ::ffff:a.b.c.d.
    return str(peername[0]).removeprefix("::ffff:") if isinstance(peername, tuple) else ""


def is_local(request: web.BaseRequest) -> bool:
    """Whether the request comes from this machine itself and not through a proxy on it."""
    forwarded = any(name in request.headers for name in _FORWARDED)
    address = peer(request)
    return not forwarded and _is_address(address) and ip_address(address).is_loopback


def answer_refusals(metrics: Metrics) -> Middleware:
    """Turn what edges raise into the one error shape, and count it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except TooOften:
            refusal = Refusal(ErrorCode.RATE_LIMIT_EXCEEDED, "Refused too often", retry_after=60)
        except BadToken as bad:
            expired = bad.reason == TOKEN_EXPIRED
            refusal = Refusal(ErrorCode.TOKEN_EXPIRED if expired else ErrorCode.AUTHENTICATION_REQUIRED, bad.reason)
        except TurnedAway as away:
            refusal = away.refusal
        except Refusal as raised:
            refusal = raised
        except web.RequestPayloadError:
            refusal = Refusal(ErrorCode.INVALID_REQUEST, "Body is not encoded as its headers say")
        except web.HTTPClientError as error:
            return _in_our_shape(error)
        except Exception as bug:
            if isinstance(bug, ConnectionError) and (request.transport is None or request.transport.is_closing()):
                # Clients may leave at any time; aiohttp lets go in silence of an answer that nobody is there for.
                # The number is nginx's.
                return web.Response(status=499)
            if request.writer.output_size:
                # The answer has begun already.
                raise
            incident = f"incident_{secrets.token_hex(8)}"
            _log.exception("bug", extra={"correlation_id": incident})
            refusal = Refusal(ErrorCode.INTERNAL_ERROR, "Internal error", incident=incident)
        metrics.error(refusal.code)
        return problem(refusal)

    return middleware


def _in_our_shape(error: web.HTTPClientError) -> web.Response:
    """What aiohttp refuses by itself: unknown paths, other methods, a body beyond any bound."""
    if error.status == 404:
        refusal = Refusal(ErrorCode.NOT_FOUND, "No such path")
    elif error.status == 413:
        refusal = Refusal(ErrorCode.MESSAGE_TOO_LARGE, "Request is too large")
    else:
        refusal = Refusal(ErrorCode.INVALID_REQUEST, error.reason)
    response = problem(refusal, status=error.status)
    if hdrs.ALLOW in error.headers:
        response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
    return response


def http_status(code: ErrorCode) -> int:
    """The HTTP status that fits an error code (PROTOCOL 8)."""
    return _HTTP_STATUS.get(code, 422)


def problem(refusal: Refusal, *, status: int | None = None) -> web.Response:
    """The envelope's error over HTTP, with a fitting status."""
    response = web.Response(
        body=orjson.dumps(error(refusal).data),
        content_type="application/json",
        status=status or http_status(refusal.code),
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )
    if response.status in (429, 503):
        response.headers[hdrs.RETRY_AFTER] = whole_seconds(refusal.details.get("retry_after", 1))
    return response


def whole_seconds(retry_after: float) -> str:
    """The value of a `Retry-After`, rounded up: who waits exactly so long must not be refused again."""
    return str(max(1, math.ceil(retry_after)))


def names(values: list[str]) -> list[str] | None:
    """The names in a query's `?key=a,b&key=c`; None where the key is absent."""
    return [name for value in values for name in value.split(",") if name] if values else None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
