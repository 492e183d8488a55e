"""Scenario files: what they may say, and what is told of those that are wrong."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from cidadao_rt.words.events import STAGE_WEIGHTS
from cidadao_rt.words.positions import line_of, lines
from cidadao_rt.words.recording import Event
from cidadao_rt.words.scenario import EVENTS, Chat, Ending, Failure, Finding, Scenario, StageName, span
from cidadao_rt.words.scenario_file import EVIDENCE_BYTES, FILE_BYTES, ScenarioError, parse


def read(text: str) -> Scenario:
    return parse(text.encode(), "meu.toml")


def refused(text: str) -> str:
    """What is told of a file, without its name."""
    with pytest.raises(ScenarioError) as raised:
        read(text)
    assert str(raised.value).startswith("meu.toml")
    return str(raised.value).removeprefix("meu.toml").removeprefix(" ")


def recorded(*events: tuple[str, dict[str, Any]], **keys: Any) -> str:
    """A recording of events, half a second apart; all have the `keys`."""
    text = ""
    for type_, data in events:
        written = json.dumps({"investigation_id": "inv_1", **data})
        text += f"[[event]]\nafter = 0.5\ntype = '{type_}'\ndata = '''{written}'''\n"
        text += "".join(f"{key} = '{value}'\n" for key, value in keys.items())
    return text


def update(progress: int, status: str = "processing", **more: Any) -> tuple[str, dict[str, Any]]:
    return "investigation_update", {"status": status, "progress": progress, **more}


def advance(overall: int, *stages: int) -> tuple[str, dict[str, Any]]:
    return "progress_update", {"overall_progress": overall, "stages": dict(zip(STAGE_WEIGHTS, stages, strict=True))}


# What a file may say


def test_an_empty_file_is_the_usual_scenario() -> None:
    assert read("") == Scenario()


def test_the_stages_are_the_documents() -> None:
    assert get_args(StageName) == tuple(STAGE_WEIGHTS) == Scenario().stages.__struct_fields__


def test_everything_that_can_be_said_is_understood() -> None:
    scenario = read(
        """\ufeff
        description = "tudo"
        seed = 7
        agents = ["Zumbi", "quiteria", "zumbi", "maria-quiteria"]
        [timing]
        seconds = [2, 3.5]
        [stages.pattern_analysis]
        share = 3
        messages = ["{theme}", "b"]
        [findings]
        count = [2, 4]
        confidence = 0.5
        patterns = ["price_anomaly"]
        [[finding]]
        agent = "lina"
        pattern = "nepotism_detection"
        description = "Um achado."
        evidence = { day = 2024-01-02, least = -inf, list = [1, { a = "b" }] }
        [[failure]]
        agent = "OXOSSI"
        at = "anomaly_detection"
        effect = "fail"
        [[failure]]
        at = 1
        [[notification]]
        at = 0.25
        title = "t"
        message = "m"
        [ending]
        status = "failed"
        at = "report_generation"
        [chat]
        delay_seconds = 2
        error_after = 0
        """
    )
    assert scenario.agents == ("zumbi", "maria_quiteria")
    assert scenario.timing.seconds == (2.0, 3.5)
    assert scenario.stages.pattern_analysis.messages == ("{theme}", "b")
    assert (span(scenario.findings.count or 0), span(scenario.findings.confidence or 0)) == ((2, 4), (0.5, 0.5))
    evidence = {"day": "2024-01-02", "least": None, "list": [1, {"a": "b"}]}
    assert scenario.finding == (
        Finding(agent="bo_bardi", pattern="nepotism_detection", description="Um achado.", evidence=evidence),
    )
    assert scenario.failure == (Failure(agent="oxossi", at="anomaly_detection", effect="fail"), Failure(at=1.0))
    assert scenario.notification[0].level == "info"
    assert scenario.ending == Ending(status="failed", at="report_generation")
    assert scenario.chat == Chat(delay_seconds=2.0, error_after=0)


def keys(struct: Any, path: str = "") -> Iterator[str]:
    """Every key that a file may have; the four stages are alike and stand for one."""
    for name, hint in get_type_hints(struct).items():
        items = get_args(hint)[:1] if get_origin(hint) is tuple else (hint,)
        if isinstance(items[0], type) and issubclass(items[0], Struct):
            yield from keys(items[0], f"{path}.{name}".removeprefix("."))
        else:
            yield f"{path}.{name}".removeprefix(".")


def test_the_documents_examples_are_scenarios_and_show_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs/scenarios.md").read_text("utf-8")
    examples = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    shown = {re.sub(r"\[\d+\]", "", key) for example in examples for key in lines(example)}
    assert len([read(example) for example in examples]) == 2
    all_keys = {re.sub(r"^stages\.\w+", "stages.data_collection", key) for key in keys(Scenario)}
    assert all_keys <= shown


# What is told of faults


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sed = 1", "line 1: sed: unknown key; did you mean seed?"),
        ("zzzzzz = 1", "line 1: zzzzzz: unknown key"),
        ("\nseed = 1.5", "line 2: seed: Expected `int | null`, got `float`"),
        ("seed = true", "line 1: seed: Expected `int | null`, got `bool`"),
        ("agents = []", "line 1: agents: Expected `array` of length >= 1"),
        ('agents = [\n"zumbi",\n"zumbie"]', "line 1: agents: unknown agent; did you mean zumbi?"),
        ('agents = ["ninguém"]', "line 1: agents: unknown agent"),
        ("timing = 3", "line 1: timing: must be a table: [timing]"),
        ("[timing]\nspeed = 0", "line 2: timing.speed: Expected `float` > 0.0"),
        ("[timing]\n\nseconds = [1]", "line 3: timing.seconds: Expected `array` of length >= 2"),
        ("[timing]\nseconds = [2, '3']", "line 2: timing.seconds: Expected `float`, got `str`"),
        ("[timing]\nseconds = [3, 2]", "line 2: timing.seconds: must be in order: [least, most]"),
        ("timing.seconds = nan", "line 1: timing.seconds: Expected `float` > 0.0"),
        (
            "[timing]\nspeed = 2\nseconds = 3",
            "line 2: timing.speed: does not go with timing.seconds: one of them says how long it takes",
        ),
        ("[stages.reporting]\n", "line 1: stages.reporting: unknown key"),
        ("[stages]\npattern_analysis.share = 0", "line 2: stages.pattern_analysis.share: Expected `float` >= 0.01"),
        ("[findings]\ncount = 13", "line 2: findings.count: Expected `int` <= 12"),
        ("[findings]\ncount = [2, 1]", "line 2: findings.count: must be in order: [least, most]"),
        ("[findings]\nconfidence = [1, 0]", "line 2: findings.confidence: must be in order: [least, most]"),
        (
            "[findings]\npatterns = ['price_anomaly', 'prize_anomaly']",
            "line 2: findings.patterns: unknown pattern; did you mean price_anomaly?",
        ),
        ("finding = 1", "line 1: finding: must be tables: [[finding]]"),
        ("finding = [1]", "line 1: finding: must be tables: [[finding]]"),
        (
            "\n[[finding]]\nagent = 'anita'\npattern = 'x'",
            "line 2: finding[0]: needs the key description",
        ),
        (
            "[[finding]]\nagent = 'xxxx'\npattern = 'qqq'\ndescription = 'd'",
            "line 2: finding[0].agent: unknown agent; line 3: finding[0].pattern: unknown pattern",
        ),
        (
            "[[failure]]\n[[failure]]\nat = 'reporting'",
            "line 3: failure[1].at: must be one of "
            '"data_collection", "anomaly_detection", "pattern_analysis", "report_generation"',
        ),
        ("[[failure]]\nagent = 'x'", "line 2: failure[0].agent: unknown agent"),
        ("[[failure]]\nat = 1.1", "line 2: failure[0].at: Expected `float` <= 1.0"),
        ("[[failure]]\neffect = 'explode'", 'line 2: failure[0].effect: must be one of "skip", "fail"'),
        ("failure = [{at = 0}, {at = 2}]", "line 1: failure[1].at: Expected `float` <= 1.0"),
        ("[ending]\nat = 0.5", 'line 2: ending.at: goes with the status "failed" or "cancelled" only'),
        ("[chat]\nerror_after = -1", "line 2: chat.error_after: Expected `int` >= 0"),
        ("investigation = 'inv_1'", "line 1: investigation: goes with [[event]] only"),
    ],
)
def test_a_fault_is_told_with_its_line_and_key(text: str, told: str) -> None:
    assert refused(text) == told


def test_of_many_faults_the_first_are_told_and_the_others_counted() -> None:
    told = refused("\n".join(f"[[failure]]\nat = {number}" for number in range(2, 10)))
    assert told.count("Expected") == 5
    assert told.startswith("line 2: failure[0].at: ")
    assert told.endswith("; and 3 more")


def test_too_many_of_a_kind_are_refused() -> None:
    assert refused("[[failure]]\n" * 21) == "line 1: failure: must be at most 20"
    assert refused("[[event]]\n" * (EVENTS + 1)) == f"line 1: event: must be at most {EVENTS}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"\xff", ": is not UTF-8"),
        (b"a = 1\nb = ", ": is not TOML: Invalid value (at end of document)"),
        (b"a = " + b"9" * 5000, ": is not TOML to be read: a number too long, or nested too deep"),
        (b"#" * (FILE_BYTES + 1), f": longer than {FILE_BYTES} bytes"),
    ],
)
def test_what_is_no_toml_is_refused(text: bytes, told: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        parse(text, "meu.toml")
    assert str(raised.value) == f"meu.toml{told}"


FINDING = "[[finding]]\nagent = '{agent}'\npattern = 'price_anomaly'\ndescription = 'd'\n[finding.evidence]\n"


@pytest.mark.parametrize("evidence", ["a = 10000000000000000000000", "a = " + "[" * 17 + "]" * 17])
def test_evidence_is_what_json_can_say(evidence: str) -> None:
    told = refused(FINDING.format(agent="zumbi") + evidence)
    assert told == "line 5: finding[0].evidence: must be plain values that JSON has, nested at most 16 levels"


def test_the_findings_of_one_agent_fit_into_one_event() -> None:
    half = f"text = '{'x' * (EVIDENCE_BYTES // 2)}'\n"
    own, other = FINDING.format(agent="lina") + half, FINDING.format(agent="zumbi") + half
    assert len(read(own + other).finding) == 2
    told = refused(own + other + own.replace("lina", "bo_bardi") + own)
    assert told == f"line 13: finding[2]: findings of one agent must have at most {EVIDENCE_BYTES} bytes in all"


# Recordings


def test_a_recording_is_what_came_without_its_investigation() -> None:
    scenario = read(recorded(update(0, "started"), update(5, message="a"), update(100, "completed")))
    assert scenario.event == (
        Event(type="investigation_update", data='{"status":"processing","progress":5,"message":"a"}', after=0.5),
        Event(type="investigation_update", data='{"status":"completed","progress":100}', after=0.5),
    )


def test_what_is_not_played_leaves_its_pause_behind() -> None:
    text = recorded(
        update(0, investigation_id="inv_2"),
        ("connection_established", {}),
        ("pong", {}),
        ("agent_chat", {"investigation_id": "inv_0"}),
        ("Not A Type", {}),
        update(1),
        ("notification", {"investigation_id": None}),
        ("custom_type", {"any": [1]}),
        update(2),
    )
    chosen = read("investigation = 'inv_1'\n" + text).event
    assert [(event.type, event.after) for event in chosen] == [
        ("investigation_update", 3.0),
        ("custom_type", 1.0),
        ("investigation_update", 0.5),
    ]
    first = read(text).event
    assert [json.loads(event.data)["progress"] for event in first] == [0]


def test_the_time_begins_with_started() -> None:
    scenario = read(recorded(("pong", {}), update(0, "started"), ("pong", {}), update(1)))
    assert [event.after for event in scenario.event] == [1.0]


def test_a_file_without_any_investigation_is_played_whole() -> None:
    text = '[[event]]\ntype = \'notification\'\ndata = \'{"level": "info", "title": "t", "message": "m"}\''
    assert [event.type for event in read(text).event] == ["notification"]


def test_with_cursors_only_what_has_one_is_played_and_once() -> None:
    text = recorded(update(1), id="e-1") + recorded(update(9)) + recorded(update(1), id="e-1")
    text += recorded(update(2), id="e-2")
    assert [event.id for event in read(text).event] == ["e-1", "e-2"]
    assert [event.after for event in read(text).event] == [0.5, 1.5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (recorded(update(5), update(4)), "line 8: event[1].data: progress must not go back from 5 to 4"),
        (
            recorded(update(5), advance(4, 9, 0, 0, 0)),
            "line 8: event[1].data: progress must not go back from 5 to 4",
        ),
        (
            recorded(advance(4, 9, 0, 0, 0), advance(4, 8, 3, 0, 0)),
            "line 8: event[1].data: progress of data_collection must not go back from 9 to 8",
        ),
        (
            recorded(update(5, "failed"), ("custom", {})),
            "line 8: event[1].data: comes after the final status",
        ),
        (recorded(update(101)), "line 4: event[0].data: Invalid field: progress: Expected `int` <= 100"),
        (
            recorded(("custom", {"a": json.loads("[" * 17 + "]" * 17)})),
            "line 4: event[0].data: Invalid field: data is nested",
        ),
        (
            recorded(("notification", {"level": "info", "title": "t"})),
            "line 4: event[0].data: Missing required field: message",
        ),
        ("[[event]]\ntype = 'x'\ndata = '{'", "line 3: event[0].data: must be JSON"),
        ("[[event]]\ntype = 'x'\ndata = '[]'", "line 3: event[0].data: must be a JSON object"),
        (recorded(("x", {"a": "x" * 65536})), "line 4: event[0].data: must have at most 65536 bytes"),
        ("[[event]]\ntype = 'x'", "line 1: event[0]: needs the key data"),
        ("[[event]]\ntype = 'x'\ndata = '{}'\nafter = -1", "line 4: event[0].after: Expected `float` >= 0.0"),
        (recorded(("pong", {})), "line 1: event: has no event that can be played"),
        (
            "investigation = 'inv_9'\n" + recorded(update(1)),
            "line 1: investigation: has no event that can be played",
        ),
        ("seed = 1\n" + recorded(update(1)), "line 1: seed: does not go with [[event]]: a recording tells the whole"),
        (
            "timing.seconds = 1\n" + recorded(update(1)),
            "line 1: timing.seconds: does not go with [[event]]: a recording has its own time; use timing.speed",
        ),
    ],
)
def test_a_recording_that_breaks_a_rule_is_refused_with_the_line(text: str, told: str) -> None:
    assert refused(text).startswith(told)


# Where keys stand


def test_positions_are_not_misled() -> None:
    found = lines(
        '# [no]\r\na = """\n[no]\n\\""" b = 1 """""\n'
        "c = '''\n'[no]'\n'''''\n"
        'd = [ # ]\n  [1, {x = "]"}],\n]\n'
        "[\"e\".'f g']\nh.\"i\" = '#'\n"
        "[[k]]\n[k.l]\nm = 1\n[[k.n]]\n[[k]]\n[[k.n]]\n[[k.n]]\no = 1"
    )
    assert found == {
        "a": 2, "c": 5, "d": 8, "e": 11, "e.f g": 11, "e.f g.h": 12, "e.f g.h.i": 12,
        "k": 13, "k[0]": 13, "k[0].l": 14, "k[0].l.m": 15, "k[0].n": 16, "k[0].n[0]": 16,
        "k[1]": 17, "k[1].n": 18, "k[1].n[0]": 18, "k[1].n[1]": 19, "k[1].n[1].o": 20,
    }  # fmt: skip


def test_the_nearest_line_is_taken() -> None:
    found = {"a": 3, "a[1].b": 9}
    assert [line_of(found, key) for key in ("a[1].b.c[0]", "a[0].x", "a.b", "x[1].y", "")] == [9, 3, 3, 1, 1]


@given(st.text(max_size=80), st.text(max_size=20))
def test_any_text_is_a_scenario_or_an_error_of_a_line(text: str, key: str) -> None:
    """Whatever a file holds, reading it ends in a scenario or in the one error."""
    for whole in (text, f"[[failure]]\n{key} = 1", f'description = """{text}"""'):
        with contextlib.suppress(ScenarioError):
            assert isinstance(parse(whole.encode("utf-8", "surrogatepass"), "meu.toml"), Scenario)
