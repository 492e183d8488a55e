"""One measurement of one peer, as a row of plain values."""

import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from install import Cache, Unavailable
from roster import Peer
from serving import serving
from workloads import Workload

from cidadao_rt.bench.generator import Flow, Generator, Rate, Window
from cidadao_rt.bench.measure import cpu_seconds, measure, resident_bytes, settle
from cidadao_rt.bench.target import Target

Row = dict[str, Any]
"""`us`: processor time of the server for a delivery; `p50`, `p99`: ms; `handshake_us`; `idle_kib`; `server` and
`generator`: parts of their cores; `ok`: whether everybody got everything once, with `faults` where not. Or `error`."""

WARM_SECONDS = 0.5
HOLD_SECONDS = 2.0
"""How long idle connections are left alone before the memory is read."""


def trial(peer: Peer, workload: Workload, cache: Cache, core: int | None, seconds: float) -> Row:
    """Start the peer, measure it, end it. What goes wrong with the peer is in the row."""
    try:
        with serving(peer, cache, core) as server:
            peer.prepare(server.port, workload)
            target = replace(peer.target(server.port, workload), pids=[server.pid])
            settle(target.pids)
            return _TRIALS[workload.kind](target, workload, seconds)
    except Unavailable as error:
        return {"error": str(error)}
    except Exception as error:
        # One peer that goes wrong must not cost the hour that the others took; it is told, and the run goes on.
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def _fan(target: Target, workload: Workload, seconds: float) -> Row:
    flow: Flow = Rate(workload.rate) if workload.rate else Window(workload.outstanding)
    with Generator(target) as generator:
        generator.topics = workload.topics
        generator.open(workload.connections, follows=workload.topics_of)
        generator.open_publishers()
        settle(target.pids)
        # What came by itself (a snapshot, an acknowledgment) lies unread in the sockets until here.
        generator.run(0.2)
        return measure(generator, flow, warm=WARM_SECONDS, seconds=seconds).as_json()


def _echo(target: Target, workload: Workload, seconds: float) -> Row:
    with Generator(target, echo=True) as generator:
        generator.topics = workload.topics
        generator.open(workload.connections)
        settle(target.pids)
        generator.run(0.2)
        return measure(generator, None, warm=WARM_SECONDS, seconds=seconds).as_json()


def _idle(target: Target, workload: Workload, _: float) -> Row:
    memory, processor = resident_bytes(target.pids), cpu_seconds(target.pids)
    with Generator(target) as generator:
        begun = time.monotonic()
        opened = len(generator.open(workload.connections))
        seconds = time.monotonic() - begun
        spent = cpu_seconds(target.pids) - processor
        generator.run(HOLD_SECONDS)
        return {
            "handshake_us": round(spent * 1e6 / opened, 2),
            "handshakes_per_second": round(opened / seconds, 1),
            "idle_kib": round((resident_bytes(target.pids) - memory) / 1024 / opened, 3),
            "faults": list(generator.faults),
            "ok": not generator.faulty and not generator.wrong(),
        }


_TRIALS: dict[str, Callable[[Target, Workload, float], Row]] = {"fan": _fan, "echo": _echo, "idle": _idle}
