"""`tail`, `record` and `verify` as a person runs them: processes against real gateways."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Server

from cidadao_rt.memory.log import Draft, Page
from cidadao_rt.words import topics

Serve = Callable[..., Awaitable[Server]]
HOSTILE = "\x1b]0;dono\x07\x1b[2J"


async def start(*arguments: str, token: str = "", **options: Any) -> asyncio.subprocess.Process:
    environment = {"PATH": os.environ["PATH"], "CIDADAO_RT_TOKEN": token, "PYTHONUTF8": "1"} | options.pop("env", {})
    options = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE, **options}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cidadao_rt", *arguments, env=environment, limit=1 << 20, **options
    )


async def run(*arguments: str, token: str = "", **options: Any) -> tuple[int, str, str]:
    """Status, stdout, stderr."""
    process = await start(*arguments, token=token, **options)
    try:
        async with asyncio.timeout(40):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def connected(process: asyncio.subprocess.Process) -> None:
    """Wait until it says that it is."""
    assert process.stderr is not None
    async with asyncio.timeout(15):
        said = await process.stderr.readline()
    assert b" by " in said, said


async def notify(server: Server, message: str) -> None:
    data = {"level": "info", "title": "t", "message": message}
    await server.gateway.broker.publish(Draft(topics.user("ana"), "ana", "notification", data))


# -- what all have in common ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["tail"], ["record"], ["verify"]], ids=str)
@pytest.mark.parametrize(
    ("url", "token", "status", "said"),
    [
        ("ftp://x", "t", 2, "URL must be"),
        ("http://127.0.0.1:1/?other=1", "t", 2, "other in the URL"),
        ("http://127.0.0.1:1", "", 2, "a token is needed"),
        ("http://127.0.0.1:1", "a b", 2, "the token is none"),
        ("http://127.0.0.1:1", "t", 3, "cannot connect to 127.0.0.1:1: nothing answers there"),
    ],
)
async def test_what_cannot_be_is_one_line(
    command: list[str], url: str, token: str, status: int, said: str, tmp_path: Path
) -> None:
    more = [str(tmp_path / "r.toml")] if command == ["record"] else []
    found = await run(*command, url, *more, token=token)
    assert found[:2] == (status, "")
    assert found[2].startswith("cidadao-rt: ")
    assert said in found[2]
    assert found[2].count("\n") == 1


@pytest.mark.parametrize("command", [["tail"], ["record"], ["verify"]], ids=str)
async def test_a_token_that_is_refused_is_one_line(serve: Serve, command: list[str], tmp_path: Path) -> None:
    server = await serve()
    more = [str(tmp_path / "r.toml")] if command == ["record"] else []
    found = await run(*command, server.http, *more, token="nonsense")
    assert found == (3, "", f"cidadao-rt: 127.0.0.1:{server.port} refuses: Invalid token\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "http://h", "--seconds", "nan"], "above 0"),
        (["verify", "http://h", "--clients", "51"], "from 1 to 50"),
        (["verify", "http://h", "--cuts-per-second", "-1"], "from 0"),
        (["tail", "http://h", "--events", "pong"], "no type of an event"),
        (["tail", "http://h", "--count", "0"], "from 1"),
        (["record", "http://h", "r.json"], "end in .toml"),
        (["record", "http://h", "r.toml", "--query", " "], "--query"),
        (["record", "http://h", "r.toml", "--query", "q", "--investigation", "i"], "not allowed with"),
    ],
)
async def test_wrong_options_are_a_usage_error(arguments: list[str], said: str) -> None:
    status, out, err = await run(*arguments, token="t")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


# -- tail -------------------------------------------------------------------------------------------------------------


async def test_tail_shows_events_and_none_of_their_control_characters(serve: Serve) -> None:
    server = await serve()
    url = server.url()
    process = await start("tail", url, "--count", "2", "--grep", "ALVO")
    await connected(process)
    for message in (f"alvo {HOSTILE}", "outro", "alvo 2"):
        await notify(server, message)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    lines = out.decode().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert lines[0].endswith(r"t · alvo \x1b]0;dono\x07\x1b[2J")


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_tail_as_json_from_a_cursor_on(serve: Serve, transport: str) -> None:
    server = await serve()
    async with server.connect() as ana:
        for n in range(3):
            await notify(server, str(n))
        since = (await ana.until("notification", message="0"))["id"]
    arguments = ["--since", since, "--json", "--count", "2", "--transport", transport, "--events", "notification"]
    status, out, _ = await run("tail", server.http, *arguments, token=server.token())
    events = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [(event["type"], event["data"]["message"]) for event in events] == [
        ("notification", "1"),
        ("notification", "2"),
    ]


async def test_tail_says_where_something_may_be_missing(serve: Serve) -> None:
    server = await serve()
    status, out, _ = await run("tail", server.http, "--since", "another-7", "--count", "1", token=server.token())
    assert status == 0
    assert "eventos podem ter se perdido" in out


async def test_tail_ends_with_its_reader(serve: Serve) -> None:
    server = await serve()
    read, write = os.pipe()
    process = await start("tail", server.http, token=server.token(), stdout=write)
    os.close(write)
    await connected(process)
    os.close(read)
    await notify(server, "para ninguém")
    _, err = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, err) == (0, b"")


async def test_tail_ends_on_ctrl_c_without_a_traceback(serve: Serve) -> None:
    server = await serve()
    process = await start("tail", server.http, token=server.token())
    await connected(process)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert (process.returncode, out, err) == (130, b"", b"")
    await server.settled(lambda: len(server.gateway.hub) == 0)


async def test_tail_comes_back_and_says_so_beside_the_events(serve: Serve) -> None:
    server = await serve()
    process = await start("tail", server.http, "--count", "1", token=server.token())
    await connected(process)
    for connection in server.gateway.hub:
        connection.outlet.abort()
    await notify(server, "perdido?")
    out, err = await asyncio.wait_for(process.communicate(), 15)
    assert "perdido?" in out.decode()
    assert "coming back in" in err.decode()
    assert "recovered: True" in err.decode()


@pytest.mark.parametrize(("env", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)])
async def test_tail_has_colours_on_a_terminal_unless_they_are_not_wanted(
    serve: Serve, env: dict[str, str], coloured: bool
) -> None:
    server = await serve()
    ours, theirs = pty.openpty()
    process = await start("tail", server.http, "--count", "1", token=server.token(), stdout=theirs, env=env)
    os.close(theirs)
    await connected(process)
    await notify(server, f"oi {HOSTILE}")
    shown = (await asyncio.to_thread(os.read, ours, 65536)).decode()
    await process.communicate()
    os.close(ours)
    assert ("\x1b[33m" in shown) == coloured
    assert re.sub(r"\x1b\[(33|0)m", "", shown).strip().isprintable()


# -- record -----------------------------------------------------------------------------------------------------------


def story(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The events of a recording without what is of one run alone."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    events = []
    for event in table["event"]:
        if "id" in event:
            data = json.loads(event["data"])
            del data["investigation_id"]
            events.append((event["type"], data))
    return events


async def test_a_recording_plays_and_records_the_same_again(serve: Serve, tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    live = await serve(agents={"speed": 20.0})
    token = live.token()
    status, out, err = await run("record", live.http, str(first), "--query", "Merenda", token=token)
    assert (status, out) == (0, "")
    assert "to its end" in err
    assert token not in first.read_text(encoding="utf-8")
    played = await serve(agents={"scenario": str(first), "speed": 20.0})
    status, _, err = await run("record", played.http, str(second), "--query", "Merenda", token=played.token())
    assert status == 0, err
    assert len(story(first)) > 10
    assert story(second) == story(first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.toml", "b.toml"]


async def test_a_recording_that_is_interrupted_is_kept(serve: Serve, tmp_path: Path) -> None:
    server = await serve(agents={"speed": 0.5})
    path = tmp_path / "r.toml"
    process = await start("record", server.http, str(path), token=server.token())
    await connected(process)
    async with server.connect() as ana:
        await ana.send("start_investigation", {"query": "Merenda"})
        (recorder,) = (one for one in server.gateway.hub if one.session.id != ana.welcome["data"]["session_id"])
        # It acknowledges what it has recorded; `started` alone could not be played.
        await server.settled(lambda: recorder.session._resume_from > 1)
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 0
    assert b"not to its end" in err
    assert story(path)[0][1]["status"] == "started"


async def test_nothing_to_play_is_nothing_written(serve: Serve, tmp_path: Path) -> None:
    server = await serve()
    path = tmp_path / "r.toml"
    status, _, err = await run("record", server.http, str(path), "--seconds", "0.2", token=server.token())
    assert status == 1
    assert "nothing was written" in err
    unknown = await run("record", server.http, str(path), "--investigation", "inv_x", token=server.token())
    assert unknown[0] == 3
    assert not path.exists()


async def test_the_end_that_did_not_come_is_status_1_and_kept(serve: Serve, tmp_path: Path) -> None:
    server = await serve(agents={"speed": 0.5})
    path = tmp_path / "r.toml"
    arguments = ["record", server.http, str(path), "--query", "Merenda", "--seconds", "1.5"]
    assert (await run(*arguments, token=server.token()))[0] == 1
    assert len(story(path)) > 1


# -- verify -----------------------------------------------------------------------------------------------------------

QUICK = ("--json", "--seconds", "6", "--seed", "7")


async def verify(server: Server, *arguments: str) -> tuple[int, dict[str, Any]]:
    status, out, err = await run("verify", server.http, *QUICK, *arguments, token=server.token())
    assert err == ""
    return status, json.loads(out)


async def test_verify_finds_nothing_wrong_with_the_gateway(serve: Serve) -> None:
    server = await serve(agents={"speed": 4.0})
    status, report = await verify(server, "--cuts-per-second", "8", "--transport", "all")
    assert (status, report["ok"]) == (0, True), report
    assert report["clients"] == ["websocket", "websocket", "sse", "poll", "websocket"]
    assert report["cuts"] > 5
    assert report["investigations"] == report["investigations_ended"] == 8
    assert report["received"] == 5 * report["sent"] > 500
    assert (report["lost"], report["duplicated"], report["reordered"], report["recovered_false"]) == (0, 0, 0, 0)
    assert report["seed"] == 7
    assert 0 <= report["latency_seconds"]["p50"] <= report["latency_seconds"]["p99"]
    await server.settled(lambda: len(server.gateway.hub) == 0)


def sabotage(server: Server, monkeypatch: pytest.MonkeyPatch, harm: Callable[[list[Any]], list[Any]], most: int) -> Any:
    """Harm this many of the pages that are read from the log."""
    log, since, done = server.gateway.log, server.gateway.log.since, []

    def harmed(*arguments: Any) -> Page:
        page = since(*arguments)
        events = harm(list(page.events)) if len(done) < most else page.events
        if list(events) != list(page.events):
            done.append(page)
        return Page(events, page.position)

    monkeypatch.setattr(type(log), "since", lambda self, *arguments: harmed(*arguments))
    return done


async def test_verify_counts_what_a_broken_gateway_skips(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(agents={"speed": 4.0})

    def skip(events: list[Any]) -> list[Any]:
        return [e for e in events[:1] if e.type != "progress_update"] + events[1:]

    done = sabotage(server, monkeypatch, skip, 3)
    status, report = await verify(server, "--transport", "poll", "--cuts-per-second", "0", "--investigations", "4")
    assert len(done) == 3
    assert (status, report["ok"], report["lost"], report["reordered"]) == (1, False, 3, 0), report


async def test_verify_counts_what_is_skipped_in_replays_alone(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(agents={"speed": 4.0})
    done = sabotage(server, monkeypatch, lambda events: events[1:], 1000)
    status, report = await verify(server, "--transport", "websocket", "--cuts-per-second", "8")
    assert status == 1
    assert 1 <= report["lost"] <= len(done), report


async def test_verify_counts_what_reaches_nobody(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """No client can miss what none was given; the gateway's history can."""
    server = await serve(agents={"speed": 4.0})
    announce, swallowed = server.gateway.broker._announce, []

    def swallow(event: Any) -> None:
        if event.type == "progress_update" and not swallowed:
            swallowed.append(event)
        else:
            announce(event)

    monkeypatch.setattr(server.gateway.broker, "_announce", swallow)
    status, report = await verify(server, "--transport", "websocket", "--cuts-per-second", "0", "--investigations", "2")
    assert len(swallowed) == 1
    assert (status, report["lost"], report["history"]) == (1, len(report["clients"]), True), report


async def test_verify_counts_what_is_out_of_order(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(agents={"speed": 20.0})

    def swap(events: list[Any]) -> list[Any]:
        return [events[1], events[0], *events[2:]] if len(events) > 1 else events

    done = sabotage(server, monkeypatch, swap, 2)
    status, report = await verify(server, "--transport", "poll", "--cuts-per-second", "0")
    assert len(done) == 2
    assert (status, report["lost"], report["reordered"]) == (1, 0, 2), report


async def test_verify_fails_where_the_gateway_cannot_catch_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(agents={"speed": 4.0}, buffer={"events_per_topic": 1})
    status, report = await verify(server, "--cuts-per-second", "8", "--transport", "websocket")
    assert status == 1
    assert report["recovered_false"] > 0
    assert report["lost"] > 0


async def test_verify_says_which_limit_stopped_it(serve: Serve) -> None:
    server = await serve(agents={"speed": 4.0}, limits={"connections_per_user": 3})
    status, out, _ = await run(
        "verify", server.http, "--seconds", "3", "--clients", "3", "--investigations", "2", token=server.token()
    )
    assert status == 0
    assert "limit: connections" in out
    assert "3 clients" in out
    assert "--seed" in out


async def test_verify_has_a_bar_on_a_terminal_alone(serve: Serve) -> None:
    server = await serve(agents={"speed": 20.0})
    ours, theirs = pty.openpty()
    arguments = ["verify", server.http, "--seconds", "2", "--investigations", "1", "--clients", "1", "--json"]
    process = await start(*arguments, token=server.token(), stderr=theirs)
    os.close(theirs)
    out, _ = await process.communicate()
    shown = (await asyncio.to_thread(os.read, ours, 65536)).decode()
    os.close(ours)
    assert re.search(r"\r\[[#-]{24}\] +\d+%  \d+ cuts  \d+ events received", shown)
    assert shown.endswith("\r\x1b[K")
    assert json.loads(out)["ok"]
