"""The sections of the report, in order: the answer first, versions and what was left out last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.report import curves, groups, tables, words
from benchmarks.report.drawing import Drawing
from benchmarks.report.heatmap import heat_map
from benchmarks.report.limits import distances, with_limit
from benchmarks.report.summary import account
from benchmarks.report.tables import Table
from benchmarks.report.verdicts import fastest_standing
from benchmarks.results import Cell, Results


@dataclass(frozen=True)
class Section:
    """One part of the report; the Markdown has its paragraphs and tables, the page all of it.

    Attributes:
        title: its heading.
        key: its id in the page.
        account: plain paragraphs.
        panels: its pictures.
        tables: those without rows are not shown.
        folds: sections that the reader opens, of paragraphs and a table; shown last.
    """

    title: str
    key: str = ""
    account: Sequence[str] = ()
    panels: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    folds: Sequence["Section"] = ()

    @property
    def filled(self) -> list[Table]:
        """The tables that have rows."""
        return [table for table in self.tables if table.rows]


def contents(results: Results) -> list[Section]:
    """Returns the answer, and the other sections that have something to show."""
    first_calls = [tables.first_calls(results, one) for one in groups.curves(results, "depth")]
    others = [
        Section("Cell by cell", "glance", tables=_glance(results)),
        every_method(results),
        Section("Compiling", "compiling", tables=first_calls),
        goals(results),
        every_number(results),
        left_out(results),
        machine(results),
    ]
    return [answer(results), *(one for one in others if one.panels or one.filled or one.folds)]


def answer(results: Results) -> Section:
    """Shows on one screen where jaxpercep leads, by how much, and how far it is from the limit."""
    panels = [
        heat_map(results, grid).shown(f"Time over the best peer's, {grid.title}", "grid")
        for grid in groups.grids(results)[:1]
    ]
    if cells := with_limit(results):
        panels.append(distances(results, cells).shown("Small networks, beside plain C++", "limit"))
    panels += [
        curves.summed_up(results, curve).shown(curve.title, sweep)
        for sweep in groups.SWEEPS
        for curve in groups.curves(results, sweep)[:1]
    ]
    title = "Where jaxpercep leads"
    return Section(title, "summary", account(results), panels, [tables.by_method(results)])


def _glance(results: Results) -> list[Table]:
    alone = [cell for cell in groups.measured(results) if cell.setting.networks is None]
    many = [cell for cell in groups.measured(results) if cell.setting.networks is not None]
    chosen = tables.spread(alone)
    caption = f"Time per step in {words.count(len(chosen), 'cell')}, spread evenly by size"
    return [
        tables.duels(results),
        tables.beside(results, chosen, caption),
        tables.beside(results, many, "Populations, time per network and step"),
    ]


def every_method(results: Results) -> Section:
    """Shows the time of every method along every curve."""
    panels = [
        drawing.shown(f"{curve.title}, by {sweep}")
        for sweep in groups.SWEEPS
        for curve in groups.curves(results, sweep)
        for drawing in curves.in_full(results, curve)
    ]
    return Section("Every method", "methods", panels=panels)


def goals(results: Results) -> Section:
    """Shows the time to a given accuracy or loss."""
    text = [
        "Training on digits until the target is met. A larger batch cannot flatter this number: it "
        "needs fewer steps, but longer ones. Evaluating the target is not timed."
    ]
    return Section("Time to accuracy", "goals", text, tables=tables.goal_tables(results))


def every_number(results: Results) -> Section:
    """Shows every number of every cell, folded."""
    text = [
        "Times are medians with 95 % bootstrap intervals. The ratio is paired: a time over that of "
        "the cell's best peer in the same round; below 1 is faster. We lead after so many steps: "
        "jaxpercep's fastest is ahead of that peer, the first calls of both included. Error is the "
        "largest deviation from float64 truth, relative to the distance that the parameters moved; "
        "a method that does not match that truth is refused. The matrix-product peak is "
        f"{words.number(results.peak_gflops)} GFLOP/s: large float32 products, in this run."
    ]
    folds = [_cell(results, cell) for cell in groups.measured(results)]
    return Section("Every number", "cells", text, folds=folds)


def _cell(results: Results, cell: Cell) -> Section:
    said = [f"{words.number(cell.flops / 1e6)} MFLOP and {words.bytes_(cell.bytes)} per step."]
    if cell.setting.networks is not None:
        said.append("All numbers are per network and step.")
    if cell.null is not None:
        said.append(f"A/A ratio of {cell.null_method}: {words.ratio(cell.null)}.")
    said += [f"{a.method}: {a.kind}: {a.detail}." for a in cell.absences]
    said += [f"{note[:1].upper()}{note[1:]}." for note in cell.notes]
    found = fastest_standing(results, cell)
    title = f"{cell.setting.key}: {found.verdict if found else 'no peer'}"
    return Section(title, account=said, tables=[tables.measured(results, cell)])


def left_out(results: Results) -> Section:
    """Lists what was not measured, and why."""
    measured = {cell.setting.key for cell in groups.measured(results)}
    missing = [[key] for key in results.planned if key not in measured]
    title = f"{len(missing)} of {len(results.planned)} planned cells without a measurement"
    folds = [Section(title, tables=[Table("As planned", ["cell"], missing)])] if missing else []
    return Section("Left out", "absent", tables=[tables.absences(results)], folds=folds)


def machine(results: Results) -> Section:
    """Lists what affects speed most; everything that was recorded, and the methods, are folded."""
    recorded = results.environment
    facts = {
        "command": results.command,
        "started": results.started,
        "seed": str(results.seed),
        **flat({name: recorded[name] for name in ("cpu", "cores", "python") if name in recorded}),
        **flat(recorded.get("versions", {})),
        "matrix-product peak, float32": f"{words.number(results.peak_gflops)} GFLOP/s",
        "copy bandwidth": f"{words.bytes_(results.copy_bandwidth)}/s",
    }
    shown = _listed("Measured with", "fact", facts)
    listed = {
        "What each method is": _listed("Methods", "method", results.methods),
        "Everything that was recorded": _listed("As recorded", "fact", flat(recorded)),
    }
    folds = [Section(title, tables=[table]) for title, table in listed.items()]
    return Section("Versions", "machine", tables=[shown], folds=folds)


def _listed(caption: str, first: str, rows: Mapping[str, str]) -> Table:
    return Table(caption, [first, "value"], [*rows.items()], long=(1,))


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Joins the names of nested facts: `{"thread_pools": {"jax": 2}}` as `thread pools, jax`.

    Below the first level the names are those of packages and variables, and are kept.
    """
    found: dict[str, str] = {}
    for key, value in facts.items():
        name = prefix + key if prefix else key.replace("_", " ")
        found |= flat(value, f"{name}, ") if isinstance(value, Mapping) else {name: _text(value)}
    return found


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return words.NOTHING
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
