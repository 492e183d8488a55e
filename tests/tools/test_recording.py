"""A recording: bounds, what is left out, and that the scenario parser reads every text."""

import tomllib

import pytest

from cidadao_rt.client import Event
from cidadao_rt.tools.recording import FullError, Recording, toml_string
from cidadao_rt.words.scenario_file import parse


def update(n: int, status: str, id_: str = "inv_a", **data: object) -> Event:
    return Event("investigation_update", {"investigation_id": id_, "status": status, "progress": n, **data}, f"e-{n}")


@pytest.mark.parametrize("text", ['"\\', "\x00\x1b\x7f\n\t", "ação 🎉", "\ud800"])
def test_every_text_is_a_toml_string(text: str) -> None:
    sound = text.encode("utf-8", "replace").decode()
    assert tomllib.loads(f"a = {toml_string(text)}") == {"a": sound}


def test_what_comes_after_the_final_status_is_left_out_and_the_rest_parses() -> None:
    recording = Recording(None, "segredo")
    recording.add(Event("metrics_update", {"x": 1}), 1.0)
    recording.add(update(1, "started", agents=["zumbi", "nobody"]), 2.0)
    recording.add(update(3, "processing", "inv_b"), 2.25)
    recording.add(update(100, "completed", message="o segredo \x7f"), 2.5)
    recording.add(Event("late_custom", {"investigation_id": "inv_a"}, "e-101"), 3.0)
    recording.add(update(50, "processing", "inv_b"), 3.0)
    text = recording.text("d" * 2000)
    assert recording.is_done
    assert recording.investigation == "inv_a"
    assert "segredo" not in text
    table = tomllib.loads(text)
    assert [event["after"] for event in table["event"]] == [0, 1, 0.25, 0.25, 0.5]
    assert "id" not in table["event"][0]
    scenario = parse(text.encode(), "r.toml")
    assert scenario.agents == ("zumbi",)
    assert [event.id for event in scenario.event] == ["e-100"]


def test_one_that_is_named_is_kept_alone() -> None:
    recording = Recording("inv_b", "t0ken")
    recording.add(update(1, "processing"), 0)
    recording.add(update(2, "processing", "inv_b"), 0)
    assert recording.count == 1


def test_the_bounds_stop_it_and_what_was_kept_still_parses() -> None:
    recording = Recording(None, "t0ken")
    with pytest.raises(FullError, match="65536 bytes"):
        recording.add(update(1, "processing", message="x" * 65_536), 0)
    recording.add(update(1, "processing"), 0)
    with pytest.raises(FullError, match="4194304 bytes"):
        for _ in range(100):
            recording.add(Event("big", {"investigation_id": "inv_a", "x": "y" * 60_000}, f"e-{_}"), 0)
    parse(recording.text("d" * 1000).encode(), "r.toml")
    many = Recording(None, "t0ken")
    with pytest.raises(FullError, match="10000 events"):
        for n in range(10_001):
            many.add(Event("c", {"investigation_id": "inv_a"}, f"e-{n}"), 0)
    assert len(parse(many.text("").encode(), "r.toml").event) == 10_000
