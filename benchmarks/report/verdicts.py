"""Which differences count: those that leave both the interval and the noise floor behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.results import Cell, Interval, Measurement, Results

Verdict = Literal["faster", "slower", "no difference"]


def verdict(ratio: Interval, floor: float) -> Verdict:
    """What a ratio of times says, new or ours over old or theirs.

    It is no difference if the interval contains 1, or if |ratio - 1| <= floor.
    """
    if not ratio.excludes(1) or abs(ratio.median - 1) <= floor:
        return "no difference"
    return "faster" if ratio.median < 1 else "slower"


def noise(results: Results, cell: Cell) -> float:
    """The floor that a difference in this cell has to exceed: its own and the run's.

    Half of the cells have a floor below the run's; some of them by luck.
    """
    return max(cell.floor, results.floor)


@dataclass(frozen=True)
class Standing:
    """A method of jaxpercep's in one cell, beside the best peer there.

    Attributes:
        cell: where.
        ours: the method's measurement.
        peer: the best peer's.
        ratio: seconds of ours / seconds of the peer's, paired.
        verdict: what that says.
    """

    cell: Cell
    ours: Measurement
    peer: Measurement
    ratio: Interval
    verdict: Verdict


def standing(results: Results, cell: Cell, method: str) -> Standing | None:
    """The standing of a method in a cell, or None without it or without a peer."""
    ours, peer = cell.of(method), cell.of(cell.best_peer or "")
    if ours is None or peer is None or ours.ratio is None:
        return None
    return Standing(cell, ours, peer, ours.ratio, verdict(ours.ratio, noise(results, cell)))


def standings(results: Results, method: str) -> list[Standing]:
    """The standings of a method in every cell where it has one."""
    found = (standing(results, cell, method) for cell in results.cells)
    return [one for one in found if one is not None]


def fastest(results: Results, cell: Cell) -> Measurement | None:
    """The fastest of jaxpercep's methods in a cell, or None."""
    ours = [m for m in cell.measurements if m.method in results.ours]
    return min(ours, key=lambda m: m.seconds.median, default=None)


def fastest_standings(results: Results) -> list[Standing]:
    """Of each cell, the standing of the fastest of jaxpercep's methods."""
    best = ((cell, fastest(results, cell)) for cell in results.cells)
    found = (standing(results, cell, ours.method) for cell, ours in best if ours is not None)
    return [one for one in found if one is not None]


def having(found: Sequence[Standing], wanted: Verdict) -> list[Standing]:
    """Those with this verdict, the largest effect first."""
    chosen = [one for one in found if one.verdict == wanted]
    return sorted(chosen, key=lambda one: one.ratio.median, reverse=wanted == "slower")
