"""Which gateway, with which token; and a client of it that gives up where a person would."""

import asyncio
import contextlib
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from ..client import Client, RefusedError, State, Status, connect
from ..words.settings import TOKEN_VARIABLE, one_line
from .errors import NO_CONNECTION, USAGE, ToolError
from .output import note

OPEN_SECONDS = 15.0
"""How long the first connection may take, over all transports. One that is lost later is taken up again."""

_PATH = re.compile(r"(?P<base>.*?)(?:/api/v1)?(?P<path>/ws(?:/investigations/[^/]+|/chat)?)?/?")
_TOKEN = re.compile(r"[!-~]{1,8192}")
_UNREACHABLE = "ClientConnector"
_TOLD_OTHERWISE = "closed for good"


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway. `token` is a secret: never shown, and so not in the `repr`."""

    base: str
    path: str
    token: str = field(repr=False)

    @property
    def where(self) -> str:
        """What errors call it."""
        url = URL(self.base)
        return one_line(f"{url.host}:{url.port}")


def target(url: str, token: str | None) -> Target:
    """The gateway at `url`, which may be one of those that the server prints. Raises `ToolError`.

    A token of the command line wins over the environment's, and that over the URL's.
    """
    try:
        parsed = URL(url)
        if parsed.scheme not in ("http", "https", "ws", "wss") or not parsed.host or not parsed.port or parsed.user:
            raise ValueError
        unknown = sorted(set(parsed.query) - {"token", "agent"})
    except (ValueError, UnicodeError):
        raise ToolError("URL must be http(s):// or ws(s)://, with a host and without a user", USAGE) from None
    if unknown:
        raise ToolError(f"{unknown[0]} in the URL: only the token may stand there; see --help", USAGE)
    found = token or os.environ.get(TOKEN_VARIABLE) or parsed.query.get("token")
    if not found:
        raise ToolError(f"a token is needed: --token, ${TOKEN_VARIABLE}, or ?token= in the URL", USAGE)
    if _TOKEN.fullmatch(found) is None:
        raise ToolError("the token is none: at most 8,192 characters of ASCII, without spaces", USAGE)
    match = _PATH.fullmatch(parsed.path)
    assert match is not None, "every path has this form"
    base = parsed.with_path(match["base"]).with_query(None).with_fragment(None)
    return Target(str(base), match["path"] or "/ws", found)


def client(target_: Target, **options: Any) -> Client:
    """A client of it, which comes back faster than an application's. Raises `ToolError` for wrong options."""
    try:
        return connect(
            target_.base,
            **{
                "token": target_.token,
                "path": target_.path,
                "backoff_seconds": 0.5,
                "backoff_max_seconds": 10.0,
                "open_seconds": 5.0,
                **options,
            },
        )
    except ValueError as error:
        raise ToolError(str(error), USAGE) from None


@contextlib.asynccontextmanager
async def opened(rt: Client, where: str, seconds: float = OPEN_SECONDS) -> AsyncIterator[Client]:
    """The client, connected. Raises `ToolError` where it is refused, nothing is there, or it takes too long."""
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reason = "no answer"

    def notice(status: Status) -> None:
        nonlocal reason
        if status.state is State.WAITING:
            reason = status.reason
            if _UNREACHABLE in reason and not failed.done():
                failed.set_result(None)

    stop = rt.on_status(notice)
    opening = asyncio.ensure_future(rt.__aenter__())
    waiting: set[asyncio.Future[Any]] = {opening, failed}
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            if failed.done():
                reason = "nothing answers there"
            raise ToolError(f"cannot connect to {where}: {reason}", NO_CONNECTION)
        await opening
    except RefusedError as error:
        raise ToolError(f"{where} refuses: {error.reason or error.code}", NO_CONNECTION) from None
    finally:
        stop()
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
    try:
        yield rt
    finally:
        await rt.__aexit__(*sys.exc_info())


class _ToStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def tell_connection(level: int) -> None:
    """Say on stderr, a line each, how the client's connection fares, down to this level of importance."""
    log = logging.getLogger("cidadao_rt.client")
    handler = _ToStderr(level)
    # Why it ended is what the tool ends with.
    handler.addFilter(lambda record: not record.getMessage().startswith(_TOLD_OTHERWISE))
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(level)


def texts_are_sound(texts: Sequence[str | None]) -> None:
    """Refuse what the command line cannot have meant: bytes that are no UTF-8. Raises `ToolError`."""
    for text in texts:
        if text is not None and any("\ud800" <= character <= "\udfff" for character in text):
            raise ToolError("the arguments must be UTF-8", USAGE)
