"""The parameters of URLs and headers, as both specs tell them.

Source: PROTOCOL 1 "Transports and paths", 7 "Acknowledgment, replay, resume", 8 "HTTP shapes"; the API document.
"""

from typing import Any

from msgspec import Struct

from . import agents
from .subscription import REQUESTABLE, ConnectionType

LONGEST_POLL = 55
LONGEST_PAGE = 500


class Parameter(Struct, frozen=True):
    """One parameter; `description` in English, `pt` in pt-BR."""

    schema: dict[str, Any]
    description: str
    pt: str
    place: str = "query"


_TEXT = {"type": "string"}
_FLAG = {"type": "string", "enum": ["1"]}

PARAMETERS: dict[str, Parameter] = {
    "token": Parameter(
        _TEXT,
        "The JWT, where no Authorization header can be set.",
        "O JWT, quando não se pode enviar o cabeçalho Authorization.",
    ),
    "connection_type": Parameter(
        {"type": "string", "enum": [type_ for type_ in ConnectionType if type_ in REQUESTABLE], "default": "general"},
        "What is followed until the first subscribe.",
        "O que se assina até o primeiro subscribe.",
    ),
    "session_id": Parameter(
        _TEXT,
        "Takes an earlier session up again. An unknown one gets a new session.",
        "Retoma uma sessão anterior. Se for desconhecida, começa uma nova.",
    ),
    "last_event_id": Parameter(
        _TEXT, "The last id received; what came after it is sent first.",
        "O último id recebido; o que veio depois é enviado primeiro.",
    ),
    "batch": Parameter(
        _FLAG, "Messages come as arrays of envelopes, at most 64 KiB each.",
        "As mensagens vêm em listas de envelopes, de até 64 KiB cada.",
    ),
    "conflate": Parameter(
        _FLAG,
        "When behind, progress_updates overtaken by a later one are skipped.",
        "Em atraso, pula os progress_update que outro mais novo já superou.",
    ),
    "fault": Parameter(
        _TEXT,
        "What shall go wrong, in development alone: drop:0.1,delay:200ms,close:1013@30s and more.",
        "O que deve dar errado, só em desenvolvimento: drop:0.1,delay:200ms,close:1013@30s e mais.",
    ),
    "events": Parameter(
        _TEXT,
        "Event types, with commas between: the first subscription of a new session.",
        "Tipos de evento, separados por vírgula: a primeira assinatura de uma sessão nova.",
    ),
    "investigation_ids": Parameter(
        _TEXT,
        "Investigations, with commas between: the first subscription of a new session.",
        "Investigações, separadas por vírgula: a primeira assinatura de uma sessão nova.",
    ),
    "agent": Parameter(
        {"type": "string", "default": agents.DEFAULT_VOICE, "examples": list(agents.AGENTS)},
        "The agent that answers, unless data.agent names another.",
        "O agente que responde, se data.agent não indicar outro.",
    ),
    "after": Parameter(
        _TEXT,
        "The cursor of the page before. A poll without it gives the newest cursor at once, and no events.",
        "O cursor da página anterior. Um poll sem ele dá logo o cursor mais novo, sem eventos.",
    ),
    "before": Parameter(_TEXT, "The next of the page before.", "O next da página anterior."),
    "limit": Parameter(
        {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": 100},
        "Entries of a page.",
        "Itens por página.",
    ),
    "status": Parameter(_TEXT, "One status or several, with commas between.", "Um status ou vários, com vírgulas."),
    "shared": Parameter(
        _FLAG, "Adds the investigations that the token grants.", "Inclui as investigações que o token concede."
    ),
    "owner": Parameter(
        _TEXT,
        "Another user's; needs the role admin or service.",
        "As de outro usuário; exige o papel admin ou service.",
    ),
    "types": Parameter(_TEXT, "Event types, with commas between.", "Tipos de evento, separados por vírgula."),
    "user_id": Parameter(_TEXT, "This user's alone.", "Só as deste usuário."),
    "timeout": Parameter(
        {"type": "number", "minimum": 0, "maximum": LONGEST_POLL, "default": 25},
        "Seconds to wait for events.",
        "Segundos de espera por eventos.",
    ),
    "Last-Event-ID": Parameter(
        _TEXT,
        "As last_event_id, which it overrides; a browser sends it by itself.",
        "Como last_event_id, sobre o qual prevalece; o navegador o envia sozinho.",
        "header",
    ),
    "Idempotency-Key": Parameter(
        {"type": "string", "minLength": 1, "maxLength": 255},
        "The same key within 5 minutes publishes nothing twice.",
        "A mesma chave não publica nada duas vezes em 5 minutos.",
        "header",
    ),
    "id": Parameter(_TEXT, "The id of an investigation.", "O id de uma investigação.", "path"),
    "topic": Parameter(
        _TEXT,
        "investigation:{id}, user:{sub}, session:{id} or everyone.",
        "investigation:{id}, user:{sub}, session:{id} ou everyone.",
        "path",
    ),
    "sub": Parameter(_TEXT, "A user, as tokens name them.", "Um usuário, como os tokens o chamam.", "path"),
    "cursor": Parameter(_TEXT, "The cursor of an event.", "O cursor de um evento.", "path"),
}  # fmt: skip

LISTENING = ("connection_type", "session_id", "events", "investigation_ids", "conflate", "fault")
"""What every way to listen takes."""
