"""The specs of what this very process serves, and `/docs`, which renders them without reaching anywhere else.

Source: PROTOCOL 1 "Transports and paths"; RFC 9110 sections 8.8.3 (ETag), 12.5.4 (Accept-Language).
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from importlib import resources

import orjson
from aiohttp import ETag, hdrs, web

from ..words import asyncapi, openapi

HOSTS = 16
"""Names under which the gateway was asked for its AsyncAPI document, kept ready; beyond it one is made again."""

LANGUAGES = ("pt-BR", "en")
"""Of the page; the first where a reader wants neither."""

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_STATIC = resources.files("cidadao_rt.edges").joinpath("static")
_FILES = {"docs.js": "text/javascript", "docs.css": "text/css", "docs.svg": "image/svg+xml"}

Serves = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SpecsEdge:
    """`/asyncapi.json`, `/openapi.json`, `/docs` and what that page loads. `version` is the gateway's own."""

    def __init__(self, version: str, metrics_path: str) -> None:
        def asyncapi_at(host: str, secure: bool) -> bytes:
            return orjson.dumps(asyncapi.document(version, host, secure=secure))

        self._asyncapi_at = lru_cache(HOSTS)(asyncapi_at)
        self._openapi_body = orjson.dumps(openapi.document(version, metrics_path))

    def routes(self) -> list[web.RouteDef]:
        """Their paths."""
        return [
            web.get("/asyncapi.json", self._asyncapi),
            web.get("/openapi.json", self._openapi),
            web.get("/docs", self._docs),
            *(web.get(f"/docs/{name}", _file(name, type_)) for name, type_ in _FILES.items()),
        ]

    async def _asyncapi(self, request: web.Request) -> web.Response:
        # Whoever claims to have come by TLS is told so, and nobody else: the answer is his alone.
        forwarded = request.headers.get("X-Forwarded-Proto", "").strip().lower()
        host = request.host if _HOST.fullmatch(request.host) else "localhost"
        body = self._asyncapi_at(host, request.secure or forwarded in ("https", "wss"))
        return _cached(request, body, "application/json", vary="X-Forwarded-Proto", shared=False)

    async def _openapi(self, request: web.Request) -> web.Response:
        return _cached(request, self._openapi_body, "application/json")

    async def _docs(self, request: web.Request) -> web.Response:
        language = _language(request)
        page = _STATIC.joinpath("docs.html").read_text(encoding="utf-8").replace("{language}", language)
        headers = {hdrs.VARY: hdrs.ACCEPT_LANGUAGE, hdrs.CONTENT_LANGUAGE: language, hdrs.CACHE_CONTROL: "no-cache"}
        return web.Response(text=page, content_type="text/html", headers=headers)


def _file(name: str, content_type: str) -> Serves:
    body = _STATIC.joinpath(name).read_bytes()

    async def serve(request: web.Request) -> web.Response:
        return _cached(request, body, content_type)

    return serve


def _cached(
    request: web.Request, body: bytes, content_type: str, *, vary: str | None = None, shared: bool = True
) -> web.Response:
    """The body, or 304 where the client has it. A cache asks each time, since a new version keeps its URL."""
    etag = ETag(hashlib.blake2b(body, digest_size=12).hexdigest())
    known = request.if_none_match or ()
    if any(one.value in (etag.value, "*") for one in known):
        response = web.Response(status=304)
    else:
        response = web.Response(body=body, content_type=content_type, charset="utf-8")
    response.etag = etag
    response.headers[hdrs.CACHE_CONTROL] = "no-cache" if shared else "private, no-cache"
    if vary is not None:
        response.headers[hdrs.VARY] = vary
    if content_type == "application/json":
        # Tools on other pages may read what is public anyway.
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
    return response


def _language(request: web.Request) -> str:
    """The language asked for by `?lang=`, or else the one most wanted by `Accept-Language`."""
    asked = request.query.get("lang")
    if asked is not None:
        return _known(asked) or LANGUAGES[0]
    wanted: list[tuple[float, str]] = []
    for item in request.headers.get(hdrs.ACCEPT_LANGUAGE, "").split(","):
        tag, _, weight = item.partition(";")
        language = _known(tag.strip())
        if language is not None:
            wanted.append((_weight(weight), language))
    best = max(wanted, key=lambda pair: pair[0], default=(0.0, LANGUAGES[0]))
    return best[1] if best[0] > 0 else LANGUAGES[0]


def _known(tag: str) -> str | None:
    primary = tag.lower().split("-")[0]
    return next((language for language in LANGUAGES if language.lower().split("-")[0] == primary), None)


def _weight(text: str) -> float:
    found = re.fullmatch(r"\s*q=([01](?:\.[0-9]{0,3})?)\s*", text, re.IGNORECASE)
    return float(found.group(1)) if found else 1.0
