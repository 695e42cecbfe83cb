"""Two runs of the suite side by side: which times have become slower, and which faster.

A change counts where the bootstrap interval of new / old excludes 1 and |ratio - 1| exceeds the
threshold and the A/A floors of both runs. The two runs share no rounds, so a machine that has
become slower as a whole is in every ratio: known differences between the machines are listed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.machine import differences
from benchmarks.report import words
from benchmarks.report.verdicts import Verdict, noise, verdict
from benchmarks.results import Cell, Interval, Measurement, Results, load
from benchmarks.statistics import unpaired_ratio

DRIFT = 0.1
"""The least relative change of the machine's own peaks that is listed."""

STYLES = {"slower": "red", "faster": "green", "no difference": "dim"}


@dataclass(frozen=True)
class Change:
    """A method in a cell, in both runs.

    Attributes:
        setting: key of the cell.
        method: its name.
        old: the earlier time a step, in seconds.
        new: the later one.
        ratio: new / old, with the runs resampled independently.
        limit: |ratio - 1| has to exceed it: the threshold, or a noise floor above it.
        verdict: on the ratio.
    """

    setting: str
    method: str
    old: float
    new: float
    ratio: Interval
    limit: float
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        changes: of every method of every cell that both runs have, "no difference" included.
        machine: the differences between the machines, in words.
        only_old: cells and methods that the new run lacks, and why if it says so.
        only_new: those that the old one lacks.
    """

    changes: Sequence[Change]
    machine: Sequence[str]
    only_old: Sequence[str]
    only_new: Sequence[str]

    def having(self, wanted: Verdict) -> list[Change]:
        """Returns the changes with this verdict, the largest ratio first."""
        found = [change for change in self.changes if change.verdict == wanted]
        return sorted(found, key=lambda change: -change.ratio.median)


def compare(old: Results, new: Results, threshold: float) -> Comparison:
    """Compares every method of every cell that both runs have.

    Args:
        old: the earlier run.
        new: the later one.
        threshold: the least |ratio - 1| that counts.

    Raises:
        ValueError: A measurement has fewer than two samples, or nothing was timed in both runs.
    """
    before = {cell.setting.key: cell for cell in old.cells}
    changes: list[Change] = []
    for cell in new.cells:
        if earlier := before.get(cell.setting.key):
            limit = max(threshold, noise(old, earlier), noise(new, cell))
            changes += _changes(earlier, cell, limit, new.seed)
    if not changes:
        raise ValueError(_nothing_in_common(old, new))
    return Comparison(changes, _machine(old, new), _missing(old, new), _missing(new, old))


def main(old: Path, new: Path, threshold: float) -> int:
    """Compares two files, prints the result, and returns the exit code.

    Returns:
        0 if nothing has become slower, 1 if something has.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file holds something else, is damaged, or has another version of the schema;
            or nothing was timed in both runs.
    """
    comparison = compare(load(old), load(new), threshold)
    _print(comparison, threshold)
    return 1 if comparison.having("slower") else 0


def _changes(old: Cell, new: Cell, limit: float, seed: int) -> Iterable[Change]:
    for later in new.measurements:
        if earlier := old.of(later.method):
            yield _change(new.setting.key, earlier, later, limit, seed)


def _change(key: str, old: Measurement, new: Measurement, limit: float, seed: int) -> Change:
    ratio = unpaired_ratio(new.times, old.times, seed)
    times = old.seconds.median, new.seconds.median
    return Change(key, new.method, *times, ratio, limit, verdict(ratio, limit))


def _machine(old: Results, new: Results) -> list[str]:
    found = differences(old.environment, new.environment)
    peaks = {
        "matrix-product peak, GFLOP/s,": (old.peak_gflops, new.peak_gflops),
        "copy bandwidth, GB/s,": (old.copy_bandwidth / 1e9, new.copy_bandwidth / 1e9),
    }
    for name, (was, now) in peaks.items():
        if abs(now / was - 1) > DRIFT:
            found.append(f"{name} was {words.number(was)}, now {words.number(now)}")
    return found


def _missing(run: Results, other: Results) -> list[str]:
    """Lists the cells of a run that the other one lacks, and the methods, cell by cell."""
    found = []
    there = {cell.setting.key: cell for cell in other.cells}
    for cell in run.cells:
        counterpart = there.get(cell.setting.key)
        if counterpart is None:
            found.append(cell.setting.key)
            continue
        for method in (m.method for m in cell.measurements if not counterpart.of(m.method)):
            absences = [*counterpart.absences, *other.absences]
            why = next((f" ({a.kind}: {a.detail})" for a in absences if a.method == method), "")
            found.append(f"{cell.setting.key}: {method}{why}")
    return found


def _nothing_in_common(old: Results, new: Results) -> str:
    """Says what each run timed: cells, or methods where there are cells that both timed."""
    sides = [{c.setting.key: c for c in run.cells if c.measurements} for run in (old, new)]
    both = sides[0].keys() & sides[1].keys()
    timed = [
        {m.method: None for key in both for m in side[key].measurements} if both else side
        for side in sides
    ]
    return (
        f"nothing was compared, for the runs have no {'method' if both else 'cell'} in common: the "
        f"old one timed {_listed(timed[0])}; the new one timed {_listed(timed[1])}. Repeat one "
        "of them so that both time the same methods in the same cells: the old one's command was "
        f"{old.command!r}, the new one's {new.command!r}."
    )


def _listed(names: Iterable[str], limit: int = 3) -> str:
    """Lists the first few names."""
    first, more = [*names][:limit], len([*names]) - limit
    return ", ".join(first) + (f" and {more} more" if more > 0 else "") or "nothing"


def _print(comparison: Comparison, threshold: float) -> None:
    console = Console()
    slower, faster = comparison.having("slower"), comparison.having("faster")
    if slower or faster:
        console.print(_table([*slower, *faster]))
    lists = {
        "The machines differ, and times with them": comparison.machine,
        "Only in the old run": comparison.only_old,
        "Only in the new run": comparison.only_new,
    }
    for title, lines in lists.items():
        if lines:
            console.print(Text("\n  ".join([f"{title}:", *lines])))
    console.print(
        f"{len(slower)} slower, {len(faster)} faster, "
        f"{len(comparison.having('no difference'))} without a difference, of "
        f"{words.count(len(comparison.changes), 'time')} compared; a change counts above "
        f"{words.percent(threshold)} and above the noise of both runs.",
        highlight=False,
    )


def _table(changes: Sequence[Change]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("cell", width=22)  # so that the lines fit into 80 characters
    table.add_column("method")
    for name in ("old", "new", "new / old, and limit"):
        table.add_column(name, justify="right", no_wrap=True)
    for change in changes:
        found = Text(words.ratio(change.ratio), STYLES[change.verdict])
        table.add_row(
            Text(change.setting),
            Text(change.method),
            words.seconds(change.old),
            words.seconds(change.new),
            found.append(f"\n{words.percent(change.limit)}", "dim"),
        )
    return table
