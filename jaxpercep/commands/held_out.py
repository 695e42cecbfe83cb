"""Which rows of a file are held out for testing, drawn as they go by."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxpercep.datasets import check_divisible


class HeldOut:
    """Draws the rows to test on: of every class its share, spread along the file.

    Of each block, as many rows of a class as its part of the file asks for, rounded from a random
    start, which of them at random. So it knows no more of the file than the counts.

    Attributes:
        counts: The number of rows of each class.
        quotas: How many of them are held out; `ceil(fraction * rows)` in all.

    Raises:
        ValueError: The rows are too few for every class to be in both parts.
    """

    def __init__(
        self, counts: NDArray[np.int64], names: Sequence[str], fraction: float, seed: int
    ) -> None:
        """Takes the counts and names of the classes; values are one class without a name."""
        self.counts, self._seed = counts, seed
        check_divisible(counts, names, fraction)
        exact = counts * (_number(counts, fraction) / counts.sum())
        self.quotas = np.floor(exact).astype(np.int64)
        short = _number(counts, fraction) - int(self.quotas.sum())
        self.quotas[np.argsort(self.quotas - exact, kind="stable")[:short]] += 1

    def drawer(self) -> Callable[[NDArray[Any]], NDArray[np.bool_]]:
        """Returns what says of each block of labels in turn which are held out; always the same."""
        rng = np.random.default_rng(self._seed)
        seen = [int(start) for start in rng.integers(self.counts)]

        def draw(labels: NDArray[Any]) -> NDArray[np.bool_]:
            mask = np.zeros(len(labels), bool)
            for label in map(int, np.unique(labels)):
                rows = np.flatnonzero(labels == label)
                quota, count = int(self.quotas[label]), int(self.counts[label])
                before, seen[label] = seen[label], seen[label] + len(rows)
                number = quota * seen[label] // count - quota * before // count
                mask[rng.choice(rows, number, replace=False)] = True
            return mask

        return draw


def _number(counts: NDArray[np.int64], fraction: float) -> int:
    return math.ceil(fraction * int(counts.sum()))
