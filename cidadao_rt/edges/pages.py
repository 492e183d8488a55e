"""The plain HTTP pages: health, readiness, metrics, and the JavaScript client."""

import hashlib
import hmac
from importlib import resources

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp_prometheus_exporter.middleware import prometheus_middleware_factory
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ..motion.gateway import Gateway
from ..motion.metrics import Metrics
from ..words.errors import ErrorCode, Refusal
from .admission import is_local, problem

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_CLIENT = {"client.js": "text/javascript", "client.d.ts": "application/typescript"}
"""The JavaScript client and its types. A page of any origin may import them: they hold nothing of anybody's."""

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every page and answer over HTTP. `no-referrer`, because the address of a page may hold a token."""


class Pages:
    """Pages of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def routes(self) -> list[web.RouteDef]:
        """Their paths."""
        return [
            web.get("/healthz", self._healthz),
            web.get("/readyz", self._readyz),
            web.get(self._gateway.config.metrics.path, self._metrics),
            *(web.get(f"/{name}", _static(name, type_)) for name, type_ in _CLIENT.items()),
        ]

    async def _healthz(self, _: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = ["draining"] if self._gateway.draining else []
        return _json({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        if not is_local(request) and not self._has_metrics_token(request):
            return problem(Refusal(ErrorCode.AUTHENTICATION_REQUIRED, "Metrics need the configured bearer token"))
        body = generate_latest(self._gateway.metrics.registry)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST})

    def _has_metrics_token(self, request: web.Request) -> bool:
        expected = self._gateway.config.metrics.bearer_token
        given = request.headers.get(hdrs.AUTHORIZATION, "").removeprefix("Bearer ")
        return bool(expected) and hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def measure(metrics: Metrics) -> Middleware:
    """HTTP request metrics of `aiohttp-prometheus-exporter`, kept bounded.

    Its `remote` label would be the client's address: unbounded, and personal. A method nobody has heard of would be a
    label as well. And the life of a WebSocket is no request duration.
    """
    exporter = prometheus_middleware_factory(registry=metrics.registry)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if hdrs.UPGRADE in request.headers or request.method not in _METHODS:
            return await handler(request)
        response: web.StreamResponse = await exporter(request.clone(remote=""), handler)
        return response

    return middleware


async def add_security_headers(_: web.Request, response: web.StreamResponse) -> None:
    """The headers of `SECURITY_HEADERS`, wherever the handler set none of its own."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


def _static(name: str, content_type: str) -> Handler:
    """Serve one file, asked for again each time, so that a client is never older than its gateway."""
    body = resources.files("cidadao_rt.edges").joinpath("static", name).read_bytes()
    etag = hashlib.blake2b(body, digest_size=16).hexdigest()

    async def serve(request: web.Request) -> web.Response:
        tags = request.if_none_match or ()
        if any(tag.value in (etag, "*") for tag in tags):
            response = web.Response(status=304)
        else:
            response = web.Response(body=body, content_type=content_type, charset="utf-8")
        response.etag = etag
        response.headers[hdrs.CACHE_CONTROL] = "no-cache"
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        return response

    return serve


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json", status=status)
