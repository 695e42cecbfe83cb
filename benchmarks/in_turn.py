"""Times things in turn: what slows the machine down for a while is in both times of a pair."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def in_turn(samplers: Sequence[Callable[[], Any]], rounds: int) -> NDArray[np.float64]:
    """Calls each of them once to warm up, and then once a round.

    Returns:
        What they returned, `[samplers, rounds]`, or `[samplers, rounds, n]` if each returns n
        numbers.
    """
    found = [[sample() for sample in samplers] for _ in range(1 + rounds)]
    return np.array(found[1:]).swapaxes(0, 1)


def wall_and_processor(call: Callable[[], Any]) -> tuple[float, float]:
    """Returns the seconds that a call takes, by the wall clock and by the processor's."""
    start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def quartiles(values: NDArray[np.float64], unit: str = "") -> str:
    """Formats the median of some values, and their quartiles: `0.97 (0.93 to 1.00)`."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.2f}{unit} ({low:.2f} to {high:.2f})"
