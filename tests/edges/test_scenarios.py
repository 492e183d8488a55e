"""Scenarios through a real gateway: chosen by configuration or request, refused, read again, played to their end."""

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Client, Server

from cidadao_rt.motion.agents.library import packaged
from cidadao_rt.words.events import FINAL

ROOT = Path(__file__).parents[2]
NAMES = sorted(packaged())
Serve = Callable[..., Awaitable[Server]]


async def investigate(client: Client, **filters: Any) -> list[dict[str, Any]]:
    """Start an investigation; all its events to the end, without what is its alone: ids and times."""
    await client.send("start_investigation", {"query": "merenda escolar", "filters": filters})
    events: list[dict[str, Any]] = []
    while not events or events[-1]["data"].get("status") not in FINAL or events[-1]["type"] != "investigation_update":
        event = await client.recv()
        assert event["type"] != "error", event
        for own in ("id", "timestamp"):
            del event[own]
        del event["data"]["investigation_id"]
        events.append(event)
    return events


@pytest.mark.parametrize("name", NAMES)
async def test_each_scenario_comes_to_its_end_and_twice_the_same(serve: Serve, name: str) -> None:
    server = await serve(agents={"speed": 1000.0})
    async with server.connect() as client:
        first = await investigate(client, scenario=name)
        assert await investigate(client, scenario=name) == first
    other = await serve(agents={"speed": 1000.0})
    async with other.connect() as client:
        assert await investigate(client, scenario=name) == first
    assert first[0]["data"]["status"] == "started"
    assert first[-1]["data"]["status"] == ("cancelled" if name == "cancelada" else "completed")


async def test_the_configured_scenario_is_played_where_none_is_named(serve: Serve) -> None:
    server = await serve(agents={"speed": 1000.0, "scenario": "cancelada"})
    async with server.connect() as client:
        assert (await investigate(client))[-1]["data"]["status"] == "cancelled"
        assert (await investigate(client, scenario="padrao"))[-1]["data"]["status"] == "completed"


@pytest.mark.parametrize("name", ["nenhum", "../padrao", "/etc/passwd", "padrao.toml", 7, {"a": 1}])
async def test_an_unknown_scenario_is_refused_before_anything_starts(serve: Serve, name: Any) -> None:
    server = await serve()
    async with server.connect() as client:
        refused = await client.ask("start_investigation", {"query": "merenda", "filters": {"scenario": name}})
        assert refused["type"] == "error"
        assert refused["data"]["code"] == "INVALID_REQUEST"
        assert refused["data"]["details"] == {"field": "filters.scenario", "required": False, "known": NAMES}
        assert len(server.gateway.investigations) == len(server.gateway.runs) == 0
        # The same correlation id may be used for a better try.
        await client.send("start_investigation", {"query": "a", "filters": {"scenario": name}}, correlation_id="c")
        assert (await client.recv())["type"] == "error"
        await client.send("start_investigation", {"query": "a"}, correlation_id="c")
        assert (await client.recv())["data"]["status"] == "started"


async def test_the_scenarios_team_is_told_from_the_start(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "dupla.toml").write_text('agents = ["oxossi", "lina"]')
    server = await serve(agents={"speed": 1000.0, "scenarios_path": str(tmp_path)})
    async with server.connect() as client:
        started, *_ = events = await investigate(client, scenario="dupla")
        assert (started["data"]["agents"], started["data"]["current_agent"]) == (["oxossi", "bo_bardi"], "oxossi")
        worked = [event["data"]["agent"] for event in events if event["type"] == "agent_analysis"]
        assert worked == ["oxossi", "bo_bardi"]


async def test_in_development_a_changed_file_plays_from_the_next_start_on(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "meu.toml"
    server_of = {"server": {"mode": "development"}, "agents": {"speed": 1000.0, "scenario": str(path)}}

    def write(text: str, time: int) -> None:
        path.write_text(text)
        os.utime(path, (time, time))

    write('[ending]\nmessage = "um"', 1)
    server = await serve(**server_of)
    async with server.connect() as client:
        assert (await investigate(client))[-1]["data"]["message"] == "um"
        write('[ending]\nmessage = "dois"', 2)
        assert (await investigate(client))[-1]["data"]["message"] == "dois"
        write("[ending]\nmensagem = 3", 3)
        broken = await investigate(client)
        assert broken[-1]["data"]["message"] == "dois"
        assert broken[1]["type"] == "notification"
        assert broken[1]["data"]["message"] == f"{path} line 2: ending.mensagem: unknown key; did you mean message?"


async def test_what_a_client_received_plays_again(serve: Serve, tmp_path: Path) -> None:
    """Everything that one connection got, written down as it came, is a scenario that gives the same events."""
    server = await serve(agents={"speed": 1000.0})
    received: list[dict[str, Any]] = []
    async with server.connect() as client:
        received.append(client.welcome)
        await client.send("start_investigation", {"query": "merenda escolar"})
        await client.send("ping")
        received += await client.collect("investigation_update", status="completed")
    text = "".join(
        f"[[event]]\nafter = 0.01\ntype = '{message['type']}'\ndata = '''{json.dumps(message['data'])}'''\n"
        + (f"id = '{message['id']}'\n" if "id" in message else "")
        for message in received
    )
    (tmp_path / "gravado.toml").write_text(text)
    recorded = [message for message in received if message["type"] in ("agent_analysis", "progress_update")]
    other = await serve(agents={"speed": 1000.0, "scenarios_path": str(tmp_path)})
    async with other.connect() as client:
        played = await investigate(client, scenario="gravado")
    for message in recorded:
        del message["data"]["investigation_id"]
    again = [event["data"] for event in played if event["type"] in ("agent_analysis", "progress_update")]
    assert again == [message["data"] for message in recorded]
    assert played[-1]["data"]["status"] == "completed"


async def test_a_chat_that_fails_is_answered_and_the_conversation_goes_on(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "mudo.toml"
    path.write_text("[chat]\nerror_after = 1")
    server = await serve(agents={"speed": 1000.0, "scenario": str(path)})
    async with server.connect("/ws/chat") as client:
        await client.send("agent_chat", {"message": "Olá"}, correlation_id="c")
        seen = await client.collect("error")
        assert [message["type"] for message in seen] == ["typing", "agent_chat_chunk", "typing", "error"]
        assert seen[-1]["data"]["code"] == "AGENT_UNAVAILABLE"
        assert seen[-1]["correlation_id"] == "c"
        assert (await client.ask("ping"))["type"] == "pong"


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_faulty_scenario_ends_the_command_line_with_file_line_and_key(tmp_path: Path, command: str) -> None:
    (tmp_path / "meu.toml").write_text("\n[[failure]]\nagent = 'zumbie'")
    (tmp_path / "config.toml").write_text("[agents]\nscenario = 'meu.toml'")
    done = subprocess.run(
        [sys.executable, "-m", "cidadao_rt", command],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "cidadao-rt: agents.scenario (config.toml line 2): meu.toml line 3: failure[0].agent: unknown agent; "
        "did you mean zumbi?\n"
    )
