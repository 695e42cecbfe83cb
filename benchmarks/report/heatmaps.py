"""Heat maps of a grid: time, and the ratio to the best peer, with a number on every tile.

The colours are steps of a scale instead of a gradient, so that a tile can be looked up in the key.
"""

from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from benchmarks.report import words
from benchmarks.report.drawing import STYLE, WIDTH, Drawing, new_figure
from benchmarks.report.groups import Grid
from benchmarks.report.palette import COLOURS
from benchmarks.report.verdicts import Standing, standing
from benchmarks.results import Cell, Measurement, Results

RATIO_EDGES = (1 / 2, 4 / 5, 1.0, 5 / 4, 2.0)
"""Boundaries between the steps of the ratio scale, symmetric about 1 on a logarithmic axis."""

RATIO_KEY = {
    "ratio-1": "under 1/2",
    "ratio-2": "1/2 to 4/5",
    "ratio-3": "4/5 to 1",
    "ratio-4": "no difference (=)",
    "ratio-5": "1 to 5/4",
    "ratio-6": "5/4 to 2",
    "ratio-7": "over 2",
}
"""The meaning of each colour of the ratio scale."""

TIME_STEPS = 6


@dataclass(frozen=True)
class Tile:
    """One cell in a heat map: a colour of the palette, and a text."""

    colour: str
    text: str


Tiles = Mapping[tuple[int, int], Tile]
"""(depth, batch) -> tile."""


@mpl.rc_context(STYLE)
def heat_map(grid: Grid, tiles: Tiles) -> Drawing:
    """Draws one map; a cell without a tile gets a dash."""
    rows, columns = len(grid.depths), len(grid.batches)
    size = _font_size(columns, max((len(tile.text) for tile in tiles.values()), default=1))
    figure = new_figure(height=58 + 38 * rows)
    axes = figure.subplots()
    for row, depth in enumerate(grid.depths):
        for column, batch in enumerate(grid.batches):
            _draw(axes, row, column, tiles.get((depth, batch)), size)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.set_xticks(range(columns), map(str, grid.batches))
    axes.set_yticks(range(rows), map(str, grid.depths))
    axes.set(xlabel="batch size", ylabel="hidden layers")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    described = (f"depth {d}, batch {b}: {tile.text}" for (d, b), tile in sorted(tiles.items()))
    return Drawing(figure, "; ".join(described))


def _draw(axes: Axes, row: int, column: int, tile: Tile | None, size: float) -> None:
    if tile is not None:
        place = (column - 0.48, row - 0.47)
        axes.add_patch(Rectangle(place, 0.96, 0.94, color=COLOURS[tile.colour], linewidth=0))
    text = words.NOTHING if tile is None else tile.text
    axes.text(column, row, text, ha="center", va="center", fontsize=size)


def _font_size(columns: int, characters: int) -> float:
    """Returns the usual size, or a smaller one if the longest text would leave its tile."""
    tile, character = 0.8 * WIDTH / columns, 0.65  # CSS pixels; as a fraction of the size
    return min(10.5, tile / (character * characters))


def ratio_tiles(results: Results, grid: Grid, method: str) -> Tiles:
    """Shows the ratio of a method to the best peer; `=` where there is no difference."""
    found = {place: standing(results, cell, method) for place, cell in grid.cells.items()}
    return {place: _ratio_tile(one) for place, one in found.items() if one is not None}


def _ratio_tile(found: Standing) -> Tile:
    if found.verdict == "no difference":
        return Tile("ratio-4", "=")
    names = [name for name in RATIO_KEY if name != "ratio-4"]
    return Tile(names[bisect(RATIO_EDGES, found.ratio.median)], f"{found.ratio.median:.2f}")


def time_tiles(grid: Grid, choose: Callable[[Cell], Measurement | None]) -> Tiles:
    """Shows the step time of the method that `choose` picks, on one scale for the whole grid."""
    times = [m.seconds.median for cell in grid.cells.values() for m in cell.measurements]
    edges = np.geomspace(min(times), max(times), TIME_STEPS + 1)[1:-1].tolist()
    chosen = {place: choose(cell) for place, cell in grid.cells.items()}
    return {
        place: _time_tile(m.seconds.median, edges) for place, m in chosen.items() if m is not None
    }


def _time_tile(seconds: float, edges: Sequence[float]) -> Tile:
    return Tile(f"time-{bisect(edges, seconds) + 1}", words.seconds(seconds))
