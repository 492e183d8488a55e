"""What a person reads: Markdown for the README."""

from collections.abc import Iterable, Mapping, Sequence

from roster import PEERS
from verdicts import FLOOR, Spread, Summary, Verdict
from workloads import WORKLOADS

COST = tuple(name for name, one in WORKLOADS.items() if one.kind == "fan" and not one.rate)
"""Workloads whose figure is the processor time of a delivery."""

OTHERS = (
    ("L50", "p99", "p99 at 50,000/s, ms", 1),
    ("L150", "p99", "p99 at 150,000/s, ms", 1),
    ("idle", "handshake_us", "handshake, µs", 0),
    ("idle", "idle_kib", "idle, KiB/connection", 1),
    ("echo", "us", "echo, µs", 1),
)


def whole(
    machine: Mapping[str, str],
    versions: Mapping[str, str],
    summary: Summary,
    verdicts: Sequence[Verdict],
    skipped: Mapping[str, str],
    *,
    trial: bool,
) -> str:
    """All of it."""
    parts = [", ".join(machine.values())]
    if trial:
        parts.append("**A trial with smaller numbers: nothing here is a result.**")
    measured = {workload for _, workload, _ in summary}
    cost = [name for name in COST if name in measured]
    if cost:
        parts.append("Processor time of the server for a delivery, in µs: median [least to most], × the C floor.")
        parts.append(_table(cost, [_row(summary, peer, cost) for peer in PEERS]))
    others = [one for one in OTHERS if one[0] in measured]
    if others:
        header = [title for _, _, title, _ in others]
        parts.append(_table(header, [_other(summary, peer, others) for peer in PEERS]))
    parts.append("`*`: not every delivery came, in some run.")
    parts.append("\n".join(f"- {name}: {WORKLOADS[name].title}" for name in WORKLOADS if name in measured))
    parts.append(_verdicts(verdicts))
    if skipped:
        told = "\n".join(f"- {name}: {reason}" for name, reason in skipped.items())
        parts.append(f"Not measured, or not wholly:\n{told}")
    parts.append("Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".")
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Iterable[list[str]]) -> str:
    lines = [["", *header], ["---"] * (len(header) + 1), *(row for row in rows if any(row[1:]))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _row(summary: Summary, peer: str, workloads: Sequence[str]) -> list[str]:
    cells = [PEERS[peer].title]
    for workload in workloads:
        spread, floor = summary.get((peer, workload, "us")), summary.get((FLOOR, workload, "us"))
        ratio = f", {spread.median / floor.median:.2f}×" if spread and floor else ""
        cells.append(_cell(spread, 2) + ratio)
    return cells


def _other(summary: Summary, peer: str, columns: Sequence[tuple[str, str, str, int]]) -> list[str]:
    return [PEERS[peer].title, *(_cell(summary.get((peer, work, name)), digits) for work, name, _, digits in columns)]


def _cell(spread: Spread | None, digits: int) -> str:
    if spread is None:
        return ""
    text = f"{spread.median:.{digits}f}"
    if spread.runs > 1:
        text += f" [{spread.least:.{digits}f} to {spread.most:.{digits}f}]"
    return text + "*" * (spread.whole < spread.runs)


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    lines = ["| what must be reached | against | bound | measured | verdict |", "| --- | --- | --- | --- | --- |"]
    for one in verdicts:
        aim = one.aim
        against = PEERS[aim.peer].title if aim.peer is not None else ""
        bound = f"at least {1 / aim.most:.0f}×" if aim.faster else f"at most {aim.most:g}"
        ratio = "" if one.ratio is None else f"{1 / one.ratio:.2f}×" if aim.faster else f"{one.ratio:.2f}"
        verdict = f"{one.verdict}: {one.detail}" if one.detail else one.verdict
        lines.append(f"| {aim.work} | {against} | {bound} | {ratio} | {verdict} |")
    return "\n".join(lines)
