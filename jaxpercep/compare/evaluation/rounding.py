"""How far apart two right formulas may be: the measured rounding of both sides."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.noise import RUNS, noisy_outputs
from jaxpercep.compare.evaluation.sides import Candidate, Function, flat, outputs_of, value_of
from jaxpercep.compare.evaluation.trees import Leaves, distances, larger
from jaxpercep.compare.program.graph import RUN_ONCE
from jaxpercep.compare.program.jaxprs import trace

# Rounding comes to a few spreads. In float64 a wrong formula is off by a million of them, which
# leaves room for caution, as for functions that are off by several ulps; in a narrower type not.
SAFETY = 16
SAFETY_IF_NARROW = 8

Noisy: TypeAlias = Callable[[float, int], Sequence[Any]]
"""`(eps, seed) -> results`, with every number moved by a relative eps."""


def noise_of_function(function: Function, leaves: Leaves, wide: tuple[Any, ...]) -> Noisy:
    """The function's value and gradient with noise: in every operation, or in its arguments."""
    values = jax.tree.leaves(wide)
    if function.graph is None:
        gradient = function.gradient(leaves.positions)
        return lambda eps, seed: flat(gradient(jax.tree.leaves(trees.nudged(wide, eps, seed))))
    # Operations of the backward pass too: 1 - tanh^2 is one that may lose all digits.
    traced = trace(function.gradient(leaves.positions, jit=None), (values,))
    noisy = noisy_outputs(traced.graph())
    return lambda eps, seed: noisy(values, eps, seed)


def noise_of_candidate(side: Candidate, wide: tuple[Any, ...]) -> Noisy:
    """The candidate's leaves with noise: in every operation, or in its arguments."""
    if side.noisy is not None:
        return lambda eps, seed: side.noisy(jax.tree.leaves(wide), eps, seed)
    return lambda eps, seed: side.at(trees.nudged(wide, eps, seed)).leaves


def spread(noisy: Noisy, dtype: str, right: Sequence[Any], *, jumps: bool = False) -> list[float]:
    """For each result how much it changes when every number moves by an ulp of a type.

    Rounding changes a result in proportion to its size. What changes as much by a smaller one is a
    jump: it decided which side of a kink or of a discontinuity a number is on, which says nothing
    of rounding; it is left out, unless jumps are asked for.
    """
    eps = float(jnp.finfo(dtype).eps)
    ulps, further = (16, 16) if eps < 1e-5 else (1, 4)
    spreads = [0.0] * len(right)
    for seed in range(RUNS):
        near, far = noisy(ulps * eps, seed), noisy(further * ulps * eps, seed)
        for i, (one, other, base) in enumerate(zip(near, far, right, strict=True)):
            if base is not None and np.shape(one) == np.shape(base):
                proportional, jump = _changes(one, other, base)
                spreads[i] = max(spreads[i], proportional / ulps, jump if jumps else 0.0)
    return spreads


def _changes(near: Any, far: Any, base: Any) -> tuple[float, float]:
    """The largest change from base to near: where that to far is in proportion, and elsewhere.

    What is not finite counts as unchanged.
    """
    with np.errstate(invalid="ignore"):
        small, large = (
            np.atleast_1d(np.asarray(moved, np.float64)) - base for moved in (near, far)
        )
        for change in (small, large):
            np.abs(change, out=change)
        large /= 2
        rounded = small < large
        jumped = np.isfinite(small) & ~rounded
    proportional, jump = (np.max(small, initial=0.0, where=where) for where in (rounded, jumped))
    return float(proportional), float(jump)


def noise_of_constants(
    function: Function,
    autodiff: Sequence[Any],
    side: Candidate,
    leaves: Leaves,
    values: list[Any],
) -> list[float]:
    """How far half an ulp in constants of a narrow type moves the two sides."""
    noise = [0.0] * len(leaves.positions)
    if function.traced and (graph := function.traced.with_moved_constants()):
        moved = Function(partial(value_of, graph), graph, None)
        _, gradient = moved.gradient(leaves.positions, RUN_ONCE)(values)
        noise = larger(noise, distances(gradient, autodiff))
    if side.traced and (graph := side.traced.with_moved_constants()):
        outputs = RUN_ONCE(partial(outputs_of, graph))(values)
        moved = trees.answer(jax.tree.unflatten(side.traced.structure, outputs), leaves)
        noise = larger(noise, distances(moved.leaves, side.answer.leaves))
    return [change if np.isfinite(change) else 0.0 for change in noise]
