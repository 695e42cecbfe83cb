"""Finds differences that are due to the data, which satisfy an identity only to rounding.

Two right formulas may both need that soft labels sum to 1, say. Rounded to float32 they do not, so
that the formulas differ in float64, by about an ulp of float32. Unlike that of a wrong formula, the
difference then changes altogether when the data move by an ulp.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.native import Native
from jaxpercep.compare.evaluation.sides import Sides
from jaxpercep.compare.evaluation.trees import distances, largest

MOST = 64  # ulps of the caller's dtype by which a leaf may be off
SAFETY = 8
RUNS = 6


def allowance(native: Native, wide: Sides, floor: Sequence[float]) -> list[float]:
    """Returns for each leaf the largest difference that the data's rounding explains, absolute.

    It is the floor where there is nothing to explain, and where the difference stays as it is when
    the data move.
    """
    eps = float(jnp.finfo(native.dtype).eps)
    most = [MOST * eps * size for size in map(largest, wide.autodiff.leaves)]
    apart = distances(wide.candidate.answer.leaves, wide.autodiff.leaves)
    if wide.formula != "float64" or eps < 1e-10 or not _are_small(apart, floor, most):
        return list(floor)
    return [max(*pair) for pair in zip(floor, _changes(wide, eps, most), strict=True)]


def _are_small(apart: Sequence[float], floor: Sequence[float], most: Sequence[float]) -> bool:
    """Returns True if the leaves differ, each by about an ulp at most."""
    terms = list(zip(apart, floor, most, strict=True))
    close = all(a <= max(f, m) < np.inf for a, f, m in terms)
    return close and any(a > f for a, f, _ in terms)


def _changes(wide: Sides, eps: float, most: Sequence[float]) -> list[float]:
    """Measures how far the difference of the two sides changes when the data move by an ulp."""
    gradient = wide.function.gradient()
    before = _differences(wide.candidate.answer.leaves, wide.autodiff.leaves)
    changes = [0.0] * len(before)
    for seed in range(RUNS):
        args = _moved(wide.args, eps, seed)
        right = gradient(jax.tree.leaves(args)).leaves
        after = _differences(wide.candidate.at(args).leaves, right)
        apart = distances(after, before)
        changes = [max(c, a) if np.isfinite(a) else c for c, a in zip(changes, apart, strict=True)]
    return [min(SAFETY * change, m) for change, m in zip(changes, most, strict=True)]


def _differences(some: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    pairs = zip(some, others, strict=True)
    return [
        None if a is None or np.shape(a) != np.shape(b) else np.asarray(a, float) - np.asarray(b)
        for a, b in pairs
    ]


def _moved(args: Any, eps: float, seed: int) -> Any:
    """Moves the arguments by an ulp: each number up or down, or those of a leaf all one way.

    What is rounded in the same way, as equal numbers are, moves a sum further.
    """
    if seed % 2:
        return trees.nudged(args, eps, seed)
    signs = iter(trees.moves(seed, len(jax.tree.leaves(args))))

    def move(leaf: Any) -> Any:
        factor = 1 + eps * next(signs)
        return jnp.asarray(np.asarray(leaf) * factor) if trees.is_floating(leaf) else leaf

    return jax.tree.map(move, args)


def identities(args: tuple[Any, ...], names: Sequence[str], dtype: str) -> str:
    """Says what arguments in this dtype satisfy to rounding, and only to rounding.

    Args:
        args: of both sides.
        names: of all their leaves.
        dtype: the narrowest of theirs.
    """
    eps = float(jnp.finfo(dtype).eps)
    found = [
        f"{name} {what}"
        for name, leaf in zip(names, jax.tree.leaves(args), strict=True)
        if trees.is_floating(leaf)
        for what in _identities_of(np.asarray(leaf, np.float64), eps)
    ]
    return "; ".join(found)


def _identities_of(array: np.ndarray, eps: float) -> Iterator[str]:
    """Yields the identities of one array."""
    for axis in range(array.ndim)[::-1]:
        where = f" along axis {axis}" if array.ndim > 1 else ""
        for name, power, sizes in (("sums to 1", 1, array), ("has a norm of 1", 2, array**2)):
            if _is_nearly(np.sum(array**power, axis), 1.0, eps * (1 + _total(sizes, axis))):
                yield name + where
        if _is_nearly(np.sum(array, axis), 0.0, eps * _total(array, axis)):
            yield "sums to 0" + where
    if array.ndim == 2 and array.shape[0] == array.shape[1] > 1:
        if _is_nearly(array @ array.T, np.eye(len(array)), 4 * eps * len(array)):
            yield "is orthogonal"
        if _is_nearly(array, array.T, eps * np.abs(array)):
            yield "is symmetric"


def _total(array: np.ndarray, axis: int) -> Any:
    """Sums the sizes of the numbers along an axis."""
    return np.sum(np.abs(array), axis)


def _is_nearly(value: Any, expected: Any, rounding: Any) -> bool:
    """Returns True if values are as expected to rounding, but not exactly."""
    apart = np.abs(value - expected)
    return bool(np.all(apart <= 4 * rounding) and np.any(apart > 0))


def remark(found: str, dtype: str) -> str:
    """Says that the two sides agree but for the rounding of the data."""
    named = found or "some identity that the arguments satisfy"
    return (
        f"The gradients differ by about an ulp of {dtype}, because the data satisfy an identity "
        f"only to the rounding of {dtype} ({named}): the difference changes with every ulp of it. "
        "Pass float64 arguments to compare more closely."
    )
