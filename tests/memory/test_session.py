"""The session: each command and its effects, what is followed, and where a client continues."""

import json
from typing import Any

import pytest

from cidadao_rt.memory.effects import (
    Acknowledge,
    Cancel,
    Chat,
    Close,
    Effect,
    Follow,
    Pong,
    Renew,
    Rewind,
    Say,
    Snapshot,
    Start,
    is_error,
)
from cidadao_rt.memory.following import SNAPSHOTS
from cidadao_rt.memory.investigations import Investigations
from cidadao_rt.memory.log import Draft, Event, Log, Retention
from cidadao_rt.memory.session import Rules, Session, World
from cidadao_rt.memory.starts import Starts
from cidadao_rt.words import events, topics
from cidadao_rt.words.limits import SlidingWindow
from cidadao_rt.words.subscription import ConnectionType, Kind
from cidadao_rt.words.tokens import INVALID_TOKEN, TOKEN_EXPIRED, BadToken, Principal

GENERAL = Kind(ConnectionType.GENERAL)


class Scene:
    """A log, some investigations, and one session over them."""

    def __init__(
        self, kind: Kind = GENERAL, sub: str = "ana", retention: Retention | None = None, **rules: Any
    ) -> None:
        self.log = Log("e", retention or Retention())
        self.investigations = Investigations()
        self.tokens: dict[str, Principal | BadToken] = {}
        self.world = World(self.log, self.investigations, self.verify, Rules(**rules))
        self.window = SlidingWindow(1000, 60.0)
        self.starts = Starts()
        self.principal = Principal(sub, 1e9)
        self.now = 0.0
        self.kind = kind
        self.session = self.another(kind)

    def another(self, kind: Kind, principal: Principal | None = None) -> Session:
        return Session("s", kind, principal or self.principal, self.world, self.window, self.starts)

    def verify(self, token: str) -> Principal:
        found = self.tokens[token]
        if isinstance(found, BadToken):
            raise found
        return found

    def publish(self, id_: str, owner: str = "ana", type_: str = events.INVESTIGATION_UPDATE, **data: Any) -> Event:
        if type_ == events.INVESTIGATION_UPDATE:
            data = {"status": "processing", "progress": 10, **data}
        draft = Draft(topics.investigation(id_), owner, type_, {"investigation_id": id_, **data})
        self.investigations.check(draft)
        event = self.log.append(draft, self.now)
        self.investigations.apply(draft, self.now)
        return event

    def send(self, type_: str, data: Any = None, **envelope: Any) -> list[Effect]:
        message = {"type": type_, "data": {} if data is None else data, **envelope}
        return self.raw(json.dumps(message).encode())

    def raw(self, frame: bytes, **options: Any) -> list[Effect]:
        return self.session.receive(frame, self.log.head, self.now, **options).effects

    def error(self, type_: str, data: Any = None, **envelope: Any) -> Say:
        effects = self.send(type_, data, **envelope)
        assert len(effects) == 1
        assert is_error(effects[0]), effects
        assert isinstance(effects[0], Say)
        return effects[0]

    def answer(self, type_: str, data: Any = None) -> dict[str, Any]:
        (said,) = (e for e in self.send(type_, data) if isinstance(e, Say))
        assert not is_error(said), said
        return said.data

    def follows(self, id_: str, type_: str, owner: str = "ana") -> bool:
        return self.session.interest.wants(topics.investigation(id_), owner, type_)

    def cursor(self, offset: int) -> str:
        return str(self.log.cursor(offset))


@pytest.fixture
def scene() -> Scene:
    return Scene()


# -- commands ---------------------------------------------------------------------------------------------------------


def test_a_message_with_a_token_of_its_own_may_do_what_that_token_may() -> None:
    """Neither more by the roles of the connection's token, nor have the connection follow more by its own."""
    scene = Scene()
    scene.publish("b1", "bia")
    admin = Principal("ana", 1e9, frozenset({"admin"}))
    commands: list[tuple[str, dict[str, Any]]] = [
        ("cancel_investigation", {"investigation_id": "b1"}),
        ("agent_chat", {"agent": "zumbi", "message": "m", "context": {"investigation_id": "b1"}}),
        ("subscribe", {"investigation_ids": ["b1"]}),
    ]
    for own, asker, works in ((admin, scene.principal, [False] * 3), (scene.principal, admin, [True, True, False])):
        scene.session = scene.another(GENERAL, own)
        worked = []
        for type_, data in commands:
            frame = json.dumps({"type": type_, "data": data}).encode()
            first = scene.session.receive(frame, 0, 0.0, asker=asker).effects
            worked.append(not any(is_error(one) or (isinstance(one, Say) and one.data["denied"]) for one in first))
        assert worked == works


def test_a_ping_is_answered_with_a_pong(scene: Scene) -> None:
    assert scene.send("ping", correlation_id="c") == [Pong("c")]
    assert scene.raw(b'{"type":"ping"}') == [Pong(None)]


def test_a_turn_names_known_types_and_calls_the_rest_other(scene: Scene) -> None:
    assert scene.session.receive(b'{"type":"ping"}', 0, 0.0).type == "ping"
    assert scene.session.receive(b'{"type":"made_up"}', 0, 0.0).type == "other"
    assert scene.session.receive(b"{", 0, 0.0).type == "other"


def test_an_error_echoes_the_correlation_id_also_where_the_envelope_was_bad(scene: Scene) -> None:
    assert scene.error("made_up", correlation_id="c").correlation_id == "c"
    (said,) = scene.raw(b'{"data":{},"correlation_id":"c"}')
    assert isinstance(said, Say)
    assert said.correlation_id == "c"
    assert said.data["details"] == {"field": "type", "required": True}


def test_a_binary_frame_is_refused(scene: Scene) -> None:
    (said,) = scene.raw(b'{"type":"ping"}', binary=True)
    assert is_error(said) == "INVALID_REQUEST"


def test_a_message_may_have_exactly_the_allowed_bytes() -> None:
    scene = Scene(message_bytes=100)
    fitting = b'{"type":"ping"}'.ljust(100)
    assert scene.raw(fitting) == [Pong(None)]
    (said,) = scene.raw(fitting + b" ")
    assert is_error(said) == "MESSAGE_TOO_LARGE"


def test_the_message_after_the_last_allowed_is_refused_and_does_not_count(scene: Scene) -> None:
    """Invalid messages and pings count, refused ones do not; `retry_after` is when there is room again."""
    scene.session._window = SlidingWindow(2, 60.0)
    scene.send("ping")
    scene.raw(b"{")
    scene.now = 20.0
    refused = scene.error("ping", correlation_id="c")
    assert is_error(refused) == "RATE_LIMIT_EXCEEDED"
    assert refused.correlation_id == "c"
    assert refused.data["details"]["retry_after"] == 40.0
    scene.now = 60.0
    assert scene.send("ping") == [Pong(None)]


def test_refusing_reads_no_large_message_and_survives_a_bad_one(scene: Scene) -> None:
    scene.session._window = SlidingWindow(1, 60.0)
    scene.send("ping")
    large = json.dumps({"type": "ping", "correlation_id": "c", "pad": "x" * 5000}).encode()
    for frame in (large, b"{", b'{"correlation_id":5}'):
        (said,) = scene.raw(frame)
        assert isinstance(said, Say)
        assert said.correlation_id is None


def test_a_flood_of_refused_messages_closes_the_connection() -> None:
    scene = Scene(refusals=3)
    scene.session._window = SlidingWindow(1, 60.0)
    scene.send("ping")
    assert [len(scene.send("ping")) for _ in range(2)] == [1, 1]
    assert scene.send("ping")[1:] == [Close(1008, "Too many refused messages")]


def test_refusals_spread_over_more_than_a_minute_close_nothing() -> None:
    scene = Scene(refusals=3)
    scene.session._window = SlidingWindow(1, 1e9)
    scene.send("ping")
    for _ in range(10):
        scene.now += 30.0
        assert len(scene.send("ping")) == 1


# -- investigations ---------------------------------------------------------------------------------------------------


def test_a_start_is_carried_out_with_canonical_agents(scene: Scene) -> None:
    (start,) = scene.send("start_investigation", {"query": "q", "agents": ["ZUMBI", "Quiteria"]}, correlation_id="c")
    assert isinstance(start, Start)
    assert (start.query, start.filters, start.agents) == ("q", {}, ["zumbi", "maria_quiteria"])
    assert start.correlation_id == "c"


def test_the_same_start_again_is_a_snapshot_and_another_is_refused(scene: Scene) -> None:
    asked = {"query": "q", "filters": {"a": 1, "b": 2}}
    (start,) = scene.send("start_investigation", asked, correlation_id="c")
    assert isinstance(start, Start)
    scene.starts.remember("c", start.digest, "inv", scene.now)
    scene.publish("inv")
    asked_again = {"filters": {"b": 2, "a": 1}, "query": "q"}
    assert scene.send("start_investigation", asked_again, correlation_id="c") == [Snapshot(["inv"], "c")]
    assert is_error(scene.error("start_investigation", {"query": "other"}, correlation_id="c")) == "INVALID_REQUEST"
    assert isinstance(scene.send("start_investigation", asked, correlation_id="d")[0], Start)
    assert isinstance(scene.send("start_investigation", asked)[0], Start)
    scene.now = 300.0
    assert isinstance(scene.send("start_investigation", asked, correlation_id="c")[0], Start)


def test_a_remembered_start_whose_investigation_is_forgotten_starts_anew(scene: Scene) -> None:
    scene.starts.remember("c", b"digest", "gone", 0.0)
    assert isinstance(scene.send("start_investigation", {"query": "q"}, correlation_id="c")[0], Start)


def test_cancelling(scene: Scene) -> None:
    """The owner's own runs are cancelled, finished ones answered with a snapshot, others' are not there."""
    scene.publish("mine")
    scene.publish("done", status="completed", progress=100)
    scene.publish("foreign", owner="bia")
    assert scene.send("cancel_investigation", {"investigation_id": "mine"}, correlation_id="c") == [Cancel("mine", "c")]
    assert scene.send("cancel_investigation", {"investigation_id": "done"}) == [Snapshot(["done"], None)]
    foreign = scene.error("cancel_investigation", {"investigation_id": "foreign"})
    assert is_error(foreign) == "NOT_FOUND"
    assert foreign.data == scene.error("cancel_investigation", {"investigation_id": "unknown"}).data


def test_being_shown_an_investigation_is_no_leave_to_stop_it(scene: Scene) -> None:
    scene.publish("foreign", owner="bia")
    scene.session = scene.another(GENERAL, Principal("ana", 1e9, investigations=frozenset({"foreign"})))
    assert is_error(scene.error("cancel_investigation", {"investigation_id": "foreign"})) == "FORBIDDEN"
    scene.session = scene.another(GENERAL, Principal("ana", 1e9, roles=frozenset({"admin"})))
    assert scene.send("cancel_investigation", {"investigation_id": "foreign"}) == [Cancel("foreign", None)]


def test_a_chat_needs_an_agent_unless_the_connection_has_one(scene: Scene) -> None:
    missing = scene.error("agent_chat", {"message": "oi"})
    assert missing.data["details"] == {"field": "agent", "required": True}
    scene.session.voice = "drummond"
    assert scene.send("agent_chat", {"message": "oi"}) == [Chat("drummond", "oi", None, None)]
    assert scene.send("agent_chat", {"message": "oi", "agent": "Anita"}) == [Chat("anita", "oi", None, None)]
    assert is_error(scene.error("agent_chat", {"message": "oi", "agent": "ninguem"})) == "AGENT_UNAVAILABLE"


def test_a_chat_about_an_investigation_must_be_about_one_that_is_seen(scene: Scene) -> None:
    scene.publish("mine")
    about = {"message": "oi", "agent": "anita", "context": {"investigation_id": "mine"}}
    assert scene.send("agent_chat", about) == [Chat("anita", "oi", "mine", None)]
    about["context"] = {"investigation_id": "unknown"}
    assert is_error(scene.error("agent_chat", about)) == "NOT_FOUND"
    about["context"] = {}
    assert scene.send("agent_chat", about) == [Chat("anita", "oi", None, None)]


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_fresh_token_of_the_same_user_prolongs(scene: Scene) -> None:
    fresh = Principal("ana", 2e9)
    scene.tokens["t"] = fresh
    renew, follow, said = scene.send("authenticate", {"token": "t"}, correlation_id="c")
    assert renew == Renew(fresh)
    assert isinstance(follow, Follow)
    assert isinstance(said, Say)
    assert (said.type, said.correlation_id) == ("authenticated", "c")
    assert said.data == {"expires_at": "2033-05-18T03:33:20.000Z", "denied": []}


def test_other_tokens_change_nothing(scene: Scene) -> None:
    scene.tokens |= {"bad": BadToken(INVALID_TOKEN), "old": BadToken(TOKEN_EXPIRED), "bia": Principal("bia", 2e9)}
    codes = [is_error(scene.error("authenticate", {"token": token})) for token in ("bad", "old", "bia")]
    assert codes == ["AUTHENTICATION_REQUIRED", "TOKEN_EXPIRED", "FORBIDDEN"]
    assert scene.session.principal == scene.principal


def test_grants_are_checked_again_with_a_new_token(scene: Scene) -> None:
    scene.publish("shared", owner="bia")
    scene.session = scene.another(GENERAL, Principal("ana", 1e9, investigations=frozenset({"shared"})))
    scene.send("subscribe", {"investigation_ids": ["shared"]})
    assert scene.follows("shared", "a", owner="bia")
    scene.tokens["t"] = Principal("ana", 2e9)
    said = scene.send("authenticate", {"token": "t"})[2]
    assert isinstance(said, Say)
    assert said.data["denied"] == [{"investigation_id": "shared", "code": "NOT_FOUND"}]
    assert not scene.follows("shared", "a", owner="bia")


def test_a_connection_bound_to_an_investigation_ends_with_its_grant(scene: Scene) -> None:
    scene.publish("shared", owner="bia")
    kind = Kind(ConnectionType.INVESTIGATION, "shared")
    scene.tokens["t"] = Principal("ana", 2e9)
    for following in (True, False):
        scene.session = scene.another(kind, Principal("ana", 1e9, investigations=frozenset({"shared"})))
        if not following:
            scene.send("unsubscribe")
        said, close = scene.send("authenticate", {"token": "t"})
        assert is_error(said) == "NOT_FOUND"
        assert close == Close(1008, "Investigation not found")


# -- following --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "own", "outside"),
    [
        ("general", {"investigation_update", "agent_analysis", "notification", "custom"}, {"metrics_update", "x"}),
        ("investigation", {"investigation_update", "progress_update", "agent_analysis", "notification"}, set()),
        ("analysis", {"agent_analysis"}, set()),
        ("notifications", {"notification"}, {"notification"}),
        ("chat", {"notification"}, {"notification"}),
    ],
)
def test_the_default_of_each_kind(type_: str, own: set[str], outside: set[str]) -> None:
    scene = Scene(Kind(ConnectionType(type_)))
    asked = {*events.STATE_TYPES, "notification", "metrics_update", "custom"}
    if type_ != "general":
        assert {name for name in asked if scene.follows("inv", name)} == own
    assert all(scene.follows("inv", name) for name in own)
    assert not any(scene.follows("inv", name, owner="bia") for name in asked)
    assert all(scene.session.interest.wants(topics.EVERYONE, "", name) for name in outside)
    assert scene.session.interest.wants(topics.session("s"), "ana", "agent_chat")


def test_the_first_subscribe_replaces_later_ones_add_and_unsubscribe_subtracts(scene: Scene) -> None:
    scene.publish("inv")
    data = {"events": ["agent_analysis"], "investigation_ids": ["inv"]}
    assert scene.answer("subscribe", data) == {**data, "denied": []}
    assert scene.follows("inv", "agent_analysis")
    assert not scene.follows("inv", "notification")
    assert not scene.follows("other", "agent_analysis")
    assert scene.answer("subscribe", {"events": ["notification"]})["investigation_ids"] is None
    assert scene.follows("inv", "agent_analysis")
    assert scene.follows("other", "notification")
    data = {"events": ["notification"], "investigation_ids": ["inv"]}
    assert scene.answer("unsubscribe", data) == data
    assert not scene.follows("inv", "notification")
    assert scene.follows("other", "notification")
    assert scene.answer("unsubscribe") == {"events": None, "investigation_ids": None}
    assert not scene.follows("other", "notification")


def test_subscribed_is_followed_by_snapshots_of_what_was_granted(scene: Scene) -> None:
    scene.publish("inv")
    scene.publish("done", status="completed", progress=100)
    effects = scene.send("subscribe", {"investigation_ids": ["done", "inv"]}, correlation_id="c")
    assert [type(effect) for effect in effects] == [Follow, Say, Snapshot]
    assert effects[2] == Snapshot(["done", "inv"], "c")
    assert scene.send("subscribe")[2] == Snapshot(["inv"], None)


def test_what_is_denied_is_said_and_what_is_denied_altogether_changes_nothing(scene: Scene) -> None:
    scene.publish("foreign", owner="bia")
    denied = scene.answer("subscribe", {"events": ["pong", "Bad Name"], "investigation_ids": ["foreign", "unknown"]})
    assert denied["denied"] == [
        {"event": "pong", "code": "INVALID_REQUEST"},
        {"event": "Bad Name", "code": "INVALID_REQUEST"},
        {"investigation_id": "foreign", "code": "NOT_FOUND"},
        {"investigation_id": "unknown", "code": "NOT_FOUND"},
    ]
    assert scene.follows("mine", "anything")
    scene.answer("subscribe", {"events": []})
    assert not scene.follows("mine", "anything")


def test_a_connection_for_notifications_follows_nothing_else() -> None:
    scene = Scene(Kind(ConnectionType.NOTIFICATIONS))
    answer = scene.answer("subscribe", {"events": ["notification", "agent_analysis"]})
    assert answer["events"] == ["notification"]
    assert answer["denied"] == [{"event": "agent_analysis", "code": "FORBIDDEN"}]
    assert scene.answer("subscribe")["events"] == ["notification"]
    assert not scene.follows("mine", "agent_analysis")


def test_a_connection_bound_to_an_investigation_follows_no_other(scene: Scene) -> None:
    scene.publish("inv")
    scene.publish("other")
    scene.session = scene.another(Kind(ConnectionType.INVESTIGATION, "inv"))
    assert scene.follows("inv", "custom")
    assert not scene.follows("inv", "metrics_update")
    answer = scene.answer("subscribe", {"investigation_ids": ["other", "inv"]})
    assert answer["denied"] == [{"investigation_id": "other", "code": "FORBIDDEN"}]
    assert scene.answer("subscribe")["investigation_ids"] == ["inv"]
    assert not scene.follows("other", "investigation_update")


def test_naming_too_many_grants_nothing() -> None:
    scene = Scene(named_investigations=3)
    for n in range(5):
        scene.publish(f"inv{n}")
    for data in ({"investigation_ids": [f"inv{n}" for n in range(4)]}, {"events": ["a", "b", "c", "d"]}):
        assert scene.error("subscribe", data).data["details"]["limit"] == 3
        assert scene.follows("inv4", "anything"), "the default stands"
    scene.answer("subscribe", {"investigation_ids": ["inv0", "inv1", "inv0", "inv2"]})
    assert is_error(scene.error("subscribe", {"investigation_ids": ["inv3"]})) == "INVALID_REQUEST"
    assert not scene.follows("inv3", "anything")
    scene.answer("unsubscribe", {"investigation_ids": ["inv0"]})
    scene.answer("subscribe", {"investigation_ids": ["inv3"]})
    assert scene.follows("inv3", "anything")


def test_who_starts_an_investigation_that_nothing_covers_follows_it(scene: Scene) -> None:
    assert scene.session.cover("new") is None, "the default covers it"
    scene.publish("inv")
    scene.send("subscribe", {"investigation_ids": ["inv"]})
    assert isinstance(scene.session.cover("new"), Follow)
    scene.publish("new")
    assert scene.follows("new", "anything")
    full = Scene(named_investigations=1)
    full.publish("inv")
    full.send("subscribe", {"investigation_ids": ["inv"]})
    assert full.session.cover("new") is None
    scene.session = scene.another(Kind(ConnectionType.INVESTIGATION, "inv"))
    assert scene.session.cover("newer") is None


# -- acknowledgment and replay ----------------------------------------------------------------------------------------


def test_an_ack_is_where_a_resume_continues(scene: Scene) -> None:
    for _ in range(3):
        scene.publish("inv")
    assert scene.send("ack", {"id": scene.cursor(2)}) == [Acknowledge(2)]
    assert scene.send("ack", {"id": scene.cursor(1)}) == [Acknowledge(1)], "lower than before: no step back"
    verdict, lost = scene.session.resume(scene.principal, None)
    assert (verdict.offset, verdict.recovered, verdict.replayed, lost) == (2, True, 1, [])


@pytest.mark.parametrize("id_", ["e-2", "x-0", "e-", "", "e-99999999999999999999"])
def test_an_ack_of_what_was_not_sent_is_refused(scene: Scene, id_: str) -> None:
    scene.publish("inv")
    refused = scene.error("ack", {"id": id_})
    assert refused.data["details"] == {"field": "id", "required": True}


def test_without_an_ack_a_resume_continues_at_the_first_welcome(scene: Scene) -> None:
    scene.publish("inv")
    session = scene.another(GENERAL)
    session.begin(None)
    scene.publish("inv")
    assert session.resume(scene.principal, None)[0].offset == 1
    scene.publish("inv")
    assert session.resume(scene.principal, None)[0].replayed == 2


def test_a_fresh_conversation_with_nothing_known_begins_at_the_head(scene: Scene) -> None:
    scene.publish("inv")
    verdict = scene.session.begin(None)
    assert (verdict.offset, verdict.recovered, verdict.replayed) == (1, True, 0)


def test_a_fresh_conversation_may_continue_anothers_cursor(scene: Scene) -> None:
    for _ in range(3):
        scene.publish("inv")
    verdict = scene.session.begin(scene.cursor(1))
    assert (verdict.offset, verdict.recovered, verdict.replayed) == (1, True, 2)
    assert scene.session.begin(scene.cursor(3)).offset == 3


@pytest.mark.parametrize("cursor", ["e-4", "other-1", "nonsense"])
def test_what_cannot_be_proven_is_not_recovered(scene: Scene, cursor: str) -> None:
    """Past the head, of another epoch, or no cursor at all: the client continues at the head."""
    for _ in range(3):
        scene.publish("inv")
    verdict, _ = scene.session.resume(scene.principal, cursor)
    assert (verdict.offset, verdict.recovered, verdict.replayed) == (3, False, 0)
    verdict, _ = scene.session.resume(scene.principal, None)
    assert (verdict.recovered, verdict.replayed) == (True, 3), "what was never acknowledged is owed as before"


def test_trimmed_events_are_not_recovered() -> None:
    scene = Scene(retention=Retention(events_per_topic=2))
    for _ in range(4):
        scene.publish("inv")
    assert not scene.session.resume(scene.principal, scene.cursor(1))[0].recovered
    assert scene.session.resume(scene.principal, scene.cursor(2))[0].recovered


def test_more_than_the_most_is_not_replayed() -> None:
    scene = Scene(replay_events=2)
    for _ in range(3):
        scene.publish("inv")
    assert not scene.session.resume(scene.principal, scene.cursor(0))[0].recovered
    assert scene.session.resume(scene.principal, scene.cursor(1))[0].replayed == 2


def test_subscribing_with_after_rewinds_the_connection_and_its_ack(scene: Scene) -> None:
    for _ in range(3):
        scene.publish("inv")
    scene.send("ack", {"id": scene.cursor(3)})
    follow, said, rewind = scene.send("subscribe", {"after": scene.cursor(1)})
    assert isinstance(follow, Follow)
    assert isinstance(said, Say)
    assert said.data["id"] == scene.cursor(1)
    assert (said.data["recovered"], said.data["replayed"], said.offset) == (True, 2, 1)
    assert rewind == Rewind(1)
    assert scene.session.resume(scene.principal, None)[0].offset == 1


def test_subscribing_with_a_lost_after_answers_with_snapshots(scene: Scene) -> None:
    scene.publish("inv")
    follow, said, snapshot = scene.send("subscribe", {"after": "other-1"})
    assert isinstance(follow, Follow)
    assert isinstance(said, Say)
    assert (said.data["recovered"], said.data["id"]) == (False, scene.cursor(1))
    assert snapshot == Snapshot(["inv"], None)


def test_snapshots_are_of_what_is_followed_the_unfinished_first() -> None:
    scene = Scene()
    for n in range(SNAPSHOTS + 10):
        scene.now = float(n)
        scene.publish(f"inv{n:03}", status="completed" if n % 2 else "processing", progress=100 if n % 2 else 10)
    scene.publish("foreign", owner="bia")
    unfinished = scene.session.snapshots(finished=False)
    assert len(unfinished) == (SNAPSHOTS + 10) // 2
    everything = scene.session.snapshots(finished=True)
    assert len(everything) == SNAPSHOTS
    ids = [say.data["investigation_id"] for say in everything]
    assert ids[0] == f"inv{SNAPSHOTS + 8:03}"
    assert [say.data["status"] for say in everything].index("completed") == len(unfinished)
    assert everything[0].offset is None, "a snapshot has no cursor"


def test_snapshots_of_named_investigations(scene: Scene) -> None:
    for id_ in ("a", "b", "c"):
        scene.publish(id_)
    scene.publish("c", status="failed")
    scene.send("subscribe", {"investigation_ids": ["a", "c"]})
    scene.send("subscribe", {"investigation_ids": ["b"], "events": ["notification"]})
    assert [say.data["investigation_id"] for say in scene.session.snapshots(finished=False)] == ["a"]
    assert {say.data["investigation_id"] for say in scene.session.snapshots(finished=True)} == {"a", "c"}
    assert scene.session.tell(["a", "gone"], "c")[0].correlation_id == "c"


def test_a_resumed_session_keeps_what_it_followed_as_far_as_it_is_granted(scene: Scene) -> None:
    scene.publish("shared", owner="bia")
    scene.publish("mine")
    granted = Principal("ana", 1e9, investigations=frozenset({"shared"}))
    scene.session = scene.another(GENERAL, granted)
    scene.send("subscribe", {"investigation_ids": ["shared", "mine"]})
    assert scene.session.resume(granted, None)[1] == []
    _, lost = scene.session.resume(scene.principal, None)
    assert lost == ["shared"]
    assert scene.follows("mine", "a")
    assert not scene.follows("shared", "a", owner="bia")


def test_messages_can_be_used_up_and_where_the_client_has_come_to_is_its_own_word() -> None:
    scene = Scene()
    first = scene.publish("i").offset
    assert scene.session.reached == 0
    scene.session.sent(first)
    assert scene.session.reached == 0, "what was sent may still be on its way"
    scene.send("ack", {"id": f"e-{first}"})
    assert scene.session.reached == first
    scene.session.use_up(scene.now)
    (refused, *_) = scene.send("ping")
    assert is_error(refused) == "RATE_LIMIT_EXCEEDED"
