"""A crowd: several distinct things in the order in which they came, of which there is mostly one.

Each user, each session and each private channel has a crowd of connections, and a dict for one of them costs five times
what it holds. So up to one it is a tuple, and a dict from two on until it is empty. To be iterated and counted.
"""

from typing import TypeVar

T = TypeVar("T")
Crowd = tuple[T, ...] | dict[T, None]


def joined(crowd: Crowd[T], one: T) -> Crowd[T]:
    """The crowd with `one`; takes the place of the crowd given, which may be changed. O(1)."""
    if not crowd:
        return (one,)
    if isinstance(crowd, tuple):
        crowd = dict.fromkeys(crowd)
    crowd[one] = None
    return crowd


def left(crowd: Crowd[T], one: T) -> Crowd[T]:
    """The crowd without `one`, which is in it; takes the place of the crowd given, which may be changed. O(1)."""
    if len(crowd) == 1:
        return ()
    assert isinstance(crowd, dict), "a tuple holds one"
    del crowd[one]
    return crowd
