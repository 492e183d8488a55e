"""Every HTTP route, as a table: a route more is an entry more. A test holds it against what the server routes.

Source: PROTOCOL 1 "Transports and paths", 8 "HTTP shapes".
"""

from typing import Literal

from msgspec import Struct

from .parameters import LISTENING

JSON = "application/json"


class Answer(Struct, frozen=True):
    """A response: what it means, and of what schema its body is ("" where it is no JSON, None without a body)."""

    description: str
    schema: str | None = None
    media: str = JSON


class Operation(Struct, frozen=True, kw_only=True):
    """One route. `summary` in English, `pt` in pt-BR; `refusals` are statuses whose body is the one error shape."""

    method: Literal["get", "post"]
    path: str
    id: str
    tag: Literal["events", "websocket", "read", "development", "pages"]
    summary: str
    pt: str
    answers: dict[int, Answer]
    parameters: tuple[str, ...] = ()
    body: str | None = None
    needs_body: bool = True
    refusals: tuple[int, ...] = ()
    security: Literal["token", "metrics", "none"] = "none"


REFUSALS = {
    401: "No token, a bad or an expired one.",
    403: "Not for this user or this role.",
    404: "Unknown, or not this user's.",
    409: "Against the order of an investigation, or a key used for another request.",
    413: "Too large.",
    422: "Something is missing or wrong; `details.field` names it.",
    426: "This is a WebSocket endpoint.",
    429: "Too many or too often; see Retry-After.",
    503: "No room at present; see Retry-After.",
}
"""What the statuses of the error shape mean."""

_PAGE = {200: Answer("The page.", "", "text/html")}
_FILE = {304: Answer("Not changed since the ETag of If-None-Match.")}
_SPEC = {200: Answer("The document.", ""), **_FILE}
_UPGRADE = {101: Answer("The WebSocket is open; a refused token is told by a close with 1008."),
            429: Answer("A bad token came too often.")}  # fmt: skip


def _websocket(prefix: str, path: str, name: str, summary: str, pt: str, *parameters: str) -> Operation:
    return Operation(
        method="get",
        path=prefix + path,
        id=name + ("Api" if prefix else ""),
        tag="websocket",
        summary=summary,
        pt=pt,
        parameters=(
            *parameters,
            "session_id",
            "last_event_id",
            "batch",
            "conflate",
            "events",
            "investigation_ids",
            "fault",
        ),
        answers=_UPGRADE,
        refusals=(426,),
        security="token",
    )


def _read(
    path: str, name: str, schema: str, summary: str, pt: str, *parameters: str, refusals: tuple[int, ...] = (422,)
) -> Operation:
    return Operation(
        method="get",
        path=path,
        id=name,
        tag="read",
        summary=summary,
        pt=pt,
        parameters=parameters,
        answers={200: Answer("What there is.", schema)},
        refusals=(401, 429, *refusals),
        security="token",
    )


SERVED: tuple[Operation, ...] = (
    Operation(
        method="get",
        path="/api/v1/events",
        id="listen",
        tag="events",
        summary="The events as Server-Sent Events. Each data line is an envelope, each id a cursor.",
        pt="Os eventos como Server-Sent Events. Cada linha data é um envelope, cada id um cursor.",
        parameters=(*LISTENING, "last_event_id", "Last-Event-ID", "batch"),
        answers={
            200: Answer(
                "The stream. What can pass (limits, drain) is told in it by one error and a retry.",
                "ServerMessage",
                "text/event-stream",
            )
        },
        refusals=(401, 429),
        security="token",
    ),
    Operation(
        method="get",
        path="/api/v1/events/poll",
        id="poll",
        tag="events",
        summary="Long polling: one page of events.",
        pt="Long polling: uma página de eventos.",
        parameters=("after", "timeout", *LISTENING),
        answers={200: Answer("The page.", "Page")},
        refusals=(401, 403, 422, 429, 503),
        security="token",
    ),
    Operation(
        method="post",
        path="/api/v1/messages",
        id="command",
        tag="events",
        summary="One client command, for those who listen by SSE or polling.",
        pt="Um comando do cliente, para quem escuta por SSE ou polling.",
        parameters=("session_id",),
        body="ClientCommand",
        answers={
            200: Answer("The direct answers.", "Replies"),
            **{
                status: Answer(REFUSALS[status], "RepliesOrError")
                for status in (401, 403, 404, 409, 413, 422, 429, 503)
            },
        },
        security="token",
    ),
    Operation(
        method="post",
        path="/api/v1/events",
        id="publish",
        tag="events",
        summary="Publishes one event or a list, all or nothing. Needs the role service or admin.",
        pt="Publica um evento ou uma lista, tudo ou nada. Exige o papel service ou admin.",
        parameters=("Idempotency-Key",),
        body="Publications",
        answers={202: Answer("Published.", "Published")},
        refusals=(401, 403, 409, 413, 422, 429, 503),
        security="token",
    ),
    *(
        operation
        for prefix in ("", "/api/v1")
        for operation in (
            _websocket(prefix, "/ws", "connect", "The WebSocket; see the AsyncAPI document.",
                       "O WebSocket; veja o documento AsyncAPI.", "connection_type"),
            _websocket(prefix, "/ws/investigations/{id}", "connectToInvestigation",
                       "The WebSocket of one investigation.", "O WebSocket de uma investigação.", "id"),
            _websocket(prefix, "/ws/chat", "connectToChat", "The WebSocket of a chat with an agent.",
                       "O WebSocket do chat com um agente.", "agent"),
        )
    ),
    Operation(method="post", path="/api/v1/faults", id="injectFaults", tag="development",
              summary="Lets things go wrong on connections under way. In development mode alone.",
              pt="Faz as coisas darem errado em conexões abertas. Só no modo de desenvolvimento.",
              body="Injection", answers={200: Answer("Done.", "Injected")}, refusals=(401, 403, 404, 413, 422, 429),
              security="token"),
    Operation(method="get", path="/healthz", id="health", tag="pages", summary="Liveness.", pt="O processo responde.",
              answers={200: Answer("Alive.", "Health")}),
    Operation(method="get", path="/readyz", id="readiness", tag="pages", summary="Readiness: false while draining.",
              pt="Pronto para clientes novos: falso enquanto se esvazia.",
              answers={200: Answer("Ready.", "Readiness"), 503: Answer("Not ready, with reasons.", "Readiness")}),
    Operation(method="get", path="/metrics", id="metrics", tag="pages",
              summary="Prometheus metrics, open to this machine; others need the configured token.",
              pt="Métricas Prometheus, abertas a esta máquina; de fora, exigem o token configurado.",
              answers={200: Answer("The metrics.", "", "text/plain")}, refusals=(401,), security="metrics"),
    Operation(method="get", path="/", id="front", tag="pages", summary="The console.", pt="O console.",
              answers={**_PAGE, **_FILE}, refusals=(404,)),
    Operation(method="get", path="/asyncapi.json", id="asyncapi", tag="pages",
              summary="The WebSocket API as AsyncAPI 3.0.", pt="A API WebSocket em AsyncAPI 3.0.", answers=_SPEC),
    Operation(method="get", path="/openapi.json", id="openapi", tag="pages",
              summary="The HTTP API as OpenAPI 3.1: this document.", pt="A API HTTP em OpenAPI 3.1: este documento.",
              answers=_SPEC),
    Operation(method="get", path="/docs", id="docs", tag="pages", summary="Both documents, readable.",
              pt="Os dois documentos, para ler.", answers=_PAGE),
    Operation(method="get", path="/docs/docs.js", id="docsScript", tag="pages", summary="The script of /docs.",
              pt="O script de /docs.", answers={200: Answer("The script.", "", "text/javascript"), **_FILE}),
    Operation(method="get", path="/docs/docs.css", id="docsStyle", tag="pages", summary="The style of /docs.",
              pt="O estilo de /docs.", answers={200: Answer("The style.", "", "text/css"), **_FILE}),
    Operation(method="get", path="/docs/docs.svg", id="docsIcon", tag="pages", summary="The icon of /docs.",
              pt="O ícone de /docs.", answers={200: Answer("The icon.", "", "image/svg+xml"), **_FILE}),
    _read("/api/v1/investigations", "investigations", "InvestigationPage", "Investigations, the newest first.",
          "As investigações, da mais nova à mais antiga.", "status", "limit", "before", "shared", "owner",
          refusals=(403, 422)),
    _read("/api/v1/investigations/{id}", "investigation", "InvestigationDetail", "How one investigation stands.",
          "Como está uma investigação.", "id", refusals=(404,)),
    _read("/api/v1/topics/{topic}/history", "history", "History", "The events of a topic that are still kept.",
          "Os eventos de um tópico que ainda estão guardados.", "topic", "after", "limit", "types",
          refusals=(404, 422)),
    _read("/api/v1/connections", "connections", "ConnectionPage", "Who is connected. Needs the role admin.",
          "Quem está conectado. Exige o papel admin.", "user_id", "limit", "before", refusals=(403, 422)),
    _read("/api/v1/presence/{topic}", "presence", "Presence", "Who follows a topic. Needs the role admin.",
          "Quem assina um tópico. Exige o papel admin.", "topic", refusals=(403, 404)),
    _read("/api/v1/receipts/{cursor}", "receipt", "Receipt",
          "How far an event got that was published with a receipt. For its publisher and admin.",
          "Até onde chegou um evento publicado com recibo. Para quem o publicou e admin.", "cursor",
          refusals=(403, 404)),
    Operation(method="post", path="/api/v1/users/{sub}/disconnect", id="disconnect", tag="read",
              summary="Closes a user's connections and forgets their sessions. Needs the role admin.",
              pt="Fecha as conexões de um usuário e esquece as sessões dele. Exige o papel admin.",
              parameters=("sub",), body="Disconnection", needs_body=False,
              answers={200: Answer("Done.", "Disconnected")}, refusals=(401, 403, 413, 422, 429), security="token"),
    Operation(method="get", path="/client.js", id="client", tag="pages", summary="The JavaScript client.",
              pt="O cliente JavaScript.", answers={200: Answer("The module.", "", "text/javascript"), **_FILE}),
    Operation(method="get", path="/client.d.ts", id="clientTypes", tag="pages", summary="Its TypeScript types.",
              pt="Os tipos TypeScript dele.",
              answers={200: Answer("The types.", "", "application/typescript"), **_FILE}),
)  # fmt: skip
"""What is served."""
