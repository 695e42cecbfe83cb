"""Curves: the time of a step along a sweep, a few methods per picture, the others muted."""

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes

from benchmarks.report import drawing, words
from benchmarks.report.drawing import STYLE, Drawing
from benchmarks.report.groups import Curve
from benchmarks.report.palette import COLOURS, DASHES, HUES, LINES, MARKERS
from benchmarks.report.verdicts import best_peer, fastest, limit
from benchmarks.results import Cell, Interval, Measurement, Results

SHORT = 20  # characters of names of which two fit beside each other
AXIS = {"batch": "batch size", "depth": "hidden layers", "width": "width of a hidden layer"}


class Line(NamedTuple):
    """The times of a method, or of the best of several, where it has one: (x, seconds)."""

    name: str
    points: Sequence[tuple[int, Interval]]


def line(curve: Curve, name: str, choose: Callable[[Cell], Measurement | None]) -> Line:
    """Follows a measurement of each cell: its time per sample in a sweep of batches, or a step."""
    found = zip(curve.x, map(choose, curve.cells), strict=True)
    return Line(name, [(x, _time(curve, x, m.seconds)) for x, m in found if m is not None])


def _time(curve: Curve, x: int, step: Interval) -> Interval:
    count = x if curve.sweep == "batch" else 1
    return Interval(step.median / count, step.low / count, step.high / count)


def summed_up(results: Results, curve: Curve) -> Drawing:
    """Draws jaxpercep's fastest method, the best peer and the limit of each cell."""
    lines = [
        line(curve, "jaxpercep's fastest", lambda cell: fastest(results, cell)),
        line(curve, "the best peer", best_peer),
        line(curve, "the limit, C++", lambda cell: limit(results, cell)),
    ]
    return draw(curve, [one for one in lines if one.points], methods(results, curve))


def in_full(results: Results, curve: Curve) -> list[Drawing]:
    """Draws every method: as many pictures as it takes to tell them apart, jaxpercep's first."""
    every = methods(results, curve)
    found: list[Drawing] = []
    for ours in (True, False):
        side = [one for one in every if (one.name in results.ours) is ours]
        pictures = -(-len(side) // LINES)
        size = -(-len(side) // max(1, pictures))  # so that each has about as many lines
        starts = range(0, len(side), max(1, size))
        found += [draw(curve, side[start : start + size], every) for start in starts]
    return found


def methods(results: Results, curve: Curve) -> list[Line]:
    """Returns the lines of all methods that were timed on the curve."""
    every = [line(curve, name, methodcaller("of", name)) for name in results.methods]
    return [one for one in every if one.points]


@mpl.rc_context(fname=STYLE)
def draw(curve: Curve, lines: Sequence[Line], every: Sequence[Line]) -> Drawing:
    """Draws one picture, with its legend below the axes.

    Args:
        curve: what they follow.
        lines: those to tell apart, at most `palette.LINES`.
        every: muted behind them, which gives all pictures of a curve the same axes.
    """
    columns = 2 if max(len(one.name) for one in lines) < SHORT else 1
    figure = drawing.new_figure(height=205 + 17.5 * -(-(len(lines) + 1) // columns))
    axes = figure.subplots()
    for i, one in enumerate(lines):
        _draw_bold(axes, one, i)
    for i, one in enumerate(every):
        label = None if i else "every method"
        _draw(axes, one, label=label, color=COLOURS["muted"], linewidth=1, zorder=2)
    quantity = "time per sample" if curve.sweep == "batch" else "time per step"
    axes.set(xscale="log", yscale="log", xlabel=AXIS[curve.sweep])
    axes.set_title(quantity, loc="left", fontsize=11, color=COLOURS["dim"])
    drawing.set_ticks(axes.xaxis, drawing.spread_ticks(curve.x), "{:.0f}".format)
    drawing.set_ticks(axes.yaxis, drawing.round_ticks(*axes.get_ylim()), words.tick)
    axes.grid(axis="y")
    figure.legend(loc="outside lower left", ncols=columns)
    return Drawing(figure, "; ".join(_describe(curve, one) for one in lines))


def _draw_bold(axes: Axes, one: Line, index: int) -> None:
    """Draws a line that stands out, with the interval of each point."""
    style = {"color": HUES[index], "marker": MARKERS[index], "linestyle": DASHES[index]}
    _draw(axes, one, label=one.name, zorder=4 + index, **style)
    for x, y in one.points:
        axes.vlines(x, y.low, y.high, color=HUES[index], linewidth=1.5)


def _draw(axes: Axes, one: Line, **style: Any) -> None:
    axes.plot([x for x, _ in one.points], [y.median for _, y in one.points], **style)


def _describe(curve: Curve, one: Line) -> str:
    points = ", ".join(f"{words.tick(y.median)} at {curve.sweep} {x}" for x, y in one.points)
    return f"{one.name}: {points}"
