"""Says which arguments repeat themselves, so that one part of them could stand for another."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from jaxpercep.compare.evaluation import trees


def _same_rows(array: np.ndarray) -> bool:
    return array.ndim > 1 and len(array) > 1 and bool(np.all(array == array[:1]))


def _same_halves(array: np.ndarray) -> bool:
    length = array.shape[-1] if array.ndim else 0
    if length < 4 or length % 2:
        return False
    first, second = np.split(array, 2, axis=-1)
    return bool(np.all(first == second))


PATTERNS: dict[str, Callable[[np.ndarray], bool]] = {
    "All rows of `{}` are equal": _same_rows,
    "The two halves of `{}` are equal": _same_halves,
}


def repeated(
    values: Sequence[Any], differentiated: Sequence[int], names: Sequence[str]
) -> Iterator[str]:
    """Yields a sentence for each floating-point argument that repeats itself.

    Weights that are the same everywhere, as they may be at first, are left out.
    """
    for i, value in enumerate(values):
        if not trees.is_floating(value) or not np.size(value):
            continue
        array = np.asarray(value)
        if i in differentiated and np.ptp(array) == 0:
            continue
        for pattern, holds in PATTERNS.items():
            if holds(array):
                yield f"{pattern.format(f'`{names[i]}`')} here: they could be mixed up."
                break
