"""stdout, line by line, for as long as somebody reads it; and what is said beside it."""

import os
import sys
from contextlib import suppress

from ..words.settings import one_line


class GoneError(Exception):
    """Nobody reads any more (`| head`)."""


def say(line: str) -> None:
    """Print a line at once. Raises `GoneError`."""
    stream = sys.stdout
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except (AttributeError, OSError, ValueError):  # no stdout at all, a broken pipe, closed
        # What stays in the buffer would be an error again when Python flushes it at the end.
        with suppress(AttributeError, OSError, ValueError):
            number = stream.fileno()
            with open(os.devnull, "wb") as null:
                os.dup2(null.fileno(), number)
        raise GoneError from None


def note(text: str) -> None:
    """One line on stderr, which may have gone."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"cidadao-rt: {one_line(text)}\n")
        sys.stderr.flush()


def is_coloured(no_color: bool) -> bool:
    """Whether colours are wanted: on a terminal that has them, unless asked not to. Source: no-color.org."""
    is_off = no_color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return not is_off and sys.stdout is not None and sys.stdout.isatty()
