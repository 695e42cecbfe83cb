"""The terminal's tables: one for each curve and each row of the grid, methods by cells."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.report import groups, words
from benchmarks.report.summary import account, status
from benchmarks.report.tables import absent
from benchmarks.report.verdicts import standing
from benchmarks.results import Cell, Results

COLUMNS = 5
"""The largest number of cells side by side in 80 characters."""

TONES = {"faster": "green", "slower": "red", "no difference": "dim"}


def table(results: Results) -> RenderableType:
    """Shows the time per step of every method in every cell, with the ratio below ours."""
    parts: list[RenderableType] = []
    for listing in groups.listings(results):
        count = -(-len(listing.cells) // COLUMNS)  # tables of about the same width
        size = -(-len(listing.cells) // count)
        for start in range(0, len(listing.cells), size):
            shown = listing.cells[start : start + size]
            parts.append(_table(results, listing.title, shown))
    parts += [Text(f"Warning: {text}.", "yellow") for text in results.warnings]
    parts += [Text(sentence) for sentence in (status(results), *account(results))]
    return Group(*parts)


def _table(results: Results, title: str, cells: Sequence[tuple[str, Cell]]) -> RichTable:
    grid = RichTable(
        title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    grid.add_column("", overflow="fold", min_width=13)
    for label, _ in cells:
        grid.add_column(Text(label), justify="right")
    for method in results.methods:
        entries = [entry(results, cell, method) for _, cell in cells]
        if any(text.plain != words.NOTHING for text in entries):
            grid.add_row(Text(method), *entries, style="bold" if method in results.ours else "")
    return grid


def entry(results: Results, cell: Cell, method: str) -> Text:
    """Formats the time per step; below it the ratio, for ours, or that this is the best peer."""
    measurement = cell.of(method)
    if measurement is None:
        return Text(absent(cell, method), "dim")
    text = Text(words.seconds(measurement.seconds.median))
    found = standing(results, cell, method)
    if method == cell.best_peer:
        text.append("\nbest peer", "cyan")
    elif method in results.ours and found is not None:
        same = found.verdict == "no difference"
        shown = found.verdict if same else words.number(found.ratio.median)
        text.append(f"\n{shown}", TONES[found.verdict])
    return text
