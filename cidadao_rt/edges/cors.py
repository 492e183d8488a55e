"""Cross-origin requests: pages of allowed origins may use the HTTP edges. Source: the Fetch standard, "HTTP CORS".

Tokens travel in the URL or a header that the page sets itself, never in a cookie, so credentials are not allowed.
"""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from .admission import Admission

_PREFLIGHT = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "authorization, content-type, idempotency-key, last-event-id",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}


def preflight(admission: Admission) -> Middleware:
    """Answer the browser's question before its request, for the API alone."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        asks = request.method == "OPTIONS" and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if asks and request.path.startswith("/api/v1/"):
            return web.Response(status=204, headers=_PREFLIGHT if admission.allows_origin(request) else None)
        return await handler(request)

    return middleware


def allow(admission: Admission) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Name the page's origin on every answer of the API to it, if it is allowed."""

    async def on_prepare(request: web.Request, response: web.StreamResponse) -> None:
        if not request.path.startswith("/api/v1/"):
            return
        response.headers[hdrs.VARY] = hdrs.ORIGIN
        if hdrs.ORIGIN in request.headers and admission.allows_origin(request):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]

    return on_prepare
