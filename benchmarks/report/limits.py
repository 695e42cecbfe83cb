"""The distance to the limit: the same step in C++, of networks small enough to have one."""

from collections.abc import Sequence

import matplotlib as mpl

from benchmarks.report import words
from benchmarks.report.drawing import STYLE, Drawing, new_figure, round_ticks, set_ticks
from benchmarks.report.palette import COLOURS, HUES, MARKERS
from benchmarks.report.tables import spread
from benchmarks.report.verdicts import best_peer, fastest
from benchmarks.results import Cell, Results

ROWS, ROW = 16, 13.5  # at most, of so many CSS pixels: the answer fits on a screen


def with_limit(results: Results) -> list[Cell]:
    """Returns cells in which ours were timed beside the limit, from small steps to large ones."""
    found = [cell for cell in results.cells if (own := fastest(results, cell)) and own.to_limit]
    return spread(found, ROWS)


@mpl.rc_context(fname=STYLE)
def distances(results: Results, cells: Sequence[Cell]) -> Drawing:
    """Draws a row for each cell: jaxpercep's fastest method and the best peer, over C++."""
    figure = new_figure(height=85 + ROW * len(cells))
    axes = figure.subplots()
    described: list[str] = []
    sides = {
        "jaxpercep's fastest": [fastest(results, cell) for cell in cells],
        "the best peer": [best_peer(cell) for cell in cells],
    }
    for i, (name, chosen) in enumerate(sides.items()):
        found = {y: m.to_limit for y, m in enumerate(chosen) if m is not None and m.to_limit}
        medians = [ratio.median for ratio in found.values()]
        axes.plot(medians, [*found], MARKERS[i], color=HUES[i], label=name, zorder=3)
        for y, ratio in found.items():
            axes.hlines(y, ratio.low, ratio.high, color=HUES[i], linewidth=1.5)
            described.append(f"{cells[y].setting.key}, {name}: {words.ratio(ratio)}")
    axes.axvline(1, color=COLOURS["dim"], linewidth=1, zorder=1)
    axes.set(xscale="log", ylim=(len(cells) - 0.4, -0.6))
    axes.set_xlabel("time / time of C++ on one core", loc="right")  # longer than the axis
    labels = [cell.setting.key.removeprefix("classification ") for cell in cells]
    axes.set_yticks(range(len(cells)), labels, fontsize=10)
    set_ticks(axes.xaxis, round_ticks(*axes.get_xlim(), most=4), "{:g}".format)
    axes.grid()
    axes.spines["left"].set_visible(False)
    figure.legend(loc="outside lower left", ncols=2, handlelength=1)
    return Drawing(figure, "; ".join(described))
