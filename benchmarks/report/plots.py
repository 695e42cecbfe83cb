"""Curves: a number against batch, depth or width, a few methods to a panel and the others muted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes

from benchmarks.report import palette
from benchmarks.report.axes import round_ticks, set_ticks, spread_ticks
from benchmarks.report.groups import Curve
from benchmarks.report.svg import STYLE, Drawing, new_figure
from benchmarks.results import Cell, Interval, Measurement

AXIS = {"batch": "samples a batch", "depth": "hidden layers", "width": "width of a hidden layer"}


@dataclass(frozen=True)
class Quantity:
    """The vertical axis.

    Attributes:
        label: with its unit where ticks have none.
        tick: a value as text.
        of: the number of a method in a cell; None where it was not measured.
    """

    label: str
    tick: Callable[[float], str]
    of: Callable[[Cell, Measurement], Interval | float | None]


@dataclass(frozen=True)
class Reference:
    """A line that the panels of a curve repeat, so that they can be compared.

    Attributes:
        name: in the legend.
        choose: its method in a cell.
    """

    name: str
    choose: Callable[[Cell], Measurement | None]


def panel(
    curve: Curve,
    quantity: Quantity,
    methods: Sequence[str],
    others: Sequence[str] = (),
    reference: Reference | None = None,
    floor: Callable[[Cell], float] | None = None,
) -> Drawing:
    """Draws one panel, as wide as a phone, with its legend below the axes.

    Args:
        curve: the cells.
        quantity: of each method in them.
        methods: those to tell apart, at most `palette.LINES`.
        others: the muted ones: they give every panel of a curve the same axes.
        reference: one more line.
        floor: the noise floor of a cell; shaded, for ratios.
    """
    extras = (reference is not None) + bool(others) + (floor is not None)
    lines = {method: _points(curve, quantity, _of(curve, method)) for method in methods}
    with mpl.rc_context(STYLE):
        figure = new_figure(height=240 + 17.5 * (len(methods) + extras))
        axes = figure.subplots()
        for i, (method, points) in enumerate(lines.items()):
            _bold(axes, method, points, i)
        if reference is not None:
            points = _points(curve, quantity, map(reference.choose, curve.cells))
            ink = palette.drawn("ink")
            _line(axes, points, label=reference.name, color=ink, linewidth=3.5, alpha=0.3, zorder=3)
        for i, method in enumerate(others):
            points = _points(curve, quantity, _of(curve, method))
            muted = {"color": palette.drawn("muted"), "linewidth": 1, "zorder": 2}
            _line(axes, points, label=None if i else "the others", **muted)
        if floor is not None:
            _shade(axes, curve, floor)
        _finish(axes, curve, quantity)
        figure.legend(loc="outside lower left")
    return Drawing(figure, _words(curve, quantity, lines))


Points = list[tuple[int, Interval]]


def _of(curve: Curve, method: str) -> Iterable[Measurement | None]:
    return (cell.of(method) for cell in curve.cells)


def _points(curve: Curve, quantity: Quantity, measurements: Iterable[Measurement | None]) -> Points:
    found = []
    for x, cell, measurement in zip(curve.x, curve.cells, measurements, strict=True):
        y = None if measurement is None else quantity.of(cell, measurement)
        if y is not None:
            found.append((x, y if isinstance(y, Interval) else Interval(y, y, y)))
    return found


def _words(curve: Curve, quantity: Quantity, lines: Mapping[str, Points]) -> str:
    said = (
        f"{method}: "
        + ", ".join(f"{quantity.tick(y.median)} at {curve.sweep} {x}" for x, y in points)
        for method, points in lines.items()
    )
    return "; ".join(said)


def _bold(axes: Axes, method: str, points: Points, index: int) -> None:
    """A line that stands out, with the interval of each point."""
    colour, marker = palette.line(index), palette.MARKERS[index]
    style = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.8}
    _line(axes, points, label=method, linestyle=palette.DASHES[index], zorder=4 + index, **style)
    for x, y in points:
        axes.vlines(x, y.low, y.high, color=colour, linewidth=1.2)


def _line(axes: Axes, points: Points, **style: Any) -> None:
    x, y = [x for x, _ in points], [y.median for _, y in points]
    axes.plot(x, y, **style)


def _shade(axes: Axes, curve: Curve, floor: Callable[[Cell], float]) -> None:
    floors = [min(floor(cell), 0.99) for cell in curve.cells]  # 0 has no place on the axis
    axes.fill_between(
        curve.x,
        [1 - floor for floor in floors],
        [1 + floor for floor in floors],
        color=palette.drawn("band"),
        linewidth=0,
        label="noise floor",
    )
    axes.axhline(1, color=palette.drawn("dim"), linewidth=1, zorder=1)


def _finish(axes: Axes, curve: Curve, quantity: Quantity) -> None:
    axes.set(xscale="log", yscale="log", xlabel=AXIS[curve.sweep])
    axes.set_title(quantity.label, loc="left", fontsize=11, color=palette.drawn("dim"))
    set_ticks(axes.xaxis, spread_ticks(curve.x), "{:.0f}".format)
    set_ticks(axes.yaxis, round_ticks(*axes.get_ylim()), quantity.tick)
    axes.grid(axis="y")
    axes.tick_params(length=0)
