"""A plot for each workload: a dot at the median, a line from the least to the most, on a logarithmic axis."""

import math
from html import escape
from pathlib import Path

from roster import PEERS
from verdicts import FLOOR, GATEWAY, Spread, Summary
from workloads import WORKLOADS

LEFT, WIDTH, ROW, TOP = 260, 460, 26, 50
_INK, _OURS, _LINE = "#333", "#c2410c", "#bbb"


def draw(folder: Path, summary: Summary, caption: str) -> list[Path]:
    """Write `cost-<workload>.svg` of each that was measured; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for workload in WORKLOADS:
        spreads = {peer: summary[peer, workload, "us"] for peer in PEERS if (peer, workload, "us") in summary}
        if spreads:
            path = folder / f"cost-{workload}.svg"
            path.write_text(_chart(WORKLOADS[workload].title, caption, spreads), encoding="utf-8")
            written.append(path)
    return written


def _chart(title: str, caption: str, spreads: dict[str, Spread]) -> str:
    low = math.floor(math.log10(min(one.least for one in spreads.values())))
    high = max(low + 1, math.ceil(math.log10(max(one.most for one in spreads.values()))))

    def x(value: float) -> float:
        return round(LEFT + (math.log10(value) - low) / (high - low) * WIDTH, 1)

    ordered = sorted(spreads.items(), key=lambda item: item[1].median)
    bottom = TOP + ROW * len(ordered)
    height = bottom + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 80} {height}"'
        f' font-family="sans-serif" font-size="13" fill="{_INK}">',
        f'<rect width="100%" height="100%" fill="#fff"/><text x="16" y="24" font-size="15">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at} {TOP - 8}V{bottom}" stroke="{_LINE}"/>')
        parts.append(f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{10.0**power:g}</text>')
    if FLOOR in spreads:
        at = x(spreads[FLOOR].median)
        parts.append(f'<path d="M{at} {TOP - 8}V{bottom}" stroke="{_INK}" stroke-dasharray="4 3"/>')
    for index, (peer, one) in enumerate(ordered):
        y, colour = TOP + ROW * index + ROW // 2, _OURS if peer.startswith(GATEWAY) else _INK
        name = escape(PEERS[peer].title.replace("`", ""))
        parts.append(f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end" fill="{colour}">{name}</text>')
        parts.append(f'<path d="M{x(one.least)} {y}H{x(one.most)}" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{x(one.median)}" cy="{y}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{x(one.most) + 10}" y="{y + 4}" fill="{colour}">{one.median:.2f}</text>')
    parts.append(f'<text x="{LEFT}" y="{bottom + 38}">µs of processor for a delivery; dashed: the C floor</text>')
    parts.append(f'<text x="16" y="{height - 6}" font-size="11">{escape(caption)}</text></svg>')
    return "\n".join(parts) + "\n"
