"""What an end means for coming back: whether, when, and by which transport. Pure.

Source: PROTOCOL 10 "Errors and close codes", 6 "Token".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..words.errors import CloseCode
from ..words.tokens import AUTHENTICATION_REQUIRED, INVALID_TOKEN, TOKEN_EXPIRED

ABNORMAL = 1006
"""The connection ended without a goodbye (RFC 6455 section 7.4.1)."""

TOKEN_REASONS = frozenset({AUTHENTICATION_REQUIRED, INVALID_TOKEN, TOKEN_EXPIRED})
"""The reasons of a 1008 which another token can mend."""

FRESH_TOKENS = 3
"""Fresh tokens that may be refused in a row; after that the refusal is for good."""

FAILURES = 2
"""Times in a row that a transport may fail to open while others might work."""

MOVED = "Session resumed elsewhere"
"""The reason of a 1000 by the gateway."""

LATE_SECONDS = 120.0
"""A request that had no answer may reach the gateway for so long, and then takes the session from its own client."""

RETURN_SECONDS = 300.0
"""A client that has fallen back tries its first transport again when it next reconnects after so long."""


class Ended(Exception):
    """A connection ended, or never opened. `retry_in` (seconds) is what the gateway asked for.

    `blocked`: this transport does not get through, though the network seems to be there; `buffered`: it surely will
    not, because something holds its stream back.
    """

    def __init__(
        self,
        code: int,
        reason: str = "",
        *,
        retry_in: float | None = None,
        blocked: bool = False,
        buffered: bool = False,
    ) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason
        self.retry_in = retry_in
        self.blocked = blocked or buffered
        self.buffered = buffered


@dataclass(frozen=True, slots=True)
class Wait:
    """Come back in so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Do not come back; `refused` tells a refusal from an end that somebody wanted."""

    refused: bool


class Returning:
    """`uniform(a, b)` draws between two numbers. Seconds everywhere."""

    def __init__(self, base: float, most: float, uniform: Callable[[float, float], float], *, renewable: bool) -> None:
        self._base = base
        self._most = most
        self._uniform = uniform
        self._renewable = renewable
        self._attempts = 0
        self._refusals = 0
        self._refused: str | None = None
        self._unanswered: tuple[str | None, float] | None = None
        self.refusal = ""

    def welcomed(self) -> None:
        """The token was good."""
        self._refusals = 0
        self._refused = None

    def healthy(self) -> None:
        """The connection has been of use; the next end is a first one again."""
        self._attempts = 0

    def is_refused(self, token: str | None) -> bool:
        """Whether this very token was refused the last time."""
        return token is not None and token == self._refused

    def unanswered(self, session_id: str | None, now: float) -> None:
        """An attempt to take up this session was given up before its welcome. `now` is in seconds."""
        self._unanswered = (session_id, now)

    def is_own_doing(self, ended: Ended, session_id: str | None, now: float) -> bool:
        """Whether this session went to an earlier attempt of this client, which reached the gateway late.

        It may have been somebody else; so the client is not to take the session back, but to go on with another.
        """
        if ended.code != CloseCode.NORMAL or ended.reason != MOVED or self._unanswered is None:
            return False
        asked, at = self._unanswered
        return session_id is not None and session_id == asked and now - at < LATE_SECONDS

    def after(self, ended: Ended, token: str | None) -> Wait | Stop:
        """What to do after this end of a connection with this token."""
        if ended.code == CloseCode.NORMAL:
            return Stop(refused=False)
        if ended.code == CloseCode.POLICY_VIOLATION:
            self._refusals += 1
            again = self.is_refused(token)
            self._refused = token
            self.refusal = ended.reason
            is_same = again or self._refusals > FRESH_TOKENS
            if is_same or not self._renewable or ended.reason not in TOKEN_REASONS:
                return Stop(refused=True)
        if ended.code == CloseCode.GOING_AWAY and ended.retry_in is not None:
            # Everyone was told a time of their own, so there is nothing to spread.
            return Wait(ended.retry_in)
        # Bounded, because a float has no power above 1023.
        wait = self._uniform(0, min(self._most, self._base * 2 ** min(self._attempts, 64)))
        self._attempts += 1
        return Wait(wait + (ended.retry_in or 0.0))


class Route:
    """Which transport to try next."""

    def __init__(self, transports: Sequence[str]) -> None:
        self._transports = tuple(transports)
        self._index = 0
        self._failures = 0
        self._fell_back_at = 0.0

    def next(self, now: float) -> str:
        """The transport to open now."""
        if self._index and now - self._fell_back_at >= RETURN_SECONDS:
            self._index = self._failures = 0
        return self._transports[self._index]

    def opened(self) -> None:
        """It got through."""
        self._failures = 0

    def failed(self, ended: Ended, now: float) -> str | None:
        """It did not open. Returns the transport to fall back to, if it is time to; after the last comes the first."""
        if not ended.blocked:
            return None
        self._failures += 1
        if len(self._transports) == 1 or (self._failures < FAILURES and not ended.buffered):
            return None
        self._index = (self._index + 1) % len(self._transports)
        self._failures = 0
        self._fell_back_at = now
        return self._transports[self._index]
