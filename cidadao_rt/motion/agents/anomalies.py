"""What the numbers show: zumbi's anomalies and anita's patterns.

Source of the kinds and of the evidence that each carries: AGENTS.md. Amounts are reais.
"""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

import msgspec

from .case import Case, Contract, Found, Kind, round_up
from .portuguese import between, count, decimal, percent, reais


def _price_anomaly(case: Case, strength: float) -> Found:
    organ, mean = case.organ(), case.value()
    deviation = round_up(mean * case.rng.uniform(0.08, 0.25))
    paid = case.contract(value=round_up(mean + deviation * (1.8 + 3.5 * strength)))
    z_score = round((paid.value - mean) / deviation, 2)
    compared = case.rng.randint(8, 60)
    return Found(
        f"O {paid.told()}, firmado com o {organ} por {paid.modality}, está {decimal(z_score)} desvios-padrão acima da "
        f"média de {reais(mean)} paga em {count(compared, 'contrato parecido', 'contratos parecidos')} "
        f"({case.basis('research', paid.signed)}).",
        compared,
        {
            "contract_value": paid.value,
            "mean_value": mean,
            "std_deviation": deviation,
            "z_score": z_score,
            "contract": paid.entry(),
        },
        (paid.supplier,),
        organ,
    )


def _vendor_concentration(case: Case, strength: float) -> Found:
    (supplier,), organ = case.parties(1), case.organ()
    first, last = case.span()
    contracts = case.rng.randint(4, 14)
    total = round_up(sum(case.value() for _ in range(contracts)))
    share = round(35 + 50 * strength + case.rng.uniform(0, 10), 1)
    return Found(
        f"A empresa {supplier.name} concentra {percent(share)} do valor contratado pelo {organ} em {case.theme.label} "
        f"{between(first, last)}: {contracts} contratos, que somam {reais(total)}.",
        contracts,
        {
            "concentration_percentage": share,
            "total_value": total,
            "contract_count": contracts,
            "period": _period(first, last),
        },
        (supplier,),
        organ,
    )


def _temporal_patterns(case: Case, strength: float) -> Found:
    organ = case.organ()
    first, last = case.span()
    mean = round(case.rng.uniform(3, 12), 1)
    deviation = mean * case.rng.uniform(0.2, 0.4)
    contracts = round(mean + deviation * (2 + 3 * strength)) + 1
    z_score = round((contracts - mean) / deviation, 2)
    return Found(
        f"O {organ} assinou {contracts} contratos de mesmo objeto {between(first, last)}; em períodos equivalentes, a "
        f"média é de {decimal(mean, 1)}. O acúmulo sugere fracionamento da despesa ({case.basis('splitting', first)}).",
        contracts,
        {
            "period": _period(first, last),
            "contract_count": contracts,
            "mean_count": mean,
            "z_score": z_score,
        },
        organ=organ,
    )


def _duplicate_contracts(case: Case, strength: float) -> Found:
    (supplier,), organ = case.parties(1), case.organ()
    one = case.contract(supplier)
    other = _sibling(case, one)
    similarity = round(0.72 + 0.27 * strength, 2)
    return Found(
        f"Dois contratos do {organ} com a empresa {supplier.name}, {one.number} e {other.number}, têm o mesmo objeto "
        f"({one.object}) e textos {percent(100 * similarity, 0)} iguais: possível pagamento em duplicidade.",
        2,
        {"similarity_score": similarity, "contracts": [one.entry(), other.entry()]},
        (supplier,),
        organ,
    )


def _payment_patterns(case: Case, strength: float) -> Found:
    organ, contract = case.organ(), case.contract()
    final = round_up(contract.value * (1.26 + 0.6 * strength))
    ratio = round(final / contract.value - 1, 3)
    amendments = case.rng.randint(1, 4)
    return Found(
        f"Com {count(amendments, 'termo aditivo', 'termos aditivos')}, o {contract.told()}, cresceu "
        f"{percent(100 * ratio)} e chegou a {reais(final)}, acima do limite geral de 25% de acréscimo "
        f"({case.basis('additions', contract.signed)}).",
        amendments + 1,
        {
            "initial_value": contract.value,
            "final_value": final,
            "discrepancy_ratio": ratio,
            "amendment_count": amendments,
            "contract": contract.entry(),
        },
        (contract.supplier,),
        organ,
    )


def _spending_trends(case: Case, strength: float) -> Found:
    organ, total = case.organ(), case.value(3, 6)
    first, last = case.span()
    growth = round(case.rng.choice((1, 1, -1)) * (8 + 60 * strength), 1)
    verb, direction = ("cresceu", "increasing") if growth > 0 else ("caiu", "decreasing")
    return Found(
        f"O gasto do {organ} em {case.theme.label} {verb} {percent(abs(growth))} {between(first, last)} e somou "
        f"{reais(total)} no período.",
        case.rng.randint(12, 90),
        {
            "significance": _significance(strength),
            "trend_direction": direction,
            "insights": [
                "A variação supera a do número de contratos: mudou o valor médio, não a demanda.",
                "O movimento se concentra em poucas unidades gestoras.",
            ],
            "growth_percentage": growth,
            "total_value": total,
        },
        organ=organ,
    )


def _vendor_behavior(case: Case, strength: float) -> Found:
    (supplier,), organ = case.parties(1), case.organ()
    amendments = round(2 + 6 * strength)
    return Found(
        f"A empresa {supplier.name} vence com o menor preço e, em poucos meses, pede reajuste: "
        f"{amendments} aditivos em contratos do {organ} de {case.theme.label}.",
        amendments,
        {
            "significance": _significance(strength),
            "trend_direction": "increasing",
            "insights": [
                "O desconto oferecido na disputa some depois dos aditivos.",
                "O comportamento se repete em mais de um órgão.",
            ],
            "amendment_count": amendments,
        },
        (supplier,),
        organ,
    )


def _seasonal_patterns(case: Case, strength: float) -> Found:
    organ = case.organ()
    first, last = case.span()
    share = round(30 + 45 * strength, 1)
    return Found(
        f"{percent(share)} dos empenhos do {organ} em {case.theme.label} foram emitidos {between(first, last)}, ritmo "
        "que se repete a cada exercício e favorece contratações apressadas.",
        case.rng.randint(10, 80),
        {
            "significance": _significance(strength),
            "trend_direction": "seasonal",
            "insights": ["O pico coincide com a pressa de executar o orçamento antes que o crédito se perca."],
            "period": f"{first.isoformat()}/{last.isoformat()}",
            "share_percentage": share,
        },
        organ=organ,
    )


def _value_distribution(case: Case, strength: float) -> Found:
    organ, lowest = case.organ(), case.value()
    highest = round_up(lowest * (1.12 - 0.09 * strength))
    contracts = case.rng.randint(8, 40)
    return Found(
        f"{contracts} contratos do {organ} caem na faixa estreita de {reais(lowest)} a {reais(highest)}, mais do que "
        f"o acaso explicaria em {case.theme.label}.",
        contracts,
        {
            "significance": _significance(strength),
            "trend_direction": "stable",
            "insights": ["Valores agrupados pouco abaixo de um limite costumam indicar fracionamento."],
            "lowest_value": lowest,
            "highest_value": highest,
        },
        organ=organ,
    )


def _significance(strength: float) -> float:
    return round(0.3 + 0.65 * strength, 2)


def _sibling(case: Case, one: Contract) -> Contract:
    other = case.contract(one.supplier, value=round_up(one.value * case.rng.uniform(1.0, 1.03)))
    # Other contracts are numbered below 400, so the two never share a number.
    number = f"Contrato nº {case.rng.randint(400, 999)}/{other.signed.year:04d}"
    return msgspec.structs.replace(other, number=number, object=one.object)


def _period(first: date, last: date) -> str:
    return f"{first.isoformat()}/{last.isoformat()}"


ANOMALIES: Mapping[str, Mapping[str, Kind]] = MappingProxyType(
    {
        "zumbi": {
            "price_anomaly": _price_anomaly,
            "vendor_concentration": _vendor_concentration,
            "temporal_patterns": _temporal_patterns,
            "duplicate_contracts": _duplicate_contracts,
            "payment_patterns": _payment_patterns,
        },
        "anita": {
            "spending_trends": _spending_trends,
            "vendor_behavior": _vendor_behavior,
            "seasonal_patterns": _seasonal_patterns,
            "value_distribution": _value_distribution,
        },
    }
)
"""Pattern by pattern, what each of the two can find."""
