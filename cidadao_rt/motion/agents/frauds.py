"""Who acts together: oxossi's frauds and obaluaie's corruption.

Source of the kinds and of the evidence that each carries: AGENTS.md. Amounts are reais.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .case import Case, Found, Kind, round_up
from .inventory import Supplier
from .portuguese import count, decimal, listed, percent, reais


def _bid_rigging(case: Case, strength: float) -> Found:
    rivals, organ = case.parties(3), case.organ()
    tenders = [case.tender() for _ in range(case.rng.randint(2, 4))]
    names = [rival.name for rival in rivals]
    return Found(
        f"As empresas {listed(names)} alternaram-se como vencedoras em {len(tenders)} disputas do {organ} em "
        f"{case.theme.label}, e as propostas perdedoras repetem os mesmos erros de digitação.",
        len(tenders),
        {
            "entities": names,
            "documents": tenders,
            "rotation_score": round(0.5 + 0.48 * strength, 2),
            "losing_bid_similarity": round(0.6 + 0.38 * strength, 2),
        },
        rivals,
        organ,
    )


def _phantom_vendor(case: Case, strength: float) -> Found:
    contract, organ = case.contract(), case.organ()
    months = case.rng.randint(1, 5)
    signs = ["sem empregados registrados", "endereço residencial", "capital social incompatível com o contrato"]
    signs = signs[: 1 + round(2 * strength)]
    return Found(
        f"A empresa {contract.supplier.name} foi aberta {count(months, 'mês', 'meses')} antes de assinar com o {organ} "
        f"o {contract.told()}. Sinais de empresa de fachada: {listed(signs)}.",
        len(signs) + 1,
        {
            "entities": [contract.supplier.name],
            "documents": ["Comprovante de inscrição no CNPJ", contract.number],
            "signs": signs,
            "months_before_contract": months,
            "contract_value": contract.value,
        },
        (contract.supplier,),
        organ,
    )


def _invoice_fraud(case: Case, strength: float) -> Found:
    contract, organ = case.contract(), case.organ()
    invoices = [f"Nota fiscal nº {case.rng.randint(1000, 98000):06d}" for _ in range(2 + round(3 * strength))]
    return Found(
        f"No {contract.number} ({contract.object}), a empresa {contract.supplier.name} apresentou ao {organ} "
        f"{len(invoices)} notas fiscais com a mesma descrição e quantidade, sem ateste do fiscal do contrato "
        f"({case.basis('oversight', contract.signed)}).",
        len(invoices),
        {
            "entities": [contract.supplier.name],
            "documents": invoices,
            "contract": contract.entry(),
            "similarity_score": round(0.7 + 0.29 * strength, 2),
        },
        (contract.supplier,),
        organ,
    )


def _price_fixing(case: Case, strength: float) -> Found:
    rivals, organ, tender = case.parties(3), case.organ(), case.tender()
    lowest = case.value()
    spread = round(4.5 - 4 * strength, 2)
    bids = [lowest, round_up(lowest * (1 + spread / 200)), round_up(lowest * (1 + spread / 100))]
    return Found(
        f"No processo de contratação do {organ} ({tender}), as propostas de "
        f"{listed([rival.name for rival in rivals])} diferem em apenas {percent(spread, 2)}, a partir de "
        f"{reais(lowest)}: sinal de preços combinados.",
        len(rivals),
        {
            "entities": [rival.name for rival in rivals],
            "documents": [tender],
            "bids": [{"supplier": rival.name, "bid_value": bid} for rival, bid in zip(rivals, bids, strict=True)],
            "spread_percentage": spread,
        },
        rivals,
        organ,
    )


def _conflict_of_interest(case: Case, strength: float) -> Found:
    contract, organ = case.contract(), case.organ()
    documents = ["Quadro societário", "Ata da comissão de contratação", "Termo de referência"]
    documents = documents[: 1 + round(2 * strength)]
    return Found(
        f"Uma pessoa do quadro societário da empresa {contract.supplier.name} consta da equipe do {organ} que planejou "
        f"o {contract.number}: possível conflito de interesses ({case.basis('conflict', contract.signed)}).",
        len(documents),
        {"entities": [contract.supplier.name, organ], "documents": documents, "contract": contract.entry()},
        (contract.supplier,),
        organ,
    )


def _benford_law(case: Case, strength: float) -> Found:
    organ, payments = case.organ(), case.rng.randint(150, 2500)
    # 15.507 is the 5 % point of chi-squared with 8 degrees of freedom (nine first digits).
    statistic = round(15.507 * (0.7 + 2 * strength), 2)
    digit = case.rng.randint(4, 9)
    verdict = "foge ao esperado" if statistic > 15.507 else "fica perto do limite do esperado"
    return Found(
        f"Pela Lei de Benford, o primeiro dígito de {count(payments, 'pagamento', 'pagamentos')} do {organ} {verdict}: "
        f"qui-quadrado de {decimal(statistic)} (limite de 15,51), com excesso de valores iniciados por {digit}.",
        payments,
        {
            "test": "chi_square",
            "test_statistic": statistic,
            "threshold": 15.507,
            "degrees_of_freedom": 8,
            "significance_level": 0.05,
            "most_deviant_digit": digit,
        },
        organ=organ,
    )


def _cartel_detection(case: Case, strength: float) -> Found:
    members, organ = case.parties(4), case.organ()
    variation = round(0.09 - 0.08 * strength, 3)
    tenders = case.rng.randint(3, 12)
    return Found(
        f"As empresas {listed([member.name for member in members])} apresentam-se sempre juntas às disputas do {organ} "
        f"em {case.theme.label}; em {tenders} delas, o coeficiente de variação dos lances foi de "
        f"{decimal(variation, 3)}.",
        tenders,
        {
            "test": "variance_screen",
            "test_statistic": variation,
            "network": _network(members, [(0, 1), (0, 2), (1, 2), (2, 3)]),
            "documents": [case.tender(), case.tender()],
        },
        members,
        organ,
    )


def _nepotism_detection(case: Case, strength: float) -> Found:
    contract, organ = case.contract(), case.organ()
    coincidence = round(0.4 + 0.55 * strength, 2)
    return Found(
        f"Sobrenomes e endereços ligam o quadro societário da empresa {contract.supplier.name} a quem autorizou, no "
        f"{organ}, o {contract.number}: coincidência de {percent(100 * coincidence, 0)}, a confirmar em "
        "fontes oficiais.",
        2,
        {
            "test": "kinship_score",
            "test_statistic": coincidence,
            "network": {"nodes": [contract.supplier.name, organ], "edges": [[0, 1]], "density": 1.0},
            "contract": contract.entry(),
        },
        (contract.supplier,),
        organ,
    )


def _financial_flow(case: Case, strength: float) -> Found:
    chain, organ = case.parties(3), case.organ()
    moved = case.value()
    returned = round(40 + 50 * strength, 1)
    return Found(
        f"Dos {reais(moved)} pagos pelo {organ} à empresa {chain[0].name}, {percent(returned)} seguiram para "
        f"{chain[1].name} e {chain[2].name}, e parte voltou à primeira: fluxo circular entre subcontratadas.",
        len(chain),
        {
            "test": "cycle_share",
            "test_statistic": round(returned / 100, 3),
            "network": _network(chain, [(0, 1), (1, 2), (2, 0)]),
            "total_value": moved,
        },
        chain,
        organ,
    )


def _network(parties: tuple[Supplier, ...], edges: list[tuple[int, int]]) -> dict[str, Any]:
    """A graph as evidence carries it: `edges` are pairs of indexes into `nodes`, `density` a share of 0 to 1."""
    possible = len(parties) * (len(parties) - 1) / 2
    return {
        "nodes": [party.name for party in parties],
        "edges": [list(edge) for edge in edges],
        "density": round(len(edges) / possible, 2),
    }


FRAUDS: Mapping[str, Mapping[str, Kind]] = MappingProxyType(
    {
        "oxossi": {
            "bid_rigging": _bid_rigging,
            "phantom_vendor": _phantom_vendor,
            "invoice_fraud": _invoice_fraud,
            "price_fixing": _price_fixing,
            "conflict_of_interest": _conflict_of_interest,
        },
        "obaluaie": {
            "benford_law": _benford_law,
            "cartel_detection": _cartel_detection,
            "nepotism_detection": _nepotism_detection,
            "financial_flow": _financial_flow,
        },
    }
)
"""Pattern by pattern, what each of the two can find."""
