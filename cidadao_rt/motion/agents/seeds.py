"""Invention that can be repeated: randomness that follows from a call's arguments alone.

Nothing here reads a clock or the process's own randomness, and `hash()` (which differs from one process to the next)
is not used, so the same arguments give the same story on every node and after every restart.
"""

import json
import random
from collections.abc import Mapping
from typing import Any

# Filters and findings come from clients. Below this depth they do not matter to a story, and a
# value nested a thousand deep must not exhaust the stack.
_DEPTH = 6


def seeded(*arguments: Any) -> random.Random:
    """A generator that depends on `arguments` (values of JSON) and on nothing else."""
    canonical = json.dumps([_plain(argument, _DEPTH) for argument in arguments], sort_keys=True)
    # A str seed goes through SHA-512 (version 2 of `random.seed`), never through `hash()`.
    return random.Random(canonical)  # noqa: S311 - to be repeatable is the purpose


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        # Python refuses to write integers of more than 4,300 digits in decimal, but not in hexadecimal.
        return value if abs(value) < 2**63 else f"{value:x}"
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth - 1) for key, item in value.items()} if depth else None
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value] if depth else None
    return value
