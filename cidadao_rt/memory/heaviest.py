"""Which of many holds the most, while what they hold changes with every event."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush


class Heaviest:
    """A max-heap of names by a size that is kept elsewhere.

    `size(name)` is the present size in bytes, 0 for a name that is gone. Growth must be reported with `grew`;
    shrinking needs no report, because an entry that overstates is corrected when it comes to the top. So a publish
    costs the logarithm of the number of names and never a scan.
    """

    __slots__ = ("_heap", "_size")

    def __init__(self, size: Callable[[str], int]) -> None:
        self._size = size
        self._heap: list[tuple[int, str]] = []

    def grew(self, name: str, names: int) -> None:
        """`name` holds more than before; `names` is how many there are, which bounds the heap at twice that."""
        heappush(self._heap, (-self._size(name), name))
        if len(self._heap) > 2 * names + 64:
            self._heap = [(-size, key) for key in {key for _, key in self._heap} if (size := self._size(key))]
            heapify(self._heap)

    def top(self) -> str | None:
        """The name that holds most now, or None if nobody holds anything."""
        heap = self._heap
        while heap:
            size, name = heap[0]
            present = self._size(name)
            if present == -size:
                return name if present else None
            heappop(heap)
            if present:
                heappush(heap, (-present, name))
        return None
