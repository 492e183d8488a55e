"""What an agent answers in the chat, and at what pace it says it.

An answer is made of the agent's own phrases (`personas`) around a core that all share: what the question is about, and
what is known of the investigation that the chat is about. What a person wrote is only read for its drift; nothing of it
is ever repeated.
"""

import random
from collections.abc import Mapping
from typing import Any

import msgspec

from ...words.agents import find
from ...words.patterns import LABELS
from .personas import PERSONAS, Persona
from .portuguese import begins, count, listed, words_of
from .seeds import seeded

# What a question is about, by stems of its words (see `begins`); what stands first wins. "Olá" and "obrigado" count
# only where nothing else is asked.
_DRIFTS = (
    ("prices", ("preco", "sobrepreco", "valor", "caro$", "cara$", "custo", "custa", "superfatur", "pagament", "gasto")),
    ("suppliers", ("fornecedor", "empresa", "cnpj", "contratad", "socio", "cartel", "licitante")),
    ("risks", ("risco", "perig", "grave", "irregular", "fraud", "suspeit", "achad", "encontr", "alert", "anomal")),
    (
        "status",
        ("anda$", "andamento", "progresso", "status", "falta", "termin", "pront", "etapa", "situacao", "demora"),
    ),
    ("abilities", ("pode", "ajud", "consegue", "faz$", "fazer$", "serve", "funciona", "quem$", "capaz")),
    ("thanks", ("obrigad", "brigad", "valeu", "agradec", "grato$", "grata$")),
    ("greeting", ("ola$", "oi$", "bom$", "boa$", "salve$", "opa$", "hello$", "hi$", "hey$")),
)

_GENERAL = {
    "prices": (
        "Um preço se julga por comparação: mesmo item, mesma quantidade, mesma época e região parecida.",
        "Preço alto sozinho nada prova; preço muito acima da média dos contratos iguais pede explicação.",
    ),
    "suppliers": (
        "De um fornecedor interessam três coisas: quanto concentra, desde quando existe e com quem divide as disputas.",
        "Uma empresa que vence sempre, ou que nasceu pouco antes do contrato, merece um segundo olhar.",
    ),
    "risks": (
        "Os riscos mais comuns são dispensa sem justificativa, aditivos em série, fornecedor único e objeto vago.",
        "Em contratações públicas, o risco mora na pressa, na falta de disputa e no aditivo que ninguém explica.",
    ),
    "status": (
        "Para falar de andamento preciso saber de qual investigação se trata; inicie uma ou abra uma já existente.",
        "Não tenho uma investigação aberta nesta conversa; com uma delas, conto em que etapa está.",
    ),
    "other": (
        "Posso falar de contratos, licitações, preços e fornecedores, ou acompanhar uma investigação com você.",
        "Conte-me o órgão, o período ou o tipo de gasto que preocupa você, e a conversa ganha chão.",
    ),
}
_ACTIONS = {
    "prices": ("Comparar preços por ministério", "Ver contratos de maior valor"),
    "suppliers": ("Ver fornecedores mais citados", "Checar vínculos entre empresas"),
    "risks": ("Ver achados de alta gravidade", "Pedir recomendações"),
    "status": ("Acompanhar o progresso", "Ver achados até agora"),
    "new": ("Iniciar uma investigação", "Saber o que cada agente faz"),
    "open": ("Ver achados da investigação", "Gerar o relatório"),
}
_ABOUT = {
    "prices": {
        "payment_patterns",
        "price_anomaly",
        "price_fixing",
        "spatial_inequality",
        "spending_trends",
        "value_distribution",
    },
    "suppliers": {
        "bid_rigging",
        "cartel_detection",
        "conflict_of_interest",
        "copied_text",
        "financial_flow",
        "nepotism_detection",
        "phantom_vendor",
        "recurring_case",
        "regional_cluster",
        "vendor_behavior",
        "vendor_concentration",
    },
}
_TOLD = {
    "completed": "A investigação está concluída",
    "failed": "A investigação terminou com falha",
    "cancelled": "A investigação foi cancelada",
    "started": "A investigação acaba de começar",
}
# Findings may come from any publisher: what is told of one is cut to this many words and characters.
_WORDS, _LETTERS = 60, 520
# PROTOCOL 3 sends chunk by chunk; between these the answer reads as being typed.
_FEWEST, _MOST, _CHUNK = 8, 60, 4
_MILLISECONDS = (1100, 2900)


class Chunk(msgspec.Struct, frozen=True):
    """A piece of an answer, of 1 to 4 words: `after` is in seconds since the piece before, at speed 1."""

    after: float
    content: str


class Reply(msgspec.Struct, frozen=True):
    """An answer: `message` is exactly the contents of `chunks` (8 to 60 of them), joined; the chunks take 1 to 3 s."""

    chunks: tuple[Chunk, ...]
    message: str
    suggested_actions: tuple[str, ...]


def reply(seed: int, agent: str, message: str, subject: Mapping[str, Any] | None) -> Reply:
    """What `agent` (an id or alias) answers to `message`, in pt-BR; the same for the same arguments in any process.

    `subject` is the state of the investigation that the chat is about, if any: `status`, `progress` (0 to 100) and
    `findings`, a list of {pattern, confidence, severity, description}; what is missing or malformed is passed over.
    Raises ValueError for an agent that does not exist.
    """
    found = find(agent)
    if found is None:
        raise ValueError("no such agent")
    known = None if subject is None else _Known.read(subject)
    rng = seeded(seed, found.id, message, None if known is None else known.findings, known and known.told())
    persona, drift = PERSONAS[found.id], _drift(message)
    text = " ".join(_sentences(rng, persona, drift, known))
    return Reply(_paced(rng, text), text, _actions(rng, persona, drift, known))


class _Known(msgspec.Struct, frozen=True):
    """What is known of an investigation, the surest finding first: (pattern, confidence, severity, description)."""

    status: str
    progress: int
    findings: tuple[tuple[str, float, str, str], ...]

    @classmethod
    def read(cls, subject: Mapping[str, Any]) -> "_Known":
        status, progress, findings = (subject.get(key) for key in ("status", "progress", "findings"))
        read = [_finding(item) for item in findings if isinstance(item, Mapping)] if isinstance(findings, list) else []
        # A report repeats what another agent found, as sure of it as that one was: it is one finding, the first told.
        distinct = {item[:2]: item for item in reversed(read)}
        return cls(
            status if isinstance(status, str) else "",
            progress if isinstance(progress, int) and 0 <= progress <= 100 else 0,
            tuple(sorted(distinct.values(), key=lambda item: -item[1])),
        )

    def told(self) -> str:
        """Where the investigation stands, as a clause without its full stop."""
        return _TOLD.get(self.status, f"A investigação está em {self.progress}%")


def _finding(item: Mapping[str, Any]) -> tuple[str, float, str, str]:
    pattern, confidence, severity = item.get("pattern"), item.get("confidence"), item.get("severity")
    sure = confidence if isinstance(confidence, (int, float)) and 0 <= confidence <= 1 else 0.0
    return (
        pattern if isinstance(pattern, str) else "",
        float(sure),
        severity if isinstance(severity, str) else "",
        _cut(item.get("description")),
    )


def _cut(description: Any) -> str:
    """A description as one line without its full stop, cut where it is long."""
    if not isinstance(description, str):
        return ""
    words = description[:_LETTERS].split()
    whole = len(description) <= _LETTERS and len(words) <= _WORDS
    return " ".join(words).rstrip(".") if whole else f"{' '.join(words[:_WORDS])}..."


def _drift(message: str) -> str:
    words = set(words_of(message))
    for drift, stems in _DRIFTS:
        if any(begins(word, stems) for word in words):
            return drift
    return "other"


def _sentences(rng: random.Random, persona: Persona, drift: str, known: _Known | None) -> list[str]:
    craft, closing = rng.choice(persona.craft), rng.choice(persona.closings)
    if drift == "thanks":
        return [rng.choice(persona.thanks), closing]
    if drift == "greeting":
        return [rng.choice(persona.greetings), craft if known is None else f"{known.told()}.", closing]
    if drift == "abilities":
        return [rng.choice(persona.openings), *persona.craft, closing]
    if known is None:
        return [rng.choice(persona.openings), rng.choice(_GENERAL[drift]), craft, closing]
    return [rng.choice(persona.openings), *_account(drift, known), closing]


def _account(drift: str, known: _Known) -> list[str]:
    """What is known of the investigation that bears on the question."""
    about = _ABOUT.get(drift)
    matching = [item for item in known.findings if about is None or item[0] in about]
    if not known.findings:
        return [f"{known.told()}, e nenhum achado foi registrado até aqui."]
    number = count(len(known.findings), "achado", "achados")
    grave = sum(item[2] == "high" for item in known.findings)
    told = [f"{known.told()}, com {number}, {grave or 'nenhum'} de gravidade alta."]
    if drift == "status":
        return told
    if not matching:
        return [
            *told,
            "Nenhum deles trata disso diretamente; o mais forte é de outra natureza.",
            _strongest(known.findings[0]),
        ]
    told.append(_strongest(matching[0]))
    others = list(dict.fromkeys(_label(item[0]) for item in matching[1:]))
    others = [label for label in others if label != _label(matching[0][0])][:3]
    return [*told, f"Depois dele, vale olhar: {listed(others)}."] if others else told


def _strongest(item: tuple[str, float, str, str]) -> str:
    pattern, confidence, _, description = item
    head = f"Destaco {_label(pattern)}, com {round(100 * confidence)}% de confiança"
    if not description:
        return f"{head}."
    return f"{head}. {description}{'' if description.endswith('...') else '.'}"


def _label(pattern: str) -> str:
    # Other publishers have patterns of their own, which are identifiers and no words.
    return LABELS.get(pattern, "um indício de outro tipo")


def _actions(rng: random.Random, persona: Persona, drift: str, known: _Known | None) -> tuple[str, ...]:
    asked = _ACTIONS.get(drift) or _ACTIONS["new" if known is None else "open"]
    return tuple(rng.sample([*asked, *persona.actions], rng.randint(2, 3)))


def _paced(rng: random.Random, text: str) -> tuple[Chunk, ...]:
    words = text.split(" ")
    least, most = max(_FEWEST, -(-len(words) // _CHUNK)), min(_MOST, len(words))
    number = min(most, max(least, round(len(words) / rng.uniform(2, 3))))
    sizes = [len(words) // number + (turn < len(words) % number) for turn in range(number)]
    rng.shuffle(sizes)
    # Uneven, as speech is: a word goes from one piece to the next where both have room.
    for turn in range(number - 1):
        if sizes[turn] > 1 and sizes[turn + 1] < _CHUNK and rng.random() < 0.4:
            sizes[turn] -= 1
            sizes[turn + 1] += 1
    total = rng.randint(*_MILLISECONDS)
    # Moments on one line of whole milliseconds, so that the pauses add up to the total.
    moments = [0, *sorted(rng.sample(range(1, total), number - 1)), total]
    chunks, start = [], 0
    for turn, size in enumerate(sizes):
        end = start + size
        content = " ".join(words[start:end]) + ("" if end == len(words) else " ")
        chunks.append(Chunk((moments[turn + 1] - moments[turn]) / 1000, content))
        start = end
    return tuple(chunks)
