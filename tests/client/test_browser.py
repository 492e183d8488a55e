"""The JavaScript client in a real browser: on a page of the gateway, under its security headers, and elsewhere."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from conftest import Server
from playwright.async_api import Browser, ConsoleMessage, Page

Serve = Callable[..., Awaitable[Server]]

COURSE = """
async ({ url, token, transports }) => {
  const { connect } = await import(new URL("/client.js", url));
  const rt = connect(url, { token, transports, backoffSeconds: 0.05, backoffMaxSeconds: 0.1 });
  const states = [];
  const listened = [];
  rt.addEventListener("status", ({ detail }) => states.push([detail.state, detail.recovered]));
  rt.addEventListener("investigation_update", ({ detail }) => listened.push(detail.data.status));
  await rt.opened;
  const { transport, sessionId } = rt;
  const investigation = await rt.startInvestigation("Merenda escolar 2024", { agents: ["zumbi"] });
  const ids = [];
  for await (const update of investigation) {
    ids.push(update.id);
    if (ids.length === 3) rt.cut();
  }
  const chunks = [];
  const answer = await rt.chat("drummond", "Oi", { onChunk: (content) => chunks.push(content) });
  const resumed = rt.sessionId === sessionId;
  rt.close();
  return {
    transport, resumed, states, listened, ids, cursor: rt.cursor, state: rt.state,
    status: investigation.status, progress: investigation.progress, answer, chunks,
  };
}
"""


@pytest.fixture
async def elsewhere() -> AsyncIterator[str]:
    """A page of another origin, which knows nothing of the gateway."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Elsewhere</title>", content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", page)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def opened(browser: Browser, url: str) -> tuple[Page, list[str]]:
    """A page, and all that its console complains about."""
    page = await browser.new_page()
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # The browser asks for an icon by itself.
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):
            complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(url)
    return page, complaints


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
@pytest.mark.parametrize("origin", ["gateway", "elsewhere"])
async def test_a_page_follows_chats_is_cut_and_resumes(
    serve: Serve, browser: Browser, elsewhere: str, origin: str, transport: str
) -> None:
    server = await serve(agents={"speed": 10.0})
    page, complaints = await opened(browser, f"{server.http}/" if origin == "gateway" else elsewhere)
    asked = {"url": server.http, "token": server.token(), "transports": [transport]}
    seen = await page.evaluate(COURSE, asked)
    assert (seen["transport"], seen["resumed"]) == (transport, True)
    assert [state for state, _ in seen["states"]] == [
        "connecting", "open", "waiting", "connecting", "open", "closed",
    ]  # fmt: skip
    assert [recovered for state, recovered in seen["states"] if state == "open"] == [True, True]
    # All of it, once each, through the cut.
    assert len(set(seen["ids"])) == len(seen["ids"]) > 10
    assert None not in seen["ids"]
    assert (seen["listened"][0], seen["listened"][-1]) == ("started", "completed")
    assert (seen["status"], seen["progress"]) == ("completed", 100)
    assert seen["answer"]["agent"] == "drummond"
    if transport != "poll":
        assert "".join(seen["chunks"]) == seen["answer"]["message"]
    assert seen["state"] == "closed"
    await server.settled(lambda: len(server.gateway.hub) == 0)
    assert complaints == []
    # And that was all of the user's investigations: nothing was started twice.
    assert len(list(server.gateway.investigations.of("ana"))) == 1


async def test_a_refused_token_is_told_to_the_page(serve: Serve, browser: Browser) -> None:
    server = await serve()
    page, _ = await opened(browser, f"{server.http}/")
    script = """async ({ url, transports }) => {
      const { connect } = await import("/client.js");
      const { name, reason } = await connect(url, { token: "x", transports }).opened.catch((error) => error);
      return [name, reason];
    }"""
    for transport in ("websocket", "sse", "poll"):
        told = await page.evaluate(script, {"url": server.http, "transports": [transport]})
        assert told == ["RefusedError", "Invalid token"]
