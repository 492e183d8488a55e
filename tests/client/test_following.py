"""What is followed, kept on both sides: after any commands, restoring a new session gives the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidadao_rt.client.following import Following, kind
from cidadao_rt.words.subscription import Subscription

TYPES = ["notification", "progress_update", "agent_analysis"]
COMMANDS = st.tuples(
    st.sampled_from(["subscribe", "unsubscribe"]),
    st.fixed_dictionaries(
        {
            "events": st.none() | st.lists(st.sampled_from(TYPES), unique=True),
            "investigation_ids": st.none() | st.lists(st.sampled_from(["a", "b"]), unique=True),
        }
    ),
)


def followed(following: Following) -> Subscription:
    return following._now


def apply(following: Following, type_: str, data: dict[str, Any]) -> None:
    (following.subscribed if type_ == "subscribe" else following.unsubscribed)(data)


def matches(subscription: Subscription) -> list[tuple[str, str, bool]]:
    """What it comes to, whatever form it has."""
    return [
        (id_, type_, type_ in subscription.of(id_, mine=True))
        for id_ in ("a", "b", "another")
        for type_ in [*TYPES, "metrics_update", "custom"]
    ]


@given(st.lists(COMMANDS, max_size=8), st.sampled_from(["general", "analysis"]))
def test_a_new_session_is_restored_to_the_same(commands: list[tuple[str, dict[str, Any]]], type_: str) -> None:
    old, new = (Following(kind("/ws", type_), None, None) for _ in range(2))
    for command in commands:
        apply(old, *command)
    for command in old.restoring():
        apply(new, *command)
    assert matches(followed(new)) == matches(followed(old))


def test_nothing_is_restored_that_is_as_it_was_at_first() -> None:
    following = Following(kind("/ws", "general"), ["notification"], None)
    assert following.restoring() == []
    following.unsubscribed({"events": ["notification"]})
    assert following.restoring() == [("subscribe", {"events": [], "investigation_ids": []})]
    following.subscribed({"events": ["notification"]})
    assert following.restoring() == []


def test_what_was_denied_altogether_changes_nothing() -> None:
    following = Following(kind("/ws", "general"), None, None)
    following.subscribed({"events": None, "investigation_ids": [], "denied": [{"investigation_id": "x"}]})
    assert following.restoring() == []


def test_a_start_that_nothing_covers_is_followed_and_one_that_is_covered_is_not_named() -> None:
    general = Following(kind("/ws", "general"), None, None)
    general.started("inv")
    assert general.restoring() == []
    narrow = Following(kind("/ws", "general"), None, ["other"])
    narrow.started("inv")
    assert "progress_update" in followed(narrow).of("inv", mine=True)
    bound = Following(kind("/ws/investigations/other", "general"), None, None)
    bound.started("inv")
    assert bound.restoring() == []
    bound.unsubscribed({"events": None})
    assert "progress_update" not in followed(bound).of("other", mine=True)


@pytest.mark.parametrize("path", ["", "ws", "/ws/", "/ws/other", "/ws/investigations/", "/other"])
def test_an_unknown_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        kind(path, "general")
