"""The console in a real browser: everything on it is used, on a wide page and on a phone, by day and by night."""

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Server
from machine import need
from playwright.async_api import BrowserContext, Page, async_playwright, expect

Serve = Callable[..., Awaitable[Server]]

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
HERE = Path(__file__).parent
SCREENSHOTS = HERE / "screenshots"

expect.set_options(timeout=15_000)

AXE = """
async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => [id, ...nodes.slice(0, 4).map(({ html, failureSummary }) => `${html}: ${failureSummary}`)]);
}
"""


def axe() -> str:
    """The text of axe-core, installed as the lock file has it."""
    npm = need("npm")
    lock = HERE / "package-lock.json"
    script = HERE / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists() or script.stat().st_mtime < lock.stat().st_mtime:
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=HERE, check=True, capture_output=True, timeout=120)
        script.touch()
    return script.read_text(encoding="utf-8")


class Console:
    """The page, and what is asked of it all the time."""

    def __init__(self, server: Server, page: Page, name: str) -> None:
        self.server = server
        self.page = page
        self.name = name
        self.complaints: list[str] = []
        self.allowed = ""
        self._asked: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._asked.append(request.url))
        page.on("websocket", lambda ws: self._asked.append(ws.url.replace("ws://", "http://")))

    def _note(self, message: Any) -> None:
        # A refusal that a test provokes is told by the browser as well.
        if not (self.allowed and self.allowed in f"{message.text} {message.location['url']}"):
            self.complaints.append(f"{message.text} {message.location['url']}")

    async def open(self) -> None:
        """Go to it."""
        await self.page.goto(f"{self.server.http}/")

    async def connected(self, by: str = "WebSocket") -> None:
        """Wait until it is connected."""
        await expect(self.page.locator("#state")).to_have_attribute("data-state", "open")
        await expect(self.page.locator("#state-text")).to_contain_text(by)

    async def count(self, name: str) -> int:
        """One of the counts of the connection."""
        return int((await self.page.locator(f"#fact-{name}").inner_text()).replace(".", "").replace(",", ""))

    async def until(self, holds: str) -> None:
        """Wait until an expression is true. Not by playwright, whose own way needs what the page's policy forbids."""
        script = f"async () => {{ while (!({holds})) await new Promise((go) => setTimeout(go, 20)); }}"
        async with asyncio.timeout(20):
            await self.page.evaluate(script)

    async def grows(self, name: str, beyond: int) -> None:
        """Wait until a count is above `beyond`."""
        text = f"document.getElementById('fact-{name}').textContent"
        await self.until(f"Number({text}.replace(/[.,]/g, '')) > {beyond}")

    async def resumed(self, act: Awaitable[Any]) -> None:
        """Do something that ends the connection, and wait until the session goes on, nothing lost."""
        before = await self.count("resumes")
        await act
        await self.grows("resumes", before)
        await self.connected("")
        await expect(self.page.locator("#fact-recovered")).to_have_attribute("data-recovered", "true")

    async def sees(self, *titles: str) -> None:
        """Wait until these notifications stand in the list, each once, in the order given."""
        wanted = json.dumps(list(titles))
        shown = "[...document.querySelectorAll('#notification-list strong')].map((one) => one.textContent).reverse()"
        found = f"{shown}.filter((one) => {wanted}.includes(one))"
        await self.until(f"JSON.stringify({found}) === JSON.stringify({wanted})")

    async def is_sound(self, state: str) -> None:
        """Nothing serious for axe, nothing wider than the page; and a screenshot."""
        page = self.page
        await page.evaluate(axe())
        # In mid-transition a colour is neither of the two that were chosen.
        await page.evaluate("Promise.all(document.getAnimations().filter(({ playState, effect }) => "
                            "playState === 'running' && effect.getTiming().iterations !== Infinity)"
                            ".map(({ finished }) => finished.catch(() => {})))")  # fmt: skip
        assert await page.evaluate(AXE) == [], state
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state
        SCREENSHOTS.mkdir(exist_ok=True)
        await page.evaluate("scrollTo(0, 0)")
        await page.screenshot(path=SCREENSHOTS / f"{self.name}-{state}.png", full_page=True)

    def is_quiet(self) -> None:
        """No error in the browser's console, no request to another host, no token in any address but a WebSocket's."""
        assert self.complaints == []
        assert self._asked
        assert [
            url for url in self._asked if not url.startswith((f"{self.server.http}/", f"blob:{self.server.http}/"))
        ] == []
        assert [url for url in self._asked if "token=" in url and "/ws?" not in url] == []


class Publisher:
    """Publishes as a service would."""

    def __init__(self, server: Server, name: str = "service") -> None:
        self._url = f"{server.http}/api/v1/events"
        self._headers = {"Authorization": f"Bearer {server.token(name, roles=['service'])}"}

    async def publish(self, *events: dict[str, Any]) -> None:
        """Publish all of them at once."""
        async with aiohttp.ClientSession(headers=self._headers) as http:
            async with http.post(self._url, json=list(events)) as response:
                assert response.status == 202, await response.text()

    async def notify(self, *titles: str, **more: str) -> None:
        """One notification for each title."""
        told = {"level": "info", "message": "Texto do aviso", **more}
        await self.publish(*({"to": {"user_id": "dev"}, "type": "notification", "data": {**told, "title": title}}
                             for title in titles))  # fmt: skip


@pytest.fixture
async def look() -> AsyncIterator[Callable[..., Awaitable[Console]]]:
    """Open pages as `await look(server, width, scheme, locale)`."""
    chromium = need("chromium")
    async with contextlib.AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        stack.push_async_callback(browser.close)

        async def opened(
            server: Server, width: int = 1280, scheme: Any = "light", locale: str = "pt-BR", name: str = ""
        ) -> Console:
            context: BrowserContext = await browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
                locale=locale,
                permissions=["clipboard-read", "clipboard-write"],
            )
            return Console(server, await context.new_page(), f"{name}-{width}-{scheme}-{locale[:2]}")

        yield opened


async def development(serve: Serve, **sections: dict[str, Any]) -> Server:
    """A gateway for development whose agents hurry a little."""
    settings = {"agents": {"speed": 6.0}, "metrics": {"interval_seconds": 0.3}, **sections}
    return await serve(server={"mode": "development"}, **settings)


def by_query(page: Page, query: str) -> Any:
    """The card of an investigation."""
    return page.locator("article.investigation").filter(has=page.get_by_role("heading", name=query, exact=True))


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("width", "scheme", "locale"), [(1280, "light", "pt-BR"), (390, "dark", "en-US")])
async def test_the_whole_page_is_used(serve: Serve, look: Any, width: int, scheme: str, locale: str) -> None:
    server = await development(serve)
    console: Console = await look(server, width, scheme, locale, "tour")
    page, is_pt = console.page, locale == "pt-BR"
    await console.open()

    # It moves from the first second, without a click.
    await console.connected()
    demo = page.locator("article.investigation").first
    await expect(demo.locator(".chip").first).to_have_text("em andamento" if is_pt else "under way")
    await console.until("document.querySelector('progress.overall').value > 0")
    await expect(demo.locator(".agent strong")).to_have_text("Zumbi dos Palmares")
    await expect(page.locator("html")).to_have_attribute("lang", "pt-BR" if is_pt else "en")
    for fact in ("session", "cursor"):
        assert len(await page.locator(f"#fact-{fact}").get_attribute("title") or "") > 10
    await expect(page.locator("#fact-latency")).to_contain_text("ms")
    await expect(page.locator("#fact-user")).to_have_text("dev")
    # Nothing is without its words in this language.
    wordless = "[...document.querySelectorAll('[data-t]')].filter((one) => one.textContent === one.dataset.t).length"
    assert await page.evaluate(wordless) == 0
    await console.is_sound("first")

    await starts_investigations(console, is_pt)
    await chats(console)
    await reads_metrics_and_frames(console)
    await sees_connections(console)
    await changes_language_theme_and_transport(console, is_pt, scheme)
    await is_used_by_keyboard(console)
    await console.is_sound("last")
    console.is_quiet()


async def starts_investigations(console: Console, is_pt: bool) -> None:
    page = console.page
    await page.locator("#start summary").click()
    for agent in ("Zumbi dos Palmares", "Anita Garibaldi", "Tiradentes"):
        await page.get_by_role("checkbox", name=agent).uncheck()
    await page.get_by_role("checkbox", name="Oxóssi").check()
    await page.fill("#query", "Compra de ambulâncias")
    await page.fill("#from", "2024-01-01")
    await page.locator("#start button").click()
    await expect(page.locator("#start-error")).to_have_text(
        "Escolha as duas datas, em ordem." if is_pt else "Choose both dates, in order."
    )
    await page.fill("#to", "2024-06-30")
    await page.fill("#least", "50000")
    await page.select_option("#scenario", "muitas_descobertas")
    await console.is_sound("form")
    await page.locator("#start button").click()
    card = by_query(page, "Compra de ambulâncias")
    await expect(card.locator(".agent strong")).to_have_text("Oxóssi")
    await expect(card.locator("tbody tr").nth(5)).to_be_visible()
    await expect(card.locator(".chip").first).to_have_text("concluída" if is_pt else "completed")
    for bar in await card.locator("progress").all():
        await expect(bar).to_have_js_property("value", 100)
    await expect(card.locator("tbody tr").first).to_contain_text("Oxóssi")
    await expect(page.locator("#notification-list li").first).to_be_visible()
    # What was asked for is in the frame that went out.
    await page.fill("#frame-filter", "ambulâncias start_investigation")
    await page.locator("#frame-list summary").click()
    await expect(page.locator("#frame-list pre")).to_contain_text("}")
    sent = json.loads(await page.locator("#frame-list pre").inner_text())
    assert sent["data"] == {
        "query": "Compra de ambulâncias",
        "agents": ["oxossi"],
        "filters": {"date_range": "2024-01-01/2024-06-30", "min_value": 50000, "scenario": "muitas_descobertas"},
    }
    await page.fill("#frame-filter", "")
    for field in ("#from", "#to", "#least"):
        await page.fill(field, "")
    await page.select_option("#scenario", "lento")
    await page.fill("#query", "Obras paradas")
    await page.press("#query", "Enter")
    card = by_query(page, "Obras paradas")
    await card.get_by_role("button", name="Cancelar" if is_pt else "Cancel").click()
    await expect(card.locator(".chip").first).to_have_text("cancelada" if is_pt else "cancelled")
    await page.locator("#start summary").click()


async def chats(console: Console) -> None:
    page = console.page
    await page.evaluate("""() => {
      window.lengths = new Set();
      new MutationObserver(() => {
        const said = document.querySelector("#chat-log .bubble:nth-of-type(2) > p:last-of-type");
        if (said) window.lengths.add(said.textContent.length);
      }).observe(document.getElementById("chat-log"), { subtree: true, childList: true, characterData: true });
    }""")
    await page.select_option("#voice", "machado")
    await page.fill("#said", "Quem é você?")
    await page.locator("#chat-form button").click()
    answer = page.locator("#chat-log .bubble.theirs").first
    await expect(answer.locator(".who")).to_have_text("Machado de Assis")
    await expect(answer.locator(".suggestion").first).to_be_visible()
    # It was read while it grew.
    assert len(await page.evaluate("[...window.lengths]")) > 3
    await answer.locator(".suggestion").first.click()
    await expect(page.locator("#chat-log .bubble.mine")).to_have_count(2)
    await expect(page.locator("#chat-log .bubble.theirs").nth(1)).not_to_have_attribute("aria-busy", "true")
    card = by_query(page, "Compra de ambulâncias")
    await card.locator(".actions button").first.click()
    await expect(page.locator("#chat-about")).to_contain_text("Compra de ambulâncias")
    await expect(page.locator("#said")).to_be_focused()
    await page.keyboard.type("O que se achou?")
    await page.keyboard.press("Enter")
    await expect(page.locator("#chat-log .bubble.theirs").nth(2).locator(".suggestion").first).to_be_visible()
    await page.fill("#frame-filter", "agent_chat achou? context investigation_id")
    await expect(page.locator("#frame-list .frame[data-kind=out]")).to_have_count(1)
    await page.fill("#frame-filter", "")
    await page.locator("#chat-about button").click()
    await expect(page.locator("#chat-about")).to_be_hidden()


async def reads_metrics_and_frames(console: Console) -> None:
    page = console.page
    for metric in ("active_investigations", "agents_busy", "avg_response_time", "queue_size", "latency", "rate"):
        chart = page.locator(f"[data-metric={metric}]")
        await expect(chart.locator(".value")).not_to_have_text("–")
        assert "L" in (await chart.locator(".curve").get_attribute("d") or "")

    shown = page.locator("#frame-list .frame")
    await page.select_option("#frame-kind", "out")
    await expect(shown.first).to_have_attribute("data-kind", "out")
    await expect(page.locator("#frame-list .frame:not([data-kind=out])")).to_have_count(0)
    await page.select_option("#frame-kind", "all")
    await page.fill("#frame-filter", "metrics_update")
    await expect(shown.first.locator("b")).to_have_text("metrics_update")
    assert {*await shown.locator("b").all_text_contents()} == {"metrics_update"}
    pause = page.locator("#frame-pause")
    await pause.click()
    await expect(pause).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#frame-count")).to_contain_text("·")
    before = await shown.count()
    await page.locator("#frame-copy").click()
    await expect(page.locator("#frame-count")).to_contain_text(str(before))
    copied = (await page.evaluate("navigator.clipboard.readText()")).split("\n")
    assert {json.loads(line)["type"] for line in copied} == {"metrics_update"}
    async with page.expect_download() as download:
        await page.locator("#frame-export").click()
    exported = json.loads(Path(await (await download.value).path()).read_text(encoding="utf-8"))
    assert len(exported["frames"]) == len(copied) == before == await shown.count()
    assert exported["frames"][0]["direction"] == "in"
    await pause.click()
    await console.until(f"document.querySelectorAll('#frame-list .frame').length > {before}")
    await page.fill("#frame-filter", "connection_established")
    await expect(shown).to_have_count(1)
    await page.locator("#frame-clear").click()
    await expect(shown).to_have_count(0)
    await page.fill("#frame-filter", "")


async def sees_connections(console: Console) -> None:
    page = console.page
    async with console.server.connect(user="bia"):
        await page.locator("#as-admin").check()
        rows = page.locator("#connections-table tbody tr")
        await expect(rows.filter(has_text="bia")).to_have_count(1)
        await expect(page.locator("#connections-table tr[data-own=true]")).to_contain_text("dev")
        assert len(await rows.first.locator("td").all()) == 8
        await console.is_sound("connections")
    # It is looked at again by itself.
    await expect(rows.filter(has_text="bia")).to_have_count(0)
    await page.locator("#as-admin").uncheck()
    await expect(page.locator("#connections-table")).to_be_hidden()


async def changes_language_theme_and_transport(console: Console, is_pt: bool, scheme: str) -> None:
    page = console.page
    heading = page.locator("#investigations-title")
    other = "en" if is_pt else "pt-BR"
    await page.locator(f"[data-language={other}]").click()
    await expect(heading).to_have_text("Investigations" if is_pt else "Investigações")
    await expect(page.locator("html")).to_have_attribute("lang", other)
    chip = by_query(page, "Obras paradas").locator(".chip").first
    await expect(chip).to_have_text("cancelled" if is_pt else "cancelada")
    paper = "getComputedStyle(document.body).backgroundColor"
    before = await page.evaluate(paper)
    await page.locator(f"[data-choose-theme={'dark' if scheme == 'light' else 'light'}]").click()
    after = await page.evaluate(paper)
    assert after != before
    await console.is_sound("other-theme")

    session = await page.locator("#fact-session").get_attribute("title")
    for transport, name in (("sse", "SSE"), ("poll", "long polling"), ("websocket", "WebSocket")):
        await page.select_option("#transport", transport)
        await console.connected(name)
        await Publisher(console.server).notify(f"Por {name}")
        await console.sees(f"Por {name}")
        # The same conversation goes on by other means.
        assert await page.locator("#fact-session").get_attribute("title") == session

    # What was chosen is remembered, and what there was is read again.
    await page.reload()
    await console.connected()
    await expect(heading).to_have_text("Investigations" if is_pt else "Investigações")
    assert await page.evaluate(paper) == after
    card = by_query(page, "Compra de ambulâncias")
    await card.locator("details.more > summary").click()
    await expect(card.locator("tbody tr").nth(5)).to_be_visible()
    await page.locator("[data-choose-theme=auto]").click()
    await page.locator(f"[data-language={'pt-BR' if is_pt else 'en'}]").click()
    assert await page.evaluate(paper) == before


async def is_used_by_keyboard(console: Console) -> None:
    page = console.page
    await page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    assert (
        await page.evaluate('document.querySelectorAll(\'[tabindex]:not([tabindex="0"]):not([tabindex="-1"])\').length')
        == 0
    )
    await page.locator(".skip").focus()
    await expect(page.locator(".skip")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    reached = set()
    for _ in range(25):
        await page.keyboard.press("Tab")
        reached.add(await page.evaluate("document.activeElement.id"))
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
        if {"transport", "query"} <= reached:
            break
    assert {"transport", "query"} <= reached


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("width", "scheme", "locale"), [(1280, "dark", "en-US"), (390, "light", "pt-BR")])
async def test_whatever_breaks_comes_back(serve: Serve, look: Any, width: int, scheme: str, locale: str) -> None:
    server = await development(serve)
    publisher = Publisher(server)
    console: Console = await look(server, width, scheme, locale, "faults")
    page = console.page
    await console.open()
    await console.connected()
    state = page.locator("#fault-state")

    await console.resumed(page.locator("#cut").click())
    await page.locator("#away").click()
    await expect(page.locator("#state-text")).to_contain_text("Fora por" if locale == "pt-BR" else "Away for")
    titles = [f"Enquanto fora {number}" for number in range(5)]
    await publisher.notify(*titles)
    replayed = await console.count("replayed")
    await console.connected()
    await console.sees(*titles)
    await console.grows("replayed", replayed + 4)
    await page.select_option("#frame-kind", "replayed")
    await expect(page.locator("#frame-list .frame").filter(has_text="Enquanto fora")).to_have_count(5)
    await page.select_option("#frame-kind", "all")
    await console.is_sound("replayed")

    await page.locator("[data-fault=duplicate]").click()
    await expect(state).to_contain_text("duplicate:0.5")
    titles = [f"Dobrado {number}" for number in range(12)]
    await publisher.notify(*titles)
    await console.grows("duplicates", 0)
    await console.sees(*titles)
    await page.select_option("#frame-kind", "duplicate")
    await expect(page.locator("#frame-list .frame[data-kind=duplicate]").first).to_be_visible()
    await page.select_option("#frame-kind", "all")

    for fault, title in (("delay", "Atrasado"), ("slow", "Devagar")):
        await page.locator(f"[data-fault={fault}]").click()
        await expect(state).to_contain_text(f"{fault}:")
        began = time.monotonic()
        await publisher.notify(title, message="x" * 300)
        await console.sees(title)
        assert time.monotonic() - began > 0.25
    await page.locator("#end-faults").click()
    await expect(state).to_have_attribute("data-active", "false")

    await page.locator("[data-fault=drop]").click()
    await expect(state).to_contain_text("drop:0.3")
    titles = [f"Perdido {number}" for number in range(30)]
    await console.resumed(publisher.notify(*titles))
    await console.sees(*titles)

    await loses_its_connection_and_its_token(console)
    await reaches_limits(console)
    console.is_quiet()


async def loses_its_connection_and_its_token(console: Console) -> None:
    page, publisher = console.page, Publisher(console.server)
    for fault in ("close:1006", "close:1011", "close:1013", "expire"):
        await console.resumed(page.locator(f"[data-fault='{fault}']").click())
        await publisher.notify(f"Depois de {fault}")
        await console.sees(f"Depois de {fault}")


async def reaches_limits(console: Console) -> None:
    page = console.page
    state = page.locator("#fault-state")
    await page.fill("#fault", "delay:10ms,duplicate:0.1")
    await page.locator("#fault-form button").click()
    await expect(state).to_contain_text("delay:10ms,duplicate:0.1")
    console.allowed = "/api/v1/faults"
    await page.fill("#fault", "terremoto")
    await page.locator("#fault-form button").click()
    await expect(state).to_contain_text("part 1 is none of")
    console.allowed = ""

    await page.locator("[data-fault='limit:connections']").click()
    await expect(state).to_contain_text("limit:connections")
    await page.fill("#frame-filter", "CONNECTION_LIMIT")
    await expect(page.locator("#frame-list .frame").first).to_be_visible()
    await console.resumed(page.locator("#end-faults").click())
    await expect(state).to_have_attribute("data-active", "false")
    await page.locator("[data-fault='limit:messages']").click()
    await expect(state).to_contain_text("limit:messages")
    await page.fill("#query", "Uma a mais")
    await page.locator("#start button").click()
    await expect(page.locator("#start-error")).to_contain_text("messages")
    await page.fill("#frame-filter", "RATE_LIMIT_EXCEEDED")
    await expect(page.locator("#frame-list .frame").first).to_be_visible()
    await console.is_sound("limited")


@pytest.mark.timeout(120)
async def test_what_was_lost_is_said_and_what_stands_is_read_again(serve: Serve, look: Any) -> None:
    server = await development(serve, buffer={"events_per_topic": 10})
    publisher = Publisher(server)
    console: Console = await look(server, 1280, "light", "en-US", "lost")
    page = console.page
    await console.open()
    await console.connected()
    gone = {"status": "processing", "progress": 10, "query": "Caso esquecido"}
    kept = {"status": "processing", "progress": 10, "query": "Caso lembrado"}
    for name, data in (("inv_gone", gone), ("inv_kept", kept)):
        to = {"investigation_id": name, "owner": "dev"}
        await publisher.publish({"to": to, "type": "investigation_update", "data": data})
    finding = {"pattern": "price_outlier", "confidence": 0.5, "evidence_count": 1}
    found = {"agent": "zumbi", "analysis_type": "x", "status": "completed", "findings": [finding]}
    await publisher.publish({"to": {"investigation_id": "inv_kept"}, "type": "agent_analysis", "data": found})
    await expect(by_query(page, "Caso lembrado").locator("tbody tr")).to_have_count(1)
    await expect(by_query(page, "Caso esquecido")).to_be_visible()
    await expect(page.locator("article.investigation").first.locator(".chip").first).to_have_text("under way")
    await page.locator("#away").click()
    await expect(page.locator("#state-text")).to_contain_text("Away for")
    ended = {"to": {"investigation_id": "inv_gone"}, "type": "investigation_update"}
    await publisher.publish({**ended, "data": {"status": "completed", "progress": 100}})
    server.gateway.investigations.forget(float("inf"), 0)
    moved = {"to": {"investigation_id": "inv_kept"}, "type": "investigation_update"}
    await publisher.publish({**moved, "data": {"status": "processing", "progress": 59}})
    await publisher.notify(*(f"Aviso {number}" for number in range(40)))
    await console.connected()
    await expect(page.locator("#fact-recovered")).to_have_text("some; state read again")
    await expect(by_query(page, "Caso lembrado").locator(".percent")).to_have_text("59%")
    await expect(by_query(page, "Caso esquecido")).to_have_count(0)
    # What is read again was there already.
    await publisher.publish({"to": {"investigation_id": "inv_kept"}, "type": "agent_analysis", "data": found})
    await expect(by_query(page, "Caso lembrado").locator("tbody tr")).to_have_count(2)
    await console.is_sound("lost")
    console.is_quiet()


@pytest.mark.timeout(120)
async def test_what_is_kept_has_bounds_and_says_so(serve: Serve, look: Any) -> None:
    server = await development(serve, limits={"messages_per_minute": 1000})
    publisher = Publisher(server)
    console: Console = await look(server, 1280, "light", "en-US", "bounds")
    page = console.page
    await console.open()
    await console.connected()
    for name in ("notifications-full", "investigations-full", "frame-told"):
        await expect(page.locator(f"#{name}")).to_be_hidden()
    await publisher.notify(*(f"Aviso {number}" for number in range(101)))
    await expect(page.locator("#notifications-full")).to_have_text("Only the last 100 notifications are shown.")
    await expect(page.locator("#notification-list li")).to_have_count(100)
    await expect(page.locator("#notification-list li").first).to_contain_text("Aviso 100")
    await page.locator("#notifications-clear").click()
    await expect(page.locator("#notification-list li")).to_have_count(0)
    await expect(page.locator("#notifications-full")).to_be_hidden()

    begun = {"status": "processing", "progress": 10, "current_agent": "zumbi"}
    await publisher.publish(
        *({"to": {"investigation_id": f"inv_{number}", "owner": "dev"}, "type": "investigation_update",
           "data": {**begun, "query": f"Caso {number}"}} for number in range(55))
    )  # fmt: skip
    await expect(page.locator("#investigations-full")).to_contain_text("newest 50")
    await expect(page.locator("article.investigation")).to_have_count(50)
    await expect(by_query(page, "Caso 54")).to_be_visible()
    await expect(by_query(page, "Caso 0")).to_have_count(0)

    finding = {"pattern": "price_outlier", "confidence": 0.5, "evidence_count": 1, "severity": "low"}
    found = {"agent": "zumbi", "analysis_type": "x", "status": "completed"}
    await publisher.publish(
        {"to": {"investigation_id": "inv_54"}, "type": "agent_analysis", "data": {**found, "findings": [finding] * 301}}
    )
    card = by_query(page, "Caso 54")
    await expect(card.locator("tbody tr")).to_have_count(300)
    await expect(card.locator(".bound")).to_have_text("Only the first 300 findings are shown.")

    # Each may publish 1,000 a second.
    for number in range(3):
        await Publisher(server, f"service {number}").publish(
            *[{"to": {"user_id": "dev"}, "type": "custom", "data": {}}] * 700
        )
    await expect(page.locator("#frame-told")).to_contain_text("The last 2,000 frames are kept", timeout=30_000)
    await expect(page.locator("#frame-count")).to_contain_text("of 2,000")
    await expect(page.locator("#frame-list .frame")).to_have_count(150)
    console.is_quiet()


HOSTILE = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>"\'&lt;b&gt;</table></ol>${7*7}'


@pytest.mark.timeout(120)
async def test_what_others_write_is_text_and_nothing_else(serve: Serve, look: Any) -> None:
    server = await development(serve)
    publisher = Publisher(server)
    console: Console = await look(server, 1280, "dark", "en-US", "hostile")
    page = console.page
    await console.open()
    await console.connected()
    name = f"inv_{HOSTILE}"[:90]
    to = {"investigation_id": name}
    update = {"status": "processing", "progress": 10, "current_agent": HOSTILE, "message": HOSTILE, "query": HOSTILE,
              "agents": [HOSTILE]}  # fmt: skip
    finding = {"pattern": HOSTILE, "confidence": 0.5, "evidence_count": 1, "severity": HOSTILE, "description": HOSTILE}
    analysis = {"agent": HOSTILE, "analysis_type": HOSTILE, "status": HOSTILE, "findings": [finding]}
    odd = {**finding, "agent": {"a": [1]}, "description": {"b": None}, "severity": 7}
    await publisher.publish(
        {"to": {**to, "owner": "dev"}, "type": "investigation_update", "data": update},
        {"to": to, "type": "agent_analysis", "data": analysis},
        {"to": to, "type": "agent_analysis", "data": {**analysis, "findings": [odd]}},
        {"to": {"user_id": "dev"}, "type": "notification", "correlation_id": HOSTILE[:128],
         "data": {"level": "critical", "title": HOSTILE, "message": HOSTILE, HOSTILE: HOSTILE}},
        {"to": {"user_id": "dev"}, "type": "custom", "data": {HOSTILE: HOSTILE, "message": HOSTILE}},
    )  # fmt: skip
    card = by_query(page, HOSTILE)
    await expect(card.locator(".agent strong")).to_have_text(HOSTILE)
    row = card.locator("tbody tr").first
    for cell in (0, 1, 2, 5):
        await expect(row.locator("td").nth(cell)).to_have_text(HOSTILE)
    await expect(page.locator("#notification-list strong").first).to_have_text(HOSTILE)
    await page.fill("#said", HOSTILE)
    await page.locator("#chat-form button").click()
    await expect(page.locator("#chat-log .bubble.mine p").nth(1)).to_have_text(HOSTILE)
    await expect(page.locator("#chat-log .suggestion").first).to_be_visible()
    await card.locator(".actions button").first.click()
    await expect(page.locator("#chat-about")).to_contain_text(HOSTILE)
    await page.fill("#frame-filter", "custom onerror")
    await page.locator("#frame-list summary").first.click()
    await expect(page.locator("#frame-list pre").first).to_contain_text("onerror")
    await page.fill("#query", HOSTILE)
    await page.locator("#start button").click()
    await expect(by_query(page, HOSTILE)).to_have_count(2)
    async with server.connect(user=HOSTILE):
        await page.locator("#as-admin").check()
        await expect(page.locator("#connections-table tbody tr").filter(has_text="onerror")).to_have_count(1)
        assert await page.evaluate("window.broken") is None
        assert await page.locator("main img, main script").count() == 0
    await console.is_sound("hostile")
    console.is_quiet()


@pytest.mark.timeout(120)
async def test_in_production_it_asks_for_a_token_and_keeps_it_to_the_tab(serve: Serve, look: Any) -> None:
    server = await serve(agents={"speed": 6.0})
    console: Console = await look(server, 390, "light", "pt-BR", "production")
    page = console.page
    await console.open()
    await expect(page.locator("#entry")).to_be_visible()
    await expect(page.locator("#desk")).to_be_hidden()
    await console.is_sound("entry")
    await page.fill("#token", "not-a-token")
    await page.keyboard.press("Enter")
    await expect(page.locator("#entry-error")).to_contain_text("Invalid token")
    await console.is_sound("refused")
    token = server.token(HOSTILE, roles=["user"])
    await page.fill("#token", token)
    await page.locator("#entry-form button").click()
    await console.connected()
    await expect(page.locator("#fact-user")).to_have_text(HOSTILE)
    await expect(page.locator("#faults-forbidden")).to_be_visible()
    await expect(page.locator("#fault-tools")).to_be_hidden()
    await expect(page.locator("#investigations-none")).to_be_visible()
    await console.resumed(page.locator("#cut").click())
    stored = await page.evaluate("[Object.values(sessionStorage), Object.values(localStorage), location.href]")
    assert stored == [[token], [], f"{server.http}/"]
    await page.fill("#query", "Merenda")
    await page.locator("#start button").click()
    await expect(by_query(page, "Merenda").locator(".chip").first).to_have_text("concluída")
    console.allowed = "/api/v1/connections"
    await page.locator("#as-admin").check()
    await expect(page.locator("#connections-told")).to_have_text("O token não tem o papel admin.")
    await page.locator("#as-admin").uncheck()
    # Another page load of the same tab needs no token, and it begins nothing by itself.
    await page.reload()
    await console.connected()
    await expect(page.locator("article.investigation")).to_have_count(1)
    await page.locator("#leave").click()
    await expect(page.locator("#entry")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0
    await server.settled(lambda: len(server.gateway.hub) == 0)
    await page.fill("#token", server.token("root", roles=["admin"]))
    await page.keyboard.press("Enter")
    await console.connected()
    await page.locator("#as-admin").check()
    await expect(page.locator("#connections-table tr[data-own=true]")).to_contain_text("root")
    assert len(list(server.gateway.investigations.of("root"))) == 0
    console.is_quiet()
