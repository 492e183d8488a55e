"""The command on a real gateway, small: what it prints, writes and draws."""

import json
import os
import sys
from pathlib import Path

import pytest

from cidadao_rt.bench import gateway as targets
from cidadao_rt.bench import plots, workloads
from cidadao_rt.bench.generator import FALLS_BEHIND, Generator, Rate
from cidadao_rt.bench.measure import Run, measure
from cidadao_rt.bench.rows import ROWS
from cidadao_rt.bench.sample import Bound, Result, Sample
from cidadao_rt.bench.server import bare, gateway
from cidadao_rt.cli import main


def test_a_quick_run_measures_writes_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = os.sched_getaffinity(0)
    file, folder = tmp_path / "bench.json", tmp_path / "plots"
    rows = "A,A1,handshake,ping,idle,storm"
    assert main(["bench", "--quick", "--only", rows, "--json", str(file), "--plots", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["row", *rows.split(",")]
    assert "cidadao-rt: storm: " in err
    written = json.loads(file.read_text())
    assert written["quick"] is True
    for row in written["rows"]:
        assert row["ok"], row
        assert row["value"]["median"] > 0
        for sample in row["samples"]:
            for run in sample["runs"].values():
                assert run["delivered"] > 0
                assert run["connections"] > 0
    assert {row["name"]: row["target"] for row in written["rows"]}["A1"] == "<= 1.15 x"
    # Of the rows asked for, one has a drawing.
    assert [path.name for path in folder.iterdir()] == ["memory.svg"]
    assert os.sched_getaffinity(0) == before


def test_a_gateway_that_runs_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with gateway() as server:
        arguments = ["--url", f"http://{server.host}:{server.port}", "--secret", server.secret]
        assert main(["bench", "--quick", "--only", "A,L50", *arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        # Without its process nothing is known of its cost, and there is nothing to hold it against.
        assert " - us " in lines[1]
        assert " ms " in lines[2]
        assert main(["bench", "--quick", "--only", "A", *arguments, "--pid", str(server.pids[0])]) == 0
        assert " - us " not in capsys.readouterr().out


def test_a_run_in_which_nothing_happens_is_no_result() -> None:
    with bare() as server, Generator(targets.bare_target(server)) as load:
        load.open(2)
        load.open_publishers()
        run = measure(load, Rate(0.001), warm=0.2, seconds=0.2)
    assert not run.ok
    assert run.faults == ["nothing was published or delivered while it was measured"]


@pytest.mark.parametrize(
    ("floor", "told"),
    [
        (Run(ok=True), []),
        (Run(faults=[FALLS_BEHIND]), []),
        (Run(faults=[FALLS_BEHIND, "a connection broke"]), [f"floor: {FALLS_BEHIND}; a connection broke"]),
        (Run(wrong=3), ["floor: 3 connections did not get exactly what was published"]),
    ],
)
def test_only_a_floor_that_is_slow_is_a_floor_still(
    monkeypatch: pytest.MonkeyPatch, floor: Run, told: list[str]
) -> None:
    monkeypatch.setattr(workloads, "gateway_run", lambda *_, **__: Run(ok=True))
    monkeypatch.setattr(workloads, "bare_run", lambda *_: floor)
    assert workloads.offered(workloads.Bench(), workloads.Crowd(1000), 50_000).faults == told


def result(name: str, **sample: float) -> Result:
    points = [{"x": x, "gateway": 2.0, "floor": 3.0, "p50": 1.0, "p90": 2.0, "p99": 3.0} for x in (1.0, 10.0)]
    return Result(name, name, "us", Bound(1.5), [Sample(**sample, points=points)])


def test_each_plot_is_drawn_from_its_row(tmp_path: Path) -> None:
    drawn = plots.draw([result(name, value=1.0) for name in ("subscribers", "rates", "idle")], tmp_path)
    assert [path.name for path in drawn] == ["cost.svg", "latency.svg", "memory.svg"]
    assert all(path.read_text().startswith("<?xml") for path in drawn)


def test_plots_say_what_they_need(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "--plots", "somewhere"]) == 2
    assert "pip install 'cidadao-rt[bench]'" in capsys.readouterr().err


def test_the_median_is_held_against_the_target() -> None:
    samples = [Sample(value, 1.0) for value in (1.0, 1.4, 9.0)]
    assert Result("a", "a", "us", Bound(1.5), samples).met is True
    assert Result("a", "a", "us", Bound(1.3), samples).met is False
    assert Result("a", "a", "us", Bound(1.0, "value", at_least=True), samples).met is True
    assert Result("a", "a", "us", Bound(1.5), [Sample()]).met is None
    assert Result("a", "a", "us", None, samples).met is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "A,nothing"], "--only nothing: no such row"),
        (["--runs", "0"], "--runs"),
        (["--secret", "x"], "--secret and --pid go with --url"),
        (["--url", "https://127.0.0.1:1"], "URL must be http"),
        (["--url", "http://127.0.0.1:1"], "--url needs --secret"),
        (["--url", "http://127.0.0.1:x", "--secret", "x"], "URL must be http"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    assert main(["bench", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_rows_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [row.name for row in ROWS]
