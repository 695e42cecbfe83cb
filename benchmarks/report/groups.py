"""The cells of a run grouped by what they have in common: curves, and grids."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Cell, Results, Setting

Sweep = Literal["batch", "depth", "width"]
SWEEPS: tuple[Sweep, ...] = ("batch", "depth", "width")


@dataclass(frozen=True)
class Curve:
    """Cells that differ in one number.

    Attributes:
        sweep: the number that varies: batch, number of hidden layers, or their width.
        title: what is fixed.
        cells: in increasing order of that number; at least two.
    """

    sweep: Sweep
    title: str
    cells: Sequence[Cell]

    @property
    def x(self) -> list[int]:
        """The number, cell by cell."""
        return [getattr(cell.setting, self.sweep) for cell in self.cells]


@dataclass(frozen=True)
class Grid:
    """Cells that differ in batch and depth.

    Attributes:
        title: what is fixed.
        cells: (depth, batch) -> cell; some may be missing.
    """

    title: str
    cells: Mapping[tuple[int, int], Cell]

    @property
    def depths(self) -> list[int]:
        """Those of the rows, increasing."""
        return sorted({depth for depth, _ in self.cells})

    @property
    def batches(self) -> list[int]:
        """Those of the columns, increasing."""
        return sorted({batch for _, batch in self.cells})


def measured(results: Results) -> list[Cell]:
    """Returns the cells in which something was timed."""
    return [cell for cell in results.cells if cell.measurements]


def curves(results: Results, sweep: Sweep) -> list[Curve]:
    """Returns the curves of one sweep: measured cells in which everything else is fixed."""
    return [
        Curve(sweep, title, sorted(cells, key=lambda cell: getattr(cell.setting, sweep)))
        for title, cells in _by_title(results, sweep).items()
        if len(cells) > 1
    ]


def grids(results: Results) -> list[Grid]:
    """Returns the grids of batch and depth, of two of each at least."""
    found = [
        Grid(title, {(cell.setting.depth, cell.setting.batch): cell for cell in cells})
        for title, cells in _by_title(results, "grid").items()
    ]
    return [grid for grid in found if min(len(grid.batches), len(grid.depths)) > 1]


def _by_title(results: Results, sweep: str) -> dict[str, list[Cell]]:
    """Groups the measured cells of a sweep by what they have in common."""
    found: dict[str, list[Cell]] = defaultdict(list)
    for cell in measured(results):
        if sweep in cell.setting.sweeps:
            found[_fixed(cell.setting, sweep)].append(cell)
    return found


def _fixed(setting: Setting, sweep: str) -> str:
    """Describes what the cells of a curve or grid have in common."""
    first, last, width = setting.sizes[0], setting.sizes[-1], setting.width
    network = {
        "batch": "-".join(map(str, setting.sizes)),
        "depth": f"{first}-({width} x depth)-{last}, batch {setting.batch}",
        "width": f"{first}-(width x {setting.depth})-{last}, batch {setting.batch}",
        "grid": f"{first}-({width} x depth)-{last}",
    }
    return f"{setting.workload} {network[sweep]}"
