"""Samples in few shapes and one type.

A program is compiled for a shape, and the folds of a cross-validation have 119 or 120 samples, all
of them 150. So they are padded, with rows of weight 0, to one of few sizes (`rounded`).
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from jaxpercep._checks import check_unmasked


class Table(NamedTuple):
    """Samples on the device.

    Attributes:
        x: `[rows, features]`.
        y: targets and, as the last column, weights, `[rows, outputs + 1]`.
        samples: how many rows are samples, and not there to fill the table.
    """

    x: Any
    y: Any
    samples: Any


class Data(NamedTuple):
    """Samples to learn of: x `[n, features]`, targets `[n, outputs]` and weights `[n]`."""

    x: NDArray[Any]
    target: NDArray[Any]
    weight: NDArray[Any]

    def taken(self, rows: Any) -> "Data":
        """Returns these rows alone."""
        return Data(self.x[rows], self.target[rows], self.weight[rows])

    def table(self, rows: int) -> Table:
        """Returns the samples on the device, as `rows` rows: those beyond the samples weigh 0."""
        y = padded(np.column_stack([self.target, self.weight]), rows)
        y[len(self.x) :, -1] = 0
        x = padded(self.x, rows)
        return Table(*jax.device_put((x, y, np.asarray(len(self.x), x.dtype))))


def validated(estimator: Any, X: Any, y: Any = "no_validation", **options: Any) -> Any:
    """Returns what scikit-learn's `validate_data` does, which would drop the mask of an array."""
    check_unmasked("X", X)
    check_unmasked("y", y)
    return validate_data(estimator, X, y, **options)


def rounded(count: int) -> int:
    """Rounds up to one of the numbers 1 to 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, ..."""
    step = 1 << max(0, (count - 1).bit_length() - 3)
    return -(-count // step) * step


def padded(rows: NDArray[Any], count: int) -> NDArray[Any]:
    """Returns `count` rows: those given, then copies of the first one."""
    return np.concatenate([rows, np.repeat(rows[:1], count - len(rows), axis=0)])


def dense(x: Any) -> NDArray[Any]:
    """Returns a sparse matrix as an array, and an array as it is."""
    return x.toarray() if hasattr(x, "toarray") else x


def precision(dtype: Any) -> Any:
    """Returns the context in which JAX computes in float64, if that is the type, or in float32."""
    return jax.enable_x64(dtype == np.float64)
