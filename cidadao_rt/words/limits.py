"""Limits as arithmetic: every method takes `now`, in seconds of any one clock that does not go back."""

from array import array
from bisect import bisect_right


class SlidingWindow:
    """At most `limit` admissions within any `period` seconds. What is refused does not count.

    Holds 8 bytes per admission, so at most `limit` times as many; nothing before the first.
    """

    __slots__ = ("_times", "limit", "period")

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._times: array[float] | None = None

    def admit(self, now: float, count: int = 1) -> float | None:
        """None if all `count` (at most the limit) are admitted, else the seconds (above 0) until they can be."""
        horizon = now - self.period
        times = self._times
        if times is None:
            times = self._times = array("d")
        elif times and times[0] <= horizon:
            del times[: bisect_right(times, horizon)]
        excess = len(times) + count - self.limit
        if excess <= 0:
            times.extend((now,) * count)
            return None
        return times[excess - 1] - horizon

    def use_up(self, now: float) -> None:
        """Admit as many as there is room for."""
        while self.admit(now) is None:
            pass

    def is_full(self, now: float) -> bool:
        """Whether the next admission would be refused."""
        times = self._times
        return times is not None and len(times) >= self.limit and times[0] > now - self.period

    def is_empty(self, now: float) -> bool:
        """Whether nothing admitted is remembered any more, so that the window may be forgotten."""
        return not self._times or self._times[-1] <= now - self.period


class Windows:
    """A sliding window of `period` seconds for each name; those that are empty are forgotten."""

    __slots__ = ("_period", "_windows")

    def __init__(self, period: float) -> None:
        self._period = period
        self._windows: dict[str, SlidingWindow] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def admit(self, name: str, limit: int, now: float, count: int = 1) -> float | None:
        """As `SlidingWindow.admit`, for one name. `limit` holds from its first admission until it is forgotten."""
        window = self._windows.get(name)
        if window is None:
            self._windows = {key: one for key, one in self._windows.items() if not one.is_empty(now)}
            window = self._windows[name] = SlidingWindow(limit, self._period)
        return window.admit(now, count)
