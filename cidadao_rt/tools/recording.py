"""A recording under way: what was received, within bounds, as the text of a scenario file. Pure.

The file's form is that of docs/scenarios.md, "Recordings".
"""

import json
from collections.abc import Sequence

from ..client import Event
from ..words import agents
from ..words.events import FINAL, INVESTIGATION_UPDATE
from ..words.payloads import EVENT_BYTES
from ..words.recording import PAUSE_SECONDS
from ..words.scenario import EVENTS
from ..words.scenario_file import FILE_BYTES

HEAD_BYTES = 16_384
"""Bytes kept free for what stands before the events."""


class FullError(Exception):
    """A bound of a recording is reached; the message says which. What came before it is kept."""


class Recording:
    """`investigation` is the one to record; without it all is kept, and the first that has an event of its own is the
    one that will be played. What comes of it after its final status is left out, since it could not be played."""

    def __init__(self, investigation: str | None, token: str) -> None:
        self.investigation = investigation
        self.is_done = False
        self.count = 0
        self._only = investigation
        self._token = token
        self._tables: list[str] = []
        self._bytes = HEAD_BYTES
        self._last_at: float | None = None
        self._agents: Sequence[str] = ()

    def add(self, event: Event, now: float) -> None:
        """One event, received at `now` (seconds of a clock that does not go back). Raises `FullError`."""
        about = event.data.get("investigation_id")
        if self._only is not None and about != self._only:
            return
        is_of_log = event.id is not None
        if self.investigation is None and is_of_log and isinstance(about, str):
            self.investigation = about
        is_of_it = is_of_log and about is not None and about == self.investigation
        if is_of_it and self.is_done:
            return
        self._keep(event, now)
        if is_of_it and event.type == INVESTIGATION_UPDATE:
            self.is_done = event.data.get("status") in FINAL
            team = event.data.get("agents")
            if not self._agents and isinstance(team, list):
                self._agents = [name for name in team if isinstance(name, str) and agents.find(name) is not None]

    def _keep(self, event: Event, now: float) -> None:
        if self.count == EVENTS:
            raise FullError(f"a recording has at most {EVENTS} events")
        data = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
        if self._token in data:
            data = data.replace(self._token, "[token]")
        if len(data.encode("utf-8", "replace")) > EVENT_BYTES:
            raise FullError(f"an event has more than {EVENT_BYTES} bytes")
        after = 0.0 if self._last_at is None else min(PAUSE_SECONDS, max(0.0, now - self._last_at))
        lines = [
            "",
            "[[event]]",
            f"after = {after:.3f}",
            f"type = {toml_string(event.type)}",
            f"data = {toml_string(data)}",
        ]
        if event.id is not None:
            lines.append(f"id = {toml_string(event.id)}")
        table = "\n".join(lines) + "\n"
        size = len(table.encode())
        if self._bytes + size > FILE_BYTES:
            raise FullError(f"a recording has at most {FILE_BYTES} bytes")
        self._bytes += size
        self._tables.append(table)
        self._last_at = now
        self.count += 1

    def text(self, description: str) -> str:
        """The file, as it is so far. `description` is for people; of it 1,000 characters are kept."""
        head = [f"description = {toml_string(description[:1000])}"]
        if self.investigation is not None:
            head.append(f"investigation = {toml_string(self.investigation)}")
        if self._agents:
            head.append(f"agents = [{', '.join(toml_string(name) for name in self._agents)}]")
        return "\n".join(head) + "\n" + "".join(self._tables)


def toml_string(text: str) -> str:
    """A basic string. What UTF-8 cannot hold becomes a question mark. Source: TOML 1.0.0, "String"."""
    sound = text.encode("utf-8", "replace").decode()
    # JSON's escapes are TOML's, apart from DEL, which TOML wants escaped.
    return json.dumps(sound, ensure_ascii=False).replace("\x7f", "\\u007F")
