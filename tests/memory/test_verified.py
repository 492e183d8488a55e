"""Tokens found good are found again, as long as they hold, and in bounded number."""

from cidadao_rt.memory import verified
from cidadao_rt.memory.verified import TOKEN_LENGTH, Verified
from cidadao_rt.words.tokens import Principal

ANA = Principal("ana", 100.0)


def test_a_good_token_is_remembered_until_it_runs_out() -> None:
    known = Verified()
    assert known.find("t", 0.0) is None
    known.remember("t", ANA)
    assert known.find("t", 99.9) is ANA
    assert known.find("other", 0.0) is None
    assert known.find("t", 100.0) is None
    assert len(known) == 0


def test_no_token_can_be_read_out_of_it() -> None:
    known = Verified()
    known.remember("secret-token", ANA)
    assert b"secret" not in b"".join(known._principals)


def test_the_one_used_longest_ago_goes_first() -> None:
    known = Verified()
    for n in range(verified.TOKENS):
        known.remember(f"t{n}", ANA)
    assert known.find("t0", 0.0) is ANA
    known.remember("one more", ANA)
    assert len(known) == verified.TOKENS
    assert known.find("t0", 0.0) is ANA
    assert known.find("t1", 0.0) is None


def test_a_very_long_token_is_checked_each_time() -> None:
    known = Verified()
    known.remember("t" * (TOKEN_LENGTH + 1), ANA)
    assert len(known) == 0
