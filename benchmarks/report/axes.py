"""Logarithmic axes with few, round, readable ticks, never written as 10^n."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator, NullLocator

LADDERS = (
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)
"""The leading digits of ticks, from dense to sparse."""


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Chooses the densest set of round numbers in a range that has at most `most` members.

    Over many decades these are every second or third power of ten. Where a range holds fewer than
    three round numbers, the steps are even.
    """
    found = [_rungs(low, high, ladder) for ladder in LADDERS]
    if fitting := next((ticks for ticks in found if 3 <= len(ticks) <= most), None):
        return fitting
    if len(found[-1]) > most:
        return found[-1][:: -(-len(found[-1]) // most)]
    ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]


def _rungs(low: float, high: float, ladder: Sequence[float]) -> list[float]:
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = (float(f"{digit}e{exponent}") for exponent in decades for digit in ladder)
    return [tick for tick in ticks if low <= tick <= high]


def spread_ticks(values: Sequence[float], room: float = 0.11) -> list[float]:
    """Chooses, of increasing values, those whose labels do not touch.

    Args:
        values: the candidates; the last one is kept in preference to its neighbours.
        room: the width of a label, as a fraction of the axis.
    """
    positions = np.log(values)
    length = (positions[-1] - positions[0]) or 1.0
    kept = [len(values) - 1]
    for i in reversed(range(len(values) - 1)):
        if positions[kept[-1]] - positions[i] >= room * length:
            kept.append(i)
    return [values[i] for i in reversed(kept)]


def set_ticks(axis: Axis, ticks: Sequence[float], text: Callable[[float], str]) -> None:
    """Sets these ticks and no others."""
    axis.set_ticks(ticks, [text(tick) for tick in ticks])
    axis.set_minor_locator(NullLocator())
