"""The conversation without a loop: what a message leads to, and what is sent again."""

from typing import Any

import pytest

from cidadao_rt.client.conversation import (
    Answered,
    Conversation,
    Deliver,
    GoingAway,
    Outcome,
    Piece,
    Pong,
    Refused,
    Welcomed,
)
from cidadao_rt.client.following import Following, kind
from cidadao_rt.client.pending import GRACE_SECONDS, START_SECONDS, Command, Pending
from cidadao_rt.client.received import REMEMBERED, Received


def conversation(most: int = 10, **options: Any) -> Conversation:
    following = Following(kind("/ws", "general"), None, None)
    return Conversation("me", Received(None, 5.0), Pending(most), following, None)


def welcome(*, resumed: bool = False, recovered: bool = True, id_: str = "e-0", **data: Any) -> dict[str, Any]:
    told = {"session_id": "sess", "resumed": resumed, "recovered": recovered, "replayed": 0, **data}
    return {"type": "connection_established", "data": told, "id": id_}


def message(type_: str, id_: str | None = None, to: Command | None = None, **data: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": type_, "data": data}
    if id_ is not None:
        found["id"] = id_
    if to is not None:
        found["correlation_id"] = to.correlation_id
    return found


def delivered(outcomes: list[Outcome]) -> list[str | None]:
    return [outcome.event.id for outcome in outcomes if isinstance(outcome, Deliver)]


def sent(it: Conversation, now: float) -> list[str]:
    found = []
    while (command := it.pending.next(now)) is not None:
        found.append(command.type)
    return found


def test_a_welcome_is_told_to_the_stream_only_where_something_may_be_missing() -> None:
    it = conversation()
    assert it.receive(welcome(), 0.0) == [Welcomed(False, True)]
    assert (it.session_id, it.recovered, it.received.cursor) == ("sess", True, "e-0")
    outcomes = it.receive(welcome(recovered=False, id_="f-7"), 1.0)
    assert isinstance(outcomes[0], Welcomed)
    assert delivered(outcomes) == ["f-7"]
    assert (it.recovered, it.received.cursor) == (False, "f-7")


def test_duplicates_are_dropped_and_the_cursor_follows_what_was_written_last() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    assert delivered(it.receive(message("notification", "e-1"), 0.0)) == ["e-1"]
    assert delivered(it.receive(message("notification", "e-2"), 0.0)) == ["e-2"]
    assert it.receive(message("notification", "e-1"), 0.0) == []
    # A rewind: resuming now must begin there.
    assert it.received.cursor == "e-1"


def test_what_comes_beside_the_stream_moves_no_cursor_but_a_rewind_does() -> None:
    it = conversation()
    it.receive(welcome(id_="e-5"), 0.0)
    it.receive(message("pong", "e-9"), 0.0, in_stream=False)
    assert it.received.cursor == "e-5"
    it.receive(message("subscribed", "e-3", events=None, investigation_ids=None), 0.0, in_stream=False)
    assert it.received.cursor == "e-3"


def test_the_oldest_of_the_remembered_ids_is_forgotten_and_others_can_be_given_back() -> None:
    received = Received(None, 5.0)
    for n in range(REMEMBERED + 1):
        assert received.is_new(f"e-{n}")
    assert not received.is_new("e-1")
    assert received.is_new("e-0")
    received.forget(["e-500", "e-unknown"])
    assert received.is_new("e-500")


def test_acks_are_of_what_was_processed_and_at_most_as_often_as_told() -> None:
    received = Received(None, 5.0)
    assert received.due(0.0) is None
    assert received.ack(0.0) is None
    received.processed("e-1")
    assert received.due(1.0) == 1.0
    assert received.ack(1.0) == "e-1"
    received.processed("e-2")
    assert received.due(2.0) == 6.0
    assert received.ack(6.0) == "e-2"
    assert received.due(20.0) is None
    # The last one may have been lost with its connection.
    received.resumed()
    assert received.ack(30.0) == "e-2"
    received.restarted()
    assert received.due(40.0) is None
    received.resumed()
    assert received.due(40.0) is None


def test_a_transient_answer_goes_to_its_call_alone_and_an_event_to_both() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    ping, start = it.command("ping", {}), it.command("start_investigation", {"query": "q"})
    assert sent(it, 0.0) == ["ping", "start_investigation"]
    [answered] = it.receive(message("pong", "e-0", ping), 0.0)
    assert isinstance(answered, Answered)
    assert answered.command is ping
    update = message("investigation_update", "e-1", start, investigation_id="inv", status="started")
    outcomes = it.receive(update, 0.0)
    assert [type(outcome) for outcome in outcomes] == [Answered, Deliver]
    assert len(it.pending) == 0
    # The same over POST, later.
    assert it.receive(message("investigation_update", None, start, investigation_id="inv"), 0.0) == []
    assert delivered(it.receive(message("investigation_update", None, investigation_id="inv"), 0.0)) == [None]


def test_a_chat_has_pieces_and_a_last_word_which_only_its_call_gets() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    chat = it.command("agent_chat", {"agent": "zumbi", "message": "m"})
    assert it.receive(message("typing", None, chat, is_typing=True), 0.0) == []
    assert it.receive(message("agent_chat_chunk", None, chat, content="Oi"), 0.0) == [Piece(chat, "Oi")]
    [answered] = it.receive(message("agent_chat", "e-1", chat, message="Oi"), 0.0)
    assert isinstance(answered, Answered)
    # Its second answer, had it been sent twice.
    for again in ("typing", "agent_chat_chunk", "agent_chat"):
        assert it.receive(message(again, "e-2" if again == "agent_chat" else None, chat), 0.0) == []
    # One that nobody here asked for is news.
    assert delivered(it.receive({**message("agent_chat", "e-3"), "correlation_id": "another's"}, 0.0)) == ["e-3"]


def test_the_answer_to_a_call_that_was_given_up_is_news() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    chat = it.command("agent_chat", {"agent": "zumbi", "message": "m"})
    sent(it, 0.0)
    it.pending.withdraw(chat.correlation_id)
    assert delivered(it.receive(message("agent_chat", "e-1", chat), 0.0)) == ["e-1"]


def test_snapshots_after_a_subscribe_are_news_though_they_bear_its_id() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    subscribe = it.command("subscribe", {})
    [answered] = it.receive(message("subscribed", None, subscribe, events=None, investigation_ids=None), 0.0)
    assert isinstance(answered, Answered)
    assert delivered(it.receive(message("investigation_update", None, subscribe), 0.0)) == [None]


def test_its_own_messages_bother_nobody_unless_they_are_refused() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    ack = it.own("ack", {"id": "e-0"})
    assert it.pending.next(0.0) is None
    [refused] = it.receive(message("error", None, ack, code="INVALID_REQUEST"), 0.0)
    assert isinstance(refused, Refused)
    assert refused.type == "ack"
    assert it.receive(message("pong", "e-0", it.own("ping", {})), 0.0) == [Pong()]
    assert it.receive(message("authenticated", None, it.own("authenticate", {})), 0.0) == []


@pytest.mark.parametrize(("milliseconds", "seconds"), [(1500, 1.5), (0, 0.0), ("soon", None), (None, None), (-1, None)])
def test_a_going_away_says_when_to_come_back_and_is_news(milliseconds: Any, seconds: float | None) -> None:
    it = conversation()
    outcomes = it.receive(message("going_away", None, reason="restart", retry_after_ms=milliseconds), 0.0)
    assert outcomes[0] == GoingAway(seconds)
    assert delivered(outcomes) == [None]


@pytest.mark.parametrize("envelope", [{}, {"type": 7}, {"type": "a", "data": []}])
def test_what_is_no_envelope_is_an_error(envelope: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="envelope"):
        conversation().receive(envelope, 0.0)


# -- sending again ----------------------------------------------------------------------------------------------------


def test_what_waits_is_sent_once_a_connection_and_in_order() -> None:
    it = conversation()
    start = it.command("start_investigation", {"query": "q"})
    it.command("subscribe", {})
    it.receive(welcome(), 0.0)
    assert sent(it, 0.0) == ["start_investigation", "subscribe"]
    assert sent(it, 1.0) == []
    it.command("ping", {})
    text = start.text
    it.receive(welcome(resumed=True), 2.0)
    assert sent(it, 2.0) == ["start_investigation", "subscribe", "ping"]
    assert start.text == text


def test_a_chat_with_a_sign_of_life_is_waited_for_in_its_session_and_asked_again_in_another() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    chat = it.command("agent_chat", {"agent": "zumbi", "message": "m"})
    sent(it, 0.0)
    it.receive(message("typing", None, chat), 0.0)
    it.receive(welcome(resumed=True), 1.0)
    assert sent(it, 1000.0) == []
    it.receive(welcome(resumed=False), 1001.0)
    assert sent(it, 1001.0) == ["agent_chat"]


def test_a_chat_without_one_is_given_time_to_be_answered_by_the_replay() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    it.command("agent_chat", {"agent": "zumbi", "message": "m"})
    sent(it, 0.0)
    it.receive(welcome(resumed=True), 1.0)
    assert it.pending.due() == 1.0 + GRACE_SECONDS
    assert sent(it, 0.9 + GRACE_SECONDS) == []
    assert sent(it, 1.0 + GRACE_SECONDS) == ["agent_chat"]


def test_a_start_is_not_sent_again_when_the_gateway_may_have_forgotten_it() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    start = it.command("start_investigation", {"query": "q"})
    sent(it, 0.0)
    late = START_SECONDS + 1
    it.receive(welcome(resumed=True), late)
    assert sent(it, late) == []
    assert it.pending.too_late(late) == []
    # The replay may bring its answer still; then nobody can know.
    assert it.pending.too_late(late + GRACE_SECONDS) == [start]
    assert len(it.pending) == 0
    # One that was never sent is no risk.
    it.command("start_investigation", {"query": "q"})
    assert sent(it, late + 10) == ["start_investigation"]


def test_no_more_than_agreed_wait_and_nothing_too_long() -> None:
    it = conversation(most=2)
    first = it.command("ping", {})
    it.command("ping", {})
    with pytest.raises(OverflowError):
        it.command("ping", {})
    it.pending.withdraw(first.correlation_id)
    it.command("ping", {})
    with pytest.raises(ValueError, match="262144"):
        conversation().command("agent_chat", {"message": "x" * 262_144})


def test_a_new_session_is_brought_to_what_was_followed_before_anything_else() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    subscribe = it.command("subscribe", {"events": ["notification"]})
    sent(it, 0.0)
    it.receive(message("subscribed", None, subscribe, events=["notification"], investigation_ids=None, denied=[]), 0.0)
    it.command("ping", {})
    it.receive(welcome(resumed=True), 1.0)
    assert sent(it, 1.0) == ["ping"]
    it.receive(welcome(resumed=False), 2.0)
    first, second, rewind, ping = (it.pending.next(2.0) for _ in range(4))
    assert first is not None
    assert second is not None
    assert rewind is not None
    assert ping is not None
    assert first.data == {"events": [], "investigation_ids": []}
    assert second.data == {"events": ["notification"], "after": "e-0"}
    assert rewind.data == {"events": [], "investigation_ids": [], "after": "e-0"}
    assert ping.type == "ping"
    # Refused for its rate, it comes again; nobody hears of its answer.
    limited = message("error", None, second, code="RATE_LIMIT_EXCEEDED", details={"retry_after": 3.0})
    assert it.receive(limited, 2.0) == []
    assert it.pending.next(4.9) is None
    assert it.pending.next(5.0) is second
    assert it.receive(message("subscribed", None, second, events=["notification"], denied=[]), 5.0) == []
    # Refused for another reason, it is told.
    assert [type(o) for o in it.receive(message("error", None, first, code="FORBIDDEN"), 5.0)] == [Refused]
    # A connection later they are made anew, not sent again.
    it.receive(welcome(resumed=False), 6.0)
    assert sent(it, 6.0) == ["subscribe", "subscribe", "subscribe", "ping"]


def restoring() -> tuple[Conversation, Command, Command]:
    """One that was at `e-5` in a session that is lost, and what brings its subscription back."""
    it = conversation()
    it.receive(welcome(), 0.0)
    subscribe = it.command("subscribe", {"investigation_ids": ["i"]})
    it.pending.next(0.0)
    it.receive(message("subscribed", None, subscribe, events=None, investigation_ids=["i"], denied=[]), 0.0)
    it.receive(message("custom", "e-5"), 0.0)
    it.receive(welcome(id_="e-5"), 1.0)
    _, second, rewind = (it.pending.next(1.0) for _ in range(3))
    assert second is not None
    assert rewind is not None
    return it, second, rewind


def test_what_a_new_session_did_not_follow_yet_comes_in_its_place_also_after_another_cut() -> None:
    it, _, rewind = restoring()
    # Its default brings only a part.
    assert it.receive(message("custom", "e-7"), 1.0) == []
    assert it.rejoin() == "e-5"
    # The session goes on, but only half of its subscriptions were back.
    it.receive(welcome(resumed=True, id_="e-5"), 2.0)
    _, second, rewind = (it.pending.next(2.0) for _ in range(3))
    assert second is not None
    assert rewind is not None
    it.receive(message("subscribed", "e-5", second, events=None, investigation_ids=["i"], recovered=True), 2.0)
    assert it.receive(message("custom", "e-6"), 2.0) == []
    done = message("subscribed", "e-5", rewind, events=[], investigation_ids=[], denied=[], recovered=True)
    assert it.receive(done, 2.0) == []
    found = [it.receive(message("custom", f"e-{n}"), 2.0) for n in (6, 7)]
    assert [delivered(outcomes) for outcomes in found] == [["e-6"], ["e-7"]]
    assert it.rejoin() == "e-7"
    it.receive(welcome(resumed=True, id_="e-7"), 3.0)
    assert sent(it, 3.0) == []


def test_what_cannot_be_had_again_after_a_lost_session_is_admitted_once() -> None:
    it, second, rewind = restoring()
    gone = {"events": [], "investigation_ids": [], "denied": [], "recovered": False}
    outcomes = it.receive(message("subscribed", "e-9", second, **gone), 1.0)
    assert outcomes[0] == Welcomed(resumed=False, recovered=False)
    assert delivered(outcomes) == ["e-5"]
    assert it.recovered is False
    assert it.receive(message("subscribed", "e-9", rewind, **gone), 1.0) == []
    it, _, rewind = restoring()
    outcomes = it.receive(message("error", None, rewind, code="INVALID_REQUEST"), 1.0)
    assert [type(outcome) for outcome in outcomes] == [Welcomed, Deliver, Refused]
    assert delivered(it.receive(message("custom", "e-10"), 1.0)) == ["e-10"]


def test_a_gateway_that_could_not_catch_up_shows_where_things_stand_and_goes_on_from_its_welcome() -> None:
    it, _, _ = restoring()
    it.receive(welcome(recovered=False, id_="f-3"), 2.0)
    _, second, rewind = (it.pending.next(2.0) for _ in range(3))
    assert second is not None
    assert rewind is not None
    assert second.data == {"investigation_ids": ["i"]}
    assert rewind.data["after"] == "f-3"


def test_an_error_that_names_nobody_is_for_the_command_it_must_be_about() -> None:
    it = conversation()
    it.receive(welcome(), 0.0)
    it.command("ping", {})
    long = it.command("agent_chat", {"message": "x" * 5000})
    sent(it, 0.0)
    [answered] = it.receive(message("error", None, code="RATE_LIMIT_EXCEEDED", details={"limit": 100}), 0.0)
    assert isinstance(answered, Answered)
    assert answered.command is long
    small = message("error", None, code="MESSAGE_TOO_LARGE", details={"limit": 2000})
    assert delivered(it.receive(small, 0.0)) == [None]
    assert delivered(it.receive(message("error", None, code="TOKEN_EXPIRED"), 0.0)) == [None]
