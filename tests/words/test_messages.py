"""The commands of clients: what each needs, and what a client is told that leaves it out or gets it wrong."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cidadao_rt.words import messages
from cidadao_rt.words.agents import AGENTS
from cidadao_rt.words.envelope import Incoming, decode
from cidadao_rt.words.errors import ErrorCode, Refusal
from cidadao_rt.words.messages import (
    CLIENT_TYPES,
    Ack,
    AgentChat,
    Authenticate,
    CancelInvestigation,
    Command,
    Context,
    Ping,
    StartInvestigation,
    Subscribe,
    Unsubscribe,
    command,
)

TEAM = ["zumbi", "anita", "tiradentes"]


def ask(type_: str, data: Any) -> Command:
    """What the server understands of one frame with this type and data."""
    return command(decode(json.dumps({"type": type_, "data": data}).encode()))


def refused(type_: str, data: Any) -> Refusal:
    with pytest.raises(Refusal) as raised:
        ask(type_, data)
    return raised.value


def fault(type_: str, data: Any) -> tuple[str, bool]:
    """The field and `required` of an `INVALID_REQUEST`, which has nothing else in its details."""
    refusal = refused(type_, data)
    assert refusal.code is ErrorCode.INVALID_REQUEST
    assert set(refusal.details) == {"field", "required"}
    assert refusal.message.startswith(("Missing required field: ", "Invalid field: "))
    assert refusal.details["field"] in refusal.message
    return refusal.details["field"], refusal.details["required"]


def start(**data: Any) -> StartInvestigation:
    found = ask("start_investigation", {"query": "q", **data})
    assert isinstance(found, StartInvestigation)
    return found


# -- the commands ----------------------------------------------------------------------------------------------------

DOCUMENT = {
    "contratos": (
        "start_investigation",
        {
            "query": "Contratos emergenciais COVID-19 2020",
            "filters": {"date_range": "2020-01-01/2020-12-31", "min_value": 1000000},
            "agents": ["zumbi", "anita", "tiradentes"],
        },
        StartInvestigation(
            "Contratos emergenciais COVID-19 2020",
            {"date_range": "2020-01-01/2020-12-31", "min_value": 1000000},
            TEAM,
        ),
    ),
    "subscrever": (
        "subscribe",
        {"events": ["investigation_update", "agent_analysis"], "investigation_ids": ["inv_123", "inv_456"]},
        Subscribe(["investigation_update", "agent_analysis"], ["inv_123", "inv_456"]),
    ),
    "chat": (
        "agent_chat",
        {
            "agent": "abaporu",
            "message": "Quais são os principais riscos encontrados?",
            "context": {"investigation_id": "inv_789"},
        },
        AgentChat("Quais são os principais riscos encontrados?", "abaporu", Context("inv_789")),
    ),
    "heartbeat": ("ping", {}, Ping()),
}


@pytest.mark.parametrize(("type_", "data", "expected"), DOCUMENT.values(), ids=DOCUMENT.keys())
def test_the_documents_examples_are_understood(type_: str, data: dict[str, Any], expected: Command) -> None:
    """Every message that the API document shows a client sending is the command it is meant to be."""
    assert ask(type_, data) == expected


@pytest.mark.parametrize(
    ("type_", "data", "expected"),
    [
        ("start_investigation", {"query": "q"}, StartInvestigation("q", {}, None)),
        ("start_investigation", {"query": "q", "filters": None, "agents": None}, StartInvestigation("q", {}, None)),
        ("cancel_investigation", {"investigation_id": "i"}, CancelInvestigation("i")),
        ("subscribe", {}, Subscribe(None, None, None)),
        ("subscribe", {"events": [], "investigation_ids": []}, Subscribe([], [], None)),
        ("subscribe", {"events": None, "investigation_ids": None, "after": None}, Subscribe(None, None, None)),
        ("subscribe", {"after": "e-5"}, Subscribe(None, None, "e-5")),
        ("unsubscribe", {}, Unsubscribe(None, None)),
        ("unsubscribe", {"events": ["a"], "investigation_ids": ["i"]}, Unsubscribe(["a"], ["i"])),
        ("agent_chat", {"message": "m"}, AgentChat("m", None, None)),
        ("agent_chat", {"message": "m", "agent": None, "context": {}}, AgentChat("m", None, Context())),
        ("agent_chat", {"message": "m", "agent": "nobody"}, AgentChat("m", "nobody", None)),
        ("ack", {"id": "e-5"}, Ack("e-5")),
        ("authenticate", {"token": "t"}, Authenticate("t")),
    ],
)
def test_what_each_command_needs(type_: str, data: dict[str, Any], expected: Command) -> None:
    """The least of each command is enough; `null` for what is optional is the same as leaving it out."""
    assert ask(type_, data) == expected
    assert ask(type_, {**data, "unknown": [{"deep": 1}], "": None}) == expected, "unknown keys are accepted"


@pytest.mark.parametrize(
    "frame", [b'{"type":"ping"}', b'{"type":"ping","data":null}', b'{"type":"ping","data":{"a":1}}']
)
def test_a_ping_needs_no_data(frame: bytes) -> None:
    """Every client's idea of a heartbeat is one."""
    assert command(decode(frame)) == Ping()


@pytest.mark.parametrize("type_", sorted(CLIENT_TYPES - {"ping"}))
def test_every_other_command_needs_data(type_: str) -> None:
    """Without `data` a command is refused for just that, also where all of its fields are optional."""
    for frame in (f'{{"type":"{type_}"}}', f'{{"type":"{type_}","data":null}}'):
        with pytest.raises(Refusal, match=r"^Missing required field: data$") as raised:
            command(decode(frame.encode()))
        assert raised.value.code is ErrorCode.INVALID_REQUEST
        assert raised.value.details == {"field": "data", "required": True}


def test_the_synonyms_are_the_same_commands() -> None:
    """`subscribe_investigation` and its opposite name one investigation, and mean all of its events."""
    one = {"investigation_id": "inv_1"}
    assert ask("subscribe_investigation", one) == ask("subscribe", {"investigation_ids": ["inv_1"]})
    assert ask("unsubscribe_investigation", one) == ask("unsubscribe", {"investigation_ids": ["inv_1"]})


def test_the_client_types_are_those_of_the_protocol() -> None:
    """The eight commands of PROTOCOL 3 and the two synonyms; nothing else can be sent."""
    assert sorted(CLIENT_TYPES) == [
        "ack", "agent_chat", "authenticate", "cancel_investigation", "ping", "start_investigation", "subscribe",
        "subscribe_investigation", "unsubscribe", "unsubscribe_investigation",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "type_",
    ["", "Ping", "ping ", "pong", "investigation_update", "error", "p\x00ng", "x" * 10_000],
    ids=lambda type_: ascii(type_)[:24],
)
@pytest.mark.parametrize("data", [{}, None, {"a": 1}])
def test_an_unknown_type_is_told_which_there_are(type_: str, data: Any) -> None:
    """`UNKNOWN_TYPE`, whatever the data, with all types that are known."""
    refusal = refused(type_, data)
    assert refusal.code is ErrorCode.UNKNOWN_TYPE
    assert refusal.details == {"known": sorted(CLIENT_TYPES)}


# -- the document's error shape --------------------------------------------------------------------------------------


def test_the_documents_error_comes_out_word_for_word() -> None:
    """The example error of the API document is what a client gets that leaves `investigation_id` out."""
    for type_ in ("cancel_investigation", "subscribe_investigation", "unsubscribe_investigation"):
        refusal = refused(type_, {})
        assert {"code": refusal.code, "message": refusal.message, "details": refusal.details} == {
            "code": "INVALID_REQUEST",
            "message": "Missing required field: investigation_id",
            "details": {"field": "investigation_id", "required": True},
        }


@pytest.mark.parametrize(
    ("type_", "field"),
    [("start_investigation", "query"), ("agent_chat", "message"), ("ack", "id"), ("authenticate", "token")],
)
def test_a_missing_field_is_named(type_: str, field: str) -> None:
    """A required field left out is named in the message and in the details."""
    refusal = refused(type_, {"unknown": 1})
    assert refusal.message == f"Missing required field: {field}"
    assert refusal.details == {"field": field, "required": True}


@pytest.mark.parametrize(
    ("type_", "data", "field", "required"),
    [
        ("start_investigation", {"query": 5}, "query", True),
        ("start_investigation", {"query": None}, "query", True),
        ("start_investigation", {"query": ["q"]}, "query", True),
        ("start_investigation", {"query": ""}, "query", True),
        ("start_investigation", {"query": "q", "filters": []}, "filters", False),
        ("start_investigation", {"query": "q", "filters": "x"}, "filters", False),
        ("start_investigation", {"query": "q", "agents": "zumbi"}, "agents", False),
        ("start_investigation", {"query": "q", "agents": {}}, "agents", False),
        ("start_investigation", {"query": "q", "agents": []}, "agents", False),
        ("start_investigation", {"query": "q", "agents": ["zumbi", 5]}, "agents[1]", False),
        ("start_investigation", {"query": "q", "agents": [None]}, "agents[0]", False),
        ("cancel_investigation", {"investigation_id": 5}, "investigation_id", True),
        ("cancel_investigation", {"investigation_id": None}, "investigation_id", True),
        ("subscribe", {"events": "notification"}, "events", False),
        ("subscribe", {"events": [["a"]]}, "events[0]", False),
        ("subscribe", {"investigation_ids": "i"}, "investigation_ids", False),
        ("subscribe", {"investigation_ids": ["i", {}]}, "investigation_ids[1]", False),
        ("subscribe", {"after": 5}, "after", False),
        ("unsubscribe", {"events": {"a": True}}, "events", False),
        ("unsubscribe", {"investigation_ids": [5]}, "investigation_ids[0]", False),
        ("subscribe_investigation", {"investigation_id": ["i"]}, "investigation_id", True),
        ("unsubscribe_investigation", {"investigation_id": True}, "investigation_id", True),
        ("agent_chat", {"message": 5}, "message", True),
        ("agent_chat", {"message": ""}, "message", True),
        ("agent_chat", {"message": "m", "agent": 5}, "agent", False),
        ("agent_chat", {"message": "m", "context": "inv_1"}, "context", False),
        ("agent_chat", {"message": "m", "context": {"investigation_id": 5}}, "context.investigation_id", False),
        ("ack", {"id": 5}, "id", True),
        ("ack", {"id": None}, "id", True),
        ("authenticate", {"token": {"jwt": "t"}}, "token", True),
    ],
)
def test_a_wrong_type_is_named(type_: str, data: dict[str, Any], field: str, required: bool) -> None:
    """The field at fault is named down to the item of a list, and whether the command could do without it."""
    assert fault(type_, data) == (field, required)


def test_the_wording_of_msgspec() -> None:
    """`_convert` reads the field out of msgspec's own error texts; a release that words them anew fails here."""

    class Inner(msgspec.Struct):
        need: int

    class Outer(msgspec.Struct):
        text: messages.Text
        inner: Inner | None = None
        names: list[str] | None = None

    def says(data: dict[str, Any]) -> str:
        with pytest.raises(msgspec.ValidationError) as raised:
            msgspec.convert(data, Outer)
        return str(raised.value)

    assert says({}) == "Object missing required field `text`"
    assert says({"text": "t", "inner": {}}) == "Object missing required field `need` - at `$.inner`"
    assert says({"text": 5}) == "Expected `str`, got `int` - at `$.text`"
    assert says({"text": ""}) == "Expected `str` of length >= 1 - at `$.text`"
    assert says({"text": "t" * 4001}) == "Expected `str` of length <= 4000 - at `$.text`"
    assert says({"text": "t", "inner": {"need": "5"}}) == "Expected `int`, got `str` - at `$.inner.need`"
    assert says({"text": "t", "inner": []}) == "Expected `object | null`, got `array` - at `$.inner`"
    assert says({"text": "t", "names": ["n", 5]}) == "Expected `str`, got `int` - at `$.names[1]`"


def test_what_is_expected_is_said() -> None:
    """Past the name of the field, the message says what belongs there."""
    assert refused("ack", {"id": 5}).message == "Invalid field: id: Expected `str`, got `int`"
    assert refused("agent_chat", {"message": ""}).message == "Invalid field: message: Expected `str` of length >= 1"


# -- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("type_", "field"), [("start_investigation", "query"), ("agent_chat", "message")])
@pytest.mark.parametrize("character", ["a", "é", "😀"])
def test_a_text_has_up_to_4000_characters(type_: str, field: str, character: str) -> None:
    """1 to 4,000 characters of any script pass unchanged, and 4,001 do not."""
    for length in (1, 4000):
        text = character * length
        assert getattr(ask(type_, {field: text}), field) == text
    assert fault(type_, {field: character * 4001}) == (field, True)


@pytest.mark.parametrize(
    "query",
    [" ", " " * 4000, "\t\n\r", "\u00a0", "\u2003\u3000 \u2028\u0085", "\u1680\u202f"],
    ids=lambda query: ascii(query)[:24],
)
def test_a_query_of_only_spaces_is_refused(query: str) -> None:
    """Spaces of any kind, Unicode's too, are nothing to investigate."""
    assert fault("start_investigation", {"query": query}) == ("query", True)


@pytest.mark.parametrize("query", [" q ", "\u3000q", "."])
def test_a_query_is_passed_on_as_it_came(query: str) -> None:
    """Spaces around a query do no harm and are not taken away."""
    assert start(query=query).query == query


# -- filters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["2020-01-01/2020-12-31", "2020-02-29/2020-02-29", "0001-01-01/9999-12-31", "2019-12-31/2020-01-01", None]
)
def test_a_date_range_is_two_dates_in_order(value: str | None) -> None:
    """Two calendar dates of which the second is not before the first, or none at all."""
    assert start(filters={"date_range": value}).filters == {"date_range": value}


@pytest.mark.parametrize(
    "value",
    [
        "", "/", "2020-01-01", "2020-01-01/", "/2020-01-01", "2020-12-31/2020-01-01", "2020-01-02/2020-01-01",
        "2021-02-29/2021-03-01", "2020-01-01/2020-13-01", "2020-00-01/2020-01-01", "0000-01-01/2020-01-01",
        "2020-1-1/2020-12-31", "20200101/20201231", "2020-W01-1/2020-W02-1", "2020-01-01/2020-12-31/2021-01-01",
        "2020-01-01 / 2020-12-31", " 2020-01-01/2020-12-31", "2020-01-01/2020-12-31\n", "2020-01-01--2020-12-31",
        "2020-01-01T00:00/2020-12-31T00:00", "٢٠٢٠-٠١-٠١/٢٠٢٠-١٢-٣١", "01/01/2020", 2020, 20200101, True, False, 0,
        ["2020-01-01", "2020-12-31"], {"from": "2020-01-01"}, [],
    ],
)  # fmt: skip
def test_what_is_no_date_range_is_refused(value: object) -> None:
    """Other notations, impossible dates and a reversed order are `INVALID_REQUEST` for `filters.date_range`."""
    assert fault("start_investigation", {"query": "q", "filters": {"date_range": value}}) == (
        "filters.date_range",
        False,
    )


@pytest.mark.parametrize("value", [0, 1, 1000000, 0.01, 0.0, -0.0, 1e300, 2**64 - 1, None])
def test_a_min_value_is_a_number_not_negative(value: float | None) -> None:
    """Whole or fractional, zero included, of any size that JSON carries."""
    assert start(filters={"min_value": value}).filters == {"min_value": value}


@pytest.mark.parametrize("value", [-1, -0.01, -1e300, "5", "", True, False, [], [5], {}, {"gt": 5}])
def test_what_is_no_min_value_is_refused(value: object) -> None:
    """Negative numbers, strings and booleans are `INVALID_REQUEST` for `filters.min_value`."""
    assert fault("start_investigation", {"query": "q", "filters": {"min_value": value}}) == (
        "filters.min_value",
        False,
    )


@pytest.mark.parametrize("value", [float("inf"), float("nan"), float("-inf")])
def test_a_min_value_is_finite(value: float) -> None:
    """Infinity and not-a-number, which JSON has no word for, are refused from other decoders as well."""
    with pytest.raises(Refusal) as raised:
        command(Incoming("start_investigation", {"query": "q", "filters": {"min_value": value}}, None))
    assert raised.value.details == {"field": "filters.min_value", "required": False}


def test_other_filters_pass_through() -> None:
    """A filter that we know nothing of reaches the agents as it was sent."""
    filters = {"orgao": "Ministério da Saúde", "modalidades": ["dispensa", {"a": [None, 1.5]}], "": False}
    assert start(filters=filters).filters == filters


def nested(levels: int, lists: bool) -> dict[str, Any]:
    """`levels` containers, one in another; the outermost is the filters themselves."""
    inner: Any = 1
    for _ in range(levels - 1):
        inner = [inner] if lists else {"a": inner}
    return {"a": inner}


@pytest.mark.parametrize("lists", [False, True])
def test_filters_are_nested_16_levels_at_most(lists: bool) -> None:
    """16 levels pass through, and the 17th is refused, of objects as of lists, empty ones too."""
    assert start(filters=nested(16, lists)).filters == nested(16, lists)
    assert fault("start_investigation", {"query": "q", "filters": nested(17, lists)}) == ("filters", False)
    last: Any = [] if lists else {}
    assert start(filters={"a": [[[[[[[[[[[[[[last]]]]]]]]]]]]]]}).filters is not None
    assert fault("start_investigation", {"query": "q", "filters": {"a": [[[[[[[[[[[[[[[last]]]]]]]]]]]]]]]}}) == (
        "filters",
        False,
    )


@pytest.mark.parametrize("lists", [False, True])
def test_filters_as_deep_as_the_parser_goes_are_refused(lists: bool) -> None:
    """A thousand levels, which parse, are an answer to the client and no crash of a writer with a smaller stack."""
    opening, closing = (b"[", b"]") if lists else (b'{"a":', b"}")
    frame = (
        b'{"type":"start_investigation","data":{"query":"q","filters":{"a":'
        + opening * 1000
        + b"1"
        + closing * 1000
        + b"}}}"
    )
    with pytest.raises(Refusal) as raised:
        command(decode(frame))
    assert raised.value.details == {"field": "filters", "required": False}


def test_wide_filters_are_not_deep() -> None:
    """As many filters as a message holds pass, as long as they are not nested: width is no depth."""
    filters = {f"f{n}": [{"a": n}] for n in range(3000)}
    assert start(filters=filters).filters == filters


filter_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=3),
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["date_range", "min_value", "x"]), filter_values))
def test_filters_that_pass_can_be_written_again(filters: dict[str, Any]) -> None:
    """Whatever is accepted is passed on unchanged and can be put into an event; the rest is refused by its field."""
    try:
        accepted = start(filters=filters).filters
    except Refusal as refusal:
        fields = [refusal.details["field"]]
    else:
        fields = []
        assert accepted == filters
        assert orjson.loads(orjson.dumps(accepted)) == filters
    assert set(fields) <= {"filters.date_range", "filters.min_value", "filters"}


# -- agents ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["zumbi"], ["zumbi"]),
        (["ZUMBI", "Anita"], ["zumbi", "anita"]),
        (["maria-quiteria", "quiteria", "MariaQuiteria"], ["maria_quiteria"]),
        (["niemeyer", "oscar", "oscar_niemeyer", "Oscar-Niemeyer"], ["oscar_niemeyer"]),
        (["tiradentes", "ayrton_senna", "anita", "senna"], ["tiradentes", "senna", "anita"]),
        (["Bo-Bardi", "lina", "LOBATO", "santosdumont"], ["bo_bardi", "monteiro_lobato", "santos_dumont"]),
        (list(AGENTS), list(AGENTS)),
    ],
)
def test_agents_are_resolved(names: list[str], expected: list[str]) -> None:
    """Aliases, case, `-` and `_` do not matter; each agent is asked once, in the order given, by its canonical id."""
    assert start(agents=names).agents == expected


@pytest.mark.parametrize(
    "name",
    ["", "-", "zumbi2", "zum bi", "Zumbi dos Palmares", "gandalf", "x" * 5000],
    ids=lambda name: ascii(name)[:24],
)
def test_an_unknown_agent_is_unavailable(name: str) -> None:
    """One unknown name refuses the investigation, and the answer lists the agents that there are."""
    for names in ([name], ["zumbi", name], [name, 5]):
        refusal = refused("start_investigation", {"query": "q", "agents": names})
        if names[-1] == 5:
            assert refusal.details["field"] == "agents[1]", "the shape is checked before the names"
            continue
        assert refusal.code is ErrorCode.AGENT_UNAVAILABLE
        assert refusal.details == {"available": list(AGENTS)}


def test_one_agent_is_found_by_any_of_its_names() -> None:
    """The chat and its URL look an agent up the same way, and refuse the same way."""
    assert [messages.agent(name) for name in ("drummond", "DRUMMOND", "ayrton-senna")] == [
        "drummond",
        "drummond",
        "senna",
    ]
    with pytest.raises(Refusal) as raised:
        messages.agent("gandalf")
    assert raised.value.code is ErrorCode.AGENT_UNAVAILABLE


# -- nothing of what a client sends comes back ------------------------------------------------------------------------

MARKER = "Xq7MARKERq7X"

FIELDS = {
    "start_investigation": ["query", "filters", "agents"],
    "cancel_investigation": ["investigation_id"],
    "subscribe": ["events", "investigation_ids", "after"],
    "unsubscribe": ["events", "investigation_ids"],
    "subscribe_investigation": ["investigation_id"],
    "unsubscribe_investigation": ["investigation_id"],
    "agent_chat": ["message", "agent", "context"],
    "ack": ["id"],
    "authenticate": ["token"],
    "ping": [MARKER],
    MARKER: [MARKER],
}

marked = st.recursive(
    st.sampled_from([MARKER, MARKER * 500, f" {MARKER}`", f"$.{MARKER}` - at `$.{MARKER}`", 5, None, True, -1.5, "q"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from([MARKER, "investigation_id", "date_range", "min_value", f"`{MARKER}"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A message that carries the marker wherever a client can put text: values, keys, the type, the envelope."""
    type_ = draw(st.sampled_from(sorted(FIELDS)))
    data = draw(st.dictionaries(st.sampled_from([*FIELDS[type_], MARKER]), marked) | marked)
    envelope = {"type": draw(st.just(type_) | marked), "data": data, MARKER: MARKER}
    envelope |= draw(st.dictionaries(st.sampled_from(["correlation_id", "id", "user_id", "timestamp"]), marked))
    frame = json.dumps(envelope)
    return draw(st.sampled_from([frame, frame, frame, frame[:-1], f"[{frame}]", frame + MARKER])).encode()


def replies(frame: bytes) -> Iterator[str]:
    """Everything of a refusal that is sent or could be logged."""
    try:
        command(decode(frame))
    except Refusal as refusal:
        yield refusal.message
        yield str(refusal)
        yield orjson.dumps(refusal.details).decode()
        yield repr(refusal.__cause__)


@settings(deadline=None, max_examples=400)
@given(frames())
@example(json.dumps({"type": "subscribe", "data": {"events": {MARKER: MARKER}}}).encode())
@example(json.dumps({"type": "start_investigation", "data": {"query": "q", "agents": [MARKER]}}).encode())
@example(json.dumps({"type": MARKER, "data": {}}).encode())
@example(json.dumps({"type": "ping", "data": {}, "correlation_id": MARKER * 128}).encode())
def test_no_refusal_quotes_what_a_client_sent(frame: bytes) -> None:
    """A marker in any value, key, type or field of the envelope is in no message and no details of a refusal."""
    for text in replies(frame):
        assert MARKER not in text


@settings(deadline=None, max_examples=300)
@given(frames())
def test_no_message_does_anything_but_become_a_command_or_be_refused(frame: bytes) -> None:
    """Any frame is a command or a refusal with one of the codes a bad message can have, and nothing else is raised."""
    try:
        found: Command | ErrorCode = command(decode(frame))
    except Refusal as refusal:
        found = refusal.code
    assert isinstance(found, Command) or found in {
        ErrorCode.INVALID_JSON,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.UNKNOWN_TYPE,
        ErrorCode.AGENT_UNAVAILABLE,
    }


def test_a_command_is_a_value() -> None:
    """Commands cross layers, so no layer can change one under another's hands."""
    found = ask("ack", {"id": "e-5"})
    with pytest.raises(AttributeError):
        found.id = "e-6"  # type: ignore[union-attr, misc]
