"""Wiring and lifetimes: one gateway, its edges, its timers, its end."""

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from . import __version__
from .edges import cors, pages
from .edges.admission import Admission, answer_refusals
from .edges.commands import CommandsEdge
from .edges.console import ConsoleEdge
from .edges.faults import FaultsEdge
from .edges.poll import PollEdge
from .edges.publish import PublishEdge
from .edges.reading import ReadingEdge
from .edges.specs import SpecsEdge
from .edges.sse import SseEdge
from .edges.websocket import WebSocketEdge
from .motion.collector import Collector
from .motion.drain import drain
from .motion.gateway import Gateway
from .motion.publishing import REQUEST_BYTES
from .motion.watch import Watch
from .motion.wheel import ROUND_SECONDS
from .words.config import Config

GATEWAY = web.AppKey("gateway", Gateway)
EDGE = web.AppKey("websocket edge", WebSocketEdge)

HOUSEKEEPING_SECONDS = 1.0
BACKLOG = 4096
KEEPALIVE_SECONDS = 75.0
"""How long an idle HTTP connection, or one that never finishes its request, may stay; longer than a proxy's 60 s."""

SHUTDOWN_SECONDS = 0.2
"""For aiohttp's own end, after ours: only requests that were turned away can still be there."""

_log = logging.getLogger(__name__)


def build(config: Config) -> web.Application:
    """The application of one gateway. Its timers run while the application does."""
    gateway = Gateway(config)
    admission = Admission(gateway, config.server.trusted_proxies, config.auth.allowed_origins)
    app = web.Application(
        middlewares=[pages.measure(gateway.metrics), cors.preflight(admission), answer_refusals(gateway.metrics)],
        client_max_size=REQUEST_BYTES + 1,
    )
    app[GATEWAY] = gateway
    app[EDGE] = WebSocketEdge(gateway, admission)
    app.on_response_prepare.append(cors.allow(admission))
    app.on_response_prepare.append(pages.add_security_headers)
    app.add_routes(app[EDGE].routes())
    for edge in (SseEdge, PollEdge, CommandsEdge, PublishEdge, ReadingEdge, FaultsEdge, ConsoleEdge):
        app.add_routes(edge(gateway, admission).routes())
    app.add_routes(SpecsEdge(__version__, config.metrics.path).routes())
    app.add_routes(pages.Pages(gateway).routes())
    app.cleanup_ctx.append(_timers)
    app.on_shutdown.append(_cut)
    return app


async def _cut(app: web.Application) -> None:
    # aiohttp knows nothing of the WebSockets that were taken over from it.
    await app[EDGE].finish(0)


async def _timers(app: web.Application) -> AsyncIterator[None]:
    gateway = app[GATEWAY]
    server, limits = gateway.config.server, gateway.config.limits
    watch = Watch(
        gateway.hub,
        inactivity=limits.inactivity_seconds,
        ping=server.ping_seconds,
        slow_reader=server.slow_reader_seconds,
        buffered_bytes=limits.buffered_bytes,
    )

    async def look() -> None:
        while not watch.round(gateway.clock()):  # noqa: ASYNC110 - it is the turn of the loop that is waited for
            await asyncio.sleep(0)

    async def tell() -> None:
        gateway.tell_metrics()

    tasks = [
        asyncio.create_task(_every(ROUND_SECONDS, look)),
        asyncio.create_task(_every(HOUSEKEEPING_SECONDS, gateway.keep_house)),
        asyncio.create_task(_every(gateway.config.metrics.interval_seconds, tell)),
    ]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:
            # A timer that dies in silence would stop every expiry; the bug is logged and the next round comes.
            _log.exception("timer failed")


def serve(config: Config, *, ready: Callable[[int], None]) -> int:
    """Serve until drained; returns the exit status. Calls `ready` with the bound port.

    Raises `OSError` where the address cannot be bound or a certificate not be read, `ssl.SSLError` for a bad one.
    """
    return asyncio.run(_serve(config, ready))


async def _serve(config: Config, ready: Callable[[int], None]) -> int:
    server = config.server
    tls = _tls(server.tls_cert, server.tls_key) if server.tls_cert else None
    app = build(config)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
        logger=logging.getLogger("aiohttp.server"),
    )
    await runner.setup()
    collector, hub = Collector(), app[GATEWAY].hub

    async def collect() -> None:
        collector.look(hub.opened, len(hub))

    try:
        stop = _signals()
        collector.start()
        await web.TCPSite(runner, server.host, server.port, backlog=BACKLOG, ssl_context=tls).start()
        port = runner.addresses[0][1]
        _log.info("ready", extra={"host": server.host, "port": port, "epoch": app[GATEWAY].log.epoch})
        ready(port)
        collecting = asyncio.create_task(_every(HOUSEKEEPING_SECONDS, collect))
        await stop.wait()
        collecting.cancel()
        deadline = asyncio.get_running_loop().time() + server.drain_seconds
        await drain(app[GATEWAY], server.drain_seconds)
        await app[EDGE].finish(max(0.0, deadline - asyncio.get_running_loop().time()))
        return 0
    finally:
        await runner.cleanup()


def _signals() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets; a second one ends the process at once."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            _log.warning("second signal: stopping at once")
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def _tls(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context
