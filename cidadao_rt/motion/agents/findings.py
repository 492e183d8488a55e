"""The findings of an investigation, agent by agent, in the document's shape.

`{pattern, confidence, evidence_count}` is the document's; severity, description, evidence and suppliers follow it.
"""

import copy
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ...words.agents import AGENTS
from ...words.patterns import LABELS
from ...words.scenario import Findings, Scenario, span
from .anomalies import ANOMALIES
from .case import Case, Found, Kind
from .frauds import FRAUDS
from .inventory import Supplier
from .portuguese import count, listed
from .readings import READINGS

KINDS: Mapping[str, Mapping[str, Kind]] = MappingProxyType({**ANOMALIES, **FRAUDS, **READINGS})
"""What each agent but tiradentes can find, by pattern."""

# Agents that look for wrongs may be sure of one. What the others bring is context, and context
# alone is never of high severity, since severity follows from confidence.
_DETECTORS = frozenset({"zumbi", "oxossi", "obaluaie"})
_ANALYSTS = frozenset({"anita", "machado", "bonifacio", "maria_quiteria", "dandara", "lampiao"})
_REPORTED = 5

_ADVICE = (
    "pedir esclarecimentos ao órgão contratante",
    "comparar com contratações parecidas de outros órgãos",
    "acompanhar os próximos aditivos",
    "levar o indício à Controladoria-Geral da União",
    "conferir os autos do processo pela Lei de Acesso à Informação",
)


def severity_of(confidence: float) -> str:
    """high above 0.7, medium above 0.4, else low (AGENTS.md)."""
    return "high" if confidence > 0.7 else "medium" if confidence > 0.4 else "low"


def investigate(
    case: Case, agent: str, earlier: Sequence[tuple[str, dict[str, Any]]], scenario: Scenario
) -> list[dict[str, Any]]:
    """The findings of one agent (canonical id), as they stand in its `agent_analysis`.

    `earlier` is who found what before: tiradentes reports it. Where nothing can be found (`Case.hopeless`), there are
    only those that the scenario tells in full.
    """
    told = [
        _finding(
            one.pattern,
            round(one.confidence, 2),
            Found(one.description, one.evidence_count, copy.deepcopy(one.evidence)),
        )
        for one in scenario.finding
        if one.agent == agent
    ]
    invented: list[dict[str, Any]] = []
    if not case.hopeless:
        invented = _report(case, earlier) if agent == "tiradentes" else _invented(case, agent, scenario.findings)
    # The strongest first, as a reader wants them.
    return sorted(invented + told, key=lambda finding: -finding["confidence"])


def _invented(case: Case, agent: str, rules: Findings) -> list[dict[str, Any]]:
    kinds = KINDS[agent]
    names = sorted(kinds if rules.patterns is None else kinds.keys() & set(rules.patterns))
    if not names:
        return []
    if rules.count is None:
        most = 3 if agent in _DETECTORS else 2
        chosen = case.rng.sample(names, case.rng.randint(1, min(most, len(names))))
    else:
        # More than there are patterns: each of them again.
        wanted = case.rng.randint(*span(rules.count))
        chosen = [name for _ in range(wanted) for name in case.rng.sample(names, len(names))][:wanted]
    found = []
    for pattern in chosen:
        confidence = _confidence(case, agent, rules)
        found.append(_finding(pattern, confidence, kinds[pattern](case, confidence)))
    return found


def _confidence(case: Case, agent: str, rules: Findings | None = None) -> float:
    least, most = (0.38, 0.97) if agent in _DETECTORS else (0.32, 0.9) if agent in _ANALYSTS else (0.3, 0.7)
    if rules is not None and rules.confidence is not None:
        least, most = span(rules.confidence)
    return round(case.rng.uniform(least, most), 2)


def _finding(pattern: str, confidence: float, found: Found) -> dict[str, Any]:
    finding = {
        "pattern": pattern,
        "confidence": confidence,
        "evidence_count": found.evidence_count,
        "severity": severity_of(confidence),
        "description": found.description,
        "evidence": found.evidence,
        "suppliers": [{"name": supplier.name, "cnpj": supplier.cnpj} for supplier in found.suppliers],
    }
    return {**finding, "organ": found.organ} if found.organ else finding


def _report(case: Case, earlier: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """One entry a pattern: how sure its surest finder was, how much evidence there is in all, and what to do."""
    # Plans, charts and lessons are no leads, and nobody takes them to the authorities.
    leads = [(agent, finding) for agent, finding in earlier if agent in _DETECTORS | _ANALYSTS]
    if not leads:
        summary = Found(
            f"Resumo sobre {case.theme.label}: {count(case.contracts_read, 'contrato lido', 'contratos lidos')}. A "
            "equipe não reuniu indícios; o relatório descreve os dados.",
            case.contracts_read,
            {"contract_count": case.contracts_read, "recommendation": case.rng.choice(_ADVICE)},
        )
        return [_finding("executive_summary", _confidence(case, "tiradentes"), summary)]
    by_pattern: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for agent, finding in leads:
        by_pattern.setdefault(finding["pattern"], []).append((agent, finding))
    entries = [_entry(case, pattern, found) for pattern, found in by_pattern.items()]
    return sorted(entries, key=lambda entry: -entry["confidence"])[:_REPORTED]


def _entry(case: Case, pattern: str, found: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    agents = list(dict.fromkeys(agent for agent, _ in found))
    confidence = max(finding["confidence"] for _, finding in found)
    advice = case.rng.choice(_ADVICE)
    suppliers = {named["cnpj"]: Supplier(**named) for _, finding in found for named in finding["suppliers"]}
    label = LABELS[pattern]
    summary = Found(
        f"{label[0].upper()}{label[1:]}, segundo {listed([AGENTS[agent].name for agent in agents])}. Recomenda-se "
        f"{advice}.",
        sum(finding["evidence_count"] for _, finding in found),
        {"agents": agents, "finding_count": len(found), "recommendation": advice},
        tuple(suppliers.values()),
    )
    return _finding(pattern, confidence, summary)
