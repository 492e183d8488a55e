"""The cursor: one life of the log (`epoch`) and a position in its one total order (`offset`).

Opaque to clients; `epoch-offset` on the wire. Source: PROTOCOL 7 "Acknowledgment, replay, resume".
"""

import re

import msgspec

_FORM = re.compile(r"([0-9a-z]{1,32})-(0|[1-9][0-9]{0,17})", re.ASCII)


class Cursor(msgspec.Struct, frozen=True, gc=False):
    """A position. Offset 0 is before the first event."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        return text(self.epoch, self.offset)


def text(epoch: str, offset: int) -> str:
    """The wire form of a position."""
    return f"{epoch}-{offset}"


def parse(word: str) -> Cursor | None:
    """The cursor that `word` is, or None. Only the exact form we write is one: no signs, no leading zeros."""
    match = _FORM.fullmatch(word)
    return Cursor(match[1], int(match[2])) if match else None
