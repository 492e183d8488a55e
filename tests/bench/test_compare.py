"""The comparison with peers: the floor is a WebSocket server, a run ends in a table, verdicts are just."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from install import Cache
from machine import need
from roster import PEERS, Launch
from serving import serving
from trial import trial
from verdicts import AIMS, GATEWAY, judge, summarize
from websockets.asyncio.client import ClientConnection, connect
from workloads import WORKLOADS

HERE = Path(__file__).resolve().parent


@pytest.fixture(params=["floor", "floor-batched"])
def floor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a floor that runs."""
    need("gcc")
    with serving(PEERS[request.param], Cache(tmp_path, install=False), None) as server:
        yield f"ws://127.0.0.1:{server.port}"


def dial(url: str) -> connect:
    """A connection of a client that we did not write; it checks the handshake's answer and the close."""
    return connect(url, compression=None, ping_interval=None)


async def received(ws: ClientConnection, count: int) -> list[str | bytes]:
    """The next messages."""
    async with asyncio.timeout(10):
        return [await ws.recv() for _ in range(count)]


async def test_the_floor_delivers_each_topic_to_those_who_follow_it(floor: str) -> None:
    """In order, once, whatever its length; and to nobody who left."""
    texts = ["a", "b" * 125, "c" * 126, "d" * 60_000]
    async with dial(f"{floor}/ws?t=0001") as one, dial(f"{floor}/ws?t=0001,0002") as both, dial(f"{floor}/pub") as pub:
        async with dial(f"{floor}/ws?t=0001") as left:
            await left.send("here")
            assert await received(left, 1) == ["here"]
        for text in texts:
            await pub.send("0001" + text)
            await pub.send("0002" + text)
        assert await received(one, 4) == texts
        assert await received(both, 8) == [text for text in texts for _ in range(2)]
        await one.send("nothing came between")
        assert await received(one, 1) == ["nothing came between"]


async def test_the_floor_answers_pings_and_closes(floor: str) -> None:
    """A client of its own kind would hide a fault in these."""
    async with dial(f"{floor}/ws?t=0000") as ws:
        async with asyncio.timeout(10):
            await (await ws.ping())
        await ws.send(b"bytes stay bytes")
        assert await received(ws, 1) == [b"bytes stay bytes"]
    assert ws.close_code == 1000


def test_a_comparison_ends_in_a_table_and_verdicts(tmp_path: Path) -> None:
    """Floor, bare aiohttp and the gateway under one load; what is not installed is told, the rest goes on."""
    need("gcc")
    files = ["--cache", tmp_path / "cache", "--json", tmp_path / "whole.json", "--plots", tmp_path / "plots"]
    tiny = ["--only", "A", "--runs", "1", "--seconds", "0.3", "--scale", "0.02"]
    done = subprocess.run(
        [sys.executable, HERE / "compare.py", "run", "--peers", "floor,aiohttp,gateway,uws", *tiny, *files],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    whole = json.loads((tmp_path / "whole.json").read_text())
    ran = {"floor", "aiohttp", "gateway"}
    assert {row["peer"]: row.get("ok") for row in whole["runs"]} == {"uws": None, **dict.fromkeys(ran, True)}
    assert {spread["peer"] for spread in whole["summary"] if spread["measure"] == "us"} == ran
    assert [one["aim"]["work"] for one in whole["verdicts"]] == [aim.work for aim in AIMS]
    tables = [block.splitlines() for block in done.stdout.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        assert len({line.count(" | ") for line in table}) == 1, table
    assert any(line.startswith(f"| {PEERS['floor'].title} | ") and "1.00×" in line for line in tables[0])
    assert "- uws, all: not installed" in done.stdout
    assert "A trial with smaller numbers" in done.stdout
    assert (tmp_path / "plots" / "cost-A.svg").read_text().startswith("<svg ")


def test_a_peer_that_fails_does_not_end_the_comparison(tmp_path: Path) -> None:
    """What it died of is the row's error."""

    def launch(*_: object) -> Launch:
        return [sys.executable, "-c", "raise SystemExit('no room')"], {}

    def prepare(*_: object) -> None:
        raise ValueError("cannot be")

    cache = Cache(tmp_path, install=False)
    dies = replace(PEERS["aiohttp"], launch=launch)
    assert trial(dies, WORKLOADS["A"], cache, None, 0.1) == {"error": "ended with 1 at its start: no room"}
    fails = replace(PEERS["aiohttp"], prepare=prepare)
    assert trial(fails, WORKLOADS["A"], cache, None, 0.1) == {"error": "ValueError: cannot be"}


def row(peer: str, workload: str, *, ok: bool = True, **values: float) -> dict[str, object]:
    """One run as `trial` tells it."""
    return {"peer": peer, "workload": workload, "run": 1, "ok": ok, "faults": [], **values}


def verdict(work: str, *rows: dict[str, object]) -> tuple[str, float | None]:
    """The verdict about one aim after these runs."""
    (found,) = (one for one in judge(summarize(rows)) if one.aim.work == work)
    return found.verdict, found.ratio


A1 = "A1: one event outstanding"


@pytest.mark.parametrize(("us", "expected"), [(11.4, "reached"), (11.6, "missed")])
def test_a_verdict_is_the_ratio_of_the_medians(us: float, expected: str) -> None:
    """One slow run of three changes nothing."""
    rows = [row("floor", "A1", us=value) for value in (9.0, 10.0, 30.0)]
    rows += [row(GATEWAY, "A1", us=value) for value in (1.0, us, 50.0)]
    assert verdict(A1, *rows) == (expected, pytest.approx(us / 10))


def test_what_lost_a_delivery_has_reached_nothing() -> None:
    """However fast it was."""
    rows = [row("floor", "A1", us=10.0), row(GATEWAY, "A1", us=5.0), row(GATEWAY, "A1", us=5.0, ok=False)]
    assert verdict(A1, *rows) == ("missed", 0.5)


def test_what_has_nothing_to_be_held_against_is_not_measured() -> None:
    """A peer that could not be installed is no victory; nor is a gateway that did not run."""
    failed = {"peer": "floor", "workload": "A1", "run": 1, "error": "no gcc"}
    assert verdict(A1, failed, row(GATEWAY, "A1", us=5.0)) == ("not measured", None)
    assert verdict(A1, row("floor", "A1", us=5.0)) == ("not measured", None)


def test_publishing_in_lists_is_held_against_publishing_one_by_one() -> None:
    """At least ten times as many events for the same time."""
    work = "publish, lists of 100 against one by one"
    single = row(GATEWAY, "publish", us=200.0)
    assert verdict(work, single, row(GATEWAY, "publish100", us=19.0))[0] == "reached"
    assert verdict(work, single, row(GATEWAY, "publish100", us=21.0))[0] == "missed"
