"""Expectations of the cells to come, from those that are done."""

from collections.abc import Sequence

from benchmarks.results import Cell, Setting


def expected_first_call(cells: Sequence[Cell], method: str, setting: Setting) -> float:
    """Predicts the seconds of a method's first call from smaller depths; 0 if none is known.

    Compiling an unrolled network takes a + b depth: the line through the two deepest ones, and
    never less than the deepest. A single one says nothing about b.
    """
    found = {
        cell.setting.depth: measurement.first_call
        for cell in cells
        if cell.setting.workload == setting.workload and cell.setting.depth < setting.depth
        if (measurement := cell.of(method))
    }
    if not found:
        return 0.0
    deepest, *others = sorted(found, reverse=True)
    slope = 0.0
    if others:
        slope = (found[deepest] - found[others[0]]) / (deepest - others[0])
    return found[deepest] + max(slope, 0.0) * (setting.depth - deepest)


def known_dispatch(cells: Sequence[Cell], method: str, setting: Setting) -> float | None:
    """Returns the dispatch of an earlier cell of the same workload and depth, or None."""
    for cell in cells:
        same = (cell.setting.workload, cell.setting.depth) == (setting.workload, setting.depth)
        measurement = cell.of(method) if same else None
        if measurement is not None and measurement.dispatch is not None:
            return measurement.dispatch
    return None
