"""Where in the text of a TOML file a key stands: tomllib keeps no positions, and whoever mends a file needs the line.

The text has been read as TOML before, so this only has to tell strings, comments, brackets and keys apart.
"""

import re
from collections.abc import Iterator, Mapping

_TOKEN = re.compile(
    r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']++|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|\#[^\n]*+"
    r"|[A-Za-z0-9_-]++"
    r"|[\[\]{}=\n]",
    re.DOTALL,
)
_QUOTES = "\"'"
_LAST_STEP = re.compile(r"(\[\d+\]|\.?[^.\[\]]*)$")


def lines(text: str) -> Mapping[str, int]:
    """The line (from 1) of each table and key by its path: `timing.seconds`, `failure[1].agent`, the first index 0.

    What stands inside a value (an inline table, a list) has no entry of its own.
    """
    found: dict[str, int] = {}
    latest: dict[str, int] = {}  # by the path of a list of tables, the index of its last one
    table = ""
    for line, marks in _statements(text):
        in_list = marks[:2] == ["[", "["]
        if marks[0] == "[":
            names = [mark for mark in marks if mark not in "[]"]
            table = ""
        else:
            names = marks[: marks.index("=")]
        path = table
        for place, name in enumerate(names):
            path = f"{path}.{name.strip(_QUOTES)}".removeprefix(".")
            if in_list and place == len(names) - 1:
                latest[path] = latest.get(path, -1) + 1
            found.setdefault(path, line)
            if path in latest:
                path = f"{path}[{latest[path]}]"
                found.setdefault(path, line)
        if marks[0] == "[":
            table = path
    return found


def line_of(found: Mapping[str, int], key: str) -> int:
    """The line of a key, or of the nearest thing around it that has one; 1 where nothing has."""
    while key and key not in found:
        key = key[: key.rindex(_LAST_STEP.search(key)[0])]  # type: ignore[index]
    return found.get(key, 1)


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each header and each `key = value` with the line it begins on."""
    number = begin = 1
    depth = 0
    marks: list[str] = []
    for match in _TOKEN.finditer(text + "\n"):
        mark = match[0]
        if mark == "\n" and not depth:
            if marks:
                yield begin, marks
            marks = []
        elif mark != "\n" and mark[0] != "#":
            if not marks:
                begin = number
            depth += (mark in "[{") - (mark in "]}")
            marks.append(mark)
        number += mark.count("\n")
