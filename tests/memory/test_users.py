"""What is remembered of users between connections, and for how long."""

import pytest

from cidadao_rt.memory.effects import Say, error, is_error
from cidadao_rt.memory.investigations import Investigations
from cidadao_rt.memory.log import Log
from cidadao_rt.memory.session import Session, World
from cidadao_rt.memory.starts import PERIOD, REMEMBERED, Starts
from cidadao_rt.memory.users import Users
from cidadao_rt.words.errors import ErrorCode, Refusal
from cidadao_rt.words.subscription import ConnectionType, Kind
from cidadao_rt.words.tokens import Principal

USERS = {"messages_per_minute": 10, "detached_sessions": 2, "session_seconds": 300.0}


def verify(_: str) -> Principal:
    raise AssertionError


def session(users: Users, id_: str, sub: str = "ana") -> Session:
    user = users.get(sub)
    world = World(Log("e"), Investigations(), verify)
    made = Session(id_, Kind(ConnectionType.GENERAL), Principal(sub, 1e9), world, user.window, user.starts)
    users.attach(made)
    return made


def test_a_session_is_kept_for_its_time_after_a_disconnect() -> None:
    users = Users(**USERS)
    one = session(users, "s1")
    assert users.session("ana", "s1", 1e9) is one, "attached, it has no end"
    users.detach(one, 0.0)
    assert users.session("ana", "s1", 299.0) is one
    assert users.session("ana", "s1", 300.0) is None
    assert users.expire(299.0) == 0
    assert users.expire(300.0) == 1
    assert len(users) == 0


def test_anothers_session_is_unknown() -> None:
    users = Users(**USERS)
    session(users, "s1", "bia")
    users.get("ana")
    assert users.session("ana", "s1", 0.0) is None
    assert users.session("nobody", "s1", 0.0) is None


def test_past_the_limit_the_oldest_detached_session_goes() -> None:
    users = Users(**USERS)
    three = [session(users, f"s{n}") for n in range(3)]
    assert users.detach(three[0], 0.0) is None
    assert users.detach(three[1], 1.0) is None
    assert users.detach(three[2], 2.0) is three[0]
    assert users.session("ana", "s0", 3.0) is None
    users.attach(three[1])
    assert three[1].detached_at is None
    assert not users._absent, "who is here is not looked at"
    assert users.expire(302.0) == 1
    assert users.session("ana", "s1", 302.0) is three[1]


def test_dropped_sessions_are_gone_also_when_their_connections_end_later() -> None:
    users = Users(**USERS)
    attached, detached, others = session(users, "s1"), session(users, "s2"), session(users, "s3", "bia")
    users.detach(detached, 0.0)
    assert users.drop("ana") == 2
    assert users.drop("nobody") == 0
    assert [users.session("ana", id_, 0.0) for id_ in ("s1", "s2")] == [None, None]
    assert users.detach(attached, 1.0) is None
    assert users.session("ana", "s1", 1.0) is None
    assert users.session("bia", "s3", 1.0) is others
    assert users.expire(1e9) == 0


@pytest.mark.parametrize("keep", ["window", "starts", "chats", "session"])
def test_a_user_is_forgotten_only_when_it_changes_no_answer(keep: str) -> None:
    """Nobody escapes a limit by leaving, and no start is done twice because its user was away."""
    users = Users(**USERS)
    user = users.get("ana")
    match keep:
        case "window":
            user.window.admit(0.0)
        case "starts":
            user.starts.remember("c", b"", "inv", 0.0)
        case "chats":
            user.chats = 1
        case "session":
            session(users, "s1")
    users.expire(30.0)
    assert users.get("ana") is user


def test_starts_are_remembered_for_their_period() -> None:
    starts = Starts()
    assert starts.is_empty(0.0)
    starts.remember("c", b"d", "inv", 0.0)
    found = starts.find("c", PERIOD - 1)
    assert found is not None
    assert (found.digest, found.investigation_id) == (b"d", "inv")
    assert starts.find("c", PERIOD) is None
    assert starts.find("x", 0.0) is None
    assert not starts.is_empty(PERIOD - 1)
    assert starts.is_empty(PERIOD)


def test_only_so_many_starts_are_remembered() -> None:
    starts = Starts()
    for n in range(REMEMBERED + 1):
        starts.remember(f"c{n}", b"", "inv", 0.0)
    assert starts.find("c0", 0.0) is None
    assert starts.find("c1", 0.0) is not None
    starts.remember("late", b"", "inv", PERIOD)
    assert len(starts._by_correlation) == 1, "what is over goes as well"


def test_an_error_keeps_the_correlation_id_of_its_refusal() -> None:
    refusal = Refusal(ErrorCode.NOT_FOUND, "m", field="f")
    refusal.correlation_id = "c"
    said = error(refusal)
    assert said == Say("error", {"code": "NOT_FOUND", "message": "m", "details": {"field": "f"}}, "c")
    assert error(refusal, "d").correlation_id == "d"
    assert is_error(said) == "NOT_FOUND"
    assert is_error(Say("pong", {})) is None
