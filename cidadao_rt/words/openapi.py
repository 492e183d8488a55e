"""The HTTP API as an OpenAPI 3.1 document. Source: the OpenAPI Specification 3.1; `operations` for the routes."""

from collections.abc import Iterable
from typing import Any

from . import catalogue, schemas
from .operations import JSON, REFUSALS, SERVED, Answer, Operation
from .parameters import PARAMETERS
from .schemas import ref

_SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "token": [{"bearer": []}, {"token": []}],
    "metrics": [{}, {"metricsToken": []}],
    "none": [{}],
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[1-9][0-9]*$"}}}
_TAGS = {
    "events": "The events without WebSocket, commands and publishing.",
    "websocket": "The WebSocket endpoints, whose messages /asyncapi.json describes.",
    "read": "What there is.",
    "pages": "Health, metrics, documents.",
    "development": "What helps to build clients; refused in production.",
}


def document(version: str, metrics_path: str = "/metrics", operations: Iterable[Operation] = SERVED) -> dict[str, Any]:
    """The whole document; `version` is the gateway's own. URLs are relative to wherever it was fetched."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = metrics_path if operation.id == "metrics" else operation.path
        paths.setdefault(path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cidadao_rt",
            "version": version,
            "summary": "The real-time gateway of Cidadão.AI: the HTTP side.",
            "description": "Errors have one shape, `Error`, and a fitting status.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _used(paths, schemas.of_http()),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "token": {"type": "apiKey", "in": "query", "name": "token", "description": "A JWT, for browsers."},
                "metricsToken": {"type": "http", "scheme": "bearer", "description": "`metrics.bearer_token`."},
            },
        },
    }


def _used(node: Any, all_schemas: dict[str, Any]) -> dict[str, Any]:
    """The schemas that a part of the document refers to, and those that these refer to."""
    found: dict[str, Any] = {}
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, str) and one.startswith(ref("")["$ref"]):
            name = one.removeprefix(ref("")["$ref"])
            if name not in found:
                found[name] = all_schemas[name]
                waiting.append(found[name])
    return {name: found[name] for name in sorted(found)}


def _operation(operation: Operation) -> dict[str, Any]:
    refusals = {status: Answer(REFUSALS[status], "Error") for status in operation.refusals}
    answers = operation.answers | refusals
    told: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "x-summary-pt-BR": operation.pt,
        "security": _SECURITY[operation.security],
        "responses": {str(status): _answer(status, answers[status]) for status in sorted(answers)},
    }
    if operation.parameters:
        told["parameters"] = [_parameter(name) for name in operation.parameters]
    if operation.body is not None:
        content = {"schema": ref(operation.body), "example": _EXAMPLES[operation.body]}
        told["requestBody"] = {"required": operation.needs_body, "content": {JSON: content}}
    return told


def _answer(status: int, answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"description": answer.description}
    if status == 429 or (status == 503 and answer.schema != "Readiness"):
        told["headers"] = _RETRY_AFTER
    if answer.media == "text/event-stream" and answer.schema:
        # A stream is no JSON; what its `data` lines hold has no place of its own before OpenAPI 3.2.
        told["content"] = {answer.media: {"schema": {"type": "string"}, "x-itemSchema": ref(answer.schema)}}
    elif answer.schema is not None:
        plain = {"type": "object"} if answer.media == JSON else {"type": "string"}
        told["content"] = {answer.media: {"schema": ref(answer.schema) if answer.schema else plain}}
    return told


def _parameter(name: str) -> dict[str, Any]:
    parameter = PARAMETERS[name]
    return {
        "name": name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "schema": parameter.schema,
        "description": parameter.description,
        "x-description-pt-BR": parameter.pt,
    }


_EXAMPLES: dict[str, Any] = {
    "Injection": {"fault": "drop:0.1,delay:200ms", "user_id": "dev"},
    "Disconnection": {"reason": "Conta encerrada"},
    "ClientCommand": catalogue.command_example("start_investigation"),
    "Publications": {
        "to": {"investigation_id": "inv_789", "owner": "user_123"},
        "type": "investigation_update",
        "data": {"status": "processing", "progress": 45, "message": "Analisando anomalias em contratos..."},
    },
}
