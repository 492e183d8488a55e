"""Install the peers, run them and the gateway under the same loads, and tell how they compare.

    python tests/bench/compare.py setup
    python tests/bench/compare.py run --peers floor,gateway,uws --only A,A1,D --runs 5 --json FILE --plots FOLDER

Without a command it does both. Exit status: 0 also where an aim is missed, which the verdicts say; 1 where nothing
could be measured, 2 where what was asked for is wrong.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import charts
import tables
from install import NCHAN, SERVERS, Cache, Unavailable, default_cache, program, run
from roster import PEERS
from serving import cores
from trial import Row, trial
from verdicts import GATEWAY, judge, summarize
from workloads import WORKLOADS

from cidadao_rt.bench.measure import raise_open_files

SPARE_FILES = 200


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    options = _parser().parse_args(argv)
    cache = Cache(options.cache, install=options.command != "run")
    if options.command != "run":
        for name, reason in _installed(options.peers, cache).items():
            _say(f"{name}: {reason or 'ready'}")
        if options.command == "setup":
            return 0
    core, own = cores() or (None, None)
    if own is None:
        _say("one core only: server and generator share it, so figures say little")
    else:
        os.sched_setaffinity(0, {own})
    try:
        rows = _run(options, cache, core)
    except KeyboardInterrupt:
        return 130
    summary = summarize(rows)
    verdicts = judge(summary)
    skipped = {f"{row['peer']}, {row['workload']}": _trouble(row) for row in rows if not row.get("ok")}
    machine, versions = _machine(), _versions(options.peers, cache)
    text = tables.whole(machine, versions, summary, verdicts, skipped, trial=options.scale != 1)
    if options.json is not None:
        spreads = [
            {"peer": peer, "workload": workload, "measure": measure, **asdict(spread)}
            for (peer, workload, measure), spread in summary.items()
        ]
        whole = {
            "machine": machine,
            "versions": versions,
            "scale": options.scale,
            "runs": rows,
            "summary": spreads,
            "verdicts": [asdict(one) for one in verdicts],
        }
        options.json.write_text(json.dumps(whole, indent=1), encoding="utf-8")
    if options.plots is not None:
        charts.draw(options.plots, summary, ", ".join(machine.values()))
    print(text)
    _say_missed(len([one for one in verdicts if one.verdict == "missed"]))
    return 0 if summary else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="compare.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("command", nargs="?", choices=("setup", "run"), help="default: both")
    parser.add_argument(
        "--peers", type=_names("peer", PEERS), default=list(PEERS), metavar="NAME,…", help="default: all"
    )
    parser.add_argument("--only", type=_names("workload", WORKLOADS), default=list(WORKLOADS), metavar="NAME,…")
    parser.add_argument("--runs", type=_count, default=5, metavar="N", help="of everything (default: %(default)s)")
    parser.add_argument("--seconds", type=_positive, default=2.0, metavar="S", help="measured (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every run, the medians and the verdicts")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="an SVG for each workload")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--scale", type=_positive, default=1.0, metavar="X", help="fewer connections, for a trial")
    parser.epilog = f"Peers: {', '.join(PEERS)}. Workloads: {', '.join(WORKLOADS)}."
    return parser


def _names(kind: str, known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown {kind} {name!r}; known: {', '.join(known)}")
        return found

    return names


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _installed(peers: Sequence[str], cache: Cache) -> dict[str, str]:
    """Each peer, and why it cannot be had; "" if it can."""
    found = {}
    for name in peers:
        try:
            PEERS[name].ready(cache)
            found[name] = ""
        except Unavailable as error:
            found[name] = str(error)
    return found


def _run(options: argparse.Namespace, cache: Cache, core: int | None) -> list[Row]:
    """All runs. Peers take turns under each load, so that what the machine does to one it does to all."""
    absent = {name: reason for name, reason in _installed(options.peers, cache).items() if reason}
    files = raise_open_files()
    rows: list[Row] = [{"peer": name, "workload": "all", "run": 0, "error": absent[name]} for name in absent]
    workloads = [WORKLOADS[name].smaller(options.scale) for name in options.only]
    for number in range(1, options.runs + 1):
        for workload in workloads:
            names = [name for name in options.peers if name not in absent and PEERS[name].runs(workload.name)]
            if workload.connections + SPARE_FILES > files:
                reason = f"{workload.connections} connections need more than the {files} open files allowed"
                rows += [{"peer": n, "workload": workload.name, "run": number, "error": reason} for n in names]
                continue
            # Every other run goes backwards, since a drift over one round favours who is early or late.
            for name in names if number % 2 else names[::-1]:
                begun = time.monotonic()
                row = trial(PEERS[name], workload, cache, core, options.seconds)
                rows.append({"peer": name, "workload": workload.name, "run": number, **row})
                took = time.monotonic() - begun
                _say(f"{number}/{options.runs} {workload.name} {name}: {_brief(row)} ({took:.0f} s)")
    return rows


def _brief(row: Row) -> str:
    if "error" in row:
        return _trouble(row)
    names = ("us", "p99", "handshake_us", "idle_kib", "server", "generator")
    told = " ".join(f"{name} {row[name]}" for name in names if row.get(name))
    return told if row["ok"] else f"{told} NOT WHOLE: {_trouble(row)}"


def _trouble(row: Row) -> str:
    """Why a run is no full run."""
    return str(row.get("error") or "; ".join(row["faults"]) or "not everything that was published came")


def _machine() -> dict[str, str]:
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1].strip() if model else platform.machine(),
        "cores": f"{os.cpu_count()} cores",
        "system": f"Linux {platform.release().partition('-')[0]}",
        "python": f"Python {platform.python_version()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _versions(peers: Sequence[str], cache: Cache) -> dict[str, str]:
    """Of what was compared, as far as it is there."""
    found = {"cidadao_rt": version("cidadao-rt"), "aiohttp": version("aiohttp")}
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", (SERVERS / "requirements.txt").read_text(), re.MULTILINE))
    parts = {
        "uws": ("socketify",),
        "socketio": ("python-socketio",),
        "starlette": ("starlette", "uvicorn", "uvloop"),
        "websockets": ("websockets",),
    }
    for peer in peers:
        found |= {name: pinned[name] for name in parts.get(peer, ())}
    with suppress(Unavailable):
        if "ws" in peers:
            found["ws"] = json.loads((SERVERS / "node" / "package.json").read_text())["dependencies"]["ws"]
            found["Node"] = run([program("node"), "--version"]).strip().lstrip("v")
    with suppress(Unavailable):
        if "nchan" in peers:
            nginx, _ = cache.nchan()
            said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr
            found["nginx"] = said.strip().rpartition("/")[2]
            found["Nchan"] = NCHAN
            found["Nchan"] = run(["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"]) or NCHAN
    return found


def _say_missed(count: int) -> None:
    if count:
        _say(f"{GATEWAY}: {count} aim{'s' * (count > 1)} MISSED, see the table of verdicts")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
