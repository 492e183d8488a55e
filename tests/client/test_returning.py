"""Whether, when and how to come back."""

import pytest

from cidadao_rt.client.returning import FRESH_TOKENS, LATE_SECONDS, RETURN_SECONDS, Ended, Returning, Route, Stop, Wait
from cidadao_rt.client.tokens import expiry
from cidadao_rt.words.tokens import mint


def longest(low: float, high: float) -> float:
    assert low == 0
    return high


def returning(*, renewable: bool = False) -> Returning:
    return Returning(1.0, 30.0, longest, renewable=renewable)


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1013, 1009, 1002])
def test_most_ends_are_no_end(code: int) -> None:
    assert isinstance(returning().after(Ended(code), "t"), Wait)


def test_the_wait_doubles_to_its_bound_and_begins_anew_after_a_connection_of_use() -> None:
    it = returning()
    assert [it.after(Ended(1006), "t") for _ in range(7)] == [Wait(s) for s in (1, 2, 4, 8, 16, 30, 30)]
    for _ in range(2000):
        it.after(Ended(1006), "t")
    it.healthy()
    assert it.after(Ended(1006), "t") == Wait(1)


def test_the_gateways_own_wish_is_honoured() -> None:
    it = returning()
    assert it.after(Ended(1001, retry_in=7.5), "t") == Wait(7.5)
    assert it.after(Ended(1013, retry_in=10.0), "t") == Wait(11.0)
    assert it.after(Ended(1006), "t") == Wait(2.0)


def test_after_1000_and_after_1008_nobody_comes_back() -> None:
    assert returning(renewable=True).after(Ended(1000, "Session resumed elsewhere"), "t") == Stop(refused=False)
    assert returning().after(Ended(1008, "Token expired"), "t") == Stop(refused=True)
    assert returning(renewable=True).after(Ended(1008, "Investigation not found"), "t") == Stop(refused=True)


def test_a_session_that_a_late_attempt_of_ones_own_took_is_no_end() -> None:
    it, moved = returning(), Ended(1000, "Session resumed elsewhere")
    assert not it.is_own_doing(moved, "s", 0.0)
    it.unanswered(None, 0.0)
    assert not it.is_own_doing(moved, None, 0.0)
    it.unanswered("s", 0.0)
    assert it.is_own_doing(moved, "s", LATE_SECONDS - 1)
    assert not it.is_own_doing(moved, "s", LATE_SECONDS)
    assert not it.is_own_doing(moved, "another", 1.0)
    assert not it.is_own_doing(Ended(1000, "bye"), "s", 1.0)
    assert not it.is_own_doing(Ended(1006, "Session resumed elsewhere"), "s", 1.0)


def test_a_fresh_token_is_worth_another_attempt_but_not_the_same_and_not_for_ever() -> None:
    it = returning(renewable=True)
    assert isinstance(it.after(Ended(1008, "Token expired"), "a"), Wait)
    assert it.is_refused("a")
    assert not it.is_refused("b")
    assert it.refusal == "Token expired"
    assert it.after(Ended(1008, "Token expired"), "a") == Stop(refused=True)
    it = returning(renewable=True)
    steps = [it.after(Ended(1008, "Invalid token"), f"token {n}") for n in range(FRESH_TOKENS + 1)]
    assert [isinstance(step, Wait) for step in steps] == [True] * FRESH_TOKENS + [False]
    it = returning(renewable=True)
    for n in range(10):
        it.welcomed()
        assert isinstance(it.after(Ended(1008, "Token expired"), f"token {n}"), Wait)


def test_a_transport_that_is_blocked_twice_in_a_row_gives_way() -> None:
    route = Route(["websocket", "sse", "poll"])
    blocked = Ended(1006, blocked=True)
    assert route.failed(blocked, 0.0) is None
    route.opened()
    assert route.failed(blocked, 0.0) is None
    assert route.failed(Ended(1006), 0.0) is None
    assert route.failed(blocked, 0.0) == "sse"
    assert route.next(1.0) == "sse"
    # A stream that is held back will be held back the next time, too.
    assert route.failed(Ended(1006, buffered=True), 2.0) == "poll"
    assert route.next(RETURN_SECONDS) == "poll"
    assert route.next(2.0 + RETURN_SECONDS) == "websocket"
    assert [route.failed(blocked, 400.0) for _ in range(6)] == [None, "sse", None, "poll", None, "websocket"]


def test_a_single_transport_is_never_given_up() -> None:
    route = Route(["poll"])
    assert [route.failed(Ended(1006, buffered=True), 0.0) for _ in range(5)] == [None] * 5
    assert route.next(0.0) == "poll"


def test_a_jwt_says_when_it_expires_and_anything_else_does_not() -> None:
    token = mint("a secret of the tests, long enough for HS256", sub="ana", issued_at=1000, ttl=60)
    assert expiry(token) == 1060.0
    for text in ("opaque", "a.b", "a.%%.c", "a.e30.c", "a.W10.c", "a.eyJleHAiOiJ4In0.c", ""):
        assert expiry(text) is None
