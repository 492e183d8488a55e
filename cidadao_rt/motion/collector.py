"""Python's garbage collector, kept away from what stays.

A full collection looks at every container there is and holds the loop all that time: with 10,000 connections for tens
of milliseconds, again and again. What has been there for a while is therefore frozen (`gc.freeze`): looked at no more,
though freed like all else when nothing refers to it. What is frozen and dies in a cycle is garbage that nobody
collects, so all is looked at again when a quarter as many connections have ended as were frozen. aiohttp's objects of a
request do end in cycles, and the outlets of SSE and polling with them.
"""

import gc
import logging
import time

STALE = 4
"""All is looked at again when one in so many has ended, as seldom as Python itself would."""

STEP = 1000
"""Connections that open before they are frozen too; a collection looks at the containers of so many, about 5 ms."""

_log = logging.getLogger(__name__)


class Collector:
    """Freezes in steps. Cycles of at most max(`STEP`, a `STALE`th of the frozen) connections that ended are kept."""

    def __init__(self) -> None:
        self._opened = self._ended = self._frozen = 0

    def start(self) -> None:
        """Freeze all that is there: the modules, the documents, the gateway."""
        gc.collect()
        gc.freeze()

    def look(self, opened: int, open_: int) -> None:
        """Freeze or look at all anew, if it is time; `opened` connections have been, `open_` are. Once a second."""
        ended = opened - open_
        is_stale = ended - self._ended >= max(STEP, self._frozen // STALE)
        if not is_stale and opened - self._opened < STEP:
            return
        began = time.perf_counter()
        if is_stale:
            gc.unfreeze()
            self._ended = ended
        found = gc.collect()
        gc.freeze()
        self._opened, self._frozen = opened, open_
        seconds = round(time.perf_counter() - began, 4)
        _log.debug("garbage collected", extra={"objects": found, "seconds": seconds, "all": is_stale})
