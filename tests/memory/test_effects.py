"""What any message comes to: exact answers, and errors that say enough to the client and nothing to anybody else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
)
from cidadao_rt.memory.investigations import Investigations
from cidadao_rt.memory.log import Draft, Log
from cidadao_rt.memory.session import Rules, Session, World
from cidadao_rt.memory.starts import Starts
from cidadao_rt.words import envelope, topics
from cidadao_rt.words.agents import AGENTS
from cidadao_rt.words.errors import ErrorCode
from cidadao_rt.words.limits import SlidingWindow
from cidadao_rt.words.messages import CLIENT_TYPES
from cidadao_rt.words.subscription import ConnectionType, Kind
from cidadao_rt.words.tokens import INVALID_TOKEN, BadToken, Principal

MARKER = "segredo-do-cliente"


class Scene:
    """Two investigations of ana, one of bia, and sessions of ana."""

    def __init__(self, **rules: Any) -> None:
        self.log = Log("e")
        self.investigations = Investigations()
        self.world = World(self.log, self.investigations, self.verify, Rules(**rules))
        self.window = SlidingWindow(1000, 60.0)
        for id_, owner, status in (
            ("mine", "ana", "started"),
            ("done", "ana", "failed"),
            ("foreign", "bia", "started"),
        ):
            draft = Draft(topics.investigation(id_), owner, "investigation_update", {"status": status, "progress": 0})
            self.log.append(draft, 0.0)
            self.investigations.apply(draft, 0.0)

    @staticmethod
    def verify(_: str) -> Principal:
        raise BadToken(INVALID_TOKEN)

    def session(self, type_: str = "general", bound: str | None = None) -> Session:
        kind = Kind(ConnectionType(type_), bound)
        return Session("s", kind, Principal("ana", 1e9), self.world, self.window, Starts())


def frame(type_: str, data: Any, **more: Any) -> bytes:
    return json.dumps({"type": type_, "data": data, **more}).encode()


def ask(session: Session, type_: str, now: float = 0.0, **data: Any) -> list[Effect]:
    return session.receive(frame(type_, data), 3, now).effects


def error_of(effects: list[Effect]) -> dict[str, Any]:
    (said,) = effects
    assert isinstance(said, Say)
    assert said.type == "error"
    assert set(said.data) == {"code", "message", "details"}
    return said.data


# -- whatever comes ---------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
words = st.sampled_from(
    [MARKER, "mine", "done", "foreign", "unknown", "zumbi", "e-1", "e-9", "notification", "pong", "agent_analysis", " "]
)
values = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("query", "filters", "agents", "investigation_id", "events", "investigation_ids", "after", "agent", "message")
fields = st.sampled_from([*FIELDS, "context", "id", "token"])
messages = st.fixed_dictionaries(
    {
        "type": st.sampled_from(sorted(CLIENT_TYPES)) | values,
        "data": st.dictionaries(fields, values, max_size=5) | values,
    },
    optional={"correlation_id": st.text(max_size=130) | values, "id": values, "timestamp": values, "user_id": values},
)
frames = (
    st.binary(max_size=40)
    | values.map(lambda value: json.dumps(value).encode())
    | messages.map(lambda message: json.dumps(message).encode())
)
EFFECTS = (Say, Snapshot, Pong, Follow, Acknowledge, Rewind, Start, Cancel, Chat, Renew, Close)


@settings(max_examples=600, deadline=None)
@given(frames, st.sampled_from(["general", "notifications", "chat", "bound"]), st.booleans())
def test_whatever_comes_is_answered_and_nothing_is_quoted(message: bytes, type_: str, binary: bool) -> None:
    """No message raises; each answer can be written; an error has a code of the list and none of the contents."""
    scene = Scene()
    session = scene.session("investigation", "mine") if type_ == "bound" else scene.session(type_)
    turn = session.receive(message, 3, 0.0, binary=binary)
    assert turn.type in CLIENT_TYPES | {"other"}
    assert turn.effects
    for effect in turn.effects:
        assert isinstance(effect, EFFECTS)
        assert not isinstance(effect, Close), "a bad message never closes a connection by itself"
        if isinstance(effect, Say):
            written = envelope.encode(effect.type, effect.data, 0.0, correlation_id=effect.correlation_id)
            if effect.type == "error":
                assert effect.data["code"] in list(ErrorCode)
                assert MARKER.encode() not in written.replace((effect.correlation_id or "").encode(), b"")
                if effect.data["code"] == "INVALID_REQUEST" and effect.data["details"]:
                    assert {"field", "required"} <= set(effect.data["details"])
    assert not session.interest.wants(topics.investigation("foreign"), "bia", "investigation_update")


ANSWERED = [
    ("ping", {}),
    ("subscribe", {}),
    ("subscribe", {"after": "e-0"}),
    ("subscribe", {"after": "lost"}),
    ("unsubscribe", {}),
    ("subscribe_investigation", {"investigation_id": "mine"}),
    ("unsubscribe_investigation", {"investigation_id": "mine"}),
    ("start_investigation", {"query": "q"}),
    ("cancel_investigation", {"investigation_id": "mine"}),
    ("cancel_investigation", {"investigation_id": "done"}),
    ("agent_chat", {"agent": "anita", "message": "oi"}),
    ("ack", {"id": "e-99"}),
    ("authenticate", {"token": "bad"}),
    ("no_such_type", {}),
    ("start_investigation", {}),
    ("cancel_investigation", {"investigation_id": "unknown"}),
]


@pytest.mark.parametrize(("type_", "data"), ANSWERED)
@pytest.mark.parametrize("key", ["correlation_id", "id"])
def test_every_direct_answer_echoes_the_correlation_id(type_: str, data: dict[str, Any], key: str) -> None:
    """Under the document's name and under `id`, which older clients send instead."""
    turn = Scene().session().receive(frame(type_, data, **{key: "c-1"}), 3, 0.0)
    assert turn.correlation_id == "c-1"
    answers = [effect for effect in turn.effects if not isinstance(effect, Follow | Rewind)]
    assert answers
    assert [effect.correlation_id for effect in answers] == ["c-1"] * len(answers)  # type: ignore[union-attr]


# -- the shapes -------------------------------------------------------------------------------------------------------


def test_subscribed_has_its_shape_with_and_without_after() -> None:
    """What was granted of types and investigations, what was denied, and with `after` the verdict and its cursor."""
    session = Scene().session()
    follow, said, snapshot = ask(session, "subscribe", events=["agent_analysis"], investigation_ids=["mine", "foreign"])
    data = {
        "events": ["agent_analysis"],
        "investigation_ids": ["mine"],
        "denied": [{"investigation_id": "foreign", "code": "NOT_FOUND"}],
    }
    assert [follow, said, snapshot] == [Follow(session.interest), Say("subscribed", data), Snapshot(["mine"], None)]
    follow, said, rewind = ask(session, "subscribe", events=["investigation_update"], after="e-0")
    data = {
        "events": ["investigation_update"],
        "investigation_ids": None,
        "denied": [],
        "id": "e-0",
        "recovered": True,
        "replayed": 2,
    }
    assert [follow, said, rewind] == [Follow(session.interest), Say("subscribed", data, offset=0), Rewind(0)]


@pytest.mark.parametrize("after", ["e-2", "e-3"])
def test_an_after_that_owes_nothing_is_answered_with_the_head(after: str) -> None:
    """Its cursor is where the client stands; the rewind then sends nothing again."""
    _, said, rewind = ask(Scene().session(), "subscribe", after=after)
    assert isinstance(said, Say)
    assert (said.data["id"], said.data["recovered"], said.data["replayed"]) == ("e-3", True, 0)
    assert rewind == Rewind(3)


@pytest.mark.parametrize("type_", ["subscribe", "unsubscribe"])
def test_the_synonyms_mean_one_investigation_with_all_its_types(type_: str) -> None:
    """`subscribe_investigation` and `unsubscribe_investigation` are answered like the commands they stand for."""
    one, other = Scene().session(), Scene().session()
    synonym = ask(one, f"{type_}_investigation", investigation_id="mine")
    assert synonym == ask(other, type_, investigation_ids=["mine"])
    assert one.interest == other.interest


def test_a_start_without_agents_or_filters_has_the_defaults() -> None:
    """Who names nobody leaves the team to the scenario; with the usual team in words it is the same start."""
    session = Scene().session()
    (bare,) = ask(session, "start_investigation", query="q")
    (full,) = ask(session, "start_investigation", query="q", filters={}, agents=["Zumbi", "ANITA", "tiradentes"])
    assert isinstance(bare, Start)
    assert isinstance(full, Start)
    assert (bare.query, bare.filters, bare.agents) == ("q", {}, [])
    assert (full.agents, full.digest) == (["zumbi", "anita", "tiradentes"], bare.digest)


def test_an_error_for_an_agent_lists_those_that_there_are() -> None:
    """Also where the unknown agent came with the URL of `/ws/chat`; the next message may name a better one."""
    session = Scene().session("chat")
    session.voice = "ninguem"
    assert error_of(ask(session, "agent_chat", message="oi"))["details"] == {"available": list(AGENTS)}
    assert ask(session, "agent_chat", message="oi", agent="maria-quiteria") == [
        Chat("maria_quiteria", "oi", None, None)
    ]


# -- who may see what -------------------------------------------------------------------------------------------------

NAMING = [
    ("cancel_investigation", lambda id_: {"investigation_id": id_}),
    ("subscribe_investigation", lambda id_: {"investigation_id": id_}),
    ("unsubscribe_investigation", lambda id_: {"investigation_id": id_}),
    ("subscribe", lambda id_: {"investigation_ids": [id_, "mine"]}),
    ("subscribe", lambda id_: {"investigation_ids": [id_], "after": "e-0"}),
    ("agent_chat", lambda id_: {"agent": "anita", "message": "oi", "context": {"investigation_id": id_}}),
]


@pytest.mark.parametrize(("type_", "data"), NAMING)
@pytest.mark.parametrize(
    "kind", [("general", None), ("notifications", None), ("chat", None), ("investigation", "mine")]
)
def test_nobody_learns_what_exists(type_: str, data: Any, kind: tuple[str, str | None]) -> None:
    """The answers for another's investigation and for one that never was differ in the id alone."""
    answers = []
    for id_ in ("foreign", "unknown"):
        session = Scene().session(*kind)
        effects = ask(session, type_, **data(id_))
        assert not session.interest.wants(topics.investigation("foreign"), "bia", "notification")
        answers.append(repr(effects).replace(id_, "ID"))
    assert answers[0] == answers[1]


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_at", [0.0, 0.1, 12.3456, 1234.5678])
@pytest.mark.parametrize("after", [0.0, 0.0004, 12.3456, 33.33333, 59.9997])
def test_who_waits_as_long_as_told_is_not_refused_again(first_at: float, after: float) -> None:
    """`retry_after` is above 0 and never too short, also by the fraction of a millisecond."""
    scene = Scene()
    scene.window = SlidingWindow(1, 60.0)
    session = scene.session()
    assert ask(session, "ping", first_at) == [Pong(None)]
    refused = error_of(ask(session, "ping", first_at + after))
    assert refused["code"] == "RATE_LIMIT_EXCEEDED"
    wait = refused["details"]["retry_after"]
    assert 0 < wait <= 60.001
    # A clock that counts in floats may be off by its last digit.
    assert ask(session, "ping", first_at + after + wait + 1e-9) == [Pong(None)]


def test_the_minute_is_of_the_user_and_not_of_the_connection() -> None:
    """100 messages over all connections, good and bad ones; the 101st is refused on each of them."""
    scene = Scene()
    scene.window = SlidingWindow(100, 60.0)
    one, other = scene.session(), scene.session("chat")
    for n in range(50):
        assert ask(one, "ping", float(n)) == [Pong(None)]
        assert error_of(other.receive(b"{", 3, float(n)).effects)["code"] == "INVALID_JSON"
    for session in (one, other):
        refused = error_of(ask(session, "ping", 50.0))
        assert refused["code"] == "RATE_LIMIT_EXCEEDED"
        assert refused["details"] == {"limit": 100, "retry_after": 10.0}


def test_the_hundredth_refusal_within_a_minute_closes_the_connection() -> None:
    """With the defaults: 99 refusals are answered, the next is answered and closed; a new connection starts over."""
    scene = Scene()
    scene.window = SlidingWindow(1, 1e6)
    session = scene.session()
    ask(session, "ping")
    for _ in range(99):
        error_of(ask(session, "ping", 59.0))
    refused, close = ask(session, "ping", 59.0)
    assert error_of([refused])["code"] == "RATE_LIMIT_EXCEEDED"
    assert close == Close(1008, "Too many refused messages")
    session.resume(session.principal, None)
    error_of(ask(session, "ping", 59.0))


def test_a_message_is_measured_in_bytes_before_it_is_read() -> None:
    """65,536 bytes are read and one more are not, whatever they hold; what is too large counts as a message."""
    scene = Scene()
    scene.window = SlidingWindow(2, 60.0)
    session = scene.session()
    assert session.receive(b'{"type":"ping"}'.ljust(65_536), 3, 0.0).effects == [Pong(None)]
    refused = error_of(session.receive("ã".encode() * 32_768 + b"!", 3, 0.0).effects)
    assert (refused["code"], refused["details"]) == ("MESSAGE_TOO_LARGE", {"limit": 65_536})
    assert error_of(ask(session, "ping"))["code"] == "RATE_LIMIT_EXCEEDED"


def test_naming_too_many_says_which_field_and_how_many() -> None:
    """`INVALID_REQUEST` has `field` and `required` as documented, and here the limit: 128 by default."""
    session = Scene().session()
    before = session.interest
    refused = error_of(ask(session, "subscribe", investigation_ids=[f"i{n}" for n in range(129)]))
    assert refused["code"] == "INVALID_REQUEST"
    assert refused["details"] == {"field": "investigation_ids", "required": False, "limit": 128}
    assert session.interest == before


def test_who_starts_an_investigation_follows_it_and_not_the_nodes_metrics() -> None:
    """A start subscribes to the events of that investigation; `metrics_update` is none of them."""
    session = Scene().session()
    ask(session, "subscribe", events=["investigation_update"], investigation_ids=["mine"])
    assert isinstance(session.cover("new"), Follow)
    assert session.interest.wants(topics.investigation("new"), "ana", "custom")
    assert not session.interest.wants(topics.EVERYONE, "", "metrics_update")
