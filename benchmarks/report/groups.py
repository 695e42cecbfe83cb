"""The cells of a run by what they have in common: the curves, the grids, and a list of them all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Cell, Results, Setting

Sweep = Literal["batch", "depth", "width"]
SWEEPS: tuple[Sweep, ...] = ("batch", "depth", "width")


@dataclass(frozen=True)
class Curve:
    """Cells that differ in one number.

    Attributes:
        sweep: which number: the batch, the hidden layers, their width.
        title: what is fixed.
        cells: in increasing order of it; at least two.
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
        batches: of the columns, increasing; at least two.
        depths: of the rows, increasing; at least two.
        cells: (depth, batch) -> cell; some may be missing.
    """

    title: str
    batches: Sequence[int]
    depths: Sequence[int]
    cells: dict[tuple[int, int], Cell]


@dataclass(frozen=True)
class Listing:
    """Cells under a common title, each with its own short label."""

    title: str
    cells: Sequence[tuple[str, Cell]]


def measured(results: Results) -> list[Cell]:
    """The cells in which something was timed."""
    return [cell for cell in results.cells if cell.measurements]


def curves(results: Results, sweep: Sweep) -> list[Curve]:
    """The curves of one sweep: measured cells in which all else is fixed."""
    found: dict[str, list[Cell]] = {}
    for cell in measured(results):
        if sweep in cell.setting.sweeps:
            found.setdefault(_fixed(cell.setting, sweep), []).append(cell)
    ordered = {
        title: sorted(cells, key=lambda cell: getattr(cell.setting, sweep))
        for title, cells in found.items()
    }
    return [Curve(sweep, title, cells) for title, cells in ordered.items() if len(cells) > 1]


def grids(results: Results) -> list[Grid]:
    """The batch x depth grids."""
    found: dict[str, dict[tuple[int, int], Cell]] = {}
    for cell in measured(results):
        s = cell.setting
        if "grid" in s.sweeps:
            found.setdefault(_fixed(s, "grid"), {})[s.depth, s.batch] = cell
    every = [
        Grid(title, sorted({b for _, b in cells}), sorted({d for d, _ in cells}), cells)
        for title, cells in found.items()
    ]
    return [grid for grid in every if min(len(grid.batches), len(grid.depths)) > 1]


def listings(results: Results) -> list[Listing]:
    """Every curve and grid in full, and what is on none of them, by workload; measured cells."""
    found = [
        Listing(
            f"{curve.title}, by {sweep}",
            [(f"{sweep} {x}", cell) for x, cell in zip(curve.x, curve.cells, strict=True)],
        )
        for sweep in SWEEPS
        for curve in curves(results, sweep)
    ]
    for grid in grids(results):
        cells = sorted(grid.cells.items())
        labelled = [(f"depth {depth}, batch {batch}", cell) for (depth, batch), cell in cells]
        found.append(Listing(f"{grid.title}, grid", labelled))
    seen = {cell.setting.key for listing in found for _, cell in listing.cells}
    for workload in dict.fromkeys(cell.setting.workload for cell in measured(results)):
        alone = [
            (cell.setting.key.removeprefix(f"{workload} "), cell)
            for cell in measured(results)
            if cell.setting.workload == workload and cell.setting.key not in seen
        ]
        if alone:
            found.append(Listing(workload, alone))
    return found


def once(found: Sequence[Listing]) -> list[Listing]:
    """The same without the cells that an earlier one has too."""
    seen: set[str] = set()
    kept = []
    for listing in found:
        if new := [(label, c) for label, c in listing.cells if c.setting.key not in seen]:
            kept.append(Listing(listing.title, new))
        seen |= {cell.setting.key for _, cell in new}
    return kept


def _fixed(setting: Setting, sweep: str) -> str:
    """What the cells of a curve or grid have in common, in words."""
    first, last, width = setting.sizes[0], setting.sizes[-1], setting.width
    network = {
        "batch": "-".join(map(str, setting.sizes)),
        "depth": f"{first}-({width} x depth)-{last}, batch {setting.batch}",
        "width": f"{first}-(width x {setting.depth})-{last}, batch {setting.batch}",
        "grid": f"{first}-({width} x depth)-{last}",
    }
    return f"{setting.workload} {network[sweep]}"
