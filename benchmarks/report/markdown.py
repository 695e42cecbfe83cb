"""The README's part of the report: compact tables in Markdown, the same for the same results."""

import re
from collections.abc import Sequence

from benchmarks.report import groups, tables, words
from benchmarks.report.environment import flat
from benchmarks.report.groups import Curve
from benchmarks.report.summary import account, status
from benchmarks.report.tables import Entry, Table
from benchmarks.report.verdicts import noise, verdict
from benchmarks.results import Cell, Results

CELLS = 5


def render(results: Results) -> str:
    """Returns the text: the command and the machine, who leads where, and some cells in full."""
    shown = [tables.by_method(results), tables.behind(results)]
    if chosen := spread(results.cells):
        shown.append(beside(results, chosen))
    shown += [first_calls(results, curve) for curve in groups.curves(results, "depth")]
    shown.append(tables.absences(results))
    warnings = [f"Warning: {text}." for text in results.warnings]
    parts = [
        f"```bash\n{results.command}\n```",
        _escaped(" ".join([status(results), *warnings, _machine(results)])),
        _escaped(" ".join(account(results))),
        *map(_table, tables.filled(shown)),
    ]
    return "\n\n".join(parts) + "\n"


def spread(cells: Sequence[Cell]) -> list[Cell]:
    """A handful from the smallest to the largest step, evenly by rank: nothing is hand-picked."""
    ordered = sorted(cells, key=lambda cell: (cell.flops, cell.setting.key))
    count = min(CELLS, len(ordered))
    if count <= 1:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def beside(results: Results, cells: Sequence[Cell]) -> Table:
    """Every method in these cells: time a step, and the ratio to the best peer."""
    methods = [m for m in results.methods if any(cell.of(m) for cell in cells)]
    rows = [[method, *(_short(results, cell, method) for cell in cells)] for method in methods]
    caption = (
        "Time a step, and its ratio to the best peer (= is no difference), in "
        f"{words.count(len(cells), 'cell')} spread evenly by operations a step"
    )
    marked = [i for i, method in enumerate(methods) if method in results.ours]
    return Table(caption, ["method", *(c.setting.key for c in cells)], rows, marked=marked)


def first_calls(results: Results, curve: Curve) -> Table:
    """Along a curve of depths, what it takes from the built model to the end of its first step."""
    rows = []
    for method in results.methods:
        found = [cell.of(method) for cell in curve.cells]
        if any(found):
            times = [words.seconds(m.first_call if m else None) for m in found]
            rows.append([method, *times])
    caption = f"First call, compiling included, by the number of hidden layers: {curve.title}"
    marked = [i for i, (method, *_) in enumerate(rows) if method in results.ours]
    header = ["method", *(str(cell.setting.depth) for cell in curve.cells)]
    return Table(caption, header, rows, marked=marked)


def _short(results: Results, cell: Cell, method: str) -> str:
    measurement = cell.of(method)
    if measurement is None:
        return next((a.kind for a in cell.absences if a.method == method), words.NOTHING)
    time = words.seconds(measurement.seconds.median)
    if method == cell.best_peer:
        return f"{time} (best peer)"
    if measurement.ratio is None:
        return time
    same = verdict(measurement.ratio, noise(results, cell)) == "no difference"
    return f"{time} ({'=' if same else words.number(measurement.ratio.median)})"


def _machine(results: Results) -> str:
    """The facts that bear on speed most, as far as they were recorded."""
    recorded = results.environment
    wanted = {name: recorded.get(name) for name in ("cpu", "cores", "python")}
    facts = flat({**wanted, **recorded.get("versions", {})})
    known = [f"{name} {value}" for name, value in facts.items() if value != words.NOTHING]
    peak = f"matrix-product peak {words.number(results.peak_gflops)} GFLOP/s"
    return f"Machine: {'; '.join([*known, peak])}."


def _table(table: Table) -> str:
    rule = ["---" if i in (*table.texts, *table.long) else "---:" for i in range(len(table.header))]
    lines = [list(map(_escaped, table.header)), rule]
    for i, row in enumerate(table.rows):
        texts = [_escaped(e.text if isinstance(e, Entry) else e) for e in row]
        lines.append([f"**{text}**" for text in texts] if i in table.marked else texts)
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{_escaped(table.caption)}:\n\n{rows}"


def _escaped(text: str) -> str:
    """On one line, with what Markdown and HTML would take for their own escaped."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))
