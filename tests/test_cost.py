"""A guard, not a measurement: fan-out costs about what it did, beside the bare loop on the same machine.

Processor time of two server processes, taken one after the other, so a busy machine slows both and the ratio stays.
The bounds are about three times what an idle machine shows: what they catch is work that became one for each
subscriber, not a few per cent.
"""

import pytest

from cidadao_rt.bench.workloads import Bench, Crowd, outstanding

BENCH = Bench(warm=0.3, seconds=1.0)
SUBSCRIBERS = 1000


@pytest.mark.parametrize(
    ("window", "most"),
    [
        pytest.param(16, 0.45, id="many outstanding, which are merged into one write"),
        pytest.param(1, 2.5, id="one outstanding"),
    ],
)
def test_a_delivery_costs_about_what_the_bare_loop_pays(window: int, most: float) -> None:
    sample = outstanding(BENCH, Crowd(SUBSCRIBERS), window)
    assert not sample.faults
    assert sample.ratio is not None
    assert sample.ratio <= most, f"{sample.value} us a delivery, of the bare loop {sample.floor}"
