"""The event stream format, however it is cut into pieces."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidadao_rt.client.eventstream import BLOCK_BYTES, Block, EventStream

WHOLE = (
    b'\xef\xbb\xbf: a comment\n\nid: e-1\ndata: {"a":1}\n\nretry: 1500\n\nid: e-2\n\n'
    b"data:one\r\ndata: two\r\n\r\nevent: other\ndata\n\nid: e-3\rdata: \xc3\xa7\r\rretry: soon\nid: e\x00\ndata:x\n\n"
    b"data: never ended"
)
BLOCKS = [
    Block('{"a":1}', "e-1"),
    Block(None, "e-2"),
    Block("one\ntwo", "e-2"),
    Block("", "e-2"),
    Block("ç", "e-3"),
    Block("x", "e-3"),
]


def test_the_format() -> None:
    stream = EventStream()
    assert stream.feed(WHOLE) == BLOCKS
    assert stream.retry == 1.5


@given(st.lists(st.integers(0, len(WHOLE)), max_size=30))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    stream = EventStream()
    ends = [0, *sorted(cuts), len(WHOLE)]
    found = [block for a, b in itertools.pairwise(ends) for block in stream.feed(WHOLE[a:b])]
    assert found == BLOCKS


def test_every_byte_alone() -> None:
    stream = EventStream()
    assert [block for n in range(len(WHOLE)) for block in stream.feed(WHOLE[n : n + 1])] == BLOCKS


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 65_536, b"data: " + b"x" * 65_536 + b"\n"])
def test_an_event_without_end_is_none(piece: bytes) -> None:
    stream = EventStream()
    with pytest.raises(ValueError, match="long"):
        for _ in range(BLOCK_BYTES // 65_536 + 1):
            stream.feed(piece)
