"""Both specs as documents: sound, complete, and of one mind with the code that validates commands."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from samples import CLIENT, SERVER

from cidadao_rt.motion import publishing
from cidadao_rt.words import asyncapi, catalogue, envelope, events, messages, openapi, outgoing, parameters, schemas
from cidadao_rt.words.errors import CloseCode, ErrorCode, Refusal
from cidadao_rt.words.operations import SERVED

Json = dict[str, Any]
ASYNCAPI = asyncapi.document("0", "rt.example:8080", secure=True)
OPENAPI = openapi.document("0", "/other/metrics")


def accepts(name: str, value: Any) -> bool:
    """Whether a value is what one of AsyncAPI's schemas says."""
    document = {"components": ASYNCAPI["components"], "$ref": f"#/components/schemas/{name}"}
    return bool(Draft202012Validator(document).is_valid(value))


def references(node: Any) -> Iterator[str]:
    """Every `$ref` of a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.mark.parametrize("document", [ASYNCAPI, OPENAPI], ids=["asyncapi", "openapi"])
def test_every_reference_leads_somewhere(document: Json) -> None:
    for reference in set(references(document)):
        node = document
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]


def test_openapi_is_valid_also_with_what_is_planned() -> None:
    validate(OPENAPI)
    validate(openapi.document("0", operations=SERVED))
    assert "/other/metrics" in OPENAPI["paths"]
    assert "/metrics" not in OPENAPI["paths"]


def test_the_asyncapi_document_tells_where_it_is_served() -> None:
    assert {server["host"] for server in ASYNCAPI["servers"].values()} == {"rt.example:8080"}
    assert {server["protocol"] for server in ASYNCAPI["servers"].values()} == {"wss"}
    assert asyncapi.document("0", "a", secure=False)["servers"]["root"]["protocol"] == "ws"


def test_nothing_that_is_spoken_is_left_out() -> None:
    assert catalogue.COMMANDS.keys() == messages.CLIENT_TYPES
    assert catalogue.MESSAGES.keys() == outgoing.MESSAGES.keys() == events.SERVER_TYPES
    assert {one["code"] for one in ASYNCAPI["x-close-codes"]} == {int(code) for code in CloseCode}
    answers = {reply for entry in catalogue.COMMANDS.values() for reply in entry.replies}
    assert answers | set(catalogue.UNASKED) == events.SERVER_TYPES


def test_bounds_are_those_of_the_layers_above() -> None:
    assert schemas.EVENTS_PER_REQUEST == publishing.EVENTS_PER_REQUEST
    key = parameters.PARAMETERS["Idempotency-Key"].schema
    assert key["maxLength"] == publishing.KEY_LENGTH


@pytest.mark.parametrize("type_", sorted(catalogue.COMMANDS))
def test_examples_of_commands_are_what_schema_and_code_accept(type_: str) -> None:
    example = catalogue.command_example(type_)
    assert accepts(schemas.command(type_), example)
    messages.command(envelope.Incoming(type_, example["data"], None))


@pytest.mark.parametrize("type_", sorted(catalogue.MESSAGES))
def test_examples_of_messages_are_what_the_schema_says(type_: str) -> None:
    assert accepts(schemas.message(type_), catalogue.message_example(type_))


@pytest.mark.parametrize("type_", sorted(CLIENT))
def test_the_document_samples_of_clients_are_accepted(type_: str) -> None:
    sample = envelope.orjson.loads(CLIENT[type_])
    assert accepts(schemas.command(type_), sample)
    assert sample["data"] == catalogue.COMMANDS[type_].data


@pytest.mark.parametrize("type_", sorted(SERVER))
def test_the_document_samples_of_the_server_are_in_our_examples(type_: str) -> None:
    sample = envelope.orjson.loads(SERVER[type_])
    ours = catalogue.MESSAGES[type_].data
    assert sample["data"].keys() <= ours.keys()


def mutations(data: Json) -> Iterator[Json]:
    """The data with one key renamed, or one value of a wrong kind, at any depth of objects."""
    for key, value in data.items():
        for wrong in (17, -1, "", "2020-01-01", [None], {"x": 1}, True, None):
            yield {**data, key: wrong}
        yield {**{name: other for name, other in data.items() if name != key}, f"{key}_": value}
        if isinstance(value, dict):
            for inner in mutations(value):
                yield {**data, key: inner}


KNOWN_TO_CODE_ALONE = {ErrorCode.AGENT_UNAVAILABLE}
"""Which agents there are is no matter of shape."""


@pytest.mark.parametrize("type_", sorted(catalogue.COMMANDS))
def test_schema_and_code_refuse_the_same_commands(type_: str) -> None:
    checked = 0
    for data in mutations(copy.deepcopy(catalogue.COMMANDS[type_].data)):
        try:
            messages.command(envelope.Incoming(type_, data, None))
            code = None
        except Refusal as refusal:
            code = refusal.code
        if code not in KNOWN_TO_CODE_ALONE:
            assert accepts(schemas.command(type_), {"type": type_, "data": data}) is (code is None), data
            checked += 1
    assert checked or type_ == "ping"


@pytest.mark.parametrize("type_", sorted(catalogue.MESSAGES))
def test_a_renamed_field_is_no_message(type_: str) -> None:
    """The schemas are strict enough to notice, whichever required field it is."""
    example = catalogue.message_example(type_)
    struct = ASYNCAPI["components"]["schemas"][outgoing.MESSAGES[type_].__name__]
    for field in struct.get("required", []):
        data = dict(example["data"])
        data[f"{field}_renamed"] = data.pop(field)
        assert not accepts(schemas.message(type_), {**example, "data": data}), field


def test_a_custom_type_is_none_of_ours() -> None:
    custom = {"data": {"anything": 1}, "timestamp": "2024-01-15T10:30:00Z", "id": "a-1"}
    assert accepts("CustomMessage", {"type": "contract_signed", **custom})
    assert not accepts("CustomMessage", {"type": "pong", **custom})
    assert not accepts("CustomMessage", {"type": "Contract", **custom})


def test_publications_are_checked_by_their_type() -> None:
    document = {"components": OPENAPI["components"], "$ref": "#/components/schemas/Publications"}
    validator = Draft202012Validator(document)
    good = {"to": {"everyone": True}, "type": "notification", "data": {"level": "info", "title": "t", "message": "m"}}
    assert validator.is_valid(good)
    assert validator.is_valid([good, {**good, "type": "custom", "data": {}}])
    assert not validator.is_valid({**good, "data": {}})
    assert not validator.is_valid([])
