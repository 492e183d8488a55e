"""Every message by its type: what it is for in both languages, an example, and what answers a command.

Examples are those of the API document where it has one. Source: PROTOCOL 3 "Commands and their answers", 4 "Events".
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct

_AT = "2024-01-15T10:30:00.000Z"
_INVESTIGATION = {"investigation_id": "inv_789"}


class Entry(Struct, frozen=True):
    """One message: `summary` in English, `pt` in pt-BR; `data` and the rest of an example envelope."""

    summary: str
    pt: str
    data: dict[str, Any]
    envelope: dict[str, Any] = {}
    replies: tuple[str, ...] = ()


COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {
        "ping": Entry(
            "Shows that the connection lives, and asks for a cursor.",
            "Mostra que a conexão está viva e pede um cursor.",
            {}, replies=("pong",),
        ),
        "start_investigation": Entry(
            "Starts an investigation. The same correlation_id starts nothing twice within 5 minutes.",
            "Inicia uma investigação. O mesmo correlation_id não inicia nada duas vezes em 5 minutos.",
            {
                "query": "Contratos emergenciais COVID-19 2020",
                "filters": {"date_range": "2020-01-01/2020-12-31", "min_value": 1000000},
                "agents": ["zumbi", "anita", "tiradentes"],
            },
            {"correlation_id": "pedido-1"},
            ("investigation_update",),
        ),
        "cancel_investigation": Entry(
            "Stops a running investigation; of a finished one the answer is a snapshot.",
            "Cancela uma investigação em andamento; se já terminou, a resposta é o estado dela.",
            _INVESTIGATION, replies=("investigation_update",),
        ),
        "subscribe": Entry(
            "Follows event types of investigations. The first one replaces what the connection follows by default.",
            "Assina tipos de evento de investigações. A primeira assinatura substitui o padrão da conexão.",
            {"events": ["investigation_update", "agent_analysis"], "investigation_ids": ["inv_123", "inv_456"]},
            replies=("subscribed", "investigation_update"),
        ),
        "unsubscribe": Entry(
            "Takes away from what is followed.",
            "Retira algo do que está assinado.",
            {"events": ["agent_analysis"], "investigation_ids": ["inv_456"]}, replies=("unsubscribed",),
        ),
        "subscribe_investigation": Entry(
            "Short for subscribe to all events of one investigation.",
            "Forma curta: assina todos os eventos de uma investigação.",
            _INVESTIGATION, replies=("subscribed", "investigation_update"),
        ),
        "unsubscribe_investigation": Entry(
            "Short for unsubscribe from all events of one investigation.",
            "Forma curta: deixa de assinar uma investigação.",
            _INVESTIGATION, replies=("unsubscribed",),
        ),
        "agent_chat": Entry(
            "Says something to an agent, whose answer comes in pieces and then whole.",
            "Fala com um agente; a resposta vem em partes e, no fim, inteira.",
            {
                "agent": "abaporu",
                "message": "Quais são os principais riscos encontrados?",
                "context": _INVESTIGATION,
            },
            replies=("typing", "agent_chat_chunk", "agent_chat"),
        ),
        "ack": Entry(
            "Everything up to this cursor has been processed. Nothing answers it, unless it is wrong.",
            "Tudo até este cursor foi processado. Não há resposta, a não ser que esteja errado.",
            {"id": "3f9c2a71b0de-42"},
        ),
        "authenticate": Entry(
            "Prolongs the connection with a fresh token of the same user.",
            "Prolonga a conexão com um token novo do mesmo usuário.",
            {"token": "eyJhbGciOi…"}, replies=("authenticated",),
        ),
    }
)  # fmt: skip
"""What clients send. Whatever is refused is answered with `error`."""

MESSAGES: Mapping[str, Entry] = MappingProxyType(
    {
        "connection_established": Entry(
            "The first message of every connection.",
            "A primeira mensagem de cada conexão.",
            {
                "message": "WebSocket connection established",
                "user_id": "user_123",
                "connection_type": "general",
                "server_time": _AT,
                "session_id": "sess_5d41402abc4b2a76b9719d911017c592",
                "resumed": False,
                "recovered": True,
                "replayed": 0,
            },
            {"id": "3f9c2a71b0de-41"},
        ),
        "investigation_update": Entry(
            "How an investigation stands; without an id it is a snapshot.",
            "Como está uma investigação; sem id, é um retrato do estado atual.",
            {
                **_INVESTIGATION,
                "status": "processing",
                "progress": 45,
                "current_agent": "zumbi",
                "message": "Analisando anomalias em contratos...",
            },
            {"id": "3f9c2a71b0de-42"},
        ),
        "progress_update": Entry(
            "How far an investigation has come, in all and by stage.",
            "Quanto uma investigação avançou, no total e por etapa.",
            {
                **_INVESTIGATION,
                "overall_progress": 65,
                "stages": {
                    "data_collection": 100,
                    "anomaly_detection": 80,
                    "pattern_analysis": 60,
                    "report_generation": 0,
                },
            },
            {"id": "3f9c2a71b0de-43"},
        ),
        "agent_analysis": Entry(
            "What one agent found.",
            "O que um agente encontrou.",
            {
                **_INVESTIGATION,
                "agent": "anita",
                "analysis_type": "pattern_detection",
                "findings": [{"pattern": "price_manipulation", "confidence": 0.87, "evidence_count": 12}],
                "status": "completed",
            },
            {"id": "3f9c2a71b0de-44"},
        ),
        "notification": Entry(
            "Something to tell a person.",
            "Um aviso para uma pessoa.",
            {
                **_INVESTIGATION,
                "level": "success",
                "title": "Investigação concluída",
                "message": "4 achados em contratos emergenciais, 1 de gravidade alta.",
            },
            {"id": "3f9c2a71b0de-45"},
        ),
        "agent_chat": Entry(
            "An agent's whole answer. It is an event of its session, so that no cut loses it.",
            "A resposta inteira de um agente. É um evento da sessão: nenhuma queda a perde.",
            {
                "agent": "abaporu",
                "agent_name": "Abaporu",
                "role": "assistant",
                "message": "Os principais riscos são a concentração em um fornecedor e os preços fora do padrão.",
                "suggested_actions": ["Comparar fornecedores"],
                **_INVESTIGATION,
            },
            {"id": "3f9c2a71b0de-46", "correlation_id": "pergunta-1"},
        ),
        "agent_chat_chunk": Entry(
            "A piece of an agent's answer.",
            "Uma parte da resposta de um agente.",
            {"agent": "abaporu", "content": "Os principais riscos ", "index": 0}, {"correlation_id": "pergunta-1"},
        ),
        "typing": Entry(
            "An agent begins or stops writing.",
            "Um agente começa ou para de escrever.",
            {"agent": "abaporu", "is_typing": True}, {"correlation_id": "pergunta-1"},
        ),
        "pong": Entry(
            "Answers a ping, with a cursor that the connection is past.",
            "Responde a um ping, com um cursor que a conexão já passou.",
            {}, {"id": "3f9c2a71b0de-46"},
        ),
        "error": Entry(
            "Why something was not done. It never closes a connection by itself.",
            "Por que algo não foi feito. Sozinho, nunca fecha a conexão.",
            {
                "code": "INVALID_REQUEST",
                "message": "Missing required field: investigation_id",
                "details": {"field": "investigation_id", "required": True},
            },
        ),
        "subscribed": Entry(
            "What a subscribe was granted.",
            "O que uma assinatura obteve.",
            {
                "events": ["investigation_update", "agent_analysis"],
                "investigation_ids": ["inv_123"],
                "denied": [{"investigation_id": "inv_456", "code": "NOT_FOUND"}],
            },
        ),
        "unsubscribed": Entry(
            "What an unsubscribe took away.",
            "O que deixou de ser assinado.",
            {"events": ["agent_analysis"], "investigation_ids": ["inv_123"]},
        ),
        "authenticated": Entry(
            "The fresh token is in force.",
            "O token novo está valendo.",
            {"expires_at": "2024-01-15T11:30:00.000Z", "denied": []},
        ),
        "going_away": Entry(
            "The server restarts: come back after so many milliseconds.",
            "O servidor vai reiniciar: volte depois de tantos milissegundos.",
            {"reason": "restart", "retry_after_ms": 500},
        ),
        "metrics_update": Entry(
            "How busy the node is, for connections that follow it.",
            "Quão ocupado está o servidor, para as conexões que assinam isto.",
            {"active_investigations": 42, "agents_busy": 8, "avg_response_time": 2.3, "queue_size": 15},
        ),
    }
)  # fmt: skip
"""What the server sends."""

UNASKED = (
    "connection_established", "investigation_update", "progress_update", "agent_analysis", "notification",
    "metrics_update", "error", "going_away",
)  # fmt: skip
"""What comes without being an answer."""


def command_example(type_: str) -> dict[str, Any]:
    """A whole envelope as a client sends it."""
    return {"type": type_, "data": COMMANDS[type_].data, **COMMANDS[type_].envelope}


def message_example(type_: str) -> dict[str, Any]:
    """A whole envelope as the server sends it."""
    return {"type": type_, "data": MESSAGES[type_].data, "timestamp": _AT, **MESSAGES[type_].envelope}
