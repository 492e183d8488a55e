"""The event types, and how an investigation moves through statuses and stages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidadao_rt.words import events
from cidadao_rt.words.events import FINAL, STAGE_WEIGHTS, Status, is_subscribable, overall_progress

STAGES = ("data_collection", "anomaly_detection", "pattern_analysis", "report_generation")
percent = st.integers(0, 100)


def test_the_documents_example_weighs_65() -> None:
    """The API document's `progress_update` is what its own stages come to."""
    assert overall_progress(dict(zip(STAGES, (100, 80, 60, 0), strict=True))) == 65


def test_the_stages_are_the_documents_four_and_weigh_a_hundred() -> None:
    """An investigation whose stages are all done is at 100, and PROTOCOL 4 says what each is worth."""
    assert dict(STAGE_WEIGHTS) == dict(zip(STAGES, (25, 35, 20, 20), strict=True))
    assert overall_progress(dict.fromkeys(STAGES, 100)) == 100


def test_a_stage_not_begun_counts_nothing() -> None:
    """A stage may be missing, and a name that is no stage of ours has no weight."""
    assert overall_progress({}) == 0
    assert overall_progress({"data_collection": 100, "coffee": 100}) == 25


@settings(deadline=None)
@given(st.lists(percent, min_size=4, max_size=4), st.integers(0, 3), percent)
def test_progress_is_an_integer_that_never_goes_back(stages: list[int], stage: int, further: int) -> None:
    """While the stages only advance, the overall progress stays within 0 to 100 and only advances."""
    before = overall_progress(dict(zip(STAGES, stages, strict=True)))
    stages[stage] = max(stages[stage], further)
    after = overall_progress(dict(zip(STAGES, stages, strict=True)))
    assert type(after) is int
    assert 0 <= before <= after <= 100


def test_the_statuses_and_which_of_them_end_an_investigation() -> None:
    """The five statuses of PROTOCOL 4, of which three are final."""
    assert [str(status) for status in Status] == ["started", "processing", "completed", "failed", "cancelled"]
    assert sorted(FINAL) == ["cancelled", "completed", "failed"]


@pytest.mark.parametrize(
    "name",
    ["investigation_update", "progress_update", "agent_analysis", "notification", "agent_chat", "metrics_update"],
)
def test_our_events_can_be_subscribed_to(name: str) -> None:
    """Every event the document or PROTOCOL 4 names may stand in `events`."""
    assert is_subscribable(name)
    assert name in events.SERVER_TYPES


@pytest.mark.parametrize(
    "name",
    [
        "agent_chat_chunk", "authenticated", "connection_established", "error", "going_away", "pong", "subscribed",
        "typing", "unsubscribed",
    ],
)  # fmt: skip
def test_answers_cannot_be_subscribed_to(name: str) -> None:
    """What answers one connection is no event, although its name is well formed."""
    assert not is_subscribable(name)
    assert name in events.SERVER_TYPES


@pytest.mark.parametrize("name", ["a", "licitacao_nova", "x9", "a" * 64], ids=lambda name: name[:24])
def test_custom_types_can_be_subscribed_to(name: str) -> None:
    """A publisher's own type `[a-z][a-z0-9_]{0,63}` may be named before anybody has published it."""
    assert is_subscribable(name)


@pytest.mark.parametrize(
    "name", ["", "A", "9a", "_a", "a" * 65, "a-b", "a b", "a\n", "\na", "ação", "a.b", "Investigation_Update", "*"]
)
def test_what_is_no_type_cannot_be_subscribed_to(name: str) -> None:
    """A misspelt type is told to the client instead of being followed for ever in vain."""
    assert not is_subscribable(name)


def test_the_types_that_tell_a_state() -> None:
    """Snapshots go to those who follow one of the three types an investigation's state is told in."""
    assert sorted(events.STATE_TYPES) == ["agent_analysis", "investigation_update", "progress_update"]
