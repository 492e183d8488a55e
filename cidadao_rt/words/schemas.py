"""JSON Schema of all messages and HTTP bodies, from the structs, under the names that both specs share.

A command `ping` is `PingCommand`, a message `pong` is `PongMessage`: whole envelopes, whose `data` is its struct's own
schema. Unknown keys are allowed everywhere, since more may come. The common denominator of AsyncAPI's dialect (draft 7)
and OpenAPI 3.1's (2020-12). Source: PROTOCOL 2 "Envelope".
"""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from . import catalogue, events, faults, messages, outgoing, payloads, views
from .envelope import CORRELATION_ID_LENGTH
from .outgoing import Cursor, Timestamp

Schema = dict[str, Any]

CUSTOM = "CustomMessage"
EVENTS_PER_REQUEST = 1000


class Health(Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Struct, frozen=True):
    """Whether new clients are welcome, and if not, why."""

    ready: bool
    reasons: list[str]


class Published(Struct, frozen=True):
    """The cursors of what was published, in the order of the request."""

    ids: list[Cursor]


def ref(name: str) -> Schema:
    """A reference to one of the schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def command(type_: str) -> str:
    """The name of a command's schema."""
    return _camel(type_) + "Command"


def message(type_: str) -> str:
    """The name of the schema of a message from the server."""
    return _camel(type_) + "Message"


def of_messages() -> dict[str, Schema]:
    """All that is spoken over a connection, by name."""
    structs = [*messages.COMMANDS.values(), *outgoing.MESSAGES.values()]
    found = _components(structs)
    for type_, struct in messages.COMMANDS.items():
        found[command(type_)] = _command(type_, struct)
    for type_, struct in outgoing.MESSAGES.items():
        found[message(type_)] = _message(type_, struct)
    found[CUSTOM] = _custom()
    return found


def of_http() -> dict[str, Schema]:
    """The same, and what only HTTP requests and answers hold."""
    bodies: list[type[Struct]] = [
        Health,
        Readiness,
        Published,
        payloads.Publication,
        payloads.Disconnection,
        faults.Injection,
        faults.Injected,
        *payloads.PAYLOADS.values(),
        *views.VIEWS,
    ]
    found = of_messages() | _components(bodies)
    server = [*map(message, outgoing.MESSAGES), CUSTOM]
    found["ServerMessage"] = {"description": "Anything the server sends.", "oneOf": [ref(name) for name in server]}
    found["ClientCommand"] = {
        "description": "Anything a client sends.",
        "oneOf": [ref(command(type_)) for type_ in messages.COMMANDS],
        "discriminator": {
            "propertyName": "type",
            "mapping": {type_: ref(command(type_))["$ref"] for type_ in messages.COMMANDS},
        },
    }
    envelopes = {"type": "array", "items": ref("ServerMessage")}
    found["Replies"] = _object("The direct answers to one command.", {"replies": envelopes}, ["replies"])
    found["Page"] = _object(
        "One page of events; go on with `session_id` and `after` set to `cursor`.",
        {
            "events": envelopes,
            "cursor": _schema(Cursor),
            "recovered": {
                "type": "boolean",
                "description": "Whether nothing is missing. If false, the events are snapshots.",
            },
            "session_id": {"type": "string"},
            "denied": {"type": "array", "items": ref("Denied"), "description": "What was asked for in vain, if any."},
        },
        ["events", "cursor", "recovered", "session_id"],
    )
    found["History"] = _object(
        "Events of one topic; go on with `after` set to `cursor`.",
        {"events": envelopes, "cursor": _schema(Cursor), "recovered": {"type": "boolean"}},
        ["events", "cursor", "recovered"],
    )
    found["RepliesOrError"] = {"anyOf": [ref("Replies"), ref("Error")]}
    found["Publication"] |= {
        "allOf": [
            {
                "if": {"properties": {"type": {"const": type_}}},
                "then": {"properties": {"data": ref(struct.__name__)}},
            }
            for type_, struct in payloads.PAYLOADS.items()
        ]
    }
    found["Publications"] = {
        "description": "One event, or a list of which all are published or none.",
        "oneOf": [
            ref("Publication"),
            {"type": "array", "items": ref("Publication"), "minItems": 1, "maxItems": EVENTS_PER_REQUEST},
        ],
    }
    return found


def _command(type_: str, struct: type[Struct]) -> Schema:
    properties = {
        "type": {"type": "string", "const": type_},
        "data": ref(struct.__name__),
        "timestamp": {"type": "string", "description": "Not read."},
        "correlation_id": {
            "type": "string",
            "maxLength": CORRELATION_ID_LENGTH,
            "description": "Any string of yours; direct answers echo it.",
        },
    }
    needed = ["type"] if type_ == "ping" else ["type", "data"]
    return _object(catalogue.COMMANDS[type_].summary, properties, needed)


def _message(type_: str, struct: type[Struct]) -> Schema:
    properties = _envelope({"type": "string", "const": type_}, ref(struct.__name__))
    needed = ["type", "data", "timestamp"]
    if type_ in outgoing.ALWAYS_HAVE_ID:
        needed.append("id")
    elif type_ not in outgoing.MAY_HAVE_ID:
        del properties["id"]
    return _object(catalogue.MESSAGES[type_].summary, properties, needed)


def _custom() -> Schema:
    known = sorted({*events.SERVER_TYPES, *messages.CLIENT_TYPES})
    type_ = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$", "not": {"enum": known}}
    properties = _envelope(type_, {"type": "object"})
    return _object("An event of a type of the publisher's own.", properties, ["type", "data", "timestamp", "id"])


def _envelope(type_: Schema, data: Schema) -> dict[str, Schema]:
    return {
        "type": type_,
        "data": data,
        "timestamp": _schema(Timestamp),
        "id": {**_schema(Cursor), "description": "The cursor of an event, which is kept and replayed."},
        "correlation_id": {"type": "string", "description": "That of the command which this answers."},
    }


def _object(description: str, properties: dict[str, Schema], required: list[str]) -> Schema:
    return {"type": "object", "description": description, "properties": properties, "required": required}


def _components(structs: Iterable[type[Struct]]) -> dict[str, Schema]:
    found = msgspec.json.schema_components(list(dict.fromkeys(structs)), ref_template=ref("{name}")["$ref"])[1]
    return {name: _plain(schema) for name, schema in found.items()}


def _schema(type_: Any) -> Schema:
    return msgspec.json.schema(type_)


def _plain(schema: Schema) -> Schema:
    """Without what says nothing: a `default` of null, and the title that repeats the name."""
    for field in schema.get("properties", {}).values():
        if field.get("default", ...) is None:
            del field["default"]
    return {key: value for key, value in schema.items() if key != "title" and value != []}


def _camel(type_: str) -> str:
    return "".join(word.capitalize() for word in type_.split("_"))
