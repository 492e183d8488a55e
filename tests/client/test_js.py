"""The JavaScript client under Node's own test runner, against gateways that the tests themselves ask for."""

import asyncio
import fcntl
import os
import re
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from conftest import SECRET, configure
from machine import need

from cidadao_rt.app import EDGE, GATEWAY, build
from cidadao_rt.motion.drain import drain
from cidadao_rt.words.tokens import mint

JS = Path(__file__).parents[1] / "js"


class Control:
    """What a test in JavaScript asks of Python, as JSON over HTTP: gateways, tokens, ends and cuts."""

    def __init__(self) -> None:
        self._runners: dict[int, web.AppRunner] = {}
        self.url = ""

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.add_routes([web.post("/{verb}", self._serve)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """End everything that was started."""
        for runner in [*self._runners.values(), self._runner]:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        answer = await getattr(self, f"_on_{request.match_info['verb']}")(**await request.json())
        return web.json_response(answer)

    async def _on_start(self, sections: dict[str, Any], port: int = 0) -> int:
        runner = web.AppRunner(build(configure(**sections)), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        bound: int = runner.addresses[0][1]
        self._runners[bound] = runner
        return bound

    async def _on_token(self, sub: str, ttl: float, claims: dict[str, Any]) -> str:
        return mint(SECRET, sub=sub, issued_at=time.time(), ttl=ttl, **claims)

    async def _on_cut(self, port: int) -> int:
        """Cut all TCP connections that carry events, without a goodbye."""
        connections = list(self._app(port)[GATEWAY].hub)
        for connection in connections:
            connection.outlet.abort()
        return len(connections)

    async def _on_replace(self, port: int, sections: dict[str, Any]) -> int:
        """Drain a gateway, end it, and start its successor on the same port."""
        app = self._app(port)
        await drain(app[GATEWAY], 2.0)
        await app[EDGE].finish(1.0)
        await self._runners.pop(port).cleanup()
        return await self._on_start(sections, port)

    async def _on_forget(self, port: int, sub: str) -> int:
        return self._app(port)[GATEWAY].users.drop(sub)

    async def _on_look(self, port: int, sub: str) -> dict[str, Any]:
        gateway = self._app(port)[GATEWAY]
        return {
            "connections": len(gateway.hub),
            "running": gateway.investigations.running,
            "known": len(list(gateway.investigations.of(sub))),
        }

    def _app(self, port: int) -> web.Application:
        return self._runners[port].app


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    """The control of one run."""
    control = Control()
    await control.start()
    yield control
    await control.stop()


@pytest.fixture(scope="module")
def modules() -> None:
    """The npm packages of the lock file, installed once, also where several workers come at the same time."""
    npm = need("npm")
    with (JS / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (JS / "node_modules" / ".package-lock.json").exists():
            subprocess.run([npm, "ci", "--silent", "--no-audit", "--no-fund", "--prefix", str(JS)], check=True)


async def run(*command: str, **environment: str) -> str:
    """Run a command to its end; its output. It must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "NODE_OPTIONS": "", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output
    return output


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize("file", sorted(JS.glob("*.test.mjs")), ids=lambda file: file.name.split(".")[0])
async def test_under_node(control: Control, file: Path) -> None:
    output = await run(need("node"), "--test", "--test-reporter=tap", str(file), CONTROL=control.url)
    counts = dict(re.findall(r"^# (tests|pass|fail|skipped|todo) (\d+)$", output, re.MULTILINE))
    assert int(counts["pass"]) == int(counts["tests"]) > 0, output
    assert (counts["fail"], counts["skipped"], counts["todo"]) == ("0", "0", "0"), output


@pytest.mark.usefixtures("modules")
async def test_types_describe_what_an_app_writes() -> None:
    await run(need("node"), str(JS / "node_modules" / "typescript" / "bin" / "tsc"), "-p", str(JS))
