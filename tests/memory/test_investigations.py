"""The state of investigations is a fold over their events, and what breaks their order is refused."""

from typing import Any

import pytest

from cidadao_rt.memory.investigations import FINDINGS, Investigation, Investigations
from cidadao_rt.memory.log import Draft
from cidadao_rt.words import events, topics
from cidadao_rt.words.errors import Refusal
from cidadao_rt.words.tokens import Principal

STAGES = {"data_collection": 10, "anomaly_detection": 0, "pattern_analysis": 0, "report_generation": 0}


def draft(type_: str, id_: str = "inv", owner: str = "ana", **data: Any) -> Draft:
    return Draft(topics.investigation(id_), owner, type_, data)


def update(id_: str = "inv", owner: str = "ana", **data: Any) -> Draft:
    return draft(events.INVESTIGATION_UPDATE, id_, owner, **data)


def put(all_: Investigations, one: Draft, now: float = 0.0) -> Investigation:
    all_.check(one)
    all_.apply(one, now)
    found = all_.get(topics.investigation_id(one.topic) or "")
    assert found is not None
    return found


def test_the_state_is_what_the_events_said() -> None:
    all_ = Investigations()
    put(all_, update(status="started", progress=0, query="q", agents=["zumbi"], simulated=True), 1.0)
    put(all_, draft(events.PROGRESS_UPDATE, overall_progress=7, stages=STAGES), 2.0)
    put(all_, draft(events.AGENT_ANALYSIS, findings=[{"pattern": "p"}] * (FINDINGS + 5)), 3.0)
    put(all_, draft(events.NOTIFICATION, level="info"), 4.0)
    found = put(all_, update(status="processing", progress=8, current_agent="anita", message="m"), 5.0)
    assert found.snapshot() == {
        "investigation_id": "inv",
        "status": "processing",
        "progress": 8,
        "current_agent": "anita",
        "message": "m",
        "query": "q",
        "agents": ["zumbi"],
        "stages": STAGES,
        "simulated": True,
    }
    assert (len(found.findings), found.started_at, found.updated_at, found.finished_at) == (FINDINGS, 1.0, 5.0, None)
    assert "simulated" not in put(all_, update("real", status="started")).snapshot()


def test_events_outside_an_investigation_are_no_state() -> None:
    all_ = Investigations()
    one = Draft(topics.EVERYONE, "", events.NOTIFICATION, {})
    all_.check(one)
    all_.apply(one, 0.0)
    assert len(all_) == all_.running == 0


@pytest.mark.parametrize(
    "bad",
    [
        update(owner="bia", progress=60),
        draft(events.NOTIFICATION, owner="bia"),
        update(progress=49),
        draft(events.PROGRESS_UPDATE, overall_progress=49),
        draft(events.PROGRESS_UPDATE, overall_progress=60, stages={"data_collection": 9}),
    ],
)
def test_what_breaks_the_order_is_a_conflict(bad: Draft) -> None:
    all_ = Investigations()
    put(all_, draft(events.PROGRESS_UPDATE, overall_progress=50, stages=STAGES))
    with pytest.raises(Refusal) as refused:
        all_.check(bad)
    assert refused.value.code == "CONFLICT"


def test_after_the_end_only_analyses_and_notifications_may_come() -> None:
    all_ = Investigations()
    put(all_, update(status="cancelled", progress=50))
    put(all_, draft(events.AGENT_ANALYSIS, findings=[]))
    for late in (update(status="processing", progress=60), draft(events.PROGRESS_UPDATE, overall_progress=60)):
        with pytest.raises(Refusal, match="ended"):
            all_.check(late)


def test_unknown_and_foreign_are_the_same_answer() -> None:
    all_ = Investigations()
    put(all_, update(status="started"))
    refusals = []
    for id_ in ("inv", "unknown"):
        with pytest.raises(Refusal) as refused:
            all_.seen_by(Principal("bia", 1e9), id_)
        refusals.append((refused.value.code, refused.value.message, refused.value.details))
    assert refusals[0] == refusals[1]
    assert all_.seen_by(Principal("ana", 1e9), "inv").id == "inv"
    assert all_.seen_by(Principal("bia", 1e9, investigations=frozenset({"inv"})), "inv").id == "inv"
    assert all_.seen_by(Principal("bia", 1e9, roles=frozenset({"service"})), "inv").id == "inv"


def test_lists_by_owner_and_by_whether_they_run() -> None:
    all_ = Investigations()
    for id_ in ("a", "b", "c"):
        put(all_, update(id_, status="started"))
    put(all_, update("b", status="failed"))
    put(all_, update("x", "bia", status="started"))
    assert [inv.id for inv in all_.of("ana")] == ["c", "b", "a"]
    assert [inv.id for inv in all_.running_of("ana")] == ["a", "c"]
    assert (list(all_.of("nobody")), list(all_.running_of("nobody"))) == ([], [])
    assert (len(all_), all_.running) == (4, 3)


def test_idle_ones_are_found_and_finished_ones_forgotten() -> None:
    all_ = Investigations()
    put(all_, update("idle", status="started"), 0.0)
    put(all_, update("busy", status="started"), 50.0)
    for n in range(4):
        put(all_, update(f"done{n}", "bia", status="completed"), float(n))
    assert [inv.id for inv in all_.idle(10.0)] == ["idle"]
    assert all_.forget(before=1.0, most=100) == 1
    assert all_.get("done0") is None
    assert all_.forget(before=0.0, most=2) == 1
    assert [inv.id for inv in all_.of("bia")] == ["done3", "done2"]
    assert all_.forget(before=100.0, most=100) == 2
    assert list(all_.of("bia")) == []
    assert len(all_) == 2


def test_a_row_of_events_is_refused_as_a_whole() -> None:
    """Each is checked as it would stand after those before it, and nothing has changed when one is refused."""
    all_ = Investigations()
    put(all_, update(status="processing", progress=50))
    put(all_, update("done", status="completed", progress=100))
    row = [update("new", status="started", progress=0), update(progress=60), update("new", progress=5)]
    all_.check_all(row)
    all_.check_all([update(progress=50)])
    bad_rows = [
        ([*row, update(progress=55)], 3),
        ([*row, update("new", "bia", progress=6)], 3),
        ([update(status="failed"), update(progress=70)], 1),
        ([draft(events.NOTIFICATION), update("done", progress=100)], 1),
        ([update(progress=49)], 0),
    ]
    for bad, index in bad_rows:
        with pytest.raises(Refusal) as refused:
            all_.check_all(bad)
        assert refused.value.details["index"] == index
    assert all_.get("new") is None
    inv = all_.get("inv")
    assert inv is not None
    assert inv.progress == 50


def test_they_are_numbered_as_they_begin_whatever_the_clock_says() -> None:
    investigations = Investigations()
    for id_, now in (("a", 5.0), ("b", 5.0), ("c", 1.0)):
        draft = Draft(topics.investigation(id_), "ana", "note", {})
        for _ in range(2):
            investigations.check_all([draft, draft])
            investigations.apply(draft, now)
    assert [(found.id, found.number) for found in investigations.of("ana")] == [("c", 3), ("b", 2), ("a", 1)]
