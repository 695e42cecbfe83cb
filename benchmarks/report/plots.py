"""Curves: a number against batch, depth or width, a few methods per panel, the others muted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes

from benchmarks.report.axes import round_ticks, set_ticks, spread_ticks
from benchmarks.report.drawing import STYLE, Drawing, new_figure
from benchmarks.report.groups import Curve
from benchmarks.report.palette import COLOURS, DASHES, MARKERS
from benchmarks.results import Cell, Interval, Measurement

AXIS = {"batch": "batch size", "depth": "hidden layers", "width": "width of a hidden layer"}


@dataclass(frozen=True)
class Quantity:
    """The vertical axis.

    Attributes:
        label: its title, with the unit if the ticks have none.
        tick: formats a value.
        of: the number of a method in a cell; None if it was not measured.
    """

    label: str
    tick: Callable[[float], str]
    of: Callable[[Cell, Measurement], Interval | float | None]


@dataclass(frozen=True)
class Reference:
    """A line repeated in the panels of a curve, so that they can be compared.

    Attributes:
        name: its name in the legend.
        choose: picks its method in a cell.
    """

    name: str
    choose: Callable[[Cell], Measurement | None]


@mpl.rc_context(STYLE)
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
        quantity: the number shown of each method.
        methods: those to tell apart, at most `palette.LINES`.
        others: the muted ones, which give every panel of a curve the same axes.
        reference: one more line.
        floor: the noise floor of a cell, shaded around a ratio of 1.
    """
    extras = (reference is not None) + bool(others) + (floor is not None)
    figure = new_figure(height=240 + 17.5 * (len(methods) + extras))
    axes = figure.subplots()
    lines = {method: _points(curve, quantity, _of(curve, method)) for method in methods}
    for i, (method, points) in enumerate(lines.items()):
        _draw_bold(axes, method, points, i)
    if reference is not None:
        points = _points(curve, quantity, map(reference.choose, curve.cells))
        style = {"color": COLOURS["ink"], "linewidth": 3.5, "alpha": 0.3, "zorder": 3}
        _draw(axes, points, label=reference.name, **style)
    for i, method in enumerate(others):
        points = _points(curve, quantity, _of(curve, method))
        style = {"color": COLOURS["muted"], "linewidth": 1, "zorder": 2}
        _draw(axes, points, label=None if i else "the others", **style)
    if floor is not None:
        _shade(axes, curve, floor)
    _finish(axes, curve, quantity)
    figure.legend(loc="outside lower left")
    return Drawing(figure, _describe(curve, quantity, lines))


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


def _describe(curve: Curve, quantity: Quantity, lines: Mapping[str, Points]) -> str:
    described = (
        f"{method}: "
        + ", ".join(f"{quantity.tick(y.median)} at {curve.sweep} {x}" for x, y in points)
        for method, points in lines.items()
    )
    return "; ".join(described)


def _draw_bold(axes: Axes, method: str, points: Points, index: int) -> None:
    """Draws a line that stands out, with the interval of each point."""
    colour, marker = COLOURS[f"line-{index + 1}"], MARKERS[index]
    style = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.8}
    _draw(axes, points, label=method, linestyle=DASHES[index], zorder=4 + index, **style)
    for x, y in points:
        axes.vlines(x, y.low, y.high, color=colour, linewidth=1.2)


def _draw(axes: Axes, points: Points, **style: Any) -> None:
    axes.plot([x for x, _ in points], [y.median for _, y in points], **style)


def _shade(axes: Axes, curve: Curve, floor: Callable[[Cell], float]) -> None:
    floors = [min(floor(cell), 0.99) for cell in curve.cells]  # 0 has no place on the axis
    axes.fill_between(
        curve.x,
        [1 - floor for floor in floors],
        [1 + floor for floor in floors],
        color=COLOURS["band"],
        linewidth=0,
        label="noise floor",
    )
    axes.axhline(1, color=COLOURS["dim"], linewidth=1, zorder=1)


def _finish(axes: Axes, curve: Curve, quantity: Quantity) -> None:
    axes.set(xscale="log", yscale="log", xlabel=AXIS[curve.sweep])
    axes.set_title(quantity.label, loc="left", fontsize=11, color=COLOURS["dim"])
    set_ticks(axes.xaxis, spread_ticks(curve.x), "{:.0f}".format)
    set_ticks(axes.yaxis, round_ticks(*axes.get_ylim()), quantity.tick)
    axes.grid(axis="y")
    axes.tick_params(length=0)
