"""What the other agents find: what law, text, regions, equity, memory, forecast, teaching and design see.

AGENTS.md says what these agents work on; their kinds of finding and evidence are our own. Amounts are reais.
"""

from collections.abc import Mapping
from types import MappingProxyType

from .case import Case, Found, Kind, round_up
from .portuguese import count, decimal, listed, percent, reais

_REGIONS = ("Norte", "Nordeste", "Centro-Oeste", "Sudeste", "Sul")


def _investigation_plan(case: Case, strength: float) -> Found:
    return Found(
        f"Plano da investigação sobre {case.theme.label}: {count(len(case.team), 'agente', 'agentes')}, quatro etapas "
        f"e {count(case.contracts_read, 'contrato', 'contratos')} para ler, a começar pelo {case.organs[0]}.",
        len(case.team),
        {"agents": list(case.team), "organs": list(case.organs), "contract_count": case.contracts_read},
        organ=case.organs[0],
    )


def _coverage_gap(case: Case, strength: float) -> Found:
    missing = round(4 + 20 * strength, 1)
    return Found(
        f"{percent(missing)} dos registros de {case.theme.label} chegaram sem o CNPJ do contratado ou sem o termo de "
        "referência; as conclusões dos agentes devem ser lidas com essa ressalva.",
        max(1, round(case.contracts_read * missing / 100)),
        {"missing_percentage": missing, "contract_count": case.contracts_read},
    )


def _restrictive_clause(case: Case, strength: float) -> Found:
    organ, when = case.organ(), case.day()
    tender = f"Edital nº {case.rng.randint(1, 180)}/{when.year:04d}"
    clause = case.rng.choice(
        (
            "atestado de capacidade técnica idêntico ao objeto, e não apenas similar",
            "visita técnica obrigatória em data única",
            "marca específica sem a ressalva de similaridade",
            "prazo de entrega incompatível com quem não tem o produto em estoque",
        )
    )
    return Found(
        f"O {tender}, do {organ}, exige {clause}, o que restringe a disputa ({case.basis('restriction', when)}).",
        1 + round(4 * strength),
        {"document": tender, "clause": clause, "restriction_score": round(strength, 2)},
        organ=organ,
    )


def _copied_text(case: Case, strength: float) -> Found:
    (supplier,), organ = case.parties(1), case.organ()
    similarity = round(0.6 + 0.38 * strength, 2)
    return Found(
        f"O termo de referência do {organ} repete, em {percent(100 * similarity, 0)} do texto, a proposta comercial da "
        f"empresa {supplier.name}: quem escreveu primeiro?",
        2,
        {"similarity_score": similarity, "documents": ["Termo de referência", "Proposta comercial"]},
        (supplier,),
        organ,
    )


def _legal_noncompliance(case: Case, strength: float) -> Found:
    organ, contract = case.organ(), case.contract()
    matter, lack = case.rng.choice(
        (
            ("research", "sem pesquisa de preços nos autos"),
            ("direct", "sem a justificativa da escolha do fornecedor"),
            ("publicity", "sem divulgação do extrato no prazo"),
            ("oversight", "sem designação de fiscal"),
        )
    )
    # Only a direct contract needs a reason for its supplier; a tender chose it.
    if matter == "direct" and not contract.modality.startswith(("dispensa", "inexigibilidade")):
        matter, lack = "oversight", "sem designação de fiscal"
    basis = case.basis(matter, contract.signed)
    return Found(
        f"O {contract.told()}, foi firmado pelo {organ} {lack} ({basis}).",
        1 + round(5 * strength),
        {"legal_basis": basis, "contract": contract.entry()},
        (contract.supplier,),
        organ,
    )


def _policy_effect(case: Case, strength: float) -> Found:
    organ = case.organ()
    reached = round(85 - 50 * strength, 1)
    return Found(
        f"A política do {organ} que depende de {case.theme.label} atingiu {percent(reached)} da meta física com a "
        "maior parte do orçamento já executada.",
        case.rng.randint(3, 15),
        {"target_reached_percentage": reached, "indicator": "meta física", "organ": organ},
        organ=organ,
    )


def _integrity_gap(case: Case, strength: float) -> Found:
    checked = case.contracts_read
    wrong = max(1, round(checked * (0.01 + 0.08 * strength)))
    records = count(checked, "registro conferido", "registros conferidos")
    return Found(
        f"Dos {records} de {case.theme.label}, {wrong} foram alterados depois de publicados sem que a trilha de "
        "auditoria diga por quê.",
        wrong,
        {"records_checked": checked, "inconsistent_records": wrong, "hash_algorithm": "SHA-256"},
    )


def _value_aggregation(case: Case, strength: float) -> Found:
    groups = [{"organ": organ, "total_value": case.value(2, 5)} for organ in case.organs]
    return Found(
        f"Barras por ministério e linha do tempo por mês mostram onde {case.theme.label} pesa mais: {case.organs[0]} e "
        f"{case.organs[1]}.",
        len(groups),
        {"charts": ["barras", "linha do tempo"], "groups": groups},
    )


def _spending_inequality(case: Case, strength: float) -> Found:
    gini = round(0.35 + 0.4 * strength, 2)
    return Found(
        f"O gasto por habitante em {case.theme.label} tem Gini de {decimal(gini)}: os municípios mais pobres recebem "
        "menos do que a sua população pediria.",
        case.rng.randint(20, 400),
        {"gini": gini, "unit": "gasto por habitante"},
    )


def _access_gap(case: Case, strength: float) -> Found:
    gap = round(15 + 45 * strength, 1)
    group = case.rng.choice(
        ("comunidades quilombolas", "povos indígenas", "famílias do CadÚnico", "moradores de áreas rurais")
    )
    return Found(
        f"O acesso ao que se contrata em {case.theme.label} é {percent(gap)} menor entre {group} do que na média "
        "do país.",
        case.rng.randint(5, 60),
        {"gap_percentage": gap, "group": group},
    )


def _spatial_inequality(case: Case, strength: float) -> Found:
    one, other = case.rng.sample(_REGIONS, 2)
    moran = round(0.1 + 0.6 * strength, 2)
    return Found(
        f"O mesmo item de {case.theme.label} custa mais no {one} do que no {other}, e os preços altos são vizinhos uns "
        f"dos outros (I de Moran de {decimal(moran)}).",
        case.rng.randint(15, 200),
        {"moran_i": moran, "regions": [one, other]},
    )


def _regional_cluster(case: Case, strength: float) -> Found:
    region, cities = case.rng.choice(_REGIONS), case.rng.randint(4, 30)
    return Found(
        f"{cities} municípios contíguos do {region} contratam {case.theme.label} das mesmas duas empresas, por preços "
        "quase iguais.",
        cities,
        {"regions": [region], "cluster_size": cities, "cluster_score": round(0.4 + 0.55 * strength, 2)},
        case.parties(2),
    )


def _recurring_case(case: Case, strength: float) -> Found:
    (supplier,), earlier = case.parties(1), case.rng.randint(1, 6)
    return Found(
        f"A empresa {supplier.name} já aparecia em "
        f"{count(earlier, 'investigação anterior', 'investigações anteriores')} sobre {case.theme.label}, "
        "com objeto semelhante.",
        earlier,
        {"earlier_investigations": earlier, "similarity_score": round(0.5 + 0.45 * strength, 2)},
        (supplier,),
    )


def _spending_forecast(case: Case, strength: float) -> Found:
    lower = case.value(2, 4)
    expected, upper = round_up(lower * 1.12), round_up(lower * 1.27)
    months = case.rng.choice((3, 6, 12))
    return Found(
        f"Mantido o ritmo, o gasto em {case.theme.label} nos {months} meses seguintes ficará entre {reais(lower)} e "
        f"{reais(upper)}.",
        case.rng.randint(12, 48),
        {
            "model": "suavização exponencial",
            "horizon_months": months,
            "expected_value": expected,
            "lower_value": lower,
            "upper_value": upper,
            "trend_direction": "increasing",
        },
    )


def _question_route(case: Case, strength: float) -> Found:
    others = [agent for agent in case.team if agent != "senna"] or ["senna"]
    return Found(
        f"Pergunta reconhecida como apuração de {case.theme.label} e encaminhada sem desvio a quem cabe responder.",
        len(others),
        {"intent": "investigate", "routed_to": others, "similarity_score": round(strength, 2)},
    )


def _citizen_guide(case: Case, strength: float) -> Found:
    steps = ["abrir o Portal da Transparência", "buscar o órgão", "comparar contratos parecidos", "pedir informação"]
    return Found(
        f"Quatro passos para qualquer pessoa conferir {case.theme.label}: {listed(steps)} pela Lei de Acesso à "
        "Informação.",
        len(steps),
        {"steps": steps, "audience": "cidadãos"},
    )


def _accessible_view(case: Case, strength: float) -> Found:
    measures = ["contraste AA", "navegação por teclado", "descrição em texto de cada gráfico"]
    return Found(
        f"A página dos resultados sobre {case.theme.label} pede {listed(measures)}, para que ninguém fique de fora.",
        len(measures),
        {"measures": measures, "guideline": "WCAG 2.2"},
    )


def _learning_activity(case: Case, strength: float) -> Found:
    return Found(
        f"Atividade para a escola: contar, com um pequeno programa, quantas vezes cada empresa aparece em uma lista de "
        f"{case.theme.label}.",
        case.rng.randint(2, 5),
        {"topic": "laços e contagem", "audience": "10 a 14 anos"},
    )


def _visual_story(case: Case, strength: float) -> Found:
    palette = ["verde-mata", "amarelo-manga", "azul-céu", "rosa-caipira"]
    return Found(
        f"Cartaz sobre {case.theme.label} em quatro cores, {listed(palette)}: a cor mais quente fica com o maior "
        "risco.",
        len(palette),
        {"palette": palette, "format": "cartaz"},
    )


def _public_message(case: Case, strength: float) -> Found:
    return Found(
        f"Mensagem ao público sobre {case.theme.label}: o que se apurou, o que ainda é indício e a quem perguntar, sem "
        "acusar ninguém.",
        case.rng.randint(1, 4),
        {"audience": "cidadãos", "tone": "claro e sem alarde"},
    )


READINGS: Mapping[str, Mapping[str, Kind]] = MappingProxyType(
    {
        "abaporu": {"investigation_plan": _investigation_plan, "coverage_gap": _coverage_gap},
        "machado": {"restrictive_clause": _restrictive_clause, "copied_text": _copied_text},
        "bonifacio": {"legal_noncompliance": _legal_noncompliance, "policy_effect": _policy_effect},
        "maria_quiteria": {"integrity_gap": _integrity_gap},
        "oscar_niemeyer": {"value_aggregation": _value_aggregation},
        "dandara": {"spending_inequality": _spending_inequality, "access_gap": _access_gap},
        "lampiao": {"spatial_inequality": _spatial_inequality, "regional_cluster": _regional_cluster},
        "nana": {"recurring_case": _recurring_case},
        "ceuci": {"spending_forecast": _spending_forecast},
        "senna": {"question_route": _question_route},
        "santos_dumont": {"citizen_guide": _citizen_guide},
        "bo_bardi": {"accessible_view": _accessible_view},
        "monteiro_lobato": {"learning_activity": _learning_activity},
        "tarsila": {"visual_story": _visual_story},
        "drummond": {"public_message": _public_message},
    }
)
"""Pattern by pattern, what each of them can find. Tiradentes is not here: he reports what the others found."""
