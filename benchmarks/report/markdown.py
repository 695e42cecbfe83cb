"""The report as compact tables in Markdown, the same for the same results."""

import re
from collections.abc import Sequence

from benchmarks.report import groups, tables, words
from benchmarks.report.environment import flat
from benchmarks.report.groups import Curve
from benchmarks.report.summary import account, status
from benchmarks.report.tables import Entry, Table
from benchmarks.report.verdicts import standing
from benchmarks.results import Cell, Results

CELLS = 5
RATIO = ", and its ratio to the best peer (= is no difference)"


def render(results: Results) -> str:
    """Returns the text: command and machine, which method leads in which cells, some in full."""
    shown = [tables.by_method(results), tables.behind(results), tables.limits(results)]
    alone = [cell for cell in results.cells if cell.setting.networks is None]
    if chosen := spread(alone):
        cells = words.count(len(chosen), "cell")
        caption = f"Time per step{RATIO}, in {cells} spread evenly by operations per step"
        shown.append(beside(results, chosen, caption))
    if populations := [cell for cell in groups.measured(results) if cell.setting.networks]:
        shown.append(beside(results, populations, groups.POPULATIONS + RATIO))
    shown += [first_calls(results, curve) for curve in groups.curves(results, "depth")]
    shown.append(tables.absences(results))
    warned = [f"Warning: {text}." for text in results.warnings]
    parts = [
        f"```bash\n{results.command}\n```",
        _escaped(" ".join([status(results), *warned, _machine(results)])),
        _escaped(" ".join(account(results))),
        *map(_table, tables.filled(shown)),
    ]
    return "\n\n".join(parts) + "\n"


def spread(cells: Sequence[Cell]) -> list[Cell]:
    """Chooses a few cells from the smallest to the largest step, evenly by rank."""
    ordered = sorted(cells, key=lambda cell: (cell.flops, cell.setting.key))
    count = min(CELLS, len(ordered))
    if count <= 1:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def beside(results: Results, cells: Sequence[Cell], caption: str) -> Table:
    """Shows every method in these cells: time per step, and the ratio to the best peer."""
    methods = [m for m in results.methods if any(cell.of(m) for cell in cells)]
    rows = [[method, *(_short(results, cell, method) for cell in cells)] for method in methods]
    header = ["method", *(cell.setting.key for cell in cells)]
    return Table(caption, header, rows, marked=tables.ours(results, rows))


def first_calls(results: Results, curve: Curve) -> Table:
    """Shows, by depth, the time from the built model to the end of its first step."""
    found = {method: [cell.of(method) for cell in curve.cells] for method in results.methods}
    rows = [
        [method, *(words.seconds(m.first_call if m else None) for m in measured)]
        for method, measured in found.items()
        if any(measured)
    ]
    caption = f"First call, compiling included, by the number of hidden layers: {curve.title}"
    header = ["method", *(str(cell.setting.depth) for cell in curve.cells)]
    return Table(caption, header, rows, marked=tables.ours(results, rows))


def _short(results: Results, cell: Cell, method: str) -> str:
    measurement, found = cell.of(method), standing(results, cell, method)
    if measurement is None:
        return tables.absent(cell, method)
    time = words.seconds(measurement.seconds.median)
    if method == cell.best_peer:
        return f"{time} (best peer)"
    if found is None:
        return time
    same = found.verdict == "no difference"
    return f"{time} ({'=' if same else words.number(found.ratio.median)})"


def _machine(results: Results) -> str:
    """Lists the facts that affect speed most, as far as they were recorded."""
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
    """Joins lines, and escapes what Markdown and HTML would interpret."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))
