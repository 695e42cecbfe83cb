"""One leaf of two gradients, measured."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.reference import Evaluation
from jaxpercep.compare.report import LeafReport

# Rounding comes to a few spreads. In float64 a wrong formula is off by a million of them, which
# leaves room for caution; in a narrower type it does not.
SAFETY = 32
SAFETY_IF_NARROW = 8


def compare_leaves(evaluation: Evaluation) -> tuple[LeafReport, ...]:
    """Measures each leaf, in the order of the tree."""
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(evaluation.autodiff)]
    eps = float(jnp.finfo(evaluation.formula).eps)
    safety = SAFETY if evaluation.formula == "float64" else SAFETY_IF_NARROW
    rows = zip(
        paths,
        jax.tree.leaves(evaluation.autodiff),
        jax.tree.leaves(evaluation.candidate),
        jax.tree.leaves(evaluation.spread),
        jax.tree.leaves(evaluation.autodiff_native),
        jax.tree.leaves(evaluation.candidate_native),
        strict=True,
    )
    return tuple(
        _compare(path, a, c, s, a_native, c_native, eps, safety)
        for path, a, c, s, a_native, c_native in rows
    )


def _compare(
    path: str,
    autodiff: np.ndarray,
    candidate: np.ndarray,
    spread: np.ndarray,
    autodiff_native: np.ndarray,
    candidate_native: np.ndarray,
    eps: float,
    safety: float,
) -> LeafReport:
    scale = float(np.max(np.abs(autodiff), initial=0.0))
    floor = safety * max(float(spread), eps * scale)
    error = _error(np.asarray(candidate, np.float64), autodiff)
    worst = np.unravel_index(np.argmax(error), error.shape) if error.size else ()
    largest = float(error[worst]) if error.size else 0.0
    return LeafReport(
        path=path,
        shape=autodiff.shape,
        dtype=autodiff_native.dtype.name,
        max_absolute_error=largest,
        max_relative_error=largest / scale if scale else (0.0 if largest == 0 else float("inf")),
        ulps=_ulps(candidate_native, autodiff, autodiff_native.dtype),
        autodiff_ulps=_ulps(autodiff_native, autodiff, autodiff_native.dtype),
        cosine=_cosine(np.asarray(candidate, np.float64), autodiff),
        tolerance=floor / scale if scale and math.isfinite(scale) else 0.0,
        worst_index=tuple(int(i) for i in worst),
        ok=largest <= floor and math.isfinite(scale),
    )


def _error(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b|, infinite where either is not finite."""
    finite = np.isfinite(a) & np.isfinite(b)
    with np.errstate(invalid="ignore"):
        return np.where(finite, np.abs(a - b), np.inf)


def _ulps(native: np.ndarray, truth: np.ndarray, dtype: Any) -> float:
    """Largest error in units in the last place of the leaf's largest number."""
    scale = np.max(np.abs(truth), initial=0.0)
    error = np.max(_error(native.astype(np.float64), truth), initial=0.0)
    if error == 0:
        return 0.0
    return float(error / (scale * float(jnp.finfo(dtype).eps))) if scale else float("inf")


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two leaves; 1 if both are zero, nan if only one is."""
    a, b = a.ravel(), b.ravel()
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if norms == (0.0, 0.0):
        return 1.0
    if not all(norms) or not np.isfinite(norms).all():
        return float("nan")
    return float((a / norms[0]) @ (b / norms[1]))
