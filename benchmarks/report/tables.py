"""The numbers as rows of text, for the page, the Markdown and the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from benchmarks.report import words
from benchmarks.report.verdicts import (
    Standing,
    fastest,
    fastest_standings,
    having,
    standing,
    standings,
)
from benchmarks.results import Absence, Cell, Measurement, Results


class Entry(NamedTuple):
    """A text with a colour: `"faster"` or `"slower"`, where jaxpercep is, or none."""

    text: str
    tone: str


@dataclass(frozen=True)
class Table:
    """A header and rows below it.

    Attributes:
        caption: above it.
        header: one name per column.
        rows: one entry per column.
        texts: indices of the columns that are short text.
        long: indices of those that may take several lines; the others are numbers.
        marked: indices of the rows that stand out.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | Entry]]
    texts: Sequence[int] = (0,)
    long: Sequence[int] = ()
    marked: Sequence[int] = ()


def filled(found: Sequence[Table]) -> list[Table]:
    """Returns the tables that have rows."""
    return [table for table in found if table.rows]


def ours(results: Results, rows: Sequence[Sequence[object]]) -> list[int]:
    """Returns the indices of the rows that begin with one of jaxpercep's methods."""
    return [i for i, (method, *_) in enumerate(rows) if method in results.ours]


def against_best(results: Results, cell: Cell, method: str) -> Entry:
    """Returns the ratio to the best peer with its interval, or says that there is no difference."""
    if method == cell.best_peer:
        return Entry("best peer", "")
    found = standing(results, cell, method)
    if found is None:
        return Entry(words.NOTHING, "")
    if found.verdict == "no difference":
        return Entry(f"no difference ({words.span(found.ratio)})", "")
    return Entry(words.ratio(found.ratio), found.verdict if method in results.ours else "")


def absent(cell: Cell, method: str) -> str:
    """Says how a method without a measurement is absent from a cell: `"skipped"`, for example."""
    return next((a.kind for a in cell.absences if a.method == method), words.NOTHING)


def by_method(results: Results) -> Table:
    """Counts the cells in which each of jaxpercep's methods leads, with the median ratio."""
    found = {method: standings(results, method) for method in results.ours}
    rows = [[method, *_summary(some)] for method, some in found.items() if some]
    header = ["method", "leads", "no difference", "behind", "median ratio"]
    return Table("Each of jaxpercep's methods against the best peer of each cell", header, rows)


def _summary(found: Sequence[Standing]) -> list[str]:
    counts = [len(having(found, one)) for one in ("faster", "no difference", "slower")]
    return [*map(str, counts), words.number(median(one.ratio.median for one in found))]


def behind(results: Results) -> Table:
    """Lists the cells in which even the fastest of jaxpercep's methods is slower than a peer."""
    rows = [
        [
            one.cell.setting.key,
            one.peer.method,
            Entry(words.number(one.ratio.median), "slower"),
            one.own.bound or words.NOTHING,
        ]
        for one in having(fastest_standings(results), "slower")
    ]
    header = ["cell", "best peer", "ratio", "bound by"]
    return Table("Where jaxpercep is behind", header, rows, texts=(0, 1, 3))


def duels(results: Results) -> Table:
    """Compares jaxpercep's fastest method with the best peer, a row for each cell."""
    header = ["cell", "jaxpercep's fastest", "its step", "best peer", "its step", "ratio"]
    rows = [
        [
            one.cell.setting.key,
            one.own.method,
            words.seconds(one.own.seconds.median),
            one.peer.method,
            words.seconds(one.peer.seconds.median),
            against_best(results, one.cell, one.own.method),
        ]
        for one in fastest_standings(results)
    ]
    return Table("Every cell at a glance", header, rows, texts=(0, 1, 3))


def limits(results: Results) -> Table:
    """Compares jaxpercep's fastest method and the best peer with the limit, where it is known."""
    rows = []
    for cell in results.cells:
        limit = next((m for m in cell.measurements if m.method in results.limits), None)
        own, peer = fastest(results, cell), cell.of(cell.best_peer or "")
        if limit is not None and own is not None:
            found = [own, *([peer] if peer else [])]
            pairs = [(m.method, words.number(m.to_limit.median)) for m in found if m.to_limit]
            texts = [text for pair in pairs for text in pair]
            texts += [words.NOTHING] * (4 - len(texts))
            rows.append([cell.setting.key, words.seconds(limit.seconds.median), *texts])
    header = ["cell", "c++", "jaxpercep's fastest", "times as long", "best peer", "times as long"]
    return Table("Distance from the limit, the same step in C++", header, rows, texts=(0, 2, 4))


MEASURED = (
    "method", "time per step", "ratio to best peer", "ratio to limit", "samples/s", "GFLOP/s",
    "of peak", "of bandwidth", "bound by", "trace", "compile", "first call", "dispatch",
    "temporaries", "peak RSS", "error", "notes",
)  # fmt: skip


def measured(results: Results, cell: Cell) -> Table:
    """Lists all numbers of one cell, the fastest method first."""
    ordered = sorted(cell.measurements, key=lambda m: m.seconds.median)
    rows, texts = [_row(results, cell, m) for m in ordered], (0, 8)
    return Table("Fastest first", MEASURED, rows, texts, (16,), marked=ours(results, rows))


def _row(results: Results, cell: Cell, m: Measurement) -> list[str | Entry]:
    return [
        m.method,
        words.timed(m.seconds),
        against_best(results, cell, m.method),
        words.ratio(m.to_limit) if m.to_limit else words.NOTHING,
        words.rate(m.samples_per_second),
        words.number(m.gflops),
        words.percent(m.peak_fraction),
        words.percent(m.bandwidth_fraction),
        m.bound or words.NOTHING,
        words.seconds(m.trace),
        words.seconds(m.compile),
        words.seconds(m.first_call),
        words.seconds(m.dispatch),
        words.bytes_(m.temporary_bytes),
        words.bytes_(m.peak_rss),
        f"{m.error:.1e}",
        "; ".join(m.notes) or words.NOTHING,
    ]


def absences(results: Results) -> Table:
    """Lists what was skipped, refused or failed; equal reasons in equal cells share a row."""
    cells: dict[Absence, list[str]] = {}
    for cell in results.cells:
        for absence in cell.absences:
            cells.setdefault(absence, []).append(cell.setting.key)
    where = {absence: _where(keys) for absence, keys in cells.items()}
    where |= dict.fromkeys(results.absences, "the whole run")
    methods: dict[tuple[str, str, str], list[str]] = {}
    for absence, place in where.items():
        methods.setdefault((absence.kind, absence.detail, place), []).append(absence.method)
    rows = [[", ".join(names), *what] for what, names in methods.items()]
    header = ["methods", "outcome", "reason", "cells"]
    return Table("Skipped, refused, failed", header, rows, texts=(0, 1), long=(2, 3))


def _where(keys: Sequence[str]) -> str:
    if len(keys) <= 2:
        return " and ".join(keys)
    return f"{words.count(len(keys), 'cell')}, such as {keys[0]}"
