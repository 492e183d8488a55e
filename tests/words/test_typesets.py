"""Sets of event types against Python's own sets over a small universe.

The universe holds one name that no set mentions. It stands for all the custom types nobody has thought of yet, which is
what tells "all but a list" from a list.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from cidadao_rt.words.typesets import EVERYTHING, NOTHING, TypeSet, only

NAMES = ("a", "b", "c", "d")
UNIVERSE = frozenset({*NAMES, "never_mentioned"})

type_sets = st.builds(TypeSet, st.frozensets(st.sampled_from(NAMES)), st.booleans())


def members(types: TypeSet) -> frozenset[str]:
    return frozenset(name for name in UNIVERSE if name in types)


@settings(deadline=None)
@given(type_sets)
def test_membership(types: TypeSet) -> None:
    """A set holds the names it lists, or with `inverted` all but those."""
    assert members(types) == (UNIVERSE - types.names if types.inverted else types.names)


@settings(deadline=None, max_examples=300)
@given(type_sets, type_sets)
def test_union_difference_and_intersection(one: TypeSet, other: TypeSet) -> None:
    """The three operations mean what they mean for sets, whichever sides are inverted."""
    assert members(one | other) == members(one) | members(other)
    assert members(one - other) == members(one) - members(other)
    assert members(one & other) == members(one) & members(other)


@settings(deadline=None, max_examples=300)
@given(type_sets, type_sets)
def test_equal_sets_are_equal_values(one: TypeSet, other: TypeSet) -> None:
    """Two sets are equal, and share a group of the hub, exactly if they hold the same types."""
    assert (one == other) is (members(one) == members(other))
    same = (one | other) - (other - one)
    assert same == one
    assert hash(same) == hash(one)


@settings(deadline=None)
@given(type_sets)
def test_only_the_empty_set_is_false(types: TypeSet) -> None:
    """`if types` asks whether anything is followed at all."""
    assert bool(types) is bool(members(types))


@settings(deadline=None)
@given(type_sets, st.lists(st.sampled_from(sorted(UNIVERSE))))
def test_touching_is_having_one_in_common(types: TypeSet, names: list[str]) -> None:
    """`touches` is true exactly if one of the names is in the set; no names touch nothing."""
    assert types.touches(names) is bool(members(types) & set(names))


@settings(deadline=None)
@given(type_sets, type_sets)
def test_operations_leave_their_operands_alone(one: TypeSet, other: TypeSet) -> None:
    """A set is a value: what a connection follows cannot change under the hub's feet."""
    before = (one.names, one.inverted, other.names, other.inverted)
    assert len([one | other, one - other, one & other]) == 3
    assert (one.names, one.inverted, other.names, other.inverted) == before


def test_the_named_sets() -> None:
    """`EVERYTHING` holds types not invented yet, `NOTHING` none, `only` just those given."""
    assert members(EVERYTHING) == UNIVERSE
    assert "some_custom_type" in EVERYTHING
    assert members(NOTHING) == frozenset()
    assert members(only("a", "b", "a")) == {"a", "b"}
    assert only() == NOTHING
