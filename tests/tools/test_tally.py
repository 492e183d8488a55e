"""Counting: what each client was given, against what all were given together."""

from cidadao_rt.tools.tally import Taken, quantile, tally


def taken(*offsets: int, investigation: str = "a", unrecovered: int = 0) -> Taken:
    return Taken("poll", [(f"e-{offset}", investigation) for offset in offsets], unrecovered=unrecovered)


def test_nothing_is_wrong_where_all_were_given_the_same_in_order() -> None:
    totals = tally([taken(1, 2, 3), taken(1, 2, 3)], {"a"})
    assert totals.is_clean
    assert (totals.sent, totals.received) == (3, 6)


def test_lost_duplicated_and_reordered_are_counted_per_client() -> None:
    totals = tally([taken(1, 2, 3, 4), taken(1, 3, 2, 4), taken(1, 2, 2, 4, 1)], {"a"})
    assert (totals.lost, totals.duplicated, totals.reordered) == (1, 2, 1)
    assert not totals.is_clean


def test_what_the_history_has_was_sent_even_if_nobody_was_given_it() -> None:
    totals = tally([taken(1, 3), taken(1, 3)], {"a"}, ["e-1", "e-2", "e-3"])
    assert (totals.sent, totals.lost) == (3, 2)


def test_what_is_of_others_does_not_count_and_nothing_at_all_is_not_clean() -> None:
    assert not tally([taken(1, investigation="b"), taken()], {"a"}).is_clean
    assert not tally([taken(1, unrecovered=1)], {"a"}).is_clean


def test_another_epoch_begins_anew() -> None:
    assert tally([Taken("sse", [("e-9", "a"), ("f-1", "a")])], {"a"}).reordered == 0


def test_quantiles_are_of_what_there_is() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
