"""Proofs that points can or cannot be separated, and so that the perceptron rule ends or not.

A `Separable` carries a separator and Novikoff's bound on the mistakes; an `Inseparable` carries a
combination of the points that no separator survives. Minsky and Papert's XOR is the smallest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray
from scipy.optimize import nnls

from jaxpercep._checks import as_numbers
from jaxpercep.rosenblatt import check_labels, check_points

Floats = NDArray[np.floating]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Separable:
    """Proof that a weight vector classifies every point: `labels_i <separator, x_i> >= margin`.

    Attributes:
        separator: the unit vector of the widest margin, [features].
        margin: gamma = min_i labels_i <separator, x_i>, positive beyond rounding.
        radius: R = max_i ||x_i||.
        bound: (R / gamma)^2, the most mistakes `perceptron_rule` can make on these points
            (Novikoff, On convergence proofs on perceptrons, 1962).
    """

    separator: Floats
    margin: float
    radius: float
    bound: float

    def explain(self) -> str:
        """Returns the proof as one plain sentence."""
        return (
            f"The unit vector `separator` classifies every point with a margin of at least "
            f"{self.margin:.6g}, and no point is longer than {self.radius:.6g}, so the perceptron "
            f"rule makes at most {self.bound:.6g} mistakes."
        )


@dataclass(frozen=True, eq=False)
class Inseparable:
    """Proof that no weight vector classifies every point: `sum_i weights_i labels_i x_i = 0`.

    A w with `labels_i <w, x_i> > 0` for all i would have a positive product with that sum.

    Attributes:
        weights: [samples], at least 0, summing to 1.
        residual: the norm of the recomputed sum; feature by feature, it is within the rounding
            error of its terms. No unit vector reaches a margin above it.
    """

    weights: Floats
    residual: float

    def explain(self) -> str:
        """Returns the proof as one plain sentence."""
        rows = np.flatnonzero(self.weights)
        terms = [f"{self.weights[row]:.4g} of row {row}" for row in rows[:6]]
        more = [f"{len(rows) - 6} rows more"] if len(rows) > 6 else []
        return (
            f"The signed points label * x average to zero ({', '.join(terms + more)}; residual "
            f"{self.residual:.2g}), so no weight vector has a positive product with each of them."
        )


def certify(x: ArrayLike, labels: ArrayLike) -> Separable | Inseparable:
    """Proves that some w has `labels_i <w, x_i> > 0` for all i, or that none has.

    With the signed points g_i = labels_i x_i, the nonnegative least squares problem

        min_{u >= 0} ||sum_i u_i g_i||^2 + (sum_i u_i - 1)^2

    finds the point of their convex hull nearest to zero. If it is zero, u proves the points
    inseparable; if not, it is the normal of the separator of widest margin (Lawson and Hanson,
    Solving Least Squares Problems, ch. 23, problem LDP). What is returned has been recomputed from
    the points themselves: margins that are positive beyond every rounding error, or a sum that
    vanishes to the rounding error of its terms (points within about 1e-15 of each entry have a sum
    of exactly zero).

    The verdict does not depend on the unit of the points or of single features. If the margin
    is narrower than some 1e-11 of the radius, the separator is still proved, but another one may
    have a wider margin. Use `append_bias` first for a separator with a bias. Eager, in float64.

    Args:
        x: floating, [samples, features].
        labels: -1 or +1, [samples], floating or signed integer.

    Returns:
        `Separable(separator, margin, radius, bound)` or `Inseparable(weights, residual)`.

    Raises:
        TypeError: `x` is not floating, `labels` are neither floating nor signed integer, or one of
            them is traced by `jax.jit` or `jax.vmap`.
        ValueError: A shape is wrong, `x` is empty or holds NaN or infinity, or a label is neither
            -1 nor +1.
        ArithmeticError: The margin, if there is one, is too narrow for float64 to prove either.
    """
    if isinstance(x, jax.core.Tracer) or isinstance(labels, jax.core.Tracer):
        raise TypeError("certify is eager, but x or labels is traced; call it outside jit.")
    x, labels = as_numbers("x", x), as_numbers("labels", labels)
    check_points(x)
    check_labels(labels, len(x))
    points = labels.astype(np.float64)[:, None] * x.astype(np.float64)
    for rows, columns in _scalings(points):
        scaled = points / columns / rows[:, None]
        weights = _hull_weights(scaled)
        if separable := _separable(points, _normal(scaled, weights) / columns):
            return separable
        for candidate in (weights, _refined(scaled, weights)):
            if inseparable := _inseparable(points, candidate / rows):
                return inseparable
    # No linear program as a last resort: its tolerance of 1e-7 decides nothing that is open here.
    raise ArithmeticError(
        "certify can prove these points neither separable nor inseparable in float64: the margin, "
        "if there is one, drowns in rounding. Center the features, x - x.mean(axis=0), before "
        "append_bias, or use features of like size."
    )


def _scalings(points: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Yields divisors of rows and columns, powers of two, so that nothing is rounded.

    One common divisor keeps the geometry, and with it the widest margin. Dividing each feature and
    each point by its own keeps only the verdict, but does so even if their sizes differ by 1e12.
    """
    sizes = np.abs(points)
    yield np.ones(len(points)), np.full(points.shape[1], _power_of_two(sizes.max()))
    columns = _power_of_two(sizes.max(axis=0))
    yield _power_of_two((sizes / columns).max(axis=1)), columns


def _power_of_two(sizes: Floats) -> Floats:
    return np.ldexp(1.0, np.frexp(sizes)[1] - 1)


def _hull_weights(points: Floats) -> Floats:
    """Returns the convex combination of the points that is nearest to zero."""
    try:
        weights, _ = nnls(*_hull_system(points))
    except RuntimeError as error:
        raise ArithmeticError(f"certify got no answer from scipy's nnls: {error}") from error
    weights = np.where(weights > 64 * EPS, weights, 0.0)  # smaller ones are rounding noise
    return weights / weights.sum()


def _hull_system(points: Floats) -> tuple[Floats, Floats]:
    samples, features = points.shape
    return np.vstack([points.T, np.ones(samples)]), np.eye(features + 1)[-1]


def _normal(points: Floats, weights: Floats) -> Floats:
    """Returns the least w with `<w, g_i> = 1` on the points that span the nearest one.

    It is parallel to the nearest point, which itself loses its digits when it is nearly zero.
    """
    support = points[weights > 0]
    return np.linalg.lstsq(support, np.ones(len(support)))[0]


def _refined(points: Floats, weights: Floats) -> Floats:
    """Returns the weights after a step of iterative refinement.

    The step brings the sum down to rounding in every feature, also in those with small terms, as
    in linear systems (Skeel, Iterative refinement implies numerical stability for Gaussian
    elimination, Mathematics of Computation 35, 1980).
    """
    support = weights > 0
    system, target = _hull_system(points[support])
    refined = np.zeros_like(weights)
    error = target - system @ weights[support]
    refined[support] = weights[support] + np.linalg.lstsq(system, error)[0]
    return refined


def _separable(points: Floats, normal: Floats) -> Separable | None:
    separator = normal / (_norm(normal) or 1.0)
    margins = points @ separator
    rounding = len(separator) * EPS * (np.abs(points) @ np.abs(separator))
    if not (margins > rounding).all():
        return None
    margin = margins.min()
    bound = ((points / margin) ** 2).sum(axis=1).max()
    return Separable(separator, float(margin), float(_norm(points).max()), float(bound))


def _inseparable(points: Floats, weights: Floats) -> Inseparable | None:
    weights = weights / weights.sum()
    total = weights @ points
    rounding = 4 * EPS * (weights @ np.abs(points))
    if not ((weights >= 0).all() and (np.abs(total) <= rounding).all()):
        return None
    return Inseparable(weights, float(_norm(total)))


def _norm(vectors: Floats) -> Floats:
    """Returns the lengths of the last axis; hypot neither overflows nor underflows on the way."""
    return np.hypot.reduce(vectors, axis=-1)
