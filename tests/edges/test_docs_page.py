"""`/docs` in a real browser: everything is there, nothing is fetched from elsewhere, nothing is complained about."""

from collections.abc import Awaitable, Callable

import pytest
from conftest import Server
from playwright.async_api import Browser, expect

from cidadao_rt.words import catalogue
from cidadao_rt.words.operations import SERVED

Serve = Callable[..., Awaitable[Server]]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("width", "locale", "heading", "required"),
    [(1280, "pt-BR", "Comandos", "obrigatório"), (390, "en-US", "Commands", "required")],
)
async def test_the_page_shows_both_documents_by_itself(
    serve: Serve, browser: Browser, width: int, locale: str, heading: str, required: str
) -> None:
    server = await serve()
    page = await browser.new_page(viewport={"width": width, "height": 800}, locale=locale)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{server.http}/docs")
    await expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    shown = await page.locator("article h3 a").all_text_contents()
    # WebSocket endpoints are shown once, as channels; their twins under /api/v1 are told in a sentence.
    routes = {one.path for one in SERVED if one.tag != "websocket"}
    sockets = {"/ws", "/ws/investigations/{id}", "/ws/chat"}
    assert {*shown} == {*catalogue.COMMANDS, *catalogue.MESSAGES, "custom"} | routes | sockets
    command = page.locator("#message-StartInvestigationCommand")
    await expect(command.get_by_role("row").filter(has_text="query").first).to_contain_text(required)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width < 800:
        await page.get_by_text("Contents", exact=True).click()
    await page.get_by_role("searchbox").fill("idempotency")
    await expect(page.locator("article:visible")).to_have_count(1)
    assert complaints == []
    assert asked
    assert all(url.startswith(server.http) for url in asked)
