"""Heat maps of a grid: time, and the ratio to the best peer, a number on every tile.

The colours are steps of a scale, not a gradient: light and dark pages can each have their own, and
a tile can be looked up in the key.
"""

from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from benchmarks.report import words
from benchmarks.report.groups import Grid
from benchmarks.report.palette import drawn
from benchmarks.report.svg import STYLE, WIDTH, Drawing, new_figure
from benchmarks.report.verdicts import standing
from benchmarks.results import Cell, Measurement, Results

RATIO_EDGES = (1 / 2, 4 / 5, 1.0, 5 / 4, 2.0)
"""Between the steps of the ratio scale: symmetric about 1 on a logarithmic axis."""

RATIO_KEY = {
    "ratio-1": "under 1/2",
    "ratio-2": "1/2 to 4/5",
    "ratio-3": "4/5 to 1",
    "ratio-4": "no difference (=)",
    "ratio-5": "1 to 5/4",
    "ratio-6": "5/4 to 2",
    "ratio-7": "over 2",
}
"""What each colour of the ratio scale means."""

TIME_STEPS = 6


@dataclass(frozen=True)
class Tile:
    """What a heat map shows of one cell: a colour of the palette, and a text."""

    colour: str
    text: str


def heat_map(grid: Grid, tile: Callable[[Cell], Tile | None]) -> Drawing:
    """Draws one map; a cell without a tile stays empty, with a dash."""
    tiles = {place: shown for place, cell in grid.cells.items() if (shown := tile(cell))}
    rows, columns = len(grid.depths), len(grid.batches)
    size = _size(columns, max((len(shown.text) for shown in tiles.values()), default=1))
    with mpl.rc_context(STYLE):
        figure = new_figure(height=58 + 38 * rows)
        axes = figure.subplots()
        for row, depth in enumerate(grid.depths):
            for column, batch in enumerate(grid.batches):
                _draw(axes, row, column, tiles.get((depth, batch)), size)
        axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        axes.set_xticks(range(columns), map(str, grid.batches))
        axes.set_yticks(range(rows), map(str, grid.depths))
        axes.set(xlabel="samples a batch", ylabel="hidden layers")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    said = (f"depth {d}, batch {b}: {shown.text}" for (d, b), shown in sorted(tiles.items()))
    return Drawing(figure, "; ".join(said))


def _draw(axes: Axes, row: int, column: int, tile: Tile | None, size: float) -> None:
    if tile is not None:
        place = (column - 0.48, row - 0.47)
        axes.add_patch(Rectangle(place, 0.96, 0.94, color=drawn(tile.colour), linewidth=0))
    text = words.NOTHING if tile is None else tile.text
    axes.text(column, row, text, ha="center", va="center", fontsize=size)


def _size(columns: int, characters: int) -> float:
    """Of a text of so many characters that has to fit into a tile; the usual size where it does."""
    tile, character = 0.8 * WIDTH / columns, 0.65  # CSS pixels; of the size
    return min(10.5, tile / (character * characters))


def ratio_tile(results: Results, method: str) -> Callable[[Cell], Tile | None]:
    """Tiles of the ratio of a method to the best peer, `=` where there is no difference."""

    def tile(cell: Cell) -> Tile | None:
        found = standing(results, cell, method)
        if found is None:
            return None
        if found.verdict == "no difference":
            return Tile("ratio-4", "=")
        step = bisect(RATIO_EDGES, found.ratio.median)
        names = [name for name in RATIO_KEY if name != "ratio-4"]
        return Tile(names[step], f"{found.ratio.median:.2f}")

    return tile


def time_tile(
    grid: Grid, choose: Callable[[Cell], Measurement | None]
) -> Callable[[Cell], Tile | None]:
    """Tiles of the time a step of the method that `choose` picks, on one scale for the grid."""
    times = [m.seconds.median for cell in grid.cells.values() for m in cell.measurements]
    edges = np.geomspace(min(times), max(times), TIME_STEPS + 1)[1:-1] if times else ()

    def tile(cell: Cell) -> Tile | None:
        measurement = choose(cell)
        if measurement is None:
            return None
        step = bisect(list(edges), measurement.seconds.median)
        return Tile(f"time-{step + 1}", words.seconds(measurement.seconds.median))

    return tile
