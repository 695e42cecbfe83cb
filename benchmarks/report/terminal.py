"""The terminal's table: in each cell the fastest of jaxpercep's methods, and the best peer."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from benchmarks.report import words
from benchmarks.report.groups import measured
from benchmarks.report.summary import account, status
from benchmarks.report.tables import against_best
from benchmarks.report.verdicts import best_peer, fastest
from benchmarks.results import Measurement, Results

TONES = {"faster": "green", "slower": "red", "": "dim"}


def table(results: Results) -> RenderableType:
    """Shows a row for each cell, and says where jaxpercep leads; it fits into 80 characters."""
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    grid.add_column("cell", overflow="fold", width=22)
    for side in ("jaxpercep's fastest", "best peer"):
        grid.add_column(side, width=17)
    grid.add_column("ratio", justify="right", width=15)
    for cell in measured(results):
        own, peer = fastest(results, cell), best_peer(cell)
        ratio = against_best(results, cell, own.method if own else "")
        shown = Text(ratio.text, TONES[ratio.tone])
        grid.add_row(Text(cell.setting.key), _timed(own), _timed(peer), shown)
    warned = [Text(f"Warning: {text}.", "yellow") for text in results.warnings]
    said = [Text(sentence) for sentence in (status(results), *account(results))]
    return Group(*([grid] if grid.rows else []), *warned, *said)


def _timed(measurement: Measurement | None) -> Text:
    if measurement is None:
        return Text(words.NOTHING, "dim")
    return Text(f"{measurement.method}\n{words.seconds(measurement.seconds.median)}")
