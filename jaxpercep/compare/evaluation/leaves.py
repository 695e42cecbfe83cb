"""Measures the difference between two gradients, leaf by leaf."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.evaluation.trees import distance, largest


@dataclass(frozen=True)
class LeafReport:
    """One leaf of the two gradients.

    Attributes:
        path: its place in the tree, as `jax.tree_util.keystr` writes it.
        name: of the argument, and its place there.
        shape: of the leaf.
        dtype: of the leaf, as the caller has it.
        max_absolute_error: max |candidate - autodiff|, evaluated in float64 where both can.
        max_relative_error: the same over max |autodiff|.
        ulps: error of the candidate in the caller's dtype against float64 autodiff, in units in
            the last place of the leaf's largest number.
        autodiff_ulps: the same for autodiff in the caller's dtype.
        cosine: of the angle between the two; 1 if both are zero, nan if one is.
        tolerance: the largest relative error that rounding explains, measured.
        worst_index: the index of the largest error.
        ok: True if the error is within rounding, or there is nothing to compare.
        note: the reason why a leaf was not measured; the numbers are then nan.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    max_absolute_error: float
    max_relative_error: float
    ulps: float
    autodiff_ulps: float
    cosine: float
    tolerance: float
    worst_index: tuple[int, ...]
    ok: bool
    note: str = ""


def compare_leaves(evaluation: Evaluation, named: Callable[[str], str]) -> tuple[LeafReport, ...]:
    """Measures each leaf, in the order of the tree; those without a gradient come last.

    `named(path)` returns the name of a leaf, which begins with that of its argument.
    """
    leaves = evaluation.leaves
    measured = [_compare(evaluation, i, named(path)) for i, path in enumerate(leaves.paths)]
    measured += [
        _uncompared(path, named(path), (), dtype, "not floating point")
        for path, dtype in leaves.other
    ]
    return tuple(measured)


def _compare(evaluation: Evaluation, i: int, name: str) -> LeafReport:
    path, right = evaluation.leaves.paths[i], evaluation.autodiff[i]
    native = evaluation.autodiff_native[i]
    candidate = evaluation.candidate.leaves[i]
    if i in evaluation.candidate.frozen:
        return _uncompared(path, name, right.shape, native.dtype.name, "frozen: given as None")
    if candidate is None or candidate.shape != right.shape:
        note = "missing" if candidate is None else f"has shape {list(candidate.shape)}"
        return _uncompared(path, name, right.shape, native.dtype.name, note, ok=False)
    wide = np.asarray(candidate, np.float64)
    finite = np.isfinite(wide) & np.isfinite(right)
    with np.errstate(invalid="ignore"):
        error = np.where(finite, np.abs(wide - right), np.inf)
    worst = np.unravel_index(np.argmax(error), error.shape) if error.size else ()
    apart, scale, floor = float(np.max(error, initial=0.0)), largest(right), evaluation.floor[i]
    came = evaluation.candidate_native.leaves[i]
    return LeafReport(
        path=path,
        name=name,
        shape=right.shape,
        dtype=native.dtype.name,
        max_absolute_error=apart,
        max_relative_error=apart / scale if scale else (math.inf if apart else 0.0),
        ulps=_ulps(came, right, native.dtype),
        autodiff_ulps=_ulps(native, right, native.dtype),
        cosine=_cosine(wide, right),
        tolerance=floor / scale if scale and math.isfinite(scale) else 0.0,
        worst_index=tuple(int(k) for k in worst),
        ok=apart <= floor,
    )


def _uncompared(
    path: str, name: str, shape: tuple[int, ...], dtype: str, note: str, *, ok: bool = True
) -> LeafReport:
    nan = math.nan
    return LeafReport(path, name, shape, dtype, nan, nan, nan, nan, nan, 0.0, (), ok, note)


def _ulps(native: Any, truth: np.ndarray, dtype: Any) -> float:
    """Returns the largest error, in units in the last place of the leaf's largest number."""
    error = math.inf if native is None else distance(native, truth)
    if error == 0:
        return 0.0
    scale = largest(truth)
    return float(error / (scale * float(jnp.finfo(dtype).eps))) if scale else math.inf


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the cosine of the angle between two leaves; 1 if both are zero, nan if one is."""
    a, b = a.ravel(), b.ravel()
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if norms == (0.0, 0.0):
        return 1.0
    if not all(norms) or not np.isfinite(norms).all():
        return float("nan")
    return float((a / norms[0]) @ (b / norms[1]))
