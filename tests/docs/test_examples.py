"""Each example of docs/examples.md runs as it stands there, and survives a cut in the middle."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from conftest import Server
from playwright.async_api import Browser, Page

from cidadao_rt.words import faults

Serve = Callable[..., Awaitable[Server]]
PAGE = Path(__file__).parents[2] / "docs" / "examples.md"
BLOCKS = re.findall(r"^## (.*?)$.*?^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def code(server: Server, text: str) -> str:
    """An example with this server's address and a token of it."""
    return (
        text.replace("http://127.0.0.1:8080", server.http)
        .replace('"TOKEN"', f'"{server.token()}"')
        .replace("Bearer TOKEN", f"Bearer {server.token()}")
    )


@asynccontextmanager
async def page(browser: Browser, html: str) -> AsyncIterator[Page]:
    """The page, from an origin of its own."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", answer)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    shown = await browser.new_page()
    try:
        await shown.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        yield shown
    finally:
        await shown.close()
        await runner.cleanup()


def cut(server: Server) -> None:
    """Cut every connection of the gateway."""
    for connection in server.gateway.hub:
        server.gateway.faulting.inject(connection, faults.parse("close:1006"))


def test_the_page_has_the_four() -> None:
    assert [(title, language) for title, language, _ in BLOCKS] == [
        ("With the JavaScript client", "html"),
        ("With plain EventSource", "html"),
        ("With fetch and polling", "html"),
        ("In Python", "python"),
    ]


@pytest.mark.parametrize("number", range(3), ids=[title for title, _, _ in BLOCKS[:3]])
async def test_an_example_for_browsers(serve: Serve, browser: Browser, number: int) -> None:
    server = await serve(server={"mode": "development"}, agents={"speed": 2.0})
    async with page(browser, code(server, BLOCKS[number][2])) as shown:
        await shown.wait_for_selector("li")
        cut(server)
        await shown.wait_for_function("document.title === 'completed'")
        (investigation,) = server.gateway.investigations.of("ana")
        assert await shown.evaluate("document.querySelector('progress').value") == 100
        assert await shown.locator("li").count() == len(investigation.findings)


async def test_the_example_in_python(serve: Serve) -> None:
    server = await serve(server={"mode": "development"}, agents={"speed": 2.0})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", code(server, BLOCKS[3][2]), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = []
    async for line in process.stdout:
        lines.append(line.decode().rstrip())
        if "agent_analysis" in lines[-1]:
            cut(server)
    assert await process.wait() == 0
    assert lines[-1] == "completed"
    (investigation,) = server.gateway.investigations.of("ana")
    assert sum(line.startswith("     ") for line in lines) == len(investigation.findings)
