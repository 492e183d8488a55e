"""A server that runs for one measurement: started on its core, waited for, watched and ended."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from install import Cache, Unavailable
from roster import HOST, Peer, environment

START_SECONDS = 20.0
STOP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens, and its process; what descends from that is its too."""

    port: int
    pid: int


def cores() -> tuple[int, int] | None:
    """The core of the servers and that of the generator; None where there are not two."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else None


@contextmanager
def serving(peer: Peer, cache: Cache, core: int | None) -> Iterator[Server]:
    """Run a peer on `core`. Raises `Unavailable` where it does not come up."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        port = _free_port()
        command, extra = peer.launch(cache, port, folder)
        prefix = ["taskset", "-c", str(core)] if core is not None else []
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [*prefix, *(str(part) for part in command)],
                env=environment(extra),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A session of its own: the scheduler's groups then share nothing with the generator's.
                start_new_session=True,
            )
        try:
            _wait(process, port, folder / "output")
            yield Server(port, process.pid)
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = output.read_text(errors="replace").strip().splitlines()
            raise Unavailable(f"ended with {process.returncode} at its start: {said[-1] if said else 'silently'}")
        with suppress(OSError), socket.create_connection((HOST, port), 1.0):
            return
        time.sleep(0.05)
    raise Unavailable(f"did not listen within {START_SECONDS:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole session that we started: a server that is full of connections may not end in time."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
