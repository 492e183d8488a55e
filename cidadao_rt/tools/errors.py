"""How a tool ends where it cannot do what it was asked."""


class ToolError(Exception):
    """One line for a person, and the exit status: 1 it could not be done, 2 asked wrongly, 3 no connection."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


NO_CONNECTION = 3
USAGE = 2
