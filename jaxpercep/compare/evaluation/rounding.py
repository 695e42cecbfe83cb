"""Measures the rounding of both sides: the largest difference between two right formulas."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.function import ValueAndGradient
from jaxpercep.compare.evaluation.noise import RUNS, noisy_outputs
from jaxpercep.compare.evaluation.sides import Sides
from jaxpercep.compare.evaluation.trees import distances, larger, largest
from jaxpercep.compare.program.jaxprs import bits, trace

# Rounding amounts to a few spreads. In float64 a wrong formula is off by a million of them, which
# leaves a margin, for example for functions that are off by several ulps. A narrower type has none,
# so that its spread is measured more often.
SAFETY = 16
SAFETY_OF_CONSTANTS = 4
SAFETY_IF_NARROW = 1.5
RUNS_IF_NARROW = 16
FURTHER = 8  # passes of a loop that has converged
CONVERGED = 1e-2  # relative: what these change at most

Noisy: TypeAlias = Callable[[float, int], Sequence[Any]]
"""`(eps, seed) -> results`, with every number moved by a relative eps."""


def tolerances(wide: Sides, noise: Noisy, rate: float | None) -> list[float]:
    """Returns for each leaf the largest error that rounding explains, absolute.

    Args:
        wide: both sides in float64.
        noise: that of the function.
        rate: if the candidate is implied by a step of this learning rate. An ulp of the parameters
            is then eps / rate of a gradient.
    """
    gradient = wide.autodiff.leaves
    eps = float(jnp.finfo(wide.formula).eps)
    sizes = [size if np.isfinite(size) else 0.0 for size in map(largest, gradient)]
    weights = [largest(wide.values[i]) if rate else 0.0 for i in wide.function.positions]
    wide_formula = wide.formula == "float64"
    of_type = _in_float64 if wide_formula else _in_a_narrow_type
    safety = SAFETY_OF_CONSTANTS if wide_formula else SAFETY_IF_NARROW
    terms = zip(
        of_type(wide, noise, sizes),
        _of_constants(wide, sizes),
        weights,
        _of_loops(wide, sizes),
        strict=True,
    )
    return [
        rounding + safety * constant + 4 * eps * weight / (rate or 1.0) + SAFETY * unconverged
        for rounding, constant, weight, unconverged in terms
    ]


def _of_loops(wide: Sides, sizes: Sequence[float]) -> list[float]:
    """Measures how far loops that end on convergence are from it, by some passes more.

    A rule is that of the limit, autodiff differentiates the passes that were made. Where more
    passes change much, the loop does not converge.
    """
    function, candidate, values = wide.function, wide.candidate, wide.values
    changes = [0.0] * len(sizes)
    if longer := function.with_further_passes(FURTHER):
        gradient = longer.gradient()(values).leaves
        changes = larger(changes, distances(gradient, wide.autodiff.leaves))
    if answer := candidate.with_further_passes(values, FURTHER):
        changes = larger(changes, distances(answer.leaves, candidate.answer.leaves))
    pairs = zip(changes, sizes, strict=True)
    return [change if change <= CONVERGED * size else 0.0 for change, size in pairs]


def _in_float64(wide: Sides, noise: Noisy, sizes: Sequence[float]) -> list[float]:
    """Returns what moving every number by an ulp gives, at least an ulp of the leaf."""
    eps = float(jnp.finfo(np.float64).eps)
    measured = larger(
        spread_of_function(noise, "float64", wide.autodiff).leaves,
        _spread(_noise_of_candidate(wide), "float64", wide.candidate.answer.leaves),
    )
    return [SAFETY * max(spread, eps * size) for spread, size in zip(measured, sizes, strict=True)]


def _in_a_narrow_type(wide: Sides, noise: Noisy, sizes: Sequence[float]) -> list[float]:
    """Returns what moving every number by half an ulp of the narrow type gives.

    Its own operations are moved where they can be widened, and its rounding is then known as well;
    else its arguments are moved by an ulp, whereupon it rounds everything anew.
    """
    candidate = wide.candidate
    eps = float(jnp.finfo(wide.formula).eps)
    answer, base = candidate.answer.leaves, (candidate.unrounded or candidate.answer).leaves
    step = eps if candidate.noisy is None else eps / 2
    measured = larger(
        _scatter(noise, eps / 2, wide.autodiff.every())[1:],
        _scatter(_noise_of_candidate(wide), step, base),
    )
    rounded = (r if np.isfinite(r) else 0.0 for r in distances(answer, base))
    terms = zip(measured, sizes, rounded, strict=True)
    return [max(SAFETY_IF_NARROW * max(m, eps / 2 * size), r) for m, size, r in terms]


def _scatter(noisy: Noisy, eps: float, right: Sequence[Any]) -> list[float]:
    """Measures how far each result moves if every number moves by a relative eps, jumps included.

    Where a narrow type rounds, a number near a kink may well be on its other side.
    """
    scatter = [0.0] * len(right)
    for seed in range(RUNS_IF_NARROW):
        moved = distances(noisy(eps, seed), right)
        scatter = [max(s, m) if np.isfinite(m) else s for s, m in zip(scatter, moved, strict=True)]
    return scatter


def noise_of_function(wide: Sides) -> Noisy:
    """Returns the function's value and gradient with noise in every operation.

    The noise is in the arguments alone if the function cannot be traced, or if it fails with noise
    inside: a solver may run out of steps.
    """
    function, args, values = wide.function, wide.args, wide.values

    def in_arguments(eps: float, seed: int) -> Sequence[Any]:
        return gradient(jax.tree.leaves(trees.nudged(args, eps, seed))).every()

    gradient = function.gradient()
    if function.graph is None:
        return in_arguments
    # Operations of the backward pass too: 1 - tanh^2 is one that may lose all digits.
    graph = trace(function.gradient(compiled=False), (values,)).graph()
    noisy = noisy_outputs(graph, wide.formula)

    def in_operations(eps: float, seed: int) -> Sequence[Any]:
        return noisy(values, eps, seed)

    return in_operations if _runs(in_operations, wide.autodiff.every()) else in_arguments


def _noise_of_candidate(wide: Sides) -> Noisy:
    """Returns the candidate's leaves with noise: in every operation, or in its arguments."""
    candidate, args, values = wide.candidate, wide.args, wide.values

    def in_arguments(eps: float, seed: int) -> Sequence[Any]:
        return candidate.at(trees.nudged(args, eps, seed)).leaves

    def in_operations(eps: float, seed: int) -> Sequence[Any]:
        assert candidate.noisy is not None
        return candidate.noisy(values, eps, seed)

    runs = candidate.noisy is not None and _runs(in_operations, candidate.answer.leaves)
    return in_operations if runs else in_arguments


def _runs(noisy: Noisy, right: Sequence[Any]) -> bool:
    """Returns True if a computation still works when every number in it moves by an ulp."""
    try:
        moved = noisy(float(jnp.finfo(np.float64).eps), 0)
    except Exception:  # anything: the library's own, when a solver gives up
        return False
    pairs = zip(moved, right, strict=True)
    return all(np.isfinite(m).all() for m, r in pairs if r is not None and np.isfinite(r).all())


def spread_of_function(
    noise: Noisy, dtype: str, right: ValueAndGradient[np.ndarray], *, jumps: bool = False
) -> ValueAndGradient[float]:
    """Measures how far value and gradient move if every number moves by an ulp of a type."""
    value, *leaves = _spread(noise, dtype, right.every(), jumps=jumps)
    return ValueAndGradient(value, leaves)


def _spread(noisy: Noisy, dtype: str, right: Sequence[Any], *, jumps: bool = False) -> list[float]:
    """Measures how far each result moves if every number moves by an ulp of a type.

    Rounding moves a result in proportion to its size. A result that a smaller one moves as far has
    jumped: it decided on which side of a kink or of a discontinuity a number is. That says nothing
    about rounding, and is left out unless jumps are asked for.
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
    """Returns the largest change to near where that to far is in proportion, and elsewhere.

    A number that is not finite any more has jumped infinitely far: near saturation, rounding
    decides if 1 - p is 0, and whether there is a logarithm of it.
    """
    with np.errstate(invalid="ignore"):
        small, large = (
            np.atleast_1d(np.asarray(moved, np.float64)) - base for moved in (near, far)
        )
        for change in (small, large):
            np.abs(change, out=change)
        large /= 2
        rounded = small < large
        small[~np.isfinite(small) & np.isfinite(base)] = np.inf
        jumped = ~np.isnan(small) & ~rounded
    proportional, jump = (np.max(small, initial=0.0, where=where) for where in (rounded, jumped))
    return float(proportional), float(jump)


def _of_constants(wide: Sides, sizes: Sequence[float]) -> list[float]:
    """Measures how far half an ulp in constants of a narrow type moves the two sides.

    Those of a 16-bit type are off by so much that one draw of them, which may cancel, is too few:
    a leaf that is proportional to a constant is off as far.
    """
    function, candidate, values = wide.function, wide.candidate, wide.values
    types = [side.traced.narrowest() for side in (function, candidate) if side.traced is not None]
    narrow = max((float(jnp.finfo(dtype).eps) for dtype in types if bits(dtype) < 32), default=0.0)
    noise = [0.0] * len(sizes)
    if moved := function.with_moved_constants():
        gradient = moved.gradient()(values).leaves
        noise = larger(noise, distances(gradient, wide.autodiff.leaves))
    if answer := candidate.with_moved_constants(values):
        noise = larger(noise, distances(answer.leaves, candidate.answer.leaves))
    if moved or answer:
        noise = larger(noise, [narrow / 2 * size for size in sizes])
    return [change if np.isfinite(change) else 0.0 for change in noise]
