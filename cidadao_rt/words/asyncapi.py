"""The WebSocket API as an AsyncAPI 3.0 document. Source: the AsyncAPI Specification 3.0 and its WebSocket bindings 0.1.

As there, `receive` and `send` are the server's point of view.
"""

from typing import Any

from . import catalogue, messages, outgoing, schemas
from .errors import CloseCode
from .parameters import PARAMETERS
from .schemas import CUSTOM, ref

_SHARED = ("session_id", "last_event_id", "batch", "conflate", "events", "investigation_ids", "fault")
_CHANNELS = {
    "general": (
        "/ws",
        "All of one's own investigations.",
        "Todas as investigações do próprio usuário.",
        ("token", "connection_type", *_SHARED),
    ),
    "investigation": (
        "/ws/investigations/{id}",
        "One investigation alone.",
        "Uma só investigação.",
        ("token", *_SHARED),
    ),
    "chat": (
        "/ws/chat",
        "A chat with an agent.",
        "Um chat com um agente.",
        ("token", "agent", *_SHARED),
    ),
}
_CLOSE_CODES = {
    CloseCode.NORMAL: ("You asked, or your session was resumed elsewhere.",
                       "Você pediu, ou a sessão foi retomada em outro lugar."),
    CloseCode.GOING_AWAY: ("Drain, restart, or no message from you for 5 minutes: reconnect.",
                           "Reinício, ou 5 minutos sem mensagem sua: reconecte."),
    CloseCode.POLICY_VIOLATION: ("Token, origin, flooding, or an unknown resource: check before you reconnect.",
                                 "Token, origem, excesso ou recurso desconhecido: verifique antes de reconectar."),
    CloseCode.MESSAGE_TOO_BIG: ("A frame past the hard bound of 262,144 bytes.",
                                "Um quadro acima do limite absoluto de 262.144 bytes."),
    CloseCode.INTERNAL_ERROR: ("A bug of ours; the reason has an incident id to report.",
                               "Um defeito nosso; o motivo traz um id de incidente para informar."),
    CloseCode.TRY_AGAIN_LATER: ("A limit, overload, or a slow reader: reconnect after a while.",
                                "Um limite, sobrecarga ou leitor lento: reconecte depois de um tempo."),
}  # fmt: skip
_REPLY = "error"


def document(version: str, host: str, *, secure: bool) -> dict[str, Any]:
    """The whole document as a server at `host` (with its port) tells it; `version` is the gateway's own."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:cidadao-ai:cidadao-rt",
        "info": {
            "title": "cidadao_rt",
            "version": version,
            "description": (
                "The real-time gateway of Cidadão.AI. Every message is one JSON text frame. Events have an `id`, are "
                "kept and replayed; transient messages have none."
            ),
            "license": {"name": "MIT"},
            "tags": [{"name": "command"}, {"name": "event"}, {"name": "transient"}],
        },
        "defaultContentType": "application/json",
        "servers": {
            name: {
                "host": host,
                "protocol": "wss" if secure else "ws",
                **({"pathname": pathname} if pathname else {}),
                "description": text,
                "security": [
                    {"$ref": "#/components/securitySchemes/token"},
                    {"$ref": "#/components/securitySchemes/bearer"},
                ],
            }
            for name, pathname, text in (
                ("root", "", "This gateway."),
                ("api", "/api/v1", "The same under /api/v1."),
            )
        },
        "channels": {name: _channel(*told) for name, told in _CHANNELS.items()},
        "operations": {key: value for name in _CHANNELS for key, value in _operations(name)},
        "components": {
            "messages": dict(_messages()),
            "schemas": schemas.of_messages(),
            "securitySchemes": {
                "token": {
                    "type": "httpApiKey",
                    "in": "query",
                    "name": "token",
                    "description": "A JWT. A bad one is told after the upgrade, by a close with 1008.",
                },
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
        "x-close-codes": [
            {"code": int(code), "description": text, "x-description-pt-BR": pt}
            for code, (text, pt) in _CLOSE_CODES.items()
        ],
    }


def _channel(address: str, text: str, pt: str, parameters: tuple[str, ...]) -> dict[str, Any]:
    query = {
        name: {
            **PARAMETERS[name].schema,
            "description": PARAMETERS[name].description,
            "x-description-pt-BR": PARAMETERS[name].pt,
        }
        for name in parameters
    }
    told: dict[str, Any] = {
        "address": address,
        "summary": text,
        "x-summary-pt-BR": pt,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name, _ in _messages()},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": query},
                "bindingVersion": "0.1.0",
            }
        },
    }
    if "{id}" in address:
        told["parameters"] = {"id": {"description": PARAMETERS["id"].description}}
    return told


def _messages() -> list[tuple[str, dict[str, Any]]]:
    commands = [
        (schemas.command(type_), _told(type_, entry, schemas.command(type_), "command"))
        for type_, entry in catalogue.COMMANDS.items()
    ]
    server = [
        (schemas.message(type_), _told(type_, entry, schemas.message(type_), _kind(type_)))
        for type_, entry in catalogue.MESSAGES.items()
    ]
    custom = {
        "name": "custom",
        "title": "custom",
        "summary": "An event of a type that its publisher chose.",
        "x-summary-pt-BR": "Um evento de um tipo escolhido por quem o publica.",
        "tags": [{"name": "event"}],
        "payload": ref(CUSTOM),
        "correlationId": _CORRELATION,
    }
    return [*commands, *server, (CUSTOM, custom)]


def _told(type_: str, entry: catalogue.Entry, schema: str, kind: str) -> dict[str, Any]:
    example = catalogue.command_example(type_) if kind == "command" else catalogue.message_example(type_)
    return {
        "name": type_,
        "title": type_,
        "summary": entry.summary,
        "x-summary-pt-BR": entry.pt,
        "tags": [{"name": kind}],
        "payload": ref(schema),
        "correlationId": _CORRELATION,
        "examples": [{"name": type_, "payload": example}],
    }


_CORRELATION = {"location": "$message.payload#/correlation_id"}


def _kind(type_: str) -> str:
    return "event" if type_ in outgoing.EVENTS else "transient"


def _operations(channel: str) -> list[tuple[str, dict[str, Any]]]:
    def refs(*names: str) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]

    here = {"$ref": f"#/channels/{channel}"}
    found: list[tuple[str, dict[str, Any]]] = []
    for type_ in messages.COMMANDS:
        entry = catalogue.COMMANDS[type_]
        replies = [schemas.message(reply) for reply in (*entry.replies, _REPLY)]
        told = {
            "action": "receive",
            "channel": here,
            "summary": entry.summary,
            "messages": refs(schemas.command(type_)),
            "reply": {"channel": here, "messages": refs(*replies)},
        }
        found.append((f"{channel}.receive.{type_}", told))
    pushed = [(type_, schemas.message(type_), catalogue.MESSAGES[type_].summary) for type_ in catalogue.UNASKED]
    pushed.append(("custom", CUSTOM, "An event of a type that its publisher chose."))
    for type_, name, summary in pushed:
        told = {"action": "send", "channel": here, "summary": summary, "messages": refs(name)}
        found.append((f"{channel}.send.{type_}", told))
    return found
