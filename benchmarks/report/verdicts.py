"""Verdicts: a difference counts if it exceeds both its interval and the noise floor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Cell, Interval, Measurement, Results, distance

Verdict = Literal["faster", "slower", "no difference"]


def verdict(ratio: Interval, floor: float) -> Verdict:
    """Judges a ratio of times, new or ours over old or theirs.

    There is no difference if the interval contains 1, or the ratio is within the floor of 1.
    """
    if not ratio.excludes(1) or distance(ratio.median) <= floor:
        return "no difference"
    return "faster" if ratio.median < 1 else "slower"


def noise(results: Results, cell: Cell) -> float:
    """Returns the floor that a difference in this cell must exceed: the cell's own and the run's.

    Half of the cells have a floor below the run's, some of them by luck.
    """
    return max(cell.floor, results.floor)


@dataclass(frozen=True)
class Standing:
    """A method in one cell, compared with the best peer there.

    Attributes:
        cell: the cell.
        own: the method's measurement.
        peer: the best peer's measurement.
        ratio: seconds of the method / seconds of the peer, paired.
        verdict: the verdict on that ratio.
    """

    cell: Cell
    own: Measurement
    peer: Measurement
    ratio: Interval
    verdict: Verdict


def standing(results: Results, cell: Cell, method: str) -> Standing | None:
    """Returns the standing of a method in a cell, or None if it or a peer is missing."""
    own, peer = cell.of(method), best_peer(cell)
    if own is None or peer is None or own.ratio is None:
        return None
    return Standing(cell, own, peer, own.ratio, verdict(own.ratio, noise(results, cell)))


def standings(results: Results, method: str) -> list[Standing]:
    """Returns the standings of a method in every cell that has one."""
    return [one for cell in results.cells if (one := standing(results, cell, method))]


def fastest(results: Results, cell: Cell) -> Measurement | None:
    """Returns the fastest of jaxpercep's methods in a cell, or None."""
    ours = [m for m in cell.measurements if m.method in results.ours]
    return min(ours, key=lambda m: m.seconds.median, default=None)


def best_peer(cell: Cell) -> Measurement | None:
    """Returns the fastest framework that is not jaxpercep's in a cell, or None."""
    return cell.of(cell.best_peer or "")


def limit(results: Results, cell: Cell) -> Measurement | None:
    """Returns what the machine can do in a cell, or None where that was not timed."""
    return next((m for m in cell.measurements if m.method in results.limits), None)


def fastest_standing(results: Results, cell: Cell) -> Standing | None:
    """Returns the standing of the fastest of jaxpercep's methods in a cell, or None."""
    ours = fastest(results, cell)
    return standing(results, cell, ours.method) if ours else None


def fastest_standings(results: Results) -> list[Standing]:
    """Returns, for every cell that has one, the standing of the fastest of jaxpercep's methods."""
    return [one for cell in results.cells if (one := fastest_standing(results, cell))]


def having(found: Sequence[Standing], wanted: Verdict) -> list[Standing]:
    """Returns the standings with this verdict, the largest effect first."""
    chosen = [one for one in found if one.verdict == wanted]
    return sorted(chosen, key=lambda one: one.ratio.median, reverse=wanted == "slower")
