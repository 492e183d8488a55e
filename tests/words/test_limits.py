"""The sliding window against a count of what was admitted.

Times are multiples of 1/1024 s, so that sums of floats are exact and "just before" is one step.
"""

import copy
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidadao_rt.words.limits import SlidingWindow, Windows

STEP = 1 / 1024
limits = st.integers(1, 5)
periods = st.integers(1, 4096).map(lambda n: n * STEP)
# Gaps of none, of one step, and of anything up to past a whole period.
gaps = st.lists(st.sampled_from([0, 0, 1, 1024]) | st.integers(0, 5000), max_size=40)


def at(gaps: list[int]) -> list[float]:
    return [steps * STEP for steps in itertools.accumulate(gaps)]


@settings(deadline=None)
@given(limits, periods, gaps)
def test_admissions_are_those_of_a_naive_count(limit: int, period: float, gaps: list[int]) -> None:
    """One is admitted exactly if fewer than `limit` were admitted in the last `period`; the refused do not count."""
    window = SlidingWindow(limit, period)
    admitted: list[float] = []
    for now in at(gaps):
        recent = [time for time in admitted if time > now - period]
        assert window.is_full(now) is (len(recent) >= limit)
        assert window.is_empty(now) is (not recent)
        if window.admit(now) is None:
            admitted.append(now)
            assert len(recent) < limit
        else:
            assert len(recent) >= limit


@settings(deadline=None)
@given(limits, periods, gaps)
def test_no_window_ever_holds_more_than_the_limit(limit: int, period: float, gaps: list[int]) -> None:
    """However the period is laid over the time line, at most `limit` admissions fall into it."""
    window = SlidingWindow(limit, period)
    admitted = [now for now in at(gaps) if window.admit(now) is None]
    for first, one_too_many in zip(admitted, admitted[limit:], strict=False):
        assert one_too_many - first >= period


@settings(deadline=None)
@given(limits, periods, gaps)
def test_retry_after_is_exact(limit: int, period: float, gaps: list[int]) -> None:
    """Who waits as long as told is admitted, and who comes a step earlier is not."""
    window = SlidingWindow(limit, period)
    for now in at(gaps):
        retry_after = window.admit(now)
        if retry_after is None:
            continue
        assert 0 < retry_after <= period
        early, punctual = copy.deepcopy(window), copy.deepcopy(window)
        assert early.admit(now + retry_after - STEP) is not None
        assert punctual.admit(now + retry_after) is None


def test_asking_admits_nothing() -> None:
    """`is_full` and `is_empty` can be asked at any time without using up an admission."""
    window = SlidingWindow(1, 60.0)
    for _ in range(3):
        assert window.is_empty(5.0)
        assert not window.is_full(5.0)
    assert window.admit(5.0) is None
    assert window.is_full(64.0)
    assert not window.is_full(65.0)


def test_the_documents_hundred_a_minute() -> None:
    """100 messages at once pass, the next waits for the minute, and refused ones do not prolong the wait."""
    window = SlidingWindow(100, 60.0)
    assert [window.admit(10.0) for _ in range(100)] == [None] * 100
    assert window.admit(10.0) == 60.0
    assert window.admit(40.0) == 30.0
    assert window.admit(69.5) == 0.5
    assert [window.admit(70.0) for _ in range(101)] == [None] * 100 + [60.0]


def test_a_window_slides() -> None:
    """It is no counter per calendar minute: room comes back one by one, as each admission grows old."""
    window = SlidingWindow(2, 10.0)
    assert [window.admit(now) for now in (0.0, 9.0)] == [None, None]
    assert window.admit(9.0) == 1.0
    assert window.admit(10.0) is None
    assert window.admit(10.0) == 9.0


@pytest.mark.parametrize("name", ["limit", "period"])
def test_the_numbers_can_be_read_back(name: str) -> None:
    """The answer to a refused message tells the limit it ran into, so the window knows its own."""
    assert getattr(SlidingWindow(7, 7.0), name) == 7


def test_each_name_has_a_window_of_its_own_and_the_empty_ones_go() -> None:
    windows = Windows(10.0)
    assert [windows.admit("a", 2, 0.0) for _ in range(3)] == [None, None, 10.0]
    assert windows.admit("b", 2, 5.0, 2) is None
    assert windows.admit("b", 2, 5.0) == 10.0
    assert len(windows) == 2
    assert windows.admit("c", 2, 10.0) is None
    assert len(windows) == 2, "a's is over, b's is not"
    assert [windows.admit("a", 1, 10.0) for _ in range(2)] == [None, 10.0]


@given(limits, st.integers(0, 5))
def test_what_is_used_up_is_full_and_frees_itself_in_time(limit: int, before: int) -> None:
    window = SlidingWindow(limit, 1.0)
    for _ in range(before):
        window.admit(0.0)
    window.use_up(0.5)
    assert window.is_full(0.5)
    assert window.is_full(1.5 - STEP) is (before == 0)
    assert not window.is_full(1.5)
