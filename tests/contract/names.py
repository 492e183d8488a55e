"""The names of all drivers, as parameters of tests."""

import pytest
from contract import node, python

TRANSPORTS = ("websocket", "sse", "poll")
NAMES = [f"{written}-{transport}" for written in ("raw", "python", "javascript") for transport in TRANSPORTS]


def present(name: str) -> bool:
    """Whether the client behind a name has been written yet."""
    written = name.partition("-")[0]
    return written == "raw" or (python.EXISTS if written == "python" else node.EXISTS)


def all_drivers(*, raw: bool = True) -> list[object]:
    """Every driver as a parameter."""
    return [
        pytest.param(name, marks=pytest.mark.skipif(not present(name), reason="this client is not there yet"))
        for name in NAMES
        if raw or not name.startswith("raw")
    ]
