"""The sections that show every cell at once: heat maps of a grid, and forest plots of ratios."""

from collections.abc import Callable

from benchmarks.report import groups, words
from benchmarks.report.forest import Row, forest
from benchmarks.report.groups import Grid
from benchmarks.report.heatmaps import RATIO_KEY, heat_map, ratio_tiles, time_tiles
from benchmarks.report.section import Block, Panel, Section
from benchmarks.report.verdicts import fastest, fastest_standing, noise
from benchmarks.results import Cell, Results


def grid(results: Results) -> Section:
    """Shows ratio and time over batch and depth as heat maps."""
    blocks = []
    for one in groups.grids(results):
        ratio, time = f"Time / time of the best peer, {one.title}", f"Time per step, {one.title}"
        blocks.append(Block(ratio, panels=_ratios(results, one), key=RATIO_KEY))
        blocks.append(Block(time, panels=_times(results, one)))
    return Section("grid", "Batch and depth together", [], blocks)


def _ratios(results: Results, grid: Grid) -> list[Panel]:
    present = {m.method for cell in grid.cells.values() for m in cell.measurements}
    return [
        Panel(method, heat_map(grid, ratio_tiles(results, grid, method)))
        for method in results.ours
        if method in present
    ]


def _times(results: Results, grid: Grid) -> list[Panel]:
    ours = time_tiles(grid, lambda cell: fastest(results, cell))
    peer = time_tiles(grid, lambda cell: cell.of(cell.best_peer or ""))
    return [
        Panel("jaxpercep's fastest", heat_map(grid, ours)),
        Panel("The best peer", heat_map(grid, peer)),
    ]


def against_peers(results: Results) -> list[Panel]:
    """Shows the ratio of jaxpercep's fastest method to the best peer, for every cell."""

    def row(label: str, cell: Cell) -> Row | None:
        found = fastest_standing(results, cell)
        if found is None:
            return None
        return Row(label, found.ratio, noise(results, cell), found.verdict)

    caption = "jaxpercep's fastest: ● leads, ◇ no difference, ■ behind"
    return _forest(results, row, "time / time of the best peer", caption)


def floor(results: Results) -> Section:
    """Shows the A/A ratio of every cell."""

    def row(label: str, cell: Cell) -> Row | None:
        return None if cell.null is None else Row(label, cell.null, cell.floor)

    panels = _forest(results, row, "time / time of the same method", "A/A ratio and noise floor")
    account = [
        "In each cell one method is measured twice, as if it were two methods. Their ratio differs "
        "from 1 only by this machine's noise. The cell's noise floor, shaded, is the largest "
        "distance from 1 that the interval reaches. The run's floor, the median over the cells, is "
        f"{words.percent(results.floor)}. A difference within the larger of the two floors is "
        "reported as no difference."
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
