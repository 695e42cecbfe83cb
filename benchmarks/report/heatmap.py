"""The heat map of batch by depth: the ratio to the best peer, with a number on every tile.

The colours are steps of a scale instead of a gradient, so that a tile can be looked up in the key.
"""

from bisect import bisect
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from benchmarks.report import words
from benchmarks.report.drawing import STYLE, WIDTH, Drawing, new_figure
from benchmarks.report.groups import Grid
from benchmarks.report.palette import SCALE
from benchmarks.report.verdicts import Standing, fastest_standing
from benchmarks.results import Results

EDGES = (1 / 2, 4 / 5, 1.0, 5 / 4, 2.0)
"""Boundaries between the steps of the scale, symmetric about 1 on a logarithmic axis."""


class Tile(NamedTuple):
    """One cell in the map: a step of the scale, and a text."""

    step: str
    text: str


def tiles(results: Results, grid: Grid) -> dict[tuple[int, int], Tile]:
    """Compares jaxpercep's fastest method with the best peer, by (depth, batch)."""
    found = {place: fastest_standing(results, cell) for place, cell in grid.cells.items()}
    return {place: _tile(one) for place, one in found.items() if one is not None}


def _tile(found: Standing) -> Tile:
    ratio, same = found.ratio.median, "no difference"
    steps = [step for step in SCALE if step != same]
    return Tile(same if found.verdict == same else steps[bisect(EDGES, ratio)], f"{ratio:.2f}")


@mpl.rc_context(fname=STYLE)
def heat_map(results: Results, grid: Grid) -> Drawing:
    """Draws the map and its key; a cell without a tile gets a dash."""
    rows, columns, shown = len(grid.depths), len(grid.batches), tiles(results, grid)
    size = min(11.5, 1.05 * 0.8 * WIDTH / columns / 4)  # four digits fit into a tile
    figure = new_figure(height=118 + 38 * rows)
    axes = figure.subplots()
    for row, depth in enumerate(grid.depths):
        for column, batch in enumerate(grid.batches):
            _draw(axes, row, column, shown.get((depth, batch)), size)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.set_xticks(range(columns), map(str, grid.batches))
    axes.set_yticks(range(rows), map(str, grid.depths))
    axes.set(xlabel="batch size", ylabel="hidden layers")
    axes.spines[:].set_visible(False)
    patches = [Patch(color=colour, label=step) for step, colour in SCALE.items()]
    figure.legend(
        handles=patches, loc="outside lower left", ncols=3, handlelength=1.1, columnspacing=1.2
    )
    described = (f"depth {d}, batch {b}: {tile.text}" for (d, b), tile in sorted(shown.items()))
    return Drawing(figure, "; ".join(described))


def _draw(axes: Axes, row: int, column: int, tile: Tile | None, size: float) -> None:
    if tile is not None:
        place = (column - 0.48, row - 0.47)
        axes.add_patch(Rectangle(place, 0.96, 0.94, color=SCALE[tile.step], linewidth=0))
    text = words.NOTHING if tile is None else tile.text
    axes.text(column, row, text, ha="center", va="center", fontsize=size)
