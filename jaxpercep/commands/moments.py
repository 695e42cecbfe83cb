"""Mean and variance of columns that come in blocks."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Moments:
    """The count, the mean and the sum of squared deviations of each column, without NaN.

    m = m_a + d n_b / n and s = s_a + s_b + d^2 n_a n_b / n, d = m_b - m_a, join two blocks a and b.

    Attributes:
        count: The number of values of each column.
        mean: Their mean; 0 where there is none.
        squares: sum (x - mean)^2.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm" (1979).
    """

    def __init__(self, blocks: Iterable[NDArray[Any]] = ()) -> None:
        self.count: NDArray[Any] = np.zeros(1, int)
        self.mean: NDArray[np.float64] = np.zeros(1)
        self.squares: NDArray[np.float64] = np.zeros(1)
        for block in blocks:
            self.add(block)

    def add(self, x: NDArray[Any]) -> None:
        """Adds a block `[n, columns]`."""
        present = ~np.isnan(x)
        count = present.sum(axis=0)
        mean = np.sum(x, axis=0, dtype=np.float64, where=present) / np.maximum(count, 1)
        squares = np.sum((x - mean) ** 2, axis=0, where=present)
        total, difference = self.count + count, mean - self.mean
        share = count / np.maximum(total, 1)
        self.squares = self.squares + squares + difference**2 * self.count * share
        self.mean = self.mean + difference * share
        self.count = total
