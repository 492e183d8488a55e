"""Receipts: whom an event reached and who acknowledged it, against a naive model; and what is forgotten first."""

from random import Random

import pytest

from cidadao_rt.memory import receipts as module
from cidadao_rt.memory.receipts import Receipts


def told(receipts: Receipts, offset: int) -> tuple[dict[str, str], dict[str, float]] | None:
    found = receipts.find(offset)
    return None if found is None else (dict(found.delivered), dict(found.acknowledged))


def test_a_session_is_counted_once_however_often_it_was_handed_the_event() -> None:
    receipts = Receipts()
    receipts.track(1, "backend")
    receipts.deliver(1, [("s1", "ana"), ("s2", "bia")])
    receipts.deliver(1, [("s1", "ana")])
    assert told(receipts, 1) == ({"s1": "ana", "s2": "bia"}, {})
    found = receipts.find(1)
    assert found is not None
    assert (found.publisher, receipts.entries, len(receipts)) == ("backend", 2, 1)


def test_an_ack_counts_for_what_its_session_was_handed_before() -> None:
    receipts = Receipts()
    for offset in (1, 2, 3):
        receipts.track(offset, "backend")
        receipts.deliver(offset, [("s1", "ana"), ("s2", "bia")])
    receipts.track(4, "backend")
    receipts.acknowledge("s1", 2, 10.0)
    receipts.acknowledge("s1", 2, 11.0)
    receipts.acknowledge("nobody", 4, 12.0)
    assert [told(receipts, offset)[1] for offset in (1, 2, 3, 4)] == [{"s1": 10.0}, {"s1": 10.0}, {}, {}]  # type: ignore[index]
    receipts.deliver(2, [("s1", "ana")])
    receipts.acknowledge("s1", 4, 13.0)
    assert told(receipts, 2) == ({"s1": "ana", "s2": "bia"}, {"s1": 10.0}), "the first time holds"
    receipts.deliver(4, [("s1", "ana")])
    assert told(receipts, 4) == ({"s1": "ana"}, {}), "it came after the ack"


def test_what_was_not_tracked_leaves_nothing() -> None:
    receipts = Receipts()
    receipts.deliver(1, [("s1", "ana")])
    receipts.acknowledge("s1", 1, 0.0)
    assert receipts.find(1) is None
    assert (receipts.entries, len(receipts), receipts._open) == (0, 0, {})


def test_past_the_events_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVENTS", 2)
    receipts = Receipts()
    for offset in (1, 2, 3):
        receipts.track(offset, "backend")
        receipts.deliver(offset, [("s1", "ana")])
    assert receipts.find(1) is None
    assert (len(receipts), receipts.entries) == (2, 2)


def test_past_the_entries_the_oldest_events_are_forgotten_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES", 5)
    receipts = Receipts()
    for offset in (1, 2):
        receipts.track(offset, "backend")
        receipts.deliver(offset, [("s1", "ana"), ("s2", "ana")])
    receipts.acknowledge("s1", 1, 0.0)
    receipts.track(3, "backend")
    receipts.deliver(3, [(f"s{n}", "ana") for n in range(4)])
    assert [receipts.find(offset) is None for offset in (1, 2, 3)] == [True, True, False]
    assert receipts.entries == 4
    receipts.track(4, "backend")
    receipts.deliver(4, [(f"s{n}", "ana") for n in range(6)])
    assert (len(receipts), receipts.entries, receipts._open) == (0, 0, {}), "more than all there is room for"


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_a_naive_model(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = Random(seed)
    monkeypatch.setattr(module, "EVENTS", 8)
    monkeypatch.setattr(module, "ENTRIES", 30)
    receipts = Receipts()
    model: dict[int, tuple[dict[str, str], dict[str, float]]] = {}
    head = 0
    for now in range(400):
        session = f"s{rng.randint(0, 6)}"
        match rng.randint(0, 5):
            case 0:
                head += rng.randint(1, 3)
                receipts.track(head, "backend")
                model[head] = ({}, {})
            case 1:
                offset = rng.randint(0, head)
                receipts.acknowledge(session, offset, now)
                for one, (delivered, acknowledged) in model.items():
                    if one <= offset and session in delivered:
                        acknowledged.setdefault(session, now)
            case _:
                offset = rng.randint(max(0, head - 20), head)
                receipts.deliver(offset, [(session, "u" + session)])
                if offset in model:
                    model[offset][0][session] = "u" + session
        while len(model) > 8 or sum(len(delivered) for delivered, _ in model.values()) > 30:
            del model[min(model)]
        assert {offset: told(receipts, offset) for offset in range(head + 1) if told(receipts, offset)} == model
        unacknowledged = {
            (session_id, offset)
            for offset, (delivered, acknowledged) in model.items()
            for session_id in delivered.keys() - acknowledged.keys()
        }
        assert {(key, one) for key, every in receipts._open.items() for one in every} == unacknowledged
        assert receipts.entries == sum(len(delivered) for delivered, _ in model.values())
