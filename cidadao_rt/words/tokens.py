"""The rules of tokens: a JWT and the keys in, a `Principal` out.

The algorithms allowed are the configuration's, never the token's; `exp` and `sub` are required; every secret is
tried. Source: PROTOCOL 6 "Token"; RFC 7519 section 4.1.
"""

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jwt
import msgspec

SUBJECT_LENGTH = 256
"""Characters of `sub`; a longer one is refused."""

ADMIN = "admin"
"""The role that sees and ends connections."""

SEES_ALL = frozenset({ADMIN, "service"})
"""The roles that see every investigation."""

SHARED_CLAIMS = 1024
"""Distinct sets of roles and of investigations kept so that equal ones are one object; past it the stalest is let go
and may exist twice."""

AUTHENTICATION_REQUIRED = "Authentication required"
INVALID_TOKEN = "Invalid token"  # noqa: S105 - a close reason
TOKEN_EXPIRED = "Token expired"  # noqa: S105 - a close reason


class BadToken(Exception):
    """A token that admits nobody. `reason` is the close reason; `lasting`: no waiting will make it good."""

    def __init__(self, reason: str, *, lasting: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting


class Principal(msgspec.Struct, frozen=True, gc=False):
    """Whom a token speaks for, and until when (`expires_at`, seconds since 1970)."""

    sub: str
    expires_at: float
    roles: frozenset[str] = frozenset()
    investigations: frozenset[str] = frozenset()

    def may_see(self, investigation_id: str, owner: str) -> bool:
        """Whether this user sees an investigation that belongs to `owner`."""
        return owner == self.sub or investigation_id in self.investigations or bool(self.roles & SEES_ALL)

    def may_change(self, owner: str) -> bool:
        """Whether this user may cancel it: being shown an investigation is no leave to stop it."""
        return owner == self.sub or bool(self.roles & SEES_ALL)


class Keyring(msgspec.Struct, frozen=True):
    """What tokens are checked against. Empty `issuer` or `audience`: not checked. `leeway` in seconds."""

    secrets: tuple[str, ...]
    algorithms: tuple[str, ...] = ("HS256",)
    issuer: str = ""
    audience: str = ""
    leeway: float = 0.0


def verify(token: str | None, keys: Keyring, now: float) -> Principal:
    """Whom `token` speaks for at `now` (seconds since 1970).

    Raises `BadToken` with the close reason of PROTOCOL 6.
    """
    if not token:
        raise BadToken(AUTHENTICATION_REQUIRED)
    claims = _signed_claims(token, keys)
    expires_at = _time(claims, "exp")
    if now >= expires_at + keys.leeway:
        raise BadToken(TOKEN_EXPIRED)
    for claim in ("nbf", "iat"):
        if claim in claims and _time(claims, claim) > now + keys.leeway + 1:
            # A second of grace even without leeway: clocks of two machines are never the same.
            raise BadToken(INVALID_TOKEN, lasting=False)
    sub = claims["sub"]
    if not _is_subject(sub) or claims.get("type") == "refresh":
        raise BadToken(INVALID_TOKEN)
    return Principal(
        sub,
        expires_at + keys.leeway,
        _shared(_strings(claims.get("role")) | _strings(claims.get("roles"))),
        _shared(_strings(claims.get("investigations"))),
    )


def mint(
    secret: str,
    *,
    sub: str,
    issued_at: float,
    ttl: float,
    roles: Sequence[str] = (),
    investigations: Sequence[str] = (),
    algorithm: str = "HS256",
    issuer: str = "",
    audience: str = "",
) -> str:
    """Sign a token for `sub` that lives `ttl` seconds from `issued_at`."""
    claims: dict[str, Any] = {"sub": sub, "iat": int(issued_at), "exp": int(issued_at + ttl), "type": "access"}
    if roles:
        claims["roles"] = list(roles)
    if investigations:
        claims["investigations"] = list(investigations)
    if issuer:
        claims["iss"] = issuer
    if audience:
        claims["aud"] = audience
    return jwt.encode(claims, secret, algorithm=algorithm)


def _signed_claims(token: str, keys: Keyring) -> dict[str, Any]:
    # The times are checked by `verify` against the `now` it is given, so that this layer has no clock.
    options: Any = {
        "require": ["exp", "sub"],
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
        "verify_sub": False,
        "verify_jti": False,
        "verify_aud": bool(keys.audience),
    }
    for secret in keys.secrets:
        try:
            return jwt.decode(
                token,
                secret,
                algorithms=list(keys.algorithms),
                options=options,
                issuer=keys.issuer or None,
                audience=keys.audience or None,
            )
        except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
            # Another key may be the right one.
            continue
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            # PyJWT lets a few of the decoder's own errors through for tokens made to break it.
            break
    raise BadToken(INVALID_TOKEN)


def _is_subject(sub: Any) -> bool:
    # A lone surrogate, which JSON can escape, is in no UTF-8 text, so no message could ever name its user.
    return (
        isinstance(sub, str)
        and 1 <= len(sub) <= SUBJECT_LENGTH
        and not any("\ud800" <= character <= "\udfff" for character in sub)
    )


def _time(claims: dict[str, Any], claim: str) -> float:
    value = claims[claim]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e11:
        # 1e11 s is the year 5138; beyond it (and for NaN) arithmetic and calendars go wrong.
        raise BadToken(INVALID_TOKEN)
    return float(value)


def _strings(claim: Any) -> frozenset[str]:
    values = claim if isinstance(claim, list) else [claim]
    return frozenset(sys.intern(value) for value in values if isinstance(value, str))


@lru_cache(SHARED_CLAIMS)
def _shared(claims: frozenset[str]) -> frozenset[str]:
    """The first of the equal sets: thousands of sessions say the same, and a set is 216 bytes."""
    return claims
