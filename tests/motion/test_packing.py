"""Events are deflated once each, whoever gets them, and what is kept of it is bounded."""

import tracemalloc
import zlib

import pytest

from cidadao_rt.memory.log import Draft, Event, Log
from cidadao_rt.motion import packing
from cidadao_rt.motion.packing import KEPT_BYTES, KEPT_OVERHEAD, Packing
from cidadao_rt.words import encodings, topics
from cidadao_rt.words.deflate import THRESHOLD, deflate

PLAIN = encodings.websocket(batched=False, deflated=False)
DEFLATED = encodings.websocket(batched=False, deflated=True)
BATCHED = encodings.websocket(batched=True, deflated=True)


class Spy:
    """Counts what is deflated, by its body."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, payload: bytes) -> bytes:
        self.bodies.append(payload)
        return deflate(payload)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    spy = Spy()
    monkeypatch.setattr(packing, "deflate", spy)
    return spy


@pytest.fixture
def log() -> Log:
    return Log("e")


def publish(log: Log, pad: int = 300) -> Event:
    return log.append(Draft(topics.EVERYONE, "", "notification", {"pad": "x" * pad}), 0.0)


def packing_of(log: Log) -> Packing:
    return Packing(lambda offset: str(log.cursor(offset)))


def test_every_encoding_shares_one_deflation(log: Log, spy: Spy) -> None:
    packs, event = packing_of(log), publish(log)
    for _ in range(3):
        assert packs.part(DEFLATED, event) == DEFLATED.join([packs.part(DEFLATED, event)])
        packs.part(BATCHED, event)
    assert spy.bodies == [event.body]


def test_who_takes_none_costs_none(log: Log, spy: Spy) -> None:
    packs, event = packing_of(log), publish(log)
    for encoding in (PLAIN, encodings.SSE, encodings.POLL):
        assert packs.part(encoding, event) == encoding.part(event.body, "e-1")
    assert spy.bodies == []


def test_what_is_short_goes_as_it_is(log: Log, spy: Spy) -> None:
    least = len(publish(log, 0).body)
    short, long = publish(log, THRESHOLD - least - 1), publish(log, THRESHOLD - least)
    assert (len(short.body), len(long.body)) == (THRESHOLD - 1, THRESHOLD)
    packs = packing_of(log)
    assert packs.part(DEFLATED, short) == PLAIN.part(short.body, None)
    assert packs.part(DEFLATED, long)[0] == 0xC1
    assert spy.bodies == [long.body]


def test_past_the_bound_the_first_goes_and_is_deflated_anew(
    log: Log, spy: Spy, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = packing_of(log)
    first, second, third = (publish(log) for _ in range(3))
    monkeypatch.setattr(packing, "KEPT_BYTES", 2 * (len(deflate(third.body)) + KEPT_OVERHEAD) + 10)
    for event in (first, second, third, second, third):
        packs.part(DEFLATED, event)
    assert spy.bodies == [first.body, second.body, third.body]
    again = packs.part(DEFLATED, first)
    assert spy.bodies[3:] == [first.body]
    assert zlib.decompressobj(-12).decompress(again[2:] + b"\x00\x00\xff\xff") == first.body
    packs.part(DEFLATED, third)
    assert len(spy.bodies) == 4, "it was the oldest alone that made room"


def test_an_event_larger_than_the_bound_is_not_kept(log: Log, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "KEPT_BYTES", KEPT_OVERHEAD)
    packs, event = packing_of(log), publish(log)
    assert packs.part(DEFLATED, event) == packs.part(DEFLATED, event)
    assert len(spy.bodies) == 2
    assert (packs._deflated, packs._bytes) == ({}, 0)


def test_what_is_kept_takes_no_more_than_its_bound(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small payloads, where the objects around them weigh most."""
    monkeypatch.setattr(packing, "deflate", lambda _: bytes(50))
    packs, event = packing_of(log), publish(log)
    tracemalloc.start()
    for offset in range(10_000, 10_000 + KEPT_BYTES // 150):
        packs.part(DEFLATED, Event(offset, event.topic, "", event.type, event.body, 0.0))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert KEPT_BYTES // 3 < kept < KEPT_BYTES * 1.1
