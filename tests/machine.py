"""What a test needs of the machine and pip does not bring."""

import os
import shutil

import pytest


def need(program: str) -> str:
    """The path of a program. Where it is missing the test is skipped, but fails where `CI=true`."""
    path = shutil.which(program)
    if path is not None:
        return path
    reason = f"{program} is not installed on this machine"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
