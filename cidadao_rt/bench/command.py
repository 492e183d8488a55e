"""`bench`: measure the rows that were asked for, and tell."""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..tools.errors import USAGE, ToolError
from ..tools.output import GoneError, note, say
from . import plots
from .arguments import SECRET_VARIABLE
from .measure import processors, raise_open_files
from .report import document, table
from .rows import ROWS, Row
from .sample import Result, Sample
from .server import Server
from .workloads import Bench

QUICK_SCALE = 0.05
MOST_FILES = 12_000
"""Open files that the rows with 10,000 connections need."""


def run(options: argparse.Namespace) -> int:
    """Measure and tell. Returns the exit status, 1 where something was lost, doubled or closed. Raises `ToolError`.

    A target that is missed is told, and no error: how fast a machine is says nothing about right or wrong.
    """
    try:
        if options.list:
            for row in ROWS:
                say(f"{row.name:<15} {row.title}")
            return 0
        return _measured(options)
    except GoneError:
        return 1


def _measured(options: argparse.Namespace) -> int:
    rows = chosen(options.only)
    if options.plots is not None:
        plots.check()
    output = _writable(options.json)
    bench = Bench(running=_running(options))
    if options.quick:
        bench.scale, bench.warm, bench.seconds = QUICK_SCALE, 0.1, 0.3
    elif raise_open_files() < MOST_FILES:
        raise ToolError(f"a process may open too few files: allow {MOST_FILES} (ulimit -n), or use --quick")
    bench.cpus, own = processors()
    before = os.sched_getaffinity(0)
    began = time.time()
    os.sched_setaffinity(0, own)
    try:
        results = [_result(bench, row, options.runs) for row in rows]
    finally:
        os.sched_setaffinity(0, before)
    say(table(results))
    if output is not None:
        output.write_text(json.dumps(document(results, began=began, quick=options.quick), indent=1) + "\n")
    if options.plots is not None:
        for file in plots.draw(results, Path(options.plots)):
            note(f"{file} was drawn")
    return 0 if all(result.ok for result in results) else 1


def chosen(names: str | None) -> list[Row]:
    """The rows of these names, in the table's order; None: all. Raises `ToolError`."""
    if names is None:
        return list(ROWS)
    wanted = {name.strip() for name in names.split(",")}
    unknown = sorted(wanted - {row.name for row in ROWS})
    if unknown:
        raise ToolError(f"--only {unknown[0]}: no such row; see --list", USAGE)
    return [row for row in ROWS if row.name in wanted]


def _result(bench: Bench, row: Row, runs: int) -> Result:
    samples: list[Sample] = []
    for number in range(1, runs + 1):
        note(f"{row.name}: {row.title}" + (f" ({number} of {runs})" if runs > 1 else ""))
        sample = row.measure(bench)
        for fault in sample.faults:
            note(f"{row.name}: {fault}")
        samples.append(sample)
    return Result(row.name, row.title, row.unit, row.bound, samples)


def _running(options: argparse.Namespace) -> Server | None:
    if options.url is None:
        if options.secret is not None or options.pid is not None:
            raise ToolError("--secret and --pid go with --url", USAGE)
        return None
    try:
        url = urlsplit(options.url)
        host, port = url.hostname, url.port or 80
    except ValueError:
        host, port = None, 0
    if not host or url.scheme not in ("http", "ws") or url.username or url.path.strip("/") or url.query:
        raise ToolError("URL must be http://HOST:PORT", USAGE)
    secret = options.secret or os.environ.get(SECRET_VARIABLE)
    if not secret:
        raise ToolError(f"--url needs --secret or ${SECRET_VARIABLE}, to sign tokens of many users", USAGE)
    pids: Sequence[int] = (options.pid,) if options.pid is not None else ()
    if options.pid is not None and not Path(f"/proc/{options.pid}/stat").exists():
        raise ToolError(f"--pid {options.pid}: no such process here", USAGE)
    return Server(host, port, secret, pids)


def _writable(name: str | None) -> Path | None:
    """Better to know before an hour of measuring that a file cannot be written."""
    if name is None:
        return None
    path = Path(name)
    if path.is_dir() or not os.access(path.resolve().parent, os.W_OK | os.X_OK):
        raise ToolError(f"{name}: cannot be written")
    return path
