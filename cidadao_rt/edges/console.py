"""The console: the page at `/`, what it loads, and in development the token it works with.

Source: docs/console.md, docs/decisions/0012-console.md; RFC 9110 section 8.8.3 (ETag); the Fetch Metadata draft.
"""

import hashlib
from importlib import resources
from ipaddress import ip_address
from itertools import count
from typing import NamedTuple

import msgspec
import orjson
from aiohttp import ETag, hdrs, web

from ..motion.gateway import Gateway
from ..words import messages, tokens
from ..words.agents import AGENTS, DEFAULT_TEAM, DEFAULT_VOICE
from ..words.errors import ErrorCode, Refusal
from .admission import Admission, is_local, problem

USER = "dev"
"""Whom the tokens given here speak for: the same as the one that the command line prints."""

TOKEN_SECONDS = 3600.0
"""How long such a token holds; the page asks for a new one before it ends."""

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Nothing from elsewhere, nothing inline, and no text that becomes markup."""


class Wish(msgspec.Struct, frozen=True):
    """What the token shall be good for."""

    admin: bool = False


class _File(NamedTuple):
    body: bytes
    etag: ETag
    content_type: str


class ConsoleEdge:
    """The page and its files. Where `server.console` is false, `/` is 404 like everything else of it."""

    def __init__(self, gateway: Gateway, admission: Admission) -> None:
        self._gateway = gateway
        self._files = _load()
        self._minted = count()

    def routes(self) -> list[web.RouteDef]:
        """Their paths."""
        if not self._gateway.config.server.console:
            return [web.get("/", self._off)]
        return [
            web.get("/", self._page),
            web.get("/console/setup", self._setup),
            web.post("/console/token", self._token),
            web.get("/console/{name}", self._file),
        ]

    async def _off(self, _: web.Request) -> web.Response:
        return problem(Refusal(ErrorCode.NOT_FOUND, "The console is switched off"))

    async def _page(self, request: web.Request) -> web.Response:
        return self._serve(request, "index.html")

    async def _file(self, request: web.Request) -> web.Response:
        return self._serve(request, request.match_info["name"])

    def _serve(self, request: web.Request, name: str) -> web.Response:
        """A file, or 304 where the browser has it. A cache asks each time, since a new version keeps its URL."""
        file = self._files.get(name)
        if file is None:
            raise Refusal(ErrorCode.NOT_FOUND, "Not a file of the console")
        if any(tag.value in (file.etag.value, "*") for tag in request.if_none_match or ()):
            response = web.Response(status=304)
        else:
            response = web.Response(body=file.body, content_type=file.content_type, charset="utf-8")
        response.etag = file.etag
        response.headers.update({**_HEADERS, hdrs.CACHE_CONTROL: "no-cache"})
        return response

    async def _setup(self, request: web.Request) -> web.Response:
        """What the page must know before it connects; nothing of anybody's."""
        return _json(
            {
                "development": self._gateway.config.server.mode == "development",
                "gives_token": self._gives_tokens(request),
                "agents": [{"id": one.id, "name": one.name, "role": one.role} for one in AGENTS.values()],
                "team": DEFAULT_TEAM,
                "voice": DEFAULT_VOICE,
                "scenarios": self._gateway.library.names(),
                # Of one that is a file, where it lies is nobody's business.
                "scenario": self._gateway.config.agents.scenario.rpartition("/")[2],
            }
        )

    async def _token(self, request: web.Request) -> web.Response:
        if not self._gives_tokens(request) or not _is_own_page(request):
            raise Refusal(ErrorCode.FORBIDDEN, "Only the console in development, on this machine, is given a token")
        try:
            asked = orjson.loads(await request.read() or b"{}")
        except orjson.JSONDecodeError:
            raise Refusal(ErrorCode.INVALID_JSON, "Body is not valid JSON") from None
        wish = messages.convert(asked, Wish)
        auth = self._gateway.config.auth
        token = tokens.mint(
            auth.jwt_secrets[0],
            sub=USER,
            issued_at=self._gateway.wall(),
            # Two tokens of one second must differ: a client does not come back with the one that was refused.
            ttl=TOKEN_SECONDS + next(self._minted) % 60,
            roles=["user", tokens.ADMIN] if wish.admin else ["user"],
            algorithm=auth.algorithms[0],
            issuer=auth.issuer,
            audience=auth.audience,
        )
        return _json({"token": token, "user_id": USER})

    def _gives_tokens(self, request: web.Request) -> bool:
        """Whether this server is for development and this machine alone, and the request is from this machine.

        A page elsewhere whose name was made to point here is known by the `Host` that it gives.
        """
        server = self._gateway.config.server
        here = server.mode == "development" and _is_loopback(server.host)
        return here and is_local(request) and _is_loopback(_name(request.host))


def _is_own_page(request: web.Request) -> bool:
    """Whether the browser says that the page which asks came from this very origin."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    return site == "same-origin" and request.headers.get(hdrs.ORIGIN) == f"{request.scheme}://{request.host}"


def _name(host: str) -> str:
    """The name in a `Host` header: without the port, and without the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def _load() -> dict[str, _File]:
    files = {}
    for path in resources.files("cidadao_rt.edges").joinpath("static", "console").iterdir():
        content_type = _TYPES.get(path.name.rpartition(".")[2])
        if content_type is not None:
            body = path.read_bytes()
            files[path.name] = _File(body, ETag(hashlib.blake2b(body, digest_size=12).hexdigest()), content_type)
    return files


def _json(value: object) -> web.Response:
    return web.Response(
        body=orjson.dumps(value), content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-store"}
    )
