"""What a developer may ask to go wrong, and how a mistake in asking is told."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidadao_rt.words.errors import ErrorCode, Refusal
from cidadao_rt.words.faults import NONE, Faults, parse


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", NONE),
        (" , ,", NONE),
        (
            "drop:0.1,delay:200ms,close:1013@30s,duplicate:0.05,expire@60s",
            Faults(drop=0.1, delay=(0.2, 0.2), close=(1013, 30.0), duplicate=0.05, expire=60.0),
        ),
        ("DELAY:50ms-1.5s", Faults(delay=(0.05, 1.5))),
        ("close:1006", Faults(close=(1006, 0.0))),
        ("close:1011@2m", Faults(close=(1011, 120.0))),
        ("expire", Faults(expire=0.0)),
        ("slow:2000", Faults(bytes_per_second=2000)),
        ("slow:10kb", Faults(bytes_per_second=10_240)),
        ("limit:connections", Faults(full=True)),
        ("limit:messages", Faults(flood=0.0)),
        ("limit:messages@10", Faults(flood=10.0)),
        ("drop:.5, seed:7", Faults(drop=0.5, seed=7)),
        ("drop:0", NONE),
    ],
)
def test_what_is_asked_for(text: str, faults: Faults) -> None:
    assert parse(text) == faults


@pytest.mark.parametrize(
    "text",
    [
        "nonsense", "drop", "drop:1", "drop:-1", "drop:", "drop:0.1@3s", "drop:nan", "delay", "delay:3h", "delay:2s-1s",
        "delay:1s@2s", "delay:1s-", "close", "close:1000", "close:1013@", "close:1013@never", "expire:3", "expire@2h",
        "slow:0", "slow:x", "slow:1kb@1s", "limit:all", "limit:connections@3s", "seed:x", "seed", "seed:1@2s", "@3s",
        "drop:0.1;delay:1s", "delay:99999s", "x" * 501,
    ],
)  # fmt: skip
def test_a_mistake_is_told_and_not_quoted(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse(f"seed:1,{text}")
    assert (refused.value.code, refused.value.details["field"]) == (ErrorCode.INVALID_REQUEST, "fault")
    assert "part 2" in refused.value.message or len(text) > 500


@given(st.text(alphabet="drop:delay@0123456789.,msk b-cluient", max_size=40) | st.text(max_size=60))
def test_any_text_is_faults_or_a_refusal(text: str) -> None:
    with suppress(Refusal):
        assert parse(text).drop <= 0.9
