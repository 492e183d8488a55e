"""Scenarios as they are told: what each key changes, and what no scenario can break."""

import os
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidadao_rt.memory.investigations import Investigations
from cidadao_rt.memory.log import Draft
from cidadao_rt.motion.agents.findings import KINDS
from cidadao_rt.motion.agents.library import Library, packaged
from cidadao_rt.motion.agents.simulator import Happening, Simulator
from cidadao_rt.motion.agents.story import Step, tell
from cidadao_rt.words.agents import AGENTS, DEFAULT_TEAM
from cidadao_rt.words.errors import ErrorCode, Refusal
from cidadao_rt.words.events import FINAL, STAGE_WEIGHTS
from cidadao_rt.words.messages import convert
from cidadao_rt.words.patterns import LABELS
from cidadao_rt.words.payloads import EVENT_BYTES, PAYLOADS
from cidadao_rt.words.scenario import (
    Ending,
    Failure,
    Finding,
    Findings,
    Notice,
    Scenario,
    Stage,
    Stages,
    Timing,
)
from cidadao_rt.words.scenario_file import ScenarioError, parse

NAMES = ["cancelada", "falha_de_agente", "lento", "muitas_descobertas", "padrao", "rapido"]

fractions = st.floats(0, 1)
moments = st.none() | fractions | st.sampled_from(sorted(STAGE_WEIGHTS))
texts = st.text(min_size=1, max_size=30) | st.just("{theme} {x} {")
agents = st.sampled_from(sorted(AGENTS))
teams = st.lists(agents, min_size=1, max_size=20)


def ordered(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.tuples(values, values).map(lambda pair: tuple(sorted(pair)))


stages = st.builds(
    Stage,
    share=st.none() | st.floats(0.01, 1000),
    messages=st.none() | st.lists(texts, min_size=1, max_size=8).map(tuple),
)
scenarios = st.builds(
    Scenario,
    timing=st.builds(Timing, seconds=st.none() | ordered(st.floats(0.001, 100))),
    stages=st.builds(Stages, **dict.fromkeys(STAGE_WEIGHTS, stages)),
    findings=st.builds(
        Findings,
        count=st.none() | ordered(st.integers(0, 12)),
        confidence=st.none() | ordered(fractions),
        patterns=st.none() | st.lists(st.sampled_from(sorted(LABELS)), min_size=1, max_size=9).map(tuple),
    ),
    finding=st.lists(
        st.builds(Finding, agent=agents, pattern=st.sampled_from(sorted(LABELS)), description=texts), max_size=4
    ).map(tuple),
    failure=st.lists(
        st.builds(
            Failure,
            agent=st.none() | agents,
            at=moments,
            message=st.none() | texts,
            effect=st.sampled_from(["skip", "fail"]),
        ),
        max_size=4,
    ).map(tuple),
    notification=st.lists(
        st.builds(Notice, at=moments.filter(lambda at: at is not None), title=texts, message=texts), max_size=3
    ).map(tuple),
    ending=st.builds(Ending, message=st.none() | texts)
    | st.builds(Ending, status=st.sampled_from(["failed", "cancelled"]), at=moments),
)


def of(steps: list[Step], type_: str) -> list[dict[str, Any]]:
    return [step.data for step in steps if step.type == type_]


def told(text: str, team: tuple[str, ...] = DEFAULT_TEAM, seed: int = 5, **filters: Any) -> list[Step]:
    return tell(seed, "merenda", filters, team, parse(text.encode(), "meu.toml"))


@given(scenarios, teams, st.integers(0, 2**32), st.booleans())
def test_no_scenario_breaks_a_rule(scenario: Scenario, team: list[str], seed: int, hopeless: bool) -> None:
    """Every step is what a publisher may publish, in an order that the gateway takes, and the last one is the end."""
    filters = {"min_value": 10**13} if hopeless else {}
    steps = tell(seed, "obras", filters, team, scenario)
    assert tell(seed, "obras", filters, team, scenario) == steps
    investigations = Investigations()
    stages = dict.fromkeys(STAGE_WEIGHTS, 0)
    started = {"status": "started", "progress": 0}
    investigations.apply(Draft("investigation:i", "ana", "investigation_update", started), 0.0)
    for step in steps:
        assert step.after >= 0
        assert step.data["simulated"] is True
        written = orjson.dumps(step.data)
        assert len(written) < EVENT_BYTES
        assert orjson.loads(written) == step.data
        convert(step.data, PAYLOADS[step.type])
        if step.type == "progress_update":
            now = step.data["stages"]
            # In order: no stage is ahead of the one before it, none goes back, and the whole is their weighted sum.
            assert sorted(now.values(), reverse=True) == list(now.values())
            assert step.data["overall_progress"] == sum(STAGE_WEIGHTS[name] * now[name] for name in now) // 100
            assert all(now[name] >= stages[name] for name in now)
            stages = now
        draft = Draft("investigation:i", "ana", step.type, step.data)
        investigations.check(draft)
        investigations.apply(draft, 0.0)
    updates = of(steps, "investigation_update")
    assert [data["status"] in FINAL for data in updates] == [False] * (len(updates) - 1) + [True]
    assert steps[-1].type == "investigation_update"
    analysed = [data["agent"] for data in of(steps, "agent_analysis")]
    assert len(set(analysed)) == len(analysed)
    if updates[-1]["status"] == "completed":
        assert updates[-1]["progress"] == 100
        assert set(analysed) == set(team)
    if scenario.timing.seconds is not None:
        values = scenario.timing.seconds
        least, most = values if isinstance(values, tuple) else (values, values)
        assert least - 0.001 <= sum(step.after for step in steps) <= most + 0.001


# What comes with the package


def test_these_come_with_the_package() -> None:
    assert sorted(packaged()) == NAMES
    assert all(scenario.description for scenario in packaged().values())


@given(st.integers(0, 2**32), teams)
def test_padrao_is_the_usual_story(seed: int, team: list[str]) -> None:
    assert tell(seed, "merenda", {}, team, packaged()["padrao"]) == tell(seed, "merenda", {}, team)


@given(st.integers(0, 2**32), teams)
def test_each_packaged_scenario_is_what_it_is_called(seed: int, team: list[str]) -> None:
    stories = {name: tell(seed, "merenda", {}, team, scenario) for name, scenario in packaged().items()}
    assert 0.4 <= sum(step.after for step in stories["rapido"]) < 1
    assert sum(step.after for step in stories["lento"]) >= 30
    failed = [data for data in of(stories["falha_de_agente"], "agent_analysis") if data["status"] == "failed"]
    assert [data["findings"] for data in failed] == [[]]
    assert [data["level"] for data in of(stories["falha_de_agente"], "notification")].count("warning") >= 1
    assert stories["falha_de_agente"][-1].data["status"] == "completed"
    for data in of(stories["muitas_descobertas"], "agent_analysis"):
        assert 6 <= len(data["findings"]) <= 10 or data["agent"] == "tiradentes"
    last = stories["cancelada"][-1].data
    assert last["status"] == "cancelled"
    assert 0 < last["progress"] < 100


# What each key changes


def test_the_scenarios_team_works_where_nobody_is_named() -> None:
    text = 'agents = ["lina", "oxossi"]'
    assert [data["agent"] for data in of(told(text, ()), "agent_analysis")] == ["oxossi", "bo_bardi"]
    assert [data["agent"] for data in of(told(text, ("zumbi",)), "agent_analysis")] == ["zumbi"]


def test_a_seed_of_its_own_wins() -> None:
    assert told("seed = 9", seed=1) == told("seed = 9", seed=2) == told("", seed=9)


def test_seconds_are_the_whole_time_also_of_what_breaks_off() -> None:
    for ending in ("", '[ending]\nstatus = "failed"\nat = 0.1'):
        assert sum(step.after for step in told(f"timing.seconds = 12.5\n{ending}")) == pytest.approx(12.5)


def test_shares_are_the_stages_part_of_the_time() -> None:
    def begins(text: str) -> list[float]:
        """When each of three agents, of three stages, begins: as a part of the whole."""
        steps = told(text)
        now, seen = 0.0, []
        for step in steps:
            now += step.after
            if step.type == "investigation_update":
                seen.append(now)
        return [at / seen[-1] for at in seen]

    text = "[stages]\n" + "\n".join(
        f"{stage}.share = {share}" for stage, share in zip(STAGE_WEIGHTS, (10, 60, 20, 10), strict=True)
    )
    assert begins(text)[:4] == pytest.approx([0.0, 0.1, 0.7, 0.9], abs=0.1)
    assert begins("")[:4] == pytest.approx([0.0, 0.22, 0.5, 0.78], abs=0.1)


def test_messages_are_told_in_order_and_dealt_out_over_the_agents() -> None:
    text = '[stages.pattern_analysis]\nmessages = ["1 {theme}", "2 {x}", "3"]'
    said = [
        (data["current_agent"], data["message"])
        for data in of(told(text, ("machado", "anita", "zumbi")), "investigation_update")
    ]
    assert said[2:5] == [("machado", "1 merenda escolar"), ("anita", "2 {x}"), ("anita", "3")]
    fewer = told('[stages.pattern_analysis]\nmessages = ["só"]', ("machado", "anita"))
    assert [data["message"] for data in of(fewer, "investigation_update")][2:4] == ["só", "só"]


def test_findings_keep_to_count_confidence_and_patterns() -> None:
    text = '[findings]\ncount = 4\nconfidence = [0.2, 0.3]\npatterns = ["price_anomaly", "bid_rigging"]'
    found = {data["agent"]: data["findings"] for data in of(told(text, ("zumbi", "oxossi", "anita")), "agent_analysis")}
    assert [finding["pattern"] for finding in found["zumbi"]] == ["price_anomaly"] * 4
    assert {finding["pattern"] for finding in found["oxossi"]} <= {"price_anomaly", "bid_rigging"}
    assert all(0.2 <= finding["confidence"] <= 0.3 for findings in found.values() for finding in findings)
    # Who knows none of these patterns finds nothing.
    assert not {"price_anomaly", "bid_rigging"} & set(KINDS["anita"])
    assert found["anita"] == []


def test_more_findings_than_there_are_patterns_have_each_pattern_again() -> None:
    (data,) = of(told("findings.count = 12", ("zumbi",)), "agent_analysis")
    assert len(data["findings"]) == 12
    assert {finding["pattern"] for finding in data["findings"]} == set(KINDS["zumbi"])


def test_a_finding_of_its_own_is_told_also_where_nothing_else_can_be_found() -> None:
    text = """
    [[finding]]
    agent = "zumbi"
    pattern = "nepotism_detection"
    description = "Três contratos com a mesma família."
    confidence = 0.9
    evidence_count = 3
    evidence = { family = "Fictícia" }
    """
    steps = told(text, ("zumbi", "anita"), min_value=10**13)
    assert [data["findings"] for data in of(steps, "agent_analysis")] == [
        [
            {
                "pattern": "nepotism_detection",
                "confidence": 0.9,
                "evidence_count": 3,
                "severity": "high",
                "description": "Três contratos com a mesma família.",
                "evidence": {"family": "Fictícia"},
                "suppliers": [],
            }
        ],
        [],
    ]
    assert of(steps, "notification")[0]["message"] == "Três contratos com a mesma família."
    assert steps[-1].data["summary"]["findings"] == 1
    first = of(told(text, ("zumbi",)), "agent_analysis")[0]["findings"]
    assert [finding["pattern"] for finding in first].count("nepotism_detection") == 1
    assert len(first) > 1


def test_an_agent_that_fails_is_told_and_the_others_go_on() -> None:
    steps = told('[[failure]]\nagent = "anita"\nmessage = "Sem resposta."')
    analyses = {data["agent"]: data for data in of(steps, "agent_analysis")}
    assert (analyses["anita"]["status"], analyses["anita"]["findings"]) == ("failed", [])
    assert analyses["tiradentes"]["status"] == "completed"
    assert {"level": "warning", "title": "Anita Garibaldi: falha do agente", "message": "Sem resposta."} in [
        {key: data[key] for key in ("level", "title", "message")} for data in of(steps, "notification")
    ]
    assert steps[-1].data["status"] == "completed"


def test_an_agent_that_is_not_on_the_team_does_not_fail() -> None:
    assert told('[[failure]]\nagent = "drummond"\neffect = "fail"') == told("")


def test_whoever_works_fails_where_no_agent_is_named() -> None:
    for at, agent in (("0.0", "zumbi"), ('"pattern_analysis"', "anita"), ("1.0", "tiradentes")):
        failed = [data for data in of(told(f"[[failure]]\nat = {at}"), "agent_analysis") if data["status"] == "failed"]
        assert [data["agent"] for data in failed] == [agent]


def test_a_failure_may_end_the_investigation() -> None:
    steps = told('[[failure]]\nagent = "anita"\neffect = "fail"\nmessage = "Sem resposta."')
    assert [data["agent"] for data in of(steps, "agent_analysis")] == ["zumbi", "anita"]
    last = steps[-1].data
    assert (last["status"], last["current_agent"], last["message"]) == ("failed", "anita", "Sem resposta.")
    assert 0 < last["progress"] < 100
    assert steps[-2].data["level"] == "error"
    assert "summary" not in last


def test_the_first_of_several_ends_counts() -> None:
    text = (
        '[[failure]]\nagent = "tiradentes"\neffect = "fail"\n[ending]\nstatus = "cancelled"\nat = "anomaly_detection"'
    )
    assert told(text)[-1].data["status"] == "cancelled"
    assert told('[ending]\nstatus = "failed"\nat = 0')[-1].data["progress"] == 0
    late = told('[ending]\nstatus = "failed"')
    assert (late[-1].data["status"], late[-1].data["progress"]) == ("failed", 100)


def test_a_notification_is_told_at_its_moment() -> None:
    text = '[[notification]]\nat = 0\nlevel = "info"\ntitle = "t"\nmessage = "m"\n'
    first = next(step for step in told(text) if step.type == "notification")
    assert first.data == {"level": "info", "title": "t", "message": "m", "simulated": True}
    cut = told(text.replace("at = 0", "at = 0.9") + '[ending]\nstatus = "failed"\nat = 0.1')
    assert [data["title"] for data in of(cut, "notification")] == ["Investigação interrompida"]


def place(steps: list[Step], type_: str, **data: Any) -> int:
    """Which step is the first of this type whose data has these values."""
    return next(
        number
        for number, step in enumerate(steps)
        if step.type == type_ and all(step.data.get(key) == value for key, value in data.items())
    )


def test_an_agent_fails_in_its_own_turn_and_then_says_nothing() -> None:
    text = '[stages.pattern_analysis]\nmessages = ["1", "2", "3"]\n[[failure]]\nagent = "anita"\nat = {at}'
    for at, said in (("0.0", 1), ("1.0", 3)):
        steps = told(text.format(at=at))
        failed = place(steps, "agent_analysis", agent="anita", status="failed")
        assert place(steps, "investigation_update", current_agent="anita") < failed
        assert failed < place(steps, "investigation_update", current_agent="tiradentes")
        assert [data["current_agent"] for data in of(steps, "investigation_update")].count("anita") == said


def test_a_moment_is_a_part_of_the_time_whatever_the_shares() -> None:
    text = "timing.seconds = 10\nstages.report_generation.share = 900\n"
    steps = told(text + '[[notification]]\nat = 0.5\ntitle = "t"\nmessage = "m"')
    now = place(steps, "notification", title="t")
    assert sum(step.after for step in steps[: now + 1]) == pytest.approx(5, abs=0.5)


def test_the_end_says_what_it_is_told_to() -> None:
    assert told('[ending]\nmessage = "Fim."')[-1].data["message"] == "Fim."


# The library


def folder(path: Path, **files: str) -> str:
    for name, text in files.items():
        (path / f"{name}.toml").write_text(text)
    return str(path)


def test_a_folders_scenarios_are_beside_the_packages_and_win_over_them(tmp_path: Path) -> None:
    (tmp_path / "Not-A-Name.toml").write_text("nonsense")
    (tmp_path / "notes.txt").write_text("nonsense")
    library = Library("meu", folder(tmp_path, meu="seed = 1", padrao="seed = 2"))
    assert library.names() == sorted([*NAMES, "meu"])
    assert library.choose({}).scenario.seed == 1
    assert library.choose({"scenario": None}).scenario.seed == 1
    assert library.choose({"scenario": "padrao"}).scenario.seed == 2


def test_a_path_is_for_the_configuration_alone(tmp_path: Path) -> None:
    folder(tmp_path, meu="seed = 3")
    library = Library(str(tmp_path / "meu.toml"))
    assert library.choose({}).scenario.seed == 3
    for name in (str(tmp_path / "meu.toml"), "meu", "../padrao", "padrao.toml", "PADRAO", "", 1, ["padrao"], {}, True):
        with pytest.raises(Refusal) as raised:
            library.choose({"scenario": name})
        assert raised.value.code is ErrorCode.INVALID_REQUEST
        assert raised.value.details == {"field": "filters.scenario", "required": False, "known": NAMES}


def test_what_cannot_be_played_is_an_error_that_names_setting_file_line_and_key(tmp_path: Path) -> None:
    path = folder(tmp_path, bad="\nsed = 1")
    os.mkfifo(tmp_path / "pipe.toml")
    for chosen, where, told_ in (
        ("none", "", f'agents.scenario: must be a path ending in ".toml", or one of {", ".join(NAMES)}'),
        (f"{path}/bad.toml", "", f"agents.scenario: {path}/bad.toml line 2: sed: unknown key; did you mean seed?"),
        (f"{path}/no.toml", "", f"agents.scenario: {path}/no.toml: cannot be read: not a file"),
        (f"{path}/pipe.toml", "", f"agents.scenario: {path}/pipe.toml: cannot be read: not a file"),
        ("padrao", path, f"agents.scenarios_path: {path}/bad.toml line 2: sed: unknown key; did you mean seed?"),
        ("padrao", f"{path}/no", f"agents.scenarios_path: {path}/no: cannot be read: no such file or directory"),
    ):
        with pytest.raises(ScenarioError) as raised:
            Library(chosen, where)
        assert str(raised.value) == told_


def rewrite(path: Path, text: str) -> None:
    """Change a file so that its time is another, however coarse the clock of the file system is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_in_development_a_changed_file_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "meu.toml"
    rewrite(path, "seed = 1")
    library = Library(str(path), str(tmp_path), watches=True)
    rewrite(path, "seed = 2")
    rewrite(tmp_path / "outro.toml", "seed = 3")
    assert library.choose({}).scenario.seed == 2
    assert library.choose({"scenario": "outro"}).scenario.seed == 3
    rewrite(path, "seed = 2\nsed = 3")
    caplog.clear()
    for _ in range(3):
        choice = library.choose({})
        assert (choice.scenario.seed, choice.fault) == (2, f"{path} line 2: sed: unknown key; did you mean seed?")
    # Once for each of the two names that this file has here: as the chosen one and as one of the folder's.
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    path.unlink()
    assert library.choose({}).fault == f"{path}: cannot be read: not a file"
    rewrite(path, "seed = 4")
    assert (library.choose({}).scenario.seed, library.choose({}).fault) == (4, None)
    caplog.clear()
    rewrite(tmp_path / "novo.toml", "x = 1")
    rewrite(tmp_path / "outro_novo.toml", "")
    for _ in range(3):
        assert library.choose({}).scenario.seed == 4
    assert {"novo", "outro_novo"} & set(library.names()) == {"outro_novo"}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    shutil.rmtree(tmp_path)
    assert library.choose({"scenario": "outro"}).scenario.seed == 3


def test_in_production_a_changed_file_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "meu.toml"
    rewrite(path, "seed = 1")
    library = Library("meu", str(tmp_path))
    rewrite(path, "nonsense")
    rewrite(tmp_path / "outro.toml", "seed = 3")
    assert library.choose({}).scenario.seed == 1
    with pytest.raises(Refusal):
        library.choose({"scenario": "outro"})


# The simulator


async def played(simulator: Simulator, **filters: Any) -> list[Happening]:
    return [happening async for happening in simulator.investigate("merenda", filters, DEFAULT_TEAM)]


async def test_which_scenario_it_is_makes_no_other_story() -> None:
    simulator = Simulator(0, 1e6, Library("padrao"))
    assert await played(simulator, scenario="padrao") == await played(simulator)


async def test_a_broken_file_is_told_of_before_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "meu.toml"
    rewrite(path, "seed = 1")
    simulator = Simulator(0, 1e6, Library(str(path), watches=True))
    good = await played(simulator)
    rewrite(path, "seed = ")
    warning, *others = await played(simulator)
    assert others == good
    assert (warning.type, warning.data["level"]) == ("notification", "warning")
    assert warning.data["message"].startswith(str(path))


async def test_a_recording_is_played_as_it_was_recorded(tmp_path: Path) -> None:
    data = {"investigation_id": "inv_1", "status": "completed", "progress": 100, "more": [1, {"a": None}]}
    path = tmp_path / "gravado.toml"
    written = orjson.dumps(data).decode()
    path.write_text(f"timing.speed = 2\n[[event]]\nafter = 1\ntype = 'investigation_update'\ndata = '{written}'")
    del data["investigation_id"]
    simulator = Simulator(0, 1e6, Library(str(path)))
    assert await played(simulator) == [Happening("investigation_update", data)]


async def test_a_chat_may_fail_after_some_pieces(tmp_path: Path) -> None:
    path = tmp_path / "mudo.toml"
    path.write_text("[chat]\nerror_after = 2\ndelay_seconds = 5")
    pieces = []
    with pytest.raises(Refusal) as raised:
        async for piece in Simulator(0, 1e6, Library(str(path))).answer("drummond", "Olá, tudo bem?", None):
            pieces.append(piece)
    assert raised.value.code is ErrorCode.AGENT_UNAVAILABLE
    assert len(pieces) == 2
