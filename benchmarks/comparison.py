"""Two sides of the suite: which times have become slower or faster, and which programs differ.

All times of a comparison are judged as one family (`significance`). One has changed where its p
value, corrected for their number, is at most 5 %, and the ratio is farther from 1 than the
threshold. What XLA says of a program does not vary: any difference is listed.

Two runs as they are stored share no rounds, so the drift of the machine between them is in every
ratio. Jaxpercep's own methods are judged; the others show the drift, for they are the same in both
runs. What is lost in it can be seen by `compare --against`, which runs both sides in turn.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.arguments import Compare
from benchmarks.machine import differences
from benchmarks.report import words
from benchmarks.report.terminal import TONES
from benchmarks.report.verdicts import Verdict
from benchmarks.results import Blocks, Measurement, Program, Results, distance, load
from benchmarks.significance import FALSE, Effect, Finding, judge, unpaired

MOST = 30  # lines of a list
INSTRUCTIONS = 0.01  # relative: threads that wait for work take a few


class Side(NamedTuple):
    """A method in a cell, as one side has measured it: fields of `Measurement`."""

    times: Blocks
    program: Program | None = None
    instructions: float | None = None


class Pair(NamedTuple):
    """The same method in the same cell, on both sides; the setting by its key."""

    setting: str
    method: str
    old: Side
    new: Side


class Change(NamedTuple):
    """A pair that was judged among the others, and the verdict on its ratio."""

    pair: Pair
    finding: Finding
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        changes: of every method of every cell that both sides have, "no difference" included.
        controls: new / old of the methods that cannot have changed.
        programs: what differs in what was compiled.
        machine: the differences between the machines, in words.
        only_old: cells and methods that the new side lacks, and why if it says so.
        only_new: those that the old one lacks.
        unjudged: those that are not in two blocks of both sides.
    """

    changes: Sequence[Change]
    controls: Sequence[float]
    programs: Sequence[str]
    machine: Sequence[str]
    only_old: Sequence[str]
    only_new: Sequence[str]
    unjudged: Sequence[str]

    def having(self, wanted: Verdict) -> list[Change]:
        """Returns the changes with this verdict, the largest ratio first."""
        found = [change for change in self.changes if change.verdict == wanted]
        return sorted(found, key=lambda change: -change.finding.ratio.median)


def changes(
    pairs: Sequence[Pair],
    controls: Sequence[Pair],
    effect: Callable[[Blocks, Blocks], Effect | None],
    threshold: float,
) -> tuple[list[Change], list[float], list[str]]:
    """Judges the pairs as one family; returns the controls' ratios, and the pairs left out, too."""
    found = [(pair, effect(pair.old.times, pair.new.times)) for pair in (*pairs, *controls)]
    ours, drifts = found[: len(pairs)], [drift for _, drift in found[len(pairs) :] if drift]
    effects = [(pair, one) for pair, one in ours if one]
    findings = judge([one for _, one in effects], drifts) if effects else []
    judged = [
        Change(pair, found, _verdict(found, threshold))
        for (pair, _), found in zip(effects, findings, strict=True)
    ]
    left = [f"{pair.setting}: {pair.method}" for pair, one in ours if one is None]
    return judged, [float(np.exp(drift.change)) for drift in drifts], left


def _verdict(found: Finding, threshold: float) -> Verdict:
    if found.p > FALSE or distance(found.ratio.median) <= threshold:
        return "no difference"
    return "slower" if found.ratio.median > 1 else "faster"


def program_changes(pairs: Sequence[Pair], old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lists the counts that differ, of programs that both sides have, in these environments."""
    was, now = (side.get("versions", {}).get("jaxlib") for side in (old, new))
    if was != now:
        return [f"not compared: jaxlib was {was}, now {now}, and each counts in its own way"]
    said = [", ".join(_differences(pair.old, pair.new)) for pair in pairs]
    return [f"{p.setting}: {p.method}: {text}" for p, text in zip(pairs, said, strict=True) if text]


def _differences(old: Side, new: Side) -> Iterator[str]:
    for name in Program.__struct_fields__ if old.program and new.program else ():
        was, now = getattr(old.program, name), getattr(new.program, name)
        if was != now:
            yield f"{name} {was:,}, now {now:,}"
    was, now = old.instructions, new.instructions
    if was and now and abs(now / was - 1) > INSTRUCTIONS:
        yield f"instructions {was:.3g}, now {now:.3g}"


def show(comparison: Comparison, threshold: float) -> int:
    """Prints the comparison, and returns the exit code: 1 if something has become slower."""
    console = Console()
    slower, faster = comparison.having("slower"), comparison.having("faster")
    if slower or faster:
        console.print(_table([*slower, *faster]))
    lists = {
        "What was compiled": comparison.programs,
        "The machines differ, and times with them": comparison.machine,
        "Only on the old side": comparison.only_old,
        "Only on the new side": comparison.only_new,
        "Not judged, for it is not in two blocks of each side": comparison.unjudged,
    }
    for title, lines in lists.items():
        if lines:
            more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
            console.print(Text("\n  ".join([f"{title}:", *lines[:MOST], *more])))
    console.print(
        f"{len(slower)} slower, {len(faster)} faster, "
        f"{len(comparison.having('no difference'))} without a difference, of "
        f"{words.count(len(comparison.changes), 'time')} compared; a change counts above "
        f"{words.percent(threshold)} if p, corrected for their number, is at most {FALSE:.0%}.\n"
        f"{_sight(comparison, threshold)}",
        highlight=False,
    )
    return 1 if slower else 0


def _sight(comparison: Comparison, threshold: float) -> str:
    """Says which slowdowns could have been seen, and how far the controls have moved."""
    limits = [max(threshold, change.finding.floor) for change in comparison.changes]
    half, most = np.quantile(limits, [0.5, 0.9])
    seen = f"{words.percent(half)} in half of the times, {words.percent(most)} in nine of ten"
    text = f"The smallest slowdown that could have been seen: {seen}."
    if comparison.controls:
        low, high = min(comparison.controls), max(comparison.controls)
        text += (
            f" Of {words.count(len(comparison.controls), 'time')} of methods that cannot have "
            f"changed, new / old is {words.number(low)} to {words.number(high)}."
        )
    return text


def _table(changes: Sequence[Change]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("cell", width=22)  # so that the lines fit into 80 characters
    table.add_column("method")
    for name in ("old", "new", "new / old, and p"):
        table.add_column(name, justify="right", no_wrap=True)
    for (setting, method, *sides), (ratio, p, _), verdict in changes:
        medians = [float(np.median([t for b in side.times for t in b])) for side in sides]
        found = Text(words.ratio(ratio), TONES[verdict]).append(f"\n{p:.1g}", "dim")
        table.add_row(Text(setting), Text(method), *map(words.seconds, medians), found)
    return table


def main(command: Compare) -> int:
    """Compares two stored runs, prints the result, and returns the exit code, as `show` does.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file holds something else, is damaged, or has another version of the schema;
            or the runs cannot be compared.
    """
    old, new = map(load, command.files())
    return show(compare(old, new, command.threshold), command.threshold)


def compare(old: Results, new: Results, threshold: float) -> Comparison:
    """Compares jaxpercep's methods in every cell that both runs have.

    Args:
        old: the earlier run.
        new: the later one.
        threshold: how far from 1 a ratio must be to count.

    Raises:
        ValueError: No such method was timed in both runs, or no other one; or none in two blocks.
    """
    before = {(cell.setting.key, m.method): m for cell in old.cells for m in cell.measurements}
    pairs = [
        Pair(cell.setting.key, later.method, _side(first), _side(later))
        for cell in new.cells
        for later in cell.measurements
        if (first := before.get((cell.setting.key, later.method)))
    ]
    ours = [pair for pair in pairs if pair.method in new.ours]
    controls = [pair for pair in pairs if pair.method not in new.ours]
    judged, seen, left = changes(ours, controls, unpaired, threshold)
    if not judged or not seen:
        what = "a method that is not" if judged else "a method of"
        raise ValueError(
            f"nothing was compared, for that takes {what} jaxpercep's in two blocks of the same "
            f"cell in both runs. The old one's command was {old.command!r}, the new one's "
            f"{new.command!r}; a quick run has one block. compare --against needs no stored run."
        )
    sides = old.environment, new.environment
    missing = _missing(old, new), _missing(new, old)
    counted = program_changes(ours, *sides)
    return Comparison(judged, seen, counted, differences(*sides), *missing, left)


def _side(measurement: Measurement) -> Side:
    return Side(measurement.times, measurement.program, measurement.instructions)


def _missing(run: Results, other: Results) -> list[str]:
    """Lists the cells of a run that the other one lacks, and the methods, cell by cell."""
    found = []
    there = {cell.setting.key: cell for cell in other.cells}
    for cell in run.cells:
        if (counterpart := there.get(cell.setting.key)) is None:
            found.append(cell.setting.key)
            continue
        for method in (m.method for m in cell.measurements if not counterpart.of(m.method)):
            absences = [*counterpart.absences, *other.absences]
            why = next((f" ({a.kind}: {a.detail})" for a in absences if a.method == method), "")
            found.append(f"{cell.setting.key}: {method}{why}")
    return found
