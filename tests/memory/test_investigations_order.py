"""Whatever is published: an investigation only moves forward, and the lists of the node agree with each other."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidadao_rt.memory.investigations import Investigations
from cidadao_rt.memory.log import Draft
from cidadao_rt.words import topics
from cidadao_rt.words.errors import Refusal
from cidadao_rt.words.events import FINAL, STAGE_WEIGHTS

IDS = ("a", "b", "c", "d")
OWNERS = ("ana", "bia")

percents = st.sampled_from([0, 10, 20, 50, 100])
updates = st.fixed_dictionaries(
    {"status": st.sampled_from(["started", "processing", "processing", "completed", "failed"]), "progress": percents},
    optional={"overall_progress": percents, "message": st.just("m")},
)
progresses = st.fixed_dictionaries(
    {"overall_progress": percents, "stages": st.fixed_dictionaries(dict.fromkeys(STAGE_WEIGHTS, percents))},
    optional={"progress": percents},
)
contents = st.one_of(
    updates.map(lambda data: ("investigation_update", data)),
    progresses.map(lambda data: ("progress_update", data)),
    st.just(("agent_analysis", {"findings": [{"pattern": "p"}]})),
    st.just(("notification", {"level": "info"})),
    st.just(("caso_novo", {"progress": 1})),
)
drafts = st.builds(
    lambda id_, owner, content: Draft(topics.investigation(id_), owner, *content),
    st.sampled_from(IDS),
    st.sampled_from([*OWNERS, "ana", "ana"]),
    contents,
)


def state(all_: Investigations) -> dict[str, Any]:
    found = {id_: all_.get(id_) for id_ in IDS}
    return {id_: (inv.snapshot(), list(inv.findings), inv.owner) for id_, inv in found.items() if inv is not None}


def is_refused(all_: Investigations, draft: Draft) -> bool:
    try:
        all_.check(draft)
    except Refusal:
        return True
    return False


def check_lists(all_: Investigations, began: list[str]) -> None:
    known = [inv for id_ in began if (inv := all_.get(id_)) is not None]
    assert len(all_) == len(known)
    assert all_.running == sum(inv.finished_at is None for inv in known)
    for owner in OWNERS:
        own = [inv for inv in known if inv.owner == owner]
        assert list(all_.of(owner)) == own[::-1]
        assert list(all_.running_of(owner)) == [inv for inv in own if inv.finished_at is None]
    assert {inv.id for inv in all_.idle(1e9)} == {inv.id for inv in known if inv.finished_at is None}


@settings(max_examples=300, deadline=None)
@given(st.lists(drafts, max_size=30), st.integers(0, 3))
def test_an_investigation_only_moves_forward(published: list[Draft], most: int) -> None:
    """Progress and stages never go back, nothing moves after the end, and the owner never changes."""
    all_ = Investigations()
    began: list[str] = []
    for now, draft in enumerate(published):
        before = state(all_)
        if is_refused(all_, draft):
            assert state(all_) == before
            continue
        all_.apply(draft, float(now))
        id_ = topics.investigation_id(draft.topic)
        assert id_ is not None
        began += [id_] if id_ not in before else []
        for key, (was, _, owner) in before.items():
            is_, _, owner_now = state(all_)[key]
            assert owner_now == owner
            assert is_["progress"] >= was["progress"]
            assert all(is_["stages"][stage] >= done for stage, done in was["stages"].items())
            if was["status"] in FINAL:
                assert is_ == was
        check_lists(all_, began)
    finished = len(all_) - all_.running
    assert all_.forget(before=0.0, most=most) == max(0, finished - most)
    check_lists(all_, began)


@settings(max_examples=300, deadline=None)
@given(st.lists(drafts, max_size=6), st.lists(drafts, max_size=6))
def test_a_row_is_accepted_exactly_when_one_after_the_other_would_be(past: list[Draft], row: list[Draft]) -> None:
    """A request that publishes many is one that publishes each in turn, except that a refusal undoes all."""
    all_, twin = Investigations(), Investigations()
    for draft in past:
        if not is_refused(all_, draft):
            all_.apply(draft, 0.0)
            twin.apply(draft, 0.0)
    before = state(all_)
    refused = False
    for draft in row:
        refused = is_refused(twin, draft)
        if refused:
            break
        twin.apply(draft, 1.0)
    if refused:
        with pytest.raises(Refusal):
            all_.check_all(row)
    else:
        all_.check_all(row)
    assert state(all_) == before
