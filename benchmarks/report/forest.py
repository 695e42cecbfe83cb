"""Forest plot: a ratio and its interval for each of many cells, one per row, beside 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory

from benchmarks.report import words
from benchmarks.report.axes import round_ticks, set_ticks
from benchmarks.report.drawing import STYLE, Drawing, new_figure
from benchmarks.report.palette import COLOURS
from benchmarks.report.verdicts import Verdict
from benchmarks.results import Interval

ROW = 15.5  # CSS pixels


@dataclass(frozen=True)
class Row:
    """One row of the picture.

    Attributes:
        label: the text on the left.
        ratio: the point; None for a heading. At least one row has one.
        floor: the half width of the shaded band around 1.
        verdict: how the point is drawn.
    """

    label: str
    ratio: Interval | None = None
    floor: float = 0.0
    verdict: Verdict = "no difference"


_MARKS: Mapping[Verdict, dict[str, Any]] = {
    "faster": {"marker": "o", "color": COLOURS["faster"]},
    "slower": {"marker": "s", "color": COLOURS["slower"]},
    "no difference": {
        "marker": "D",
        "color": COLOURS["dim"],
        "markerfacecolor": COLOURS["paper"],
    },
}


@mpl.rc_context(STYLE)
def forest(rows: Sequence[Row], xlabel: str) -> Drawing:
    """Draws the rows from top to bottom on a logarithmic axis."""
    figure = new_figure(height=48 + ROW * len(rows))
    axes = figure.subplots()
    for y, row in enumerate(rows):
        if row.ratio is None:
            _head(axes, y, row.label)
        else:
            _draw(axes, y, row, row.ratio)
    axes.axvline(1, color=COLOURS["dim"], linewidth=1, zorder=1)
    axes.set(xscale="log", ylim=(len(rows) - 0.5, -0.5))
    axes.set_xlabel(xlabel, loc="right")  # it may be longer than the axis
    points = [(y, row.label) for y, row in enumerate(rows) if row.ratio is not None]
    axes.set_yticks(*zip(*points, strict=True))
    set_ticks(axes.xaxis, round_ticks(*axes.get_xlim(), most=5), "{:g}".format)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    return Drawing(figure, "; ".join(map(_describe, rows)))


def _describe(row: Row) -> str:
    return row.label if row.ratio is None else f"{row.label}: {words.ratio(row.ratio)}"


def _head(axes: Axes, y: float, label: str) -> None:
    """Writes a heading across the picture, because it is longer than the labels."""
    across = blended_transform_factory(axes.figure.transFigure, axes.transData)
    paper = {"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 1}
    text = axes.text(0, y, label, transform=across, va="center", fontweight="bold", bbox=paper)
    text.set_in_layout(False)


def _draw(axes: Axes, y: float, row: Row, ratio: Interval) -> None:
    style = _MARKS[row.verdict]
    low = max(1 - row.floor, 0.01)  # 0 has no place on the axis
    band = (low, 1 + row.floor - low)
    axes.broken_barh([band], (y - 0.5, 1), color=COLOURS["band"], linewidth=0, zorder=0)
    axes.hlines(y, ratio.low, ratio.high, color=style["color"], linewidth=1.5, zorder=2)
    axes.plot(ratio.median, y, markersize=5, zorder=3, **style)
