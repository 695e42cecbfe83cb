"""The numbers as rows of text, for the page and the Markdown."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from benchmarks.derived import steps_to_break_even
from benchmarks.report import verdicts, words
from benchmarks.report.groups import Curve
from benchmarks.report.verdicts import Standing, having, standing
from benchmarks.results import Absence, Cell, Goal, Measurement, Results

CELLS = 5  # in which every method is shown side by side

RATIO = ", and its ratio to the best peer (= is no difference)"


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


def by_method(results: Results) -> Table:
    """Counts the cells in which each of jaxpercep's methods leads, with the median ratio."""
    found = {method: verdicts.standings(results, method) for method in results.ours}
    rows = [[method, *_summary(some)] for method, some in found.items() if some]
    header = ["method", "leads", "no difference", "behind", "median ratio"]
    return Table("Each of jaxpercep's methods against the best peer of each cell", header, rows)


def _summary(found: Sequence[Standing]) -> list[str]:
    counts = [len(having(found, one)) for one in ("faster", "no difference", "slower")]
    return [*map(str, counts), words.number(median(one.ratio.median for one in found))]


def duels(results: Results) -> Table:
    """Compares jaxpercep's fastest method with the best peer and the limit, cell by cell."""
    header = ["cell", "jaxpercep's fastest", "its step", "best peer", "its step"]
    header += ["ratio", "noise floor", "over C++"]
    rows = [
        [
            one.cell.setting.key,
            one.own.method,
            words.seconds(one.own.seconds.median),
            one.peer.method,
            words.seconds(one.peer.seconds.median),
            against_best(results, one.cell, one.own.method),
            words.percent(verdicts.noise(results, one.cell)),
            words.number(one.own.to_limit.median) if one.own.to_limit else words.NOTHING,
        ]
        for one in sorted(verdicts.fastest_standings(results), key=_favour)
    ]
    return Table("Every cell at a glance, the least favourable first", header, rows, (0, 1, 3))


def _favour(one: Standing) -> tuple[int, float]:
    return ("slower", "no difference", "faster").index(one.verdict), -one.ratio.median


def spread(cells: Sequence[Cell], most: int = CELLS) -> list[Cell]:
    """Chooses a few cells from the smallest to the largest step, evenly by rank."""
    ordered = sorted(cells, key=lambda cell: (cell.flops, cell.setting.key))
    count = min(most, len(ordered))
    if count <= 1:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def beside(results: Results, cells: Sequence[Cell], caption: str) -> Table:
    """Shows every method in these cells: time per step, and the ratio to the best peer."""
    methods = [m for m in results.methods if any(cell.of(m) for cell in cells)]
    rows = [[method, *(_short(results, cell, method) for cell in cells)] for method in methods]
    header = ["method", *(cell.setting.key for cell in cells)]
    return Table(f"{caption}{RATIO}", header, rows, marked=ours(results, rows))


def _short(results: Results, cell: Cell, method: str) -> str:
    measurement, found = cell.of(method), standing(results, cell, method)
    if measurement is None:
        return next((a.kind for a in cell.absences if a.method == method), words.NOTHING)
    time = words.seconds(measurement.seconds.median)
    if method == cell.best_peer:
        return f"{time} (best peer)"
    if found is None:
        return time
    same = found.verdict == "no difference"
    return f"{time} ({'=' if same else words.number(found.ratio.median)})"


def measured(results: Results, cell: Cell) -> Table:
    """Lists all numbers of one cell, the fastest method first."""
    ordered = sorted(cell.measurements, key=lambda m: m.seconds.median)
    found = [_numbers(results, cell, m) for m in ordered]
    header, rows = [*found[0]], [[*numbers.values()] for numbers in found]
    texts, long = map(header.index, ("method", "bound by")), [header.index("notes")]
    return Table("Fastest first", header, rows, [*texts], long, marked=ours(results, rows))


def _numbers(results: Results, cell: Cell, m: Measurement) -> dict[str, str | Entry]:
    return {
        "method": m.method,
        "time per step": words.timed(m.seconds),
        "ratio to best peer": against_best(results, cell, m.method),
        "ratio to limit": words.ratio(m.to_limit) if m.to_limit else words.NOTHING,
        "samples/s": words.rate(m.samples_per_second),
        "GFLOP/s": words.number(m.gflops),
        "of peak": words.percent(m.peak_fraction),
        "of bandwidth": words.percent(m.bandwidth_fraction),
        "bound by": m.bound or words.NOTHING,
        "trace": words.seconds(m.trace),
        "compile": words.seconds(m.compile),
        "first call": words.seconds(m.first_call),
        "we lead after": _break_even(results, cell, m),
        "dispatch": words.seconds(m.dispatch),
        "temporaries": words.bytes_(m.temporary_bytes),
        "peak RSS": words.bytes_(m.peak_rss),
        "error": f"{m.error:.1e}",
        "notes": "; ".join(m.notes) or words.NOTHING,
    }


def _break_even(results: Results, cell: Cell, m: Measurement) -> str:
    """Formats the steps after which jaxpercep's fastest is ahead of a peer, compiling included."""
    own = verdicts.fastest(results, cell)
    others = *results.ours, *results.limits
    if own is None or m.method in others or cell.setting.networks is not None:
        return words.NOTHING
    steps = steps_to_break_even(own, m)
    return "never" if steps is None else words.whole(steps)


def absences(results: Results) -> Table:
    """Lists what was not timed, the unplanned first; equal reasons in equal cells share a row."""
    cells: dict[Absence, list[str]] = {}
    for cell in results.cells:
        for absence in cell.absences:
            cells.setdefault(absence, []).append(cell.setting.key)
    where = {absence: _where(keys) for absence, keys in cells.items()}
    where |= dict.fromkeys(results.absences, "the whole run")
    methods: dict[tuple[str, str, str], list[str]] = {}
    for absence, place in where.items():
        outcome = "planned" if absence.reason.planned else absence.kind
        methods.setdefault((outcome, absence.detail, place), []).append(absence.method)
    rows = [[", ".join(names), *what] for what, names in methods.items()]
    rows.sort(key=lambda row: row[1] == "planned")
    header = ["methods", "outcome", "reason", "cells"]
    return Table("Skipped, refused, failed, or planned so", header, rows, (0, 1), (2, 3))


def _where(keys: Sequence[str]) -> str:
    if len(keys) <= 2:
        return " and ".join(keys)
    return f"{words.count(len(keys), 'cell')}, such as {keys[0]}"


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
    return Table(caption, header, rows, marked=ours(results, rows))


def goal_tables(results: Results) -> list[Table]:
    """Makes a table for each target and batch, the fastest method first."""
    found: dict[str, list[Goal]] = defaultdict(list)
    for goal in results.goals:
        caption = f"{goal.target}, batch {goal.batch}, learning rate {goal.learning_rate:g}"
        found[caption].append(goal)
    return [_goals(results, caption, goals) for caption, goals in found.items()]


def _goals(results: Results, caption: str, goals: Sequence[Goal]) -> Table:
    rows = [
        [
            goal.method,
            "not reached" if goal.steps is None else words.whole(goal.steps),
            words.seconds(goal.seconds),
            words.seconds(goal.with_compile),
            words.number(goal.reached),
        ]
        for goal in sorted(goals, key=lambda goal: (goal.seconds is None, goal.seconds or 0.0))
    ]
    header = ["method", "steps", "time", "with compiling", "reached"]
    return Table(caption, header, rows, marked=ours(results, rows))
