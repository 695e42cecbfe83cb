"""The sections that show every cell at once: heat maps of a grid, ratios one below the other."""

from collections.abc import Callable, Sequence

from benchmarks.report import groups, words
from benchmarks.report.forest import Row, forest
from benchmarks.report.groups import Grid
from benchmarks.report.heatmaps import RATIO_KEY, heat_map, ratio_tile, time_tile
from benchmarks.report.section import Block, Panel, Section
from benchmarks.report.verdicts import fastest, noise, standing
from benchmarks.results import Cell, Results


def grid(results: Results) -> Section:
    """Heat maps of ratio and time over batch and depth."""
    blocks = []
    for one in groups.grids(results):
        ratio, time = f"Time / time of the best peer, {one.title}", f"Time a step, {one.title}"
        blocks.append(Block(ratio, panels=_ratios(results, one), key=RATIO_KEY))
        blocks.append(Block(time, panels=_times(results, one)))
    return Section("grid", "Batch and depth together", [], blocks)


def _ratios(results: Results, grid: Grid) -> list[Panel]:
    present = {m.method for cell in grid.cells.values() for m in cell.measurements}
    return [
        Panel(method, heat_map(grid, ratio_tile(results, method)))
        for method in results.ours
        if method in present
    ]


def _times(results: Results, grid: Grid) -> list[Panel]:
    ours = heat_map(grid, time_tile(grid, lambda cell: fastest(results, cell)))
    peer = heat_map(grid, time_tile(grid, lambda cell: cell.of(cell.best_peer or "")))
    return [Panel("jaxpercep's fastest", ours), Panel("The best peer", peer)]


def against_peers(results: Results) -> Sequence[Panel]:
    """The ratio of jaxpercep's fastest method to the best peer, for every cell."""

    def row(label: str, cell: Cell) -> Row | None:
        ours = fastest(results, cell)
        found = standing(results, cell, ours.method) if ours else None
        if found is None:
            return None
        return Row(label, found.ratio, noise(results, cell), found.verdict)

    return _forest(
        results,
        row,
        "time / time of the best peer",
        "jaxpercep's fastest: ● leads, ◇ no difference, ■ behind",
    )


def floor(results: Results) -> Section:
    """The A/A ratio of every cell."""

    def row(label: str, cell: Cell) -> Row | None:
        if cell.null is None:
            return None
        return Row(label, cell.null, cell.floor)

    panels = _forest(results, row, "time / time of the same method", "A/A ratio, and floor")
    account = [
        "In each cell one method is measured twice, as if it were two. Their ratio is 1 but for "
        "the noise of this machine; how far its interval reaches from 1 is the cell's noise "
        f"floor, shaded. The run's floor, their median, is {words.percent(results.floor)}. A "
        "difference within the larger of the two is printed as no difference."
    ]
    return Section("floor", "A/A noise floor", account, [Block("", panels=panels)])


def _forest(
    results: Results, row: Callable[[str, Cell], Row | None], xlabel: str, caption: str
) -> list[Panel]:
    rows: list[Row] = []
    for listing in groups.once(groups.listings(results)):
        if found := [r for label, cell in listing.cells if (r := row(label, cell))]:
            rows += [Row(listing.title), *found]
    return [Panel(caption, forest(rows, xlabel))] if rows else []
