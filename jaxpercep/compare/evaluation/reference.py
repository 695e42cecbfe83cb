"""Both gradients in float64 and in the caller's dtype, and how much rounding there is to expect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.compilation import miscompilation
from jaxpercep.compare.evaluation.native import Native, candidate_in_float64, function_in_float64
from jaxpercep.compare.evaluation.rounding import (
    SAFETY,
    SAFETY_IF_NARROW,
    noise_of_candidate,
    noise_of_constants,
    noise_of_function,
    spread,
)
from jaxpercep.compare.evaluation.sides import flat
from jaxpercep.compare.evaluation.trees import Answer, Leaves, distances, larger, largest
from jaxpercep.compare.program.graph import Graph


@dataclass(frozen=True)
class Evaluation:
    """Both gradients, leaf by leaf, and what is needed to find out more about them.

    Attributes:
        leaves: what is differentiated.
        autodiff: `jax.grad`, evaluated in float64.
        candidate: the gradient in question, evaluated in float64 where it can be.
        floor: how far apart two right formulas may be, absolute, by leaf.
        autodiff_native: `jax.grad` in the caller's dtype.
        candidate_native: the gradient in question in the caller's dtype.
        formula: the narrowest type that the candidate computes in although it was given float64.
        function: all leaves of the arguments -> value, in float64.
        values: of these leaves, in float64.
        graph: of the function, or None if it cannot be traced with abstract arguments.
        miscompiled: how the compiled function differs from its operations one by one, or None.
    """

    leaves: Leaves
    autodiff: list[np.ndarray]
    candidate: Answer
    floor: list[float]
    autodiff_native: list[np.ndarray]
    candidate_native: Answer
    formula: str
    function: Callable[[Sequence[Any]], Any]
    values: list[Any]
    graph: Graph | None
    miscompiled: str | None


def evaluate(native: Native, rate: float | None = None) -> Evaluation:
    """Evaluates both gradients in double precision, also with every number moved by an ulp.

    With a rate, the candidate is what a step of that learning rate implies; then an ulp of the
    parameters is eps / rate of a gradient.
    """
    leaves = native.leaves
    wide = trees.cast(native.args, "float64")
    values = jax.tree.leaves(wide)
    function = function_in_float64(native, wide)
    in_float64 = flat(function.gradient(leaves.positions)(values))
    autodiff = in_float64[1:]
    side = candidate_in_float64(native, wide, refused=function.refused)
    noise = noise_of_function(function, leaves, wide)
    expected = larger(
        spread(noise, side.formula, in_float64)[1:],
        spread(noise_of_candidate(side, wide), side.formula, side.answer.leaves),
    )
    if function.narrow or side.formula != "float64":
        expected = larger(expected, distances(native.autodiff[1:], autodiff))
    eps = float(jnp.finfo(side.formula).eps)
    safety = SAFETY if side.formula == "float64" else SAFETY_IF_NARROW
    sizes = [size if np.isfinite(size) else 0.0 for size in map(largest, autodiff)]
    floor = [safety * max(s, eps * size) for s, size in zip(expected, sizes, strict=True)]
    constants = noise_of_constants(function, autodiff, side, leaves, values)
    floor = [f + 4 * c for f, c in zip(floor, constants, strict=True)]
    if rate is not None:
        weights = (largest(values[i]) for i in leaves.positions)
        floor = [f + 4 * eps * size / rate for f, size in zip(floor, weights, strict=True)]
    apart = distances(side.answer.leaves, autodiff)
    # Compiled or not, a number within rounding of a kink may be on either side of it.
    dtypes = ("float64", native.dtype)
    spreads = {dtype: spread(noise, dtype, in_float64, jumps=True) for dtype in dtypes}
    agree = all(distance <= most for distance, most in zip(apart, floor, strict=True))
    return Evaluation(
        leaves=leaves,
        autodiff=autodiff,
        candidate=side.answer,
        floor=floor,
        autodiff_native=native.autodiff[1:],
        candidate_native=native.candidate.answer,
        formula=side.formula,
        function=function.call,
        values=values,
        graph=function.graph,
        miscompiled=miscompilation(native, function, values, in_float64, spreads, agree=agree),
    )
