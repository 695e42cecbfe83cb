"""The pictures of a sweep: the map of what learned, and final losses of the smallest network."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxpercep.commands.learned import Cell
from jaxpercep.commands.levels import Level
from jaxpercep.plots import DASHES, PALETTE, STYLE


def learned_map(cells: Sequence[Cell], title: str) -> Figure:
    """Draws the share that learned by colour and number, framed where a network diverged."""
    widths = sorted({cell.hidden for cell in cells})
    rates = sorted({cell.learning_rate for cell in cells})
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        size = (1.3 * len(rates) + 2.4, 0.8 * len(widths) + 1.6)
        figure = Figure(figsize=(max(size[0], 5), size[1]), layout="constrained")
        axes = figure.subplots()
        shares = np.full((len(widths), len(rates)), np.nan)
        for cell in cells:
            row, column = widths.index(cell.hidden), rates.index(cell.learning_rate)
            shares[row, column] = cell.fraction
            _write(axes, cell, row, column)
        image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, origin="lower", aspect="auto")
        axes.set(title=title, xlabel="learning rate", ylabel="hidden width")
        axes.set_xticks(range(len(rates)), [f"{rate:g}" for rate in rates])
        axes.set_yticks(range(len(widths)), map(str, widths))
        figure.colorbar(image, ax=axes, label="share of networks that learned")
    return figure


def final_losses(cells: Sequence[Cell], marked: Sequence[Level], top: float, title: str) -> Figure:
    """Draws a histogram of the final losses for each learning rate, with lines at marked losses.

    Args:
        cells: those of one width.
        marked: the losses.
        top: the loss at which the axis ends; higher ones are counted to it.
        title: of the figure.
    """
    cells = sorted(cells, key=lambda cell: cell.learning_rate)
    with mpl.rc_context(STYLE):
        columns = 2 if max((len(str(level)) for level in marked), default=0) <= 32 else 1
        lines = -(-len(marked) // columns)
        height = 1.1 * len(cells) + 0.26 * lines + 1.1
        figure = Figure(figsize=(8, height), layout="constrained")
        panels = figure.subplots(len(cells), sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, cell in zip(panels, cells, strict=True):
            losses = np.minimum(cell.losses.astype(float), top)
            axes.hist(losses, np.linspace(0, top, 121), color="#555555")
            for i, level in enumerate(marked):
                style = {"color": PALETTE[i % 6], "linestyle": DASHES[i // 6 % 4]}
                axes.axvline(level.loss, label=str(level), zorder=0, linewidth=2, **style)
            axes.set(yscale="log", ylim=(0.7, 5 * cell.networks), xlim=(0, top))
            rate = f"rate {cell.learning_rate:g}"
            axes.text(1.02, 0.5, rate, va="center", transform=axes.transAxes)
        panels[0].set_title(title)
        panels[-1].set_xlabel("final loss (the last bar counts the higher ones, too)")
        figure.supylabel("networks", fontsize=12)
        if marked:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    return figure


def _write(axes: Axes, cell: Cell, row: int, column: int) -> None:
    """Writes the share into its field, the interval below, and how many diverged, if any did."""
    share, interval = cell.texts()
    ink = "black" if cell.fraction > 0.5 else "white"
    center = {"ha": "center", "va": "center", "color": ink}
    axes.text(column, row + 0.14, share, fontsize=13, **center)
    axes.text(column, row - 0.14, interval, fontsize=10, **center)
    if diverged := int(cell.diverged.sum()):
        axes.text(column, row - 0.37, f"{diverged} diverged", fontsize=9, **center)
        corner = (column - 0.47, row - 0.47)
        frame = Rectangle(corner, 0.94, 0.94, fill=False, edgecolor="#D55E00", linewidth=3)
        axes.add_patch(frame)
