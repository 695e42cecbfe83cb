"""One leaf of two gradients, measured."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.reference import Evaluation
from jaxpercep.compare.report import LeafReport

SAFETY = 32  # a wrong formula is off by 1e-6 or more, rounding by a few spreads of 1e-16


def compare_leaves(evaluation: Evaluation) -> tuple[LeafReport, ...]:
    """Measures each leaf, in the order of the tree."""
    paths = [jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(evaluation.autodiff)]
    eps = float(jnp.finfo(evaluation.formula).eps)
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
        _compare(path, a, c, s, a_native, c_native, eps)
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
) -> LeafReport:
    error = np.abs(np.asarray(candidate, np.float64) - autodiff)
    scale = float(np.max(np.abs(autodiff), initial=0.0))
    floor = SAFETY * max(float(spread), eps * scale)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
    largest = float(error[worst])
    return LeafReport(
        path=path,
        shape=autodiff.shape,
        dtype=autodiff_native.dtype.name,
        max_absolute_error=largest,
        max_relative_error=largest / scale if scale else (0.0 if largest == 0 else float("inf")),
        ulps=_ulps(candidate_native, autodiff, autodiff_native.dtype),
        autodiff_ulps=_ulps(autodiff_native, autodiff, autodiff_native.dtype),
        cosine=_cosine(np.asarray(candidate, np.float64), autodiff),
        tolerance=floor / scale if scale else 0.0,
        worst_index=tuple(int(i) for i in worst),
        ok=largest <= floor,
    )


def _ulps(native: np.ndarray, truth: np.ndarray, dtype: Any) -> float:
    """Largest error in units in the last place of the leaf's largest number."""
    scale = np.max(np.abs(truth), initial=0.0)
    error = np.max(np.abs(native.astype(np.float64) - truth), initial=0.0)
    if error == 0:
        return 0.0
    return float(error / (scale * float(jnp.finfo(dtype).eps))) if scale else float("inf")


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of the angle between two leaves; 1 if both are zero, nan if one is."""
    a, b = a.ravel(), b.ravel()
    norms = np.linalg.norm(a), np.linalg.norm(b)
    if norms == (0.0, 0.0):
        return 1.0
    return float(a @ b / (norms[0] * norms[1])) if all(norms) else float("nan")
