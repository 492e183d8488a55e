"""Where tokens come from, and how long they last."""

import base64
import inspect
import json
import logging
from collections.abc import Awaitable, Callable

from .returning import ABNORMAL, Ended

Source = str | Callable[[], str | Awaitable[str]]
"""A token, or a function or coroutine function that fetches a fresh one."""

_log = logging.getLogger(__name__)


class Token:
    """The token of a client."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def is_renewable(self) -> bool:
        """Whether asking again may give another."""
        return not isinstance(self._source, str)

    async def fetch(self) -> str:
        """One for a new attempt. Raises `Ended` where there is none to be had now."""
        if isinstance(self._source, str):
            return self._source
        try:
            token = self._source()
            if inspect.isawaitable(token):
                token = await token
        except Exception as error:
            # Whoever issues tokens may be away for a while, like the gateway; the next attempt asks again.
            _log.exception("no token to be had")
            raise Ended(ABNORMAL, f"no token to be had: {type(error).__name__}") from error
        return token


def expiry(token: str) -> float | None:
    """When a JWT says it expires, in seconds since 1970; None where it does not say, or is none.

    Nothing is verified: that is for the gateway. Source: RFC 7519 section 4.1.4.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    expires_at = claims.get("exp") if isinstance(claims, dict) else None
    return float(expires_at) if isinstance(expires_at, int | float) else None
