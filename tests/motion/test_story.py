"""The simulator's stories: what is always true of them, whatever is asked."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cidadao_rt.motion.agents.anomalies import ANOMALIES
from cidadao_rt.motion.agents.findings import KINDS, LABELS
from cidadao_rt.motion.agents.frauds import FRAUDS
from cidadao_rt.motion.agents.inventory import GENERAL, THEMES, theme_of
from cidadao_rt.motion.agents.parts import PARTS
from cidadao_rt.motion.agents.portuguese import between, count, listed, percent, reais, words_of
from cidadao_rt.motion.agents.story import Step, tell
from cidadao_rt.words.agents import AGENTS, DEFAULT_TEAM

WEIGHTS = {"data_collection": 25, "anomaly_detection": 35, "pattern_analysis": 20, "report_generation": 20}
QUERIES = [
    "Contratos emergenciais COVID-19 2020",
    "Contratos suspeitos 2024",
    "merenda escolar",
    "licenças de software",
    "reforma predial",
    "limpeza",
    "vigilância armada",
    "frota de ônibus",
    "enchentes",
    "show na festa da cidade",
    "?",
]

seeds = st.integers(0, 2**64)
queries = st.sampled_from(QUERIES) | st.text(min_size=1, max_size=200)
teams = st.lists(st.sampled_from(sorted(AGENTS)), min_size=1, max_size=25)
values = st.integers(0, 10**12) | st.floats(0, 1e12, allow_subnormal=True)
days = st.dates(date(1995, 1, 1), date(2035, 12, 31))


@st.composite
def ranges(draw: st.DrawFn) -> tuple[date, date]:
    """Two days in order, often the same or close by."""
    first = draw(days)
    last = draw(st.just(first) | days)
    return min(first, last), max(first, last)


def iso(span: tuple[date, date]) -> str:
    return f"{span[0].isoformat()}/{span[1].isoformat()}"


def of(steps: list[Step], type_: str) -> list[dict[str, Any]]:
    return [step.data for step in steps if step.type == type_]


def findings(steps: list[Step]) -> Iterator[dict[str, Any]]:
    for data in of(steps, "agent_analysis"):
        yield from data["findings"]


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar of a JSON value with the key it stands under."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from leaves(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, key)
    else:
        yield key, value


def texts(steps: list[Step]) -> list[str]:
    return [leaf for step in steps for _, leaf in leaves(step.data) if isinstance(leaf, str)]


@given(seeds, queries, teams)
def test_progress_never_goes_back_and_is_the_weighted_sum(seed: int, query: str, team: list[str]) -> None:
    reported, stages = 0, dict.fromkeys(WEIGHTS, 0)
    steps = tell(seed, query, {}, team)
    for step in steps:
        if step.type == "progress_update":
            now = step.data["stages"]
            assert list(now) == list(WEIGHTS)
            assert all(type(now[name]) is int and stages[name] <= now[name] <= 100 for name in WEIGHTS)
            # In order: no stage is ahead of the one before it.
            assert sorted(now.values(), reverse=True) == list(now.values())
            overall = step.data["overall_progress"]
            assert type(overall) is int
            assert overall == sum(WEIGHTS[name] * now[name] for name in WEIGHTS) // 100
            assert overall >= reported
            reported, stages = overall, now
        elif step.type == "investigation_update":
            assert type(step.data["progress"]) is int
            assert step.data["progress"] == reported
    updates = of(steps, "progress_update")
    assert len(updates) >= 10
    # It is not done before it is done.
    assert [data["overall_progress"] for data in updates].index(100) == len(updates) - 1


@given(seeds, queries, teams)
def test_the_story_takes_3_to_8_seconds_and_ends_with_completed(seed: int, query: str, team: list[str]) -> None:
    steps = tell(seed, query, {}, team)
    assert all(step.after >= 0 for step in steps)
    assert 3 <= sum(step.after for step in steps) <= 8
    assert steps[0].type == "investigation_update"
    *others, last = of(steps, "investigation_update")
    assert all(data["status"] == "processing" for data in others)
    assert steps[-1].type == "investigation_update"
    assert (last["status"], last["progress"]) == ("completed", 100)
    assert last["current_agent"] == of(steps, "agent_analysis")[-1]["agent"]
    assert steps[-2].type == "notification"
    assert steps[-2].data["level"] == "success"


@given(seeds, queries, teams)
def test_each_agent_asked_analyses_once_and_nobody_else_works(seed: int, query: str, team: list[str]) -> None:
    steps = tell(seed, query, {}, team)
    analyses = of(steps, "agent_analysis")
    assert sorted(data["agent"] for data in analyses) == sorted(set(team))
    assert all(list(data)[:4] == ["agent", "analysis_type", "findings", "status"] for data in analyses)
    assert all(data["status"] == "completed" and data["analysis_type"] for data in analyses)
    assert {data["current_agent"] for data in of(steps, "investigation_update")} <= set(team)
    if "abaporu" in team:
        assert analyses[0]["agent"] == "abaporu"
    if "tiradentes" in team:
        assert analyses[-1]["agent"] == "tiradentes"


def test_agents_work_in_the_order_of_their_stages() -> None:
    order = [data["agent"] for data in of(tell(7, "obras", {}, sorted(AGENTS)), "agent_analysis")]
    assert order == list(PARTS)
    for earlier, later in [("abaporu", "oxossi"), ("oxossi", "zumbi"), ("zumbi", "anita"), ("anita", "tiradentes")]:
        assert order.index(earlier) < order.index(later)


@given(seeds, queries, teams)
def test_findings_have_the_documents_shape(seed: int, query: str, team: list[str]) -> None:
    steps = tell(seed, query, {}, team)
    for data in of(steps, "agent_analysis"):
        assert data["findings"]
        for finding in data["findings"]:
            assert list(finding)[:3] == ["pattern", "confidence", "evidence_count"]
            confidence = finding["confidence"]
            assert 0 <= confidence <= 1
            assert round(confidence, 2) == confidence
            assert type(finding["evidence_count"]) is int
            assert finding["evidence_count"] >= 1
            assert finding["severity"] == ("high" if confidence > 0.7 else "medium" if confidence > 0.4 else "low")
            assert finding["pattern"] in LABELS
            assert finding["description"].endswith((".", "?"))
            if data["agent"] != "tiradentes":
                assert finding["pattern"] in KINDS[data["agent"]]


@given(seeds, queries, teams)
def test_high_findings_are_notified_three_at_most(seed: int, query: str, team: list[str]) -> None:
    steps = tell(seed, query, {}, team)
    high = [
        finding["description"]
        for data in of(steps, "agent_analysis")
        if data["agent"] != "tiradentes"
        for finding in data["findings"]
        if finding["severity"] == "high"
    ]
    *alerts, done = of(steps, "notification")
    assert [data["message"] for data in alerts] == high[:3]
    assert all(data["level"] in ("warning", "critical") and data["title"] for data in alerts)
    assert done["level"] == "success"


@given(seeds, st.integers(0, 2**63), teams, st.randoms(use_true_random=False))
def test_the_same_arguments_tell_the_same_story(seed: int, value: int, team: list[str], other: Any) -> None:
    filters = {"min_value": value % 10**9, "organ": {"b": [1, None], "a": "x"}}
    first = tell(seed, "saúde", filters, team)
    other.shuffle(team)
    reordered = dict(reversed(filters.items()))
    assert tell(seed, "saúde", reordered, team) == first


def test_another_seed_query_filter_or_team_tells_another_story() -> None:
    told = tell(1, "merenda", {}, DEFAULT_TEAM)
    assert tell(2, "merenda", {}, DEFAULT_TEAM) != told
    assert tell(1, "merenda escolar", {}, DEFAULT_TEAM) != told
    assert tell(1, "merenda", {"organ": "x"}, DEFAULT_TEAM) != told
    assert tell(1, "merenda", {}, ["zumbi"]) != told


def test_the_same_story_is_told_in_any_process() -> None:
    script = (
        "import sys, orjson; from cidadao_rt.motion.agents.story import tell;"
        "filters = {'date_range': '2020-01-01/2020-12-31', 'min_value': 1000000, 'tags': ['b', 'a']};"
        "steps = tell(42, 'Contratos emergenciais COVID-19 2020', filters, ['tiradentes', 'lina', 'zumbi', 'oxossi']);"
        "sys.stdout.buffer.write(orjson.dumps([[s.after, s.type, s.data] for s in steps]))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            check=True,
            capture_output=True,
        ).stdout
        for hashing in ("0", "1", "4242")
    }
    assert len(told) == 1
    assert len(orjson.loads(told.pop())) > 20


@given(seeds, queries, teams)
def test_every_event_is_simulated_small_and_plain_json(seed: int, query: str, team: list[str]) -> None:
    for step in tell(seed, query, {}, team):
        assert step.data["simulated"] is True
        assert "investigation_id" not in step.data
        written = orjson.dumps(step.data)
        assert len(written) < 16 * 1024
        # Nothing was lost in writing: no NaN, no infinity, no key that is not a string.
        assert orjson.loads(written) == step.data


def test_the_largest_event_stays_small() -> None:
    largest = max(
        len(orjson.dumps(step.data))
        for seed in range(300)
        for step in tell(seed, QUERIES[seed % len(QUERIES)], {"min_value": 10**12}, sorted(AGENTS))
    )
    assert largest < 16 * 1024


def cnpj_is_valid(cnpj: str) -> bool:
    """Modulo 11, as the Receita Federal computes a CNPJ's two check digits."""
    digits = [int(digit) for digit in re.sub(r"\D", "", cnpj)]
    for length in (12, 13):
        weights = [(length - 1 - place) % 8 + 2 for place in range(length)]
        rest = sum(digit * weight for digit, weight in zip(digits, weights, strict=False)) % 11
        if digits[length] != (0 if rest < 2 else 11 - rest):
            return False
    return True


def test_the_check_of_a_cnpj_knows_a_valid_one() -> None:
    assert cnpj_is_valid("11.222.333/0001-81")
    assert not cnpj_is_valid("11.222.333/0001-82")
    assert not cnpj_is_valid("11.222.333/0001-71")


def test_every_supplier_is_visibly_invented() -> None:
    suppliers = [supplier for theme in (*THEMES, GENERAL) for supplier in theme.suppliers]
    for supplier in suppliers:
        assert re.search(r"\b(Fictícia|Fictício|Fictícios)\b", supplier.name)
        assert re.fullmatch(r"00\.000\.\d{3}/\d{4}-\d{2}", supplier.cnpj)
        assert not cnpj_is_valid(supplier.cnpj)
    assert (
        len({supplier.cnpj for supplier in suppliers})
        == len({supplier.name for supplier in suppliers})
        == len(suppliers)
    )


@given(seeds, queries, teams)
def test_only_invented_suppliers_are_told_of(seed: int, query: str, team: list[str]) -> None:
    invented = {(supplier.name, supplier.cnpj) for theme in (*THEMES, GENERAL) for supplier in theme.suppliers}
    steps = tell(seed, query, {}, team)
    for finding in findings(steps):
        assert {(supplier["name"], supplier["cnpj"]) for supplier in finding["suppliers"]} <= invented
    for text in texts(steps):
        for cnpj in re.findall(r"\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}", text):
            assert cnpj.startswith("00.000.")
            assert not cnpj_is_valid(cnpj)
        # Every company's name ends like one, and has the word before that.
        for legal in re.finditer(r"(Ltda|S\.A)\.", text):
            assert re.search(r"Fictíci(a|os?)\b", text[max(0, legal.start() - 60) : legal.start()])


@given(seeds, queries, teams, values)
@example(0, "merenda", list(AGENTS), 5e-324)
@example(0, "merenda", list(AGENTS), 1234567.891)
def test_no_value_is_below_min_value(seed: int, query: str, team: list[str], least: float) -> None:
    steps = tell(seed, query, {"min_value": least}, team)
    for key, leaf in (pair for step in steps for pair in leaves(step.data)):
        if key == "value" or key.endswith("_value"):
            assert leaf >= least
            assert round(leaf, 2) == leaf
        if isinstance(leaf, str):
            for amount in re.findall(r"R\$ ([\d.]+,\d\d)", leaf):
                assert float(amount.replace(".", "").replace(",", ".")) >= least


@pytest.mark.parametrize("least", [10**12 + 1, 1e300, 10**400, float("inf")])
def test_a_min_value_no_contract_reaches_leaves_nothing_to_find(least: float) -> None:
    steps = tell(1, "merenda", {"min_value": least}, sorted(AGENTS))
    assert len(of(steps, "agent_analysis")) == len(AGENTS)
    assert not list(findings(steps))
    assert [data["level"] for data in of(steps, "notification")] == ["success"]
    assert steps[-1].data["status"] == "completed"
    orjson.dumps([step.data for step in steps])


@given(seeds, queries, teams, ranges())
@example(1, "merenda", list(AGENTS), (date(1, 1, 1), date(1, 1, 1)))
@example(1, "merenda", list(AGENTS), (date(9999, 12, 31), date(9999, 12, 31)))
@example(1, "Contratos 2024", list(AGENTS), (date(2020, 1, 1), date(2020, 12, 31)))
def test_every_date_lies_in_date_range(seed: int, query: str, team: list[str], span: tuple[date, date]) -> None:
    first, last = span
    steps = tell(seed, query, {"date_range": iso(span)}, team)
    for text in texts(steps):
        for day in re.findall(r"\d{4}-\d\d-\d\d", text):
            assert first <= date.fromisoformat(day) <= last
        for day, month, year in re.findall(r"(\d\d)/(\d\d)/(\d{4})", text):
            assert first <= date(int(year), int(month), int(day)) <= last
        for year in re.findall(r"nº \d+/(\d{4})", text):
            assert first.year <= int(year) <= last.year
        # No law is cited before its time.
        assert "14.133" not in text or last >= date(2021, 4, 1)
        assert "8.666" not in text or first < date(2021, 4, 1)


def test_without_date_range_the_years_of_the_query_are_taken() -> None:
    told = json.dumps(
        [step.data for seed in range(20) for step in tell(seed, "obras de 2019 e 2020", {}, list(AGENTS))]
    )
    assert set(re.findall(r'"(\d{4})-\d\d-\d\d"', told)) == {"2019", "2020"}


@given(seeds, st.text("qwxyzQWXYZ", min_size=12, max_size=60), teams)
def test_the_query_is_not_copied(seed: int, query: str, team: list[str]) -> None:
    steps = tell(seed, f"merenda {query}", {"organ": query}, team)
    assert not any(query in text for text in texts(steps))


@pytest.mark.parametrize(
    ("query", "label"),
    [
        ("Contratos emergenciais COVID-19 2020", "contratos de saúde"),
        ("MERENDA nas escolas", "merenda escolar"),
        ("Contratos de TI", "contratos de TI"),
        ("tiros", "contratos públicos"),
        ("Reforma do prédio e licença de software para as obras", "obras e reforma predial"),
        ("Vigilância", "serviços de vigilância"),
        ("Contratos suspeitos 2024", "contratos públicos"),
        ("", "contratos públicos"),
        ("\ud800 \u0301", "contratos públicos"),
    ],
)
def test_the_theme_is_read_from_the_querys_words(query: str, label: str) -> None:
    assert theme_of(query).label == label
    told = texts(tell(1, query or "?", {}, DEFAULT_TEAM))
    assert any(label in text for text in told)


@given(
    seeds,
    teams,
    st.dictionaries(
        st.sampled_from(["min_value", "date_range", "organ", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        ),
    ),
)
def test_whatever_the_filters_hold_a_story_is_told(seed: int, team: list[str], filters: dict[str, Any]) -> None:
    assert tell(seed, "obras", filters, team)[-1].data["status"] == "completed"


@pytest.mark.parametrize(
    "span", ["2024-01-01", "2024-01-01/2024-01-02/2024-01-03", "2024-02-30/2024-03-01", "2024-02-02/2024-02-01", "/"]
)
def test_a_malformed_date_range_is_passed_over(span: str) -> None:
    """The session has refused it; where it comes another way, the story falls back on its default years."""
    told = " ".join(text for seed in range(5) for text in texts(tell(seed, "obras", {"date_range": span}, ["zumbi"])))
    assert set(re.findall(r"\b(\d{4})-\d\d-\d\d", told)) <= {"2023", "2024"}


def test_filters_nested_very_deep_do_no_harm() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert tell(1, "obras", {"deep": deep, "huge": 10**5000}, DEFAULT_TEAM)[-1].data["status"] == "completed"


def test_aliases_are_agents_and_unknown_names_are_refused() -> None:
    assert tell(1, "obras", {}, ["Lina", "bo-bardi"]) == tell(1, "obras", {}, ["bo_bardi"])
    assert tell(1, "obras", {}, []) == tell(1, "obras", {}, DEFAULT_TEAM)
    with pytest.raises(ValueError, match="no such agent"):
        tell(1, "obras", {}, ["zumbi", "ninguém"])


def test_the_report_sums_up_what_was_found() -> None:
    steps = tell(5, "obras", {}, DEFAULT_TEAM)
    *others, report = of(steps, "agent_analysis")
    found = {finding["pattern"]: finding for data in others for finding in data["findings"]}
    assert report["analysis_type"] == "report_summary"
    assert {entry["pattern"] for entry in report["findings"]} <= set(found)
    for entry in report["findings"]:
        assert entry["confidence"] == found[entry["pattern"]]["confidence"]
        assert entry["evidence"]["recommendation"] in entry["description"]
    assert steps[-1].data["summary"]["findings"] == sum(len(data["findings"]) for data in others)


def test_the_kinds_are_those_of_the_agents() -> None:
    """AGENTS.md, the table of findings: what each kind carries."""
    carried = {
        "price_anomaly": {"contract_value", "mean_value", "std_deviation", "z_score"},
        "vendor_concentration": {"concentration_percentage", "total_value", "contract_count"},
        "temporal_patterns": {"period", "contract_count", "mean_count", "z_score"},
        "duplicate_contracts": {"similarity_score", "contracts"},
        "payment_patterns": {"initial_value", "final_value", "discrepancy_ratio"},
        **{kind: {"significance", "trend_direction", "insights"} for kind in ANOMALIES["anita"]},
        **{kind: {"entities", "documents"} for kind in FRAUDS["oxossi"]},
        **{kind: {"test_statistic", "network"} for kind in FRAUDS["obaluaie"]},
        # The distribution of digits has no network.
        "benford_law": {"test_statistic"},
    }
    assert set(carried) == {kind for agent in ("zumbi", "anita", "oxossi", "obaluaie") for kind in KINDS[agent]}
    assert set(KINDS) == set(AGENTS) - {"tiradentes"}
    seen: dict[str, dict[str, Any]] = {}
    for seed in range(150):
        seen |= {finding["pattern"]: finding for finding in findings(tell(seed, "obras", {}, sorted(KINDS)))}
    assert set(seen) == {kind for kinds in KINDS.values() for kind in kinds}
    for kind, keys in carried.items():
        assert keys <= set(seen[kind]["evidence"])


@given(seeds, queries, values)
def test_the_evidence_adds_up(seed: int, query: str, least: float) -> None:
    for finding in findings(tell(seed, query, {"min_value": least}, ["zumbi"])):
        evidence = finding["evidence"]
        if finding["pattern"] == "price_anomaly":
            above = (evidence["contract_value"] - evidence["mean_value"]) / evidence["std_deviation"]
            assert evidence["z_score"] == pytest.approx(above, abs=0.01)
        if finding["pattern"] == "payment_patterns":
            growth = evidence["final_value"] / evidence["initial_value"] - 1
            assert evidence["discrepancy_ratio"] == pytest.approx(growth, abs=0.001)
            assert growth > 0.25
        if finding["pattern"] == "duplicate_contracts":
            one, other = evidence["contracts"]
            assert one["number"] != other["number"]
            assert one["cnpj"] == other["cnpj"]


def test_portuguese_numbers_dates_and_lists() -> None:
    assert reais(1234567.5) == "R$ 1.234.567,50"
    assert percent(37.46) == "37,5%"
    assert between(date(2024, 1, 2), date(2024, 3, 4)) == "entre 02/01/2024 e 04/03/2024"
    assert between(date(2024, 1, 2), date(2024, 1, 2)) == "em 02/01/2024"
    assert [listed(list("abc")[:length]) for length in (1, 2, 3)] == ["a", "a e b", "a, b e c"]
    assert (count(1, "mês", "meses"), count(2000, "mês", "meses")) == ("1 mês", "2.000 meses")
    assert words_of("Licitação de T.I. nº 7") == ["licitacao", "de", "t", "i", "no", "7"]
