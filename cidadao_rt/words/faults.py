"""Faults on demand: what shall go wrong on a connection, as a developer writes it in `?fault=`.

`drop:0.1,delay:200ms,close:1013@30s,duplicate:0.05,expire@60s`; docs/faults.md has the list.
"""

import re
from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from .errors import Refusal

TEXT_LENGTH = 500
"""Characters of a fault; a longer one is refused."""

MOST_SECONDS = 3600.0
MOST_PROBABILITY = 0.9
"""Of a drop or a duplicate: above it a client that does everything right would hardly get anywhere."""

CLOSE_CODES = (1001, 1006, 1011, 1013)
"""Codes that a `close` may have; 1006 is a cut without a goodbye."""

_PART = re.compile(r"([a-z]+)(?::([^@]*))?(?:@(.+))?")
_TIME = re.compile(r"(\d{1,7}(?:\.\d{1,3})?)(ms|s|m)?")
_RATE = re.compile(r"(\d{1,9})(kb|mb)?")
_FRACTION = re.compile(r"[01](?:\.\d{1,6})?|\.\d{1,6}", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_SIZES = {"kb": 1024, "mb": 1 << 20, None: 1}


class Faults(Struct, frozen=True):
    """What goes wrong on one connection. Times in seconds since it was opened (or the fault injected).

    `drop`, `duplicate`: probability per event; a dropped one is never written, and the connection is cut right after,
    so that it is replayed. `delay`: each write waits between these. `bytes_per_second`: how fast the client seems to
    read. `close`: code and when. `expire`: when the token counts as expired. `full`: the limit of connections is
    reached. `flood`: when the user's message limit is used up. `seed`: of all draws.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)
    bytes_per_second: int | None = None
    close: tuple[int, float] | None = None
    expire: float | None = None
    full: bool = False
    flood: float | None = None
    seed: int = 0


NONE = Faults()


class Injection(Struct, frozen=True):
    """What shall go wrong, and where: exactly one of the three. An empty `fault` ends what goes wrong there."""

    fault: Annotated[str, Meta(max_length=TEXT_LENGTH)]
    session_id: str | None = None
    user_id: str | None = None
    everyone: bool = False


class Injected(Struct, frozen=True):
    """On how many connections."""

    connections: Annotated[int, Meta(ge=0)]


def parse(text: str) -> Faults:
    """The faults that `text` asks for. Raises `INVALID_REQUEST` that names the part at fault by its number."""
    if len(text) > TEXT_LENGTH:
        raise Refusal.field("fault", f"Invalid field: fault is longer than {TEXT_LENGTH} characters")
    faults = NONE
    for number, part in enumerate(filter(None, text.lower().replace(" ", "").split(",")), 1):
        found = _PART.fullmatch(part)
        read = _PARTS.get(found[1]) if found is not None else None
        if found is None or read is None:
            raise Refusal.field("fault", f"Invalid field: fault: part {number} is none of {', '.join(_PARTS)}")
        try:
            faults = read(faults, found[2], found[3])
        except ValueError as wrong:
            raise Refusal.field("fault", f"Invalid field: fault: part {number} ({found[1]}): {wrong}") from None
    return faults


def _drop(faults: Faults, value: str | None, at: str | None) -> Faults:
    return replace(faults, drop=_probability(value, at))


def _duplicate(faults: Faults, value: str | None, at: str | None) -> Faults:
    return replace(faults, duplicate=_probability(value, at))


def _delay(faults: Faults, value: str | None, at: str | None) -> Faults:
    _only(at is None, "takes no @")
    least, dash, most = (value or "").partition("-")
    delay = (_seconds(least), _seconds(most if dash else least))
    _only(delay[0] <= delay[1], "is two times in order with - between, or one")
    return replace(faults, delay=delay)


def _slow(faults: Faults, value: str | None, at: str | None) -> Faults:
    found = _RATE.fullmatch(value or "")
    if found is None or at is not None or int(found[1]) == 0:
        raise ValueError("is bytes per second, such as 2000 or 10kb")
    return replace(faults, bytes_per_second=int(found[1]) * _SIZES[found[2]])


def _close(faults: Faults, value: str | None, at: str | None) -> Faults:
    _only(value in [str(code) for code in CLOSE_CODES], f"has a code among {', '.join(map(str, CLOSE_CODES))}")
    return replace(faults, close=(int(value or 0), _seconds(at or "0")))


def _expire(faults: Faults, value: str | None, at: str | None) -> Faults:
    _only(value is None, "takes only a time, such as expire@60s")
    return replace(faults, expire=_seconds(at or "0"))


def _limit(faults: Faults, value: str | None, at: str | None) -> Faults:
    if value == "connections" and at is None:
        return replace(faults, full=True)
    if value == "messages":
        return replace(faults, flood=_seconds(at or "0"))
    raise ValueError("is limit:connections or limit:messages, the latter with a time such as @10s")


def _seed(faults: Faults, value: str | None, at: str | None) -> Faults:
    _only(value is not None and re.fullmatch(r"[0-9]{1,15}", value, re.ASCII) is not None and at is None, "is a number")
    return replace(faults, seed=int(value or 0))


_PARTS: dict[str, Callable[[Faults, str | None, str | None], Faults]] = {
    "drop": _drop,
    "duplicate": _duplicate,
    "delay": _delay,
    "slow": _slow,
    "close": _close,
    "expire": _expire,
    "limit": _limit,
    "seed": _seed,
}


def _only(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _probability(value: str | None, at: str | None) -> float:
    _only(at is None and _FRACTION.fullmatch(value or "") is not None, _CHANCE)
    chance = float(value or 0)
    _only(0 <= chance <= MOST_PROBABILITY, _CHANCE)
    return chance


_CHANCE = f"is a probability, 0 to {MOST_PROBABILITY}"


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text)
    seconds = float(found[1]) * _UNITS[found[2]] if found is not None else -1.0
    _only(0 <= seconds <= MOST_SECONDS, f"has a time such as 200ms, 30s or 2m, at most {MOST_SECONDS:g} seconds")
    return seconds
