"""What tests need of the machine beyond Python packages."""

import os
import shutil

import pytest


def need(program: str) -> str:
    """The path of a program. Without it the test is skipped, with a reason; under CI it fails."""
    found = shutil.which(program)
    if found is not None:
        return found
    reason = f"{program} is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
