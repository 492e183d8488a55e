"""The scenarios that there are: those of the package, those of the configured folder, and the configured one.

In development a file is read again when it has changed. A file that has become faulty is told of, and what it held
before is played on.

Source: docs/decisions/0011-scenarios.md.
"""

import functools
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ...words.errors import ErrorCode, Refusal
from ...words.scenario import Scenario
from ...words.scenario_file import FILE_BYTES, ScenarioError, parse

FOLDER_FILES = 1000
"""Scenarios in the configured folder; more are an error."""

SUFFIX = ".toml"

_NAME = re.compile(r"[a-z0-9_]{1,64}")
_PACKAGED = Path(__file__).with_name("scenarios")

_log = logging.getLogger(__name__)


class Choice(msgspec.Struct, frozen=True):
    """A scenario to play. With a `fault`, its file has that wrong by now, and this is what it held before."""

    scenario: Scenario
    fault: str | None = None


class _Source:
    """A file and what it holds."""

    def __init__(self, path: Path, shown: str) -> None:
        self._path = path
        self._shown = shown
        self._fault: str | None = None
        self._stamp = self._look()
        self._scenario = self._read()

    def choice(self) -> Choice:
        return Choice(self._scenario, self._fault)

    def refresh(self) -> None:
        """Read the file again if it has changed; if it cannot be played now, say so once and keep what there was."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._scenario = self._read()
            self._fault = None
            _log.info("scenario read again", extra={"scenario": self._shown})
        except ScenarioError as error:
            self._fault = str(error)
            _log.error("scenario not usable, the last good one is kept", extra={"reason": self._fault})

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> Scenario:
        try:
            # What is no file could block for ever, or have no end.
            if not self._path.is_file():
                raise ScenarioError(f"{self._shown}: cannot be read: not a file")
            with self._path.open("rb") as file:
                text = file.read(FILE_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or "not possible").lower()
            raise ScenarioError(f"{self._shown}: cannot be read: {reason}") from None
        return parse(text, self._shown)


class Library:
    """All scenarios by name, and the one that is played where a request names none.

    `chosen` is a name or the path of a `.toml` file, `folder` a folder of further files ("": none), whose names win
    over the package's. With `watches` files are looked at again whenever one is chosen. Raises `ScenarioError`.
    """

    def __init__(self, chosen: str, folder: str = "", *, watches: bool = False) -> None:
        self._folder = Path(folder) if folder else None
        self._watches = watches
        self._own: dict[str, _Source] = {}
        self._told: dict[str, str] = {}
        for name, path in self._files().items():
            self._own[name] = self._source(path, "agents.scenarios_path")
        self._chosen: _Source | str = chosen
        if chosen.endswith(SUFFIX):
            self._chosen = self._source(Path(chosen), "agents.scenario")
        elif chosen not in self.names():
            known = ", ".join(self.names())
            raise ScenarioError(f'agents.scenario: must be a path ending in "{SUFFIX}", or one of {known}')

    def names(self) -> list[str]:
        """The names that a request may choose, in alphabetical order."""
        return sorted({*packaged(), *self._own})

    def choose(self, filters: Mapping[str, Any]) -> Choice:
        """The scenario that `filters.scenario` names; without it, the configured one.

        Raises `Refusal` (`INVALID_REQUEST` with the known names) for any other name, and for what is no name.
        """
        name = filters.get("scenario")
        if self._watches:
            self._refresh()
        if name is None:
            return self._chosen.choice() if isinstance(self._chosen, _Source) else self._named(self._chosen)
        if not isinstance(name, str) or name not in self.names():
            raise Refusal(
                ErrorCode.INVALID_REQUEST,
                "Invalid field: filters.scenario is not the name of a scenario",
                field="filters.scenario",
                required=False,
                known=self.names(),
            )
        return self._named(name)

    def _named(self, name: str) -> Choice:
        own = self._own.get(name)
        return own.choice() if own is not None else Choice(packaged()[name])

    def _refresh(self) -> None:
        for source in (*self._own.values(), self._chosen):
            if isinstance(source, _Source):
                source.refresh()
        try:
            files = self._files()
        except ScenarioError as error:
            files = {}
            self._tell("", str(error))
        for name, path in files.items():
            if name not in self._own:
                try:
                    self._own[name] = self._source(path, "agents.scenarios_path")
                except ScenarioError as error:
                    # Nothing good of it is known yet, so it cannot be chosen; it is looked at again the next time.
                    self._tell(name, str(error))

    def _tell(self, name: str, fault: str) -> None:
        """Log what is wrong with something new in the folder, once."""
        if self._told.get(name) != fault:
            self._told[name] = fault
            _log.error("scenario not usable", extra={"reason": fault})

    def _files(self) -> dict[str, Path]:
        """The folder's scenarios by name; files whose stem is no name are not looked at."""
        if self._folder is None:
            return {}
        try:
            paths = [path for path in self._folder.iterdir() if path.suffix == SUFFIX and _NAME.fullmatch(path.stem)]
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or "not possible").lower()
            raise ScenarioError(f"agents.scenarios_path: {self._folder}: cannot be read: {reason}") from None
        if len(paths) > FOLDER_FILES:
            raise ScenarioError(f"agents.scenarios_path: {self._folder}: more than {FOLDER_FILES} scenarios")
        return {path.stem: path for path in sorted(paths)}

    @staticmethod
    def _source(path: Path, key: str) -> _Source:
        try:
            return _Source(path, str(path))
        except ScenarioError as error:
            raise ScenarioError(f"{key}: {error}") from None


@functools.cache
def packaged() -> Mapping[str, Scenario]:
    """The scenarios that come with the package, by name."""
    return {path.stem: parse(path.read_bytes(), path.name) for path in sorted(_PACKAGED.glob(f"*{SUFFIX}"))}
