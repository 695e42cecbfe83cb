"""Two runs of the suite, as they are stored: what has become slower from the one to the other.

They share no rounds, so the drift of the machine between them is in every ratio. Jaxpercep's own
methods are judged; the others show the drift, for they are the same in both runs. What is lost in
it can be seen by `compare --against`, which runs both sides in turn.
"""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.comparison import Comparison, Pair, Side, changes, program_changes, show
from benchmarks.machine import differences
from benchmarks.results import Measurement, Results, load
from benchmarks.significance import unpaired


def main(old: Path, new: Path, threshold: float) -> int:
    """Compares two files, prints the result, and returns the exit code.

    Returns:
        0 if nothing has become slower, 1 if something has.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file holds something else, is damaged, or has another version of the schema;
            or the runs cannot be compared.
    """
    return show(compare(load(old), load(new), threshold), threshold)


def compare(old: Results, new: Results, threshold: float) -> Comparison:
    """Compares jaxpercep's methods in every cell that both runs have.

    Args:
        old: the earlier run.
        new: the later one.
        threshold: the least |ratio - 1| that counts.

    Raises:
        ValueError: No such method was timed in both runs, or no other one; or none in two blocks.
    """
    pairs = list(_pairs(old, new))
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


def _pairs(old: Results, new: Results) -> Iterable[Pair]:
    before = {(cell.setting.key, m.method): m for cell in old.cells for m in cell.measurements}
    for cell in new.cells:
        for later in cell.measurements:
            if first := before.get((cell.setting.key, later.method)):
                yield Pair(cell.setting.key, later.method, _side(first), _side(later))


def _side(measurement: Measurement) -> Side:
    return Side(measurement.times, measurement.program, measurement.instructions)


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
