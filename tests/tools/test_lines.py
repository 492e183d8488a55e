"""Events as lines: what a person reads, and nothing that a terminal obeys."""

import json

import pytest

from cidadao_rt.client import Event
from cidadao_rt.tools.lines import as_json, as_lines, safe

HOSTILE = "\x1b]0;dono\x07\x1b[2J\x9b31m\x7f\u202eodnocse\u2028\r\nfim"


def plain(type_: str, id_: str | None = "e-1", **data: object) -> list[str]:
    return as_lines(Event(type_, data, id_, "2024-03-12T12:00:00Z"), coloured=False)


def test_an_update_has_its_investigation_status_agent_progress_and_message() -> None:
    (line,) = plain(
        "investigation_update",
        investigation_id="inv_4f1c2a9b77",
        status="processing",
        current_agent="zumbi",
        progress=65,
        message="Lendo contratos...",
    )
    assert line[2] == line[5] == ":"
    assert line[9:] == "4f1c2a9b investigação zumbi      [██████░░░░]  65% em andamento · Lendo contratos..."


def test_a_snapshot_is_told_from_an_event() -> None:
    (line,) = plain("investigation_update", None, investigation_id="inv_4", status="completed", progress=100)
    assert "(situação) concluída" in line


def test_progress_names_the_stages_that_have_begun() -> None:
    (line,) = plain("progress_update", overall_progress=9, stages={"data_collection": 36, "anomaly_detection": 0})
    assert line.endswith("9% coleta 36%")


def test_findings_are_listed_below_and_bounded() -> None:
    finding = {"pattern": "price_anomaly", "confidence": 0.92, "evidence_count": 3, "description": "Dobrou."}
    line, first, *_, last = plain("agent_analysis", agent="zumbi", status="completed", findings=[finding] * 60)
    assert "análise" in line
    assert first.strip() == "• preço fora do padrão · 92% · 3 evidência(s) · Dobrou."
    assert last.strip() == "… e mais 10"


def test_a_lost_place_is_said_and_a_custom_type_shows_its_data() -> None:
    assert "eventos podem ter se perdido" in plain("connection_established", recovered=False)[0]
    assert plain("minha_coisa", x=[1, "é"])[0].split(maxsplit=2)[1:] == ["minha_coisa", '{"x": [1, "é"]}']


@pytest.mark.parametrize("coloured", [False, True])
def test_no_control_character_of_an_event_gets_through(coloured: bool) -> None:
    data = {
        "investigation_id": HOSTILE,
        "status": HOSTILE,
        "message": HOSTILE,
        "title": HOSTILE,
        "agent": HOSTILE,
        "level": HOSTILE,
        "progress": HOSTILE,
        "stages": {HOSTILE: HOSTILE},
        "findings": [
            {"pattern": HOSTILE, "description": HOSTILE, "evidence_count": HOSTILE, "confidence": HOSTILE},
            HOSTILE,
        ],
        HOSTILE: HOSTILE,
    }
    types = ("investigation_update", "progress_update", "agent_analysis", "notification", "metrics_update", HOSTILE)
    for type_ in types:
        event = Event(type_, data, HOSTILE, HOSTILE, HOSTILE)
        for line in [*as_lines(event, coloured=coloured), as_json(event)]:
            bare = line
            if coloured and line.startswith("\x1b["):
                bare = line.partition("m")[2].removesuffix("\x1b[0m")
            assert bare.isprintable(), repr(bare)
        assert json.loads(as_json(event))["data"] == data


def test_json_keeps_letters_and_leaves_out_what_there_is_not() -> None:
    assert as_json(Event("aviso", {"a": "ação 🎉"})) == '{"type": "aviso", "data": {"a": "ação 🎉"}}'


def test_a_long_text_is_cut_and_says_so() -> None:
    assert safe("a" * 2003) == "a" * 2000 + "… (+3)"


def test_only_the_line_of_the_event_is_coloured_by_its_type() -> None:
    done = as_lines(Event("investigation_update", {"status": "failed"}), coloured=True)
    assert done[0].startswith("\x1b[31m")
    assert done[0].endswith("\x1b[0m")
    assert not as_lines(Event("minha", {}), coloured=True)[0].startswith("\x1b")
