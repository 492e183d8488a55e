"""A server in a process of its own: started on its processor, found ready, ended."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..tools.errors import ToolError
from ..words.settings import ALIASES, FILE_VARIABLE, PREFIX, SECRET_ALIASES

READY_SECONDS = 20.0
END_SECONDS = 5.0

HOST = "127.0.0.1"
_MANY = 1_000_000

LIMITS: Mapping[str, str] = {
    "limits.connections_per_user": str(_MANY),
    "limits.connections_per_address": str(_MANY),
    "limits.max_connections": str(_MANY),
    "limits.handshakes_per_second": str(_MANY),
    "limits.investigation_idle_seconds": "86400",
    "log.level": "warning",
    "server.drain_seconds": "0",
}
"""What a gateway is started with: the bounds that one machine full of clients would meet are lifted, no check is."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens, what signs its tokens, and its process; none that is known where it runs elsewhere."""

    host: str
    port: int
    secret: str = field(repr=False)
    pids: Sequence[int] = ()


@contextmanager
def gateway(settings: Mapping[str, str] | None = None, *, cpus: set[int] | None = None) -> Iterator[Server]:
    """Run a gateway of this installation, with these keys (`section.key`) besides. Raises `ToolError`."""
    secret = secrets.token_urlsafe(64)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.toml"
        config.write_text(f'[auth]\njwt_secrets = ["{secret}"]\n', encoding="utf-8")
        config.chmod(0o600)
        options = [f"--set={key}={value}" for key, value in {**LIMITS, **(settings or {})}.items()]
        port = free_port()
        command = [sys.executable, "-m", "cidadao_rt", "serve", "--config", str(config), "--port", str(port), *options]
        with running(command, port, secret, cpus=cpus) as server:
            yield server


@contextmanager
def bare(*, cpus: set[int] | None = None) -> Iterator[Server]:
    """Run the bare loop (`bare`). Raises `ToolError`."""
    secret, port = secrets.token_urlsafe(64), free_port()
    command = [sys.executable, "-m", "cidadao_rt.bench.bare", str(port)]
    with running(command, port, secret, cpus=cpus, environment={"BENCH_SECRET": secret}) as server:
        yield server


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    secret: str = "",
    *,
    cpus: set[int] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server that listens on `port`, on these processors, until the context ends. Raises `ToolError`."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - a command of ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={**_environment(), **(environment or {})},
            # A session of its own, so that the scheduler does not share one group's time with the generator.
            start_new_session=True,
        )
        try:
            if cpus is not None:
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(process.pid, cpus)
            if not _listens(process, port):
                said.seek(0)
                lines = said.read().decode(errors="replace").split("\n")
                reason = next((line for line in reversed(lines) if line.strip()), "no word of why")
                raise ToolError(f"the server to be measured did not start: {reason}")
            yield Server(HOST, port, secret, (process.pid,))
        finally:
            _stop(process)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    """Ours, without what would configure a gateway that somebody runs beside it."""
    ours = {*ALIASES, *SECRET_ALIASES, FILE_VARIABLE}
    return {name: value for name, value in os.environ.items() if name not in ours and not name.startswith(PREFIX)}


def _listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection((HOST, port), 1.0):
            return True
        time.sleep(0.02)
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
