"""The console over HTTP: what is served, under which headers, and who is given a token."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from conftest import SECRET, Server

from cidadao_rt.edges.console import USER
from cidadao_rt.words.tokens import Keyring, verify

Serve = Callable[..., Awaitable[Server]]
DEVELOPMENT = {"mode": "development"}


async def ask_token(server: Server, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """Ask as the console does, except for these headers."""
    sent = {"Origin": server.http, "Sec-Fetch-Site": "same-origin", **headers}
    sent = {name.replace("_", "-"): value for name, value in sent.items() if value}
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{server.http}/console/token", json=body or {}, headers=sent) as response:
            return response.status, await response.json()


@pytest.mark.parametrize(
    ("path", "type_"),
    [("/", "text/html"), ("/console/main.js", "text/javascript"), ("/console/console.css", "text/css"),
     ("/console/icon.svg", "image/svg+xml")],
)  # fmt: skip
async def test_its_files_are_served_strictly_and_not_twice(serve: Serve, path: str, type_: str) -> None:
    server = await serve()
    async with aiohttp.ClientSession() as http:
        async with http.get(server.http + path) as response:
            assert (response.status, response.content_type) == (200, type_)
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            policy = response.headers["Content-Security-Policy"]
            etag = response.headers["ETag"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "connect-src 'self';" in policy
        async with http.get(server.http + path, headers={"If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")
            assert response.headers["ETag"] == etag


@pytest.mark.parametrize("name", ["nothing.js", "..%2fclient.js", "%2e%2e%2fdocs.html", "console.py"])
async def test_nothing_else_is_served(serve: Serve, name: str) -> None:
    server = await serve()
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{server.http}/console/{name}") as response:
            assert response.status == 404


async def test_it_is_switched_off_by_one_setting(serve: Serve) -> None:
    server = await serve(server={"console": False, **DEVELOPMENT})
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{server.http}/") as response:
            assert (response.status, (await response.json())["code"]) == (404, "NOT_FOUND")
        for path in ("main.js", "setup"):
            async with http.get(f"{server.http}/console/{path}") as response:
                assert response.status == 404
        async with http.post(f"{server.http}/console/token", headers={"Origin": server.http}) as response:
            assert response.status == 404


async def test_setup_tells_what_the_page_must_know_and_no_path_of_the_machine(serve: Serve, tmp_path: Any) -> None:
    own = tmp_path / "meu.toml"
    own.write_text('description = "Meu"\n')
    server = await serve(agents={"scenario": str(own)})
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{server.http}/console/setup") as response:
            text = await response.text()
            setup = await response.json()
    assert (setup["development"], setup["gives_token"]) == (False, False)
    assert {"id": "zumbi", "name": "Zumbi dos Palmares", "role": "investigador de anomalias"} in setup["agents"]
    assert "lento" in setup["scenarios"]
    assert setup["scenario"] == "meu.toml"
    assert str(tmp_path) not in text


async def test_in_development_the_page_is_given_a_token_of_the_usual_user(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT, auth={"issuer": "tests", "audience": "console"})
    keys = Keyring((SECRET,), issuer="tests", audience="console")
    status, told = await ask_token(server)
    assert (status, told["user_id"]) == (200, USER)
    found = verify(told["token"], keys, server.gateway.wall())
    assert (found.sub, found.roles) == (USER, {"user"})
    _, told_again = await ask_token(server)
    # Were they the same, a client whose token was refused would take the new one for the old one.
    assert told_again["token"] != told["token"]
    _, of_admin = await ask_token(server, {"admin": True})
    assert verify(of_admin["token"], keys, server.gateway.wall()).roles == {"user", "admin"}
    status, told = await ask_token(server, {"admin": "yes"})
    assert (status, told["details"]["field"]) == (422, "admin")


async def test_what_is_no_json_is_told(serve: Serve) -> None:
    server = await serve(server=DEVELOPMENT)
    async with aiohttp.ClientSession() as http:
        for body, status in ((b"{", 422), (b"", 200)):
            async with http.post(
                f"{server.http}/console/token", data=body, headers={"Origin": server.http}
            ) as response:
                assert response.status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site", "Sec-Fetch-Site": ""},
        {"Sec_Fetch_Site": "same-site", "Sec-Fetch-Site": ""},
        # A name of somebody else's that was made to point here.
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "localhost.evil.example:80", "Origin": "http://localhost.evil.example:80"},
        {"Host": "127.0.0.1.evil.example", "Origin": "http://127.0.0.1.evil.example"},
        {"X_Forwarded_For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
        # A proxy that tells nothing of the client, in front of a `Host` of its own.
        {"X_Forwarded_Host": "gateway.example"},
        {"X_Forwarded_Proto": "https"},
    ],
    ids=str,
)
async def test_no_other_page_and_no_proxy_is_given_one(serve: Serve, headers: dict[str, str]) -> None:
    server = await serve(server=DEVELOPMENT)
    status, told = await ask_token(server, **headers)
    assert (status, told["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "[::1]:80", "127.0.0.7"])
async def test_any_name_of_this_machine_is_good(serve: Serve, host: str) -> None:
    server = await serve(server=DEVELOPMENT)
    status, _ = await ask_token(server, Host=host, Origin=f"http://{host}")
    assert status == 200


@pytest.mark.parametrize(
    "settings", [{}, {**DEVELOPMENT, "host": "0.0.0.0"}, {**DEVELOPMENT, "host": "gateway"}], ids=str
)
async def test_no_token_in_production_nor_where_others_can_come(serve: Serve, settings: dict[str, str]) -> None:
    server = await serve(server=settings)
    status, _ = await ask_token(server)
    assert status == 403
