"""The JavaScript client as the gateway serves it."""

from collections.abc import Awaitable, Callable
from importlib import resources

import aiohttp
import pytest
from conftest import Server

Serve = Callable[..., Awaitable[Server]]


@pytest.mark.parametrize(
    ("name", "type_"), [("client.js", "text/javascript"), ("client.d.ts", "application/typescript")]
)
async def test_the_client_is_there_for_every_page_and_never_stale(serve: Serve, name: str, type_: str) -> None:
    server = await serve(auth={"allowed_origins": ["https://app.example"]})
    url = f"{server.http}/{name}"
    async with aiohttp.ClientSession() as http:
        async with http.get(url, headers={"Origin": "https://elsewhere.example"}) as response:
            body = await response.read()
            assert (response.status, response.content_type, response.charset) == (200, type_, "utf-8")
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "Content-Security-Policy" in response.headers
            tag = response.headers["ETag"]
        assert body == resources.files("cidadao_rt.edges").joinpath("static", name).read_bytes()
        assert response.headers["Cache-Control"] == "no-cache"
        for known, status in ((tag, 304), (f'"other", {tag}', 304), ('"other"', 200)):
            async with http.get(url, headers={"If-None-Match": known}) as response:
                assert (response.status, response.headers["ETag"]) == (status, tag)
                assert response.headers["Access-Control-Allow-Origin"] == "*"
                assert (await response.read() == b"") is (status == 304)
        async with http.head(url) as response:
            assert (response.status, response.content_length) == (200, len(body))
