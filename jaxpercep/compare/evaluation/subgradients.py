"""A direction in which a kink does not matter, but a gradient that is no subgradient is wrong.

On a kink, each number of a gradient may lie between the one-sided derivatives and the whole still
be wrong: where two numbers tie for the maximum, either may get the gradient, but not both all of
it. The gradients at points close by span the subgradients. In a direction in which they are all the
same the function is smooth, and every subgradient is its derivative.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation.trees import moves
from jaxpercep.compare.program.graph import RUN_ONCE

PAIRS = 16  # of opposite steps
STEP = 1e-7  # times the size of the leaf
LEAST = 1e-4  # relative: a smaller rest of the difference is curvature


def smooth_direction(
    function: Callable[[Sequence[Any]], Any],
    values: Sequence[Any],
    position: int,
    size: float,
    candidate: np.ndarray,
    *,
    compiled: bool,
) -> np.ndarray | None:
    """Returns the part of a candidate's error, of length 1, that no kink explains, or None.

    Args:
        function: all leaves of the arguments -> value.
        values: of these leaves.
        position: of the leaf.
        size: of the leaf.
        candidate: the gradient in question by this leaf.
        compiled: True if the function can be compiled.
    """

    def by_leaf(leaf: Any) -> Any:
        return function([*values[:position], leaf, *values[position + 1 :]])

    gradient = jax.grad(by_leaf)
    gradient = RUN_ONCE(gradient) if compiled else gradient
    leaf = jnp.asarray(values[position])
    steps = [STEP * size * moves(seed, leaf.size).reshape(leaf.shape) for seed in range(PAIRS)]
    around = [np.asarray(gradient(leaf + step)) for one in steps for step in (one, -one)]
    if not all(np.isfinite(near).all() for near in (candidate, *around)):
        return None
    middle = np.mean(around, axis=0)
    jumps = np.stack([(near - middle).ravel() for near in around])
    error = (candidate - middle).ravel()
    rest = error - jumps.T @ np.linalg.lstsq(jumps.T, error, rcond=LEAST)[0]
    length = float(np.linalg.norm(rest))
    if length <= LEAST * float(np.linalg.norm(error)):
        return None
    return (rest / length).reshape(candidate.shape)
