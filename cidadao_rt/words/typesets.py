"""Sets of event types. Custom types make "all types" unbounded, so a set is either a list or all but a list."""

from collections.abc import Iterable

import msgspec


class TypeSet(msgspec.Struct, frozen=True, gc=False):
    """The types named, or with `inverted` all types but those. Closed under union and difference."""

    names: frozenset[str] = frozenset()
    inverted: bool = False

    def __contains__(self, name: str) -> bool:
        return (name in self.names) is not self.inverted

    def __bool__(self) -> bool:
        return self.inverted or bool(self.names)

    def __or__(self, other: "TypeSet") -> "TypeSet":
        if self.inverted and other.inverted:
            return TypeSet(self.names & other.names, True)
        if self.inverted:
            return TypeSet(self.names - other.names, True)
        if other.inverted:
            return TypeSet(other.names - self.names, True)
        return TypeSet(self.names | other.names)

    def __sub__(self, other: "TypeSet") -> "TypeSet":
        if self.inverted and other.inverted:
            return TypeSet(other.names - self.names)
        if self.inverted:
            return TypeSet(self.names | other.names, True)
        if other.inverted:
            return TypeSet(self.names & other.names)
        return TypeSet(self.names - other.names)

    def __and__(self, other: "TypeSet") -> "TypeSet":
        return self - (EVERYTHING - other)

    def touches(self, names: Iterable[str]) -> bool:
        """Whether at least one of `names` is in the set."""
        return any(name in self for name in names)


EVERYTHING = TypeSet(inverted=True)
NOTHING = TypeSet()


def only(*names: str) -> TypeSet:
    """The set of just these types."""
    return TypeSet(frozenset(names))
