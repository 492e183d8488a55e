"""Tokens found good: a service publishes with the same one all day, and a signature costs more than an event.

Only while the keys stay the same; whoever changes them starts a new memory. A token is remembered by its hash, so that
none can be read out of it. Source: PROTOCOL 6 "Token".
"""

import hashlib

from ..words.tokens import Principal

TOKENS = 10_000
"""Tokens remembered; beyond it the one used longest ago is forgotten and merely checked again."""

TOKEN_LENGTH = 2048
"""Characters of a token that is remembered; what a longer one grants may be as long, and is checked each time."""


class Verified:
    """Whom tokens speak for. Every `now` is in seconds since 1970."""

    def __init__(self) -> None:
        self._principals: dict[bytes, Principal] = {}

    def __len__(self) -> int:
        return len(self._principals)

    def find(self, token: str, now: float) -> Principal | None:
        """Whom the token was found to speak for, unless it has run out since."""
        key = _key(token)
        principal = self._principals.pop(key, None)
        if principal is None or now >= principal.expires_at:
            return None
        # Put back at the end: the dictionary is in order of use.
        self._principals[key] = principal
        return principal

    def remember(self, token: str, principal: Principal) -> None:
        """The token's signature and claims are good."""
        if len(token) > TOKEN_LENGTH:
            return
        self._principals[_key(token)] = principal
        if len(self._principals) > TOKENS:
            del self._principals[next(iter(self._principals))]


def _key(token: str) -> bytes:
    return hashlib.blake2b(token.encode(errors="replace"), digest_size=16).digest()
