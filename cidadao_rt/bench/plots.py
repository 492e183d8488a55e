"""Three drawings, of the rows that they need; matplotlib is loaded here only."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..tools.errors import USAGE, ToolError
from .sample import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "--plots needs matplotlib: pip install 'cidadao-rt[bench]'"

GATEWAY, FLOOR = "#1b6e4f", "#9a9a9a"

Points = Sequence[dict[str, float]]


def check() -> None:
    """Raise `ToolError` where there is nothing to draw with, better before an hour of measuring than after it."""
    try:
        import matplotlib  # noqa: F401, PLC0415 - what is asked is whether it is there
    except ImportError:
        raise ToolError(MISSING, USAGE) from None


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """Draw what was measured into a folder, which is made; returns the files. Raises `ToolError`."""
    check()
    import matplotlib  # noqa: PLC0415

    matplotlib.use("svg")
    from matplotlib import pyplot  # noqa: PLC0415

    by_name = {result.name: result for result in results}
    drawn = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, file, draw_on in _PLOTS:
            points = by_name[name].samples[-1].points if name in by_name else []
            if points:
                figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
                draw_on(axes, points)
                axes.grid(alpha=0.3)
                axes.set_ylim(bottom=0)
                axes.legend(frameon=False)
                drawn.append(folder / file)
                # Without its date a drawing of the same figures is the same file.
                figure.savefig(drawn[-1], metadata={"Date": None})
                pyplot.close(figure)
    except OSError as error:
        raise ToolError(f"{folder}: cannot be written: {(error.strerror or 'not possible').lower()}") from None
    return drawn


def _cost(axes: "Axes", points: Points) -> None:
    _compared(axes, points)
    axes.set(xscale="log", xlabel="subscribers", ylabel="processor time per delivery, µs")
    axes.set_title("Cost per delivery, one event outstanding")


def _latency(axes: "Axes", points: Points) -> None:
    for name, style in (("p99", "-"), ("p90", "--"), ("p50", ":")):
        axes.plot(_of(points, "x"), _of(points, name), style, marker="o", color=GATEWAY, label=name)
    axes.set(xlabel="deliveries per second", ylabel="latency, ms", title="Latency from when an event was due")


def _memory(axes: "Axes", points: Points) -> None:
    _compared(axes, points)
    axes.set(xlabel="connections", ylabel="resident memory, MiB", title="Memory of idle connections")


def _compared(axes: "Axes", points: Points) -> None:
    axes.plot(_of(points, "x"), _of(points, "gateway"), marker="o", color=GATEWAY, label="cidadao_rt")
    axes.plot(_of(points, "x"), _of(points, "floor"), marker="o", color=FLOOR, label="bare loop")


def _of(points: Points, name: str) -> list[float]:
    return [point[name] for point in points]


_PLOTS: tuple[tuple[str, str, Callable[["Axes", Points], None]], ...] = (
    ("subscribers", "cost.svg", _cost),
    ("rates", "latency.svg", _latency),
    ("idle", "memory.svg", _memory),
)
