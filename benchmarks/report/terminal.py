"""What a run prints: a table for each curve and each row of the grid, methods by cells."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.report import groups, words
from benchmarks.report.summary import account, status
from benchmarks.report.tables import against_best
from benchmarks.results import Cell, Results

COLUMNS = 5
"""The most cells beside each other: what 80 characters hold."""

TONES = {"faster": "green", "slower": "red", "": "dim"}


def table(results: Results) -> RenderableType:
    """Time a step of every method in every cell; below ours, the ratio or "no difference"."""
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
        if any(cell.of(method) or _absent(cell, method) for _, cell in cells):
            style = "bold" if method in results.ours else ""
            entries = (entry(results, cell, method) for _, cell in cells)
            grid.add_row(Text(method), *entries, style=style)
    return grid


def entry(results: Results, cell: Cell, method: str) -> Text:
    """Time a step; below it the ratio to the best peer, for ours, or that this is the best peer."""
    measurement = cell.of(method)
    if measurement is None:
        return Text(_absent(cell, method) or words.NOTHING, "dim")
    text = Text(words.seconds(measurement.seconds.median))
    if method in results.ours and measurement.ratio is not None:
        _, tone = against_best(results, cell, measurement)
        short = words.number(measurement.ratio.median) if tone else "no difference"
        text.append(f"\n{short}", TONES[tone])
    elif method == cell.best_peer:
        text.append("\nbest peer", "cyan")
    return text


def _absent(cell: Cell, method: str) -> str | None:
    return next((a.kind for a in cell.absences if a.method == method), None)
