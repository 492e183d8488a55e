"""Which of many holds the most, while what they hold changes with every event."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush


class Heaviest:
    """A max-heap of names by a size that is kept elsewhere.

    `size(name)` is the present size in bytes, 0 for a name that is gone. Growth must be reported with `grew`;
    shrinking needs no report, because an entry that overstates is corrected when it comes to the top. For the same
    reason growth may be entered ahead of time: a name is in the heap with a bound on its size, and only when it has
    outgrown the bound is a larger one entered. So most publishes cost one look-up, and none a scan.
    """

    __slots__ = ("_bounds", "_heap", "_size")

    def __init__(self, size: Callable[[str], int]) -> None:
        self._size = size
        self._heap: list[tuple[int, str]] = []
        # The bound of each name; an entry of the heap with any other number is out of date.
        self._bounds: dict[str, int] = {}

    def grew(self, name: str, size: int, names: int) -> None:
        """`name` holds `size` bytes, which is more than before; `names` is how many hold something.

        Those bound the heap at twice their number.
        """
        if size > self._bounds.get(name, -1):
            self._enter(name, size + (size >> 2))
            if len(self._heap) > 2 * names + 64:
                self._rebuild()

    def _enter(self, name: str, bound: int) -> None:
        self._bounds[name] = bound
        heappush(self._heap, (-bound, name))

    def _rebuild(self) -> None:
        """Let go of what is out of date and of who holds nothing."""
        self._bounds = {name: size for name in self._bounds if (size := self._size(name))}
        self._heap = [(-size, name) for name, size in self._bounds.items()]
        heapify(self._heap)

    def top(self) -> str | None:
        """The name that holds most now, or None if nobody holds anything."""
        heap, bounds = self._heap, self._bounds
        while heap:
            bound, name = heap[0]
            if bounds.get(name) != -bound:
                heappop(heap)
                continue
            present = self._size(name)
            if present == -bound:
                return name
            heappop(heap)
            if present:
                self._enter(name, present)
            else:
                del bounds[name]
        return None
