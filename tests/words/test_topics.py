"""Four kinds of topic that can never be taken for one another."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cidadao_rt.words import topics

names = st.text() | st.sampled_from(["everyone", "investigation:a", "user:a", "session:a", ":", ""])


@settings(deadline=None)
@given(names, names)
def test_no_two_kinds_share_a_topic(one: str, other: str) -> None:
    """Whatever ids look like, a user's topic is no investigation's and no session's, and nobody's is everyone's."""
    kinds = [{make(one), make(other)} for make in (topics.investigation, topics.user, topics.session)]
    kinds.append({topics.EVERYONE})
    assert len(set().union(*kinds)) == sum(len(kind) for kind in kinds)
    assert all(len(kind) == (1 if one == other else 2) for kind in kinds[:3])


@settings(deadline=None)
@given(names)
def test_an_investigations_topic_gives_its_id_back(name: str) -> None:
    """The id of an investigation is read off its topic exactly, and off no other kind of topic."""
    assert topics.investigation_id(topics.investigation(name)) == name
    for topic in (topics.user(name), topics.session(name), topics.EVERYONE):
        assert topics.investigation_id(topic) is None


def test_a_topic_has_a_kind_and_where_it_needs_one_a_name() -> None:
    for topic in (topics.investigation("a"), topics.user("a:b"), topics.session("everyone"), topics.EVERYONE):
        assert topics.is_topic(topic)
    for text in ("", "user", "user:", "everyone:", "everyone:a", "own:a", "User:a", " everyone"):
        assert not topics.is_topic(text)
