"""Both gradients in float64 and in the caller's dtype, and the rounding to allow for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.compilation import miscompilation
from jaxpercep.compare.evaluation.data_rounding import allowance, identities, remark
from jaxpercep.compare.evaluation.native import Native
from jaxpercep.compare.evaluation.rounding import noise_of_function, spread_of_function, tolerances
from jaxpercep.compare.evaluation.sides import Sides
from jaxpercep.compare.evaluation.trees import Answer, Leaves, distances
from jaxpercep.compare.program.graph import Graph
from jaxpercep.compare.program.rules import shared_rules

ULPS_OF_DATA = 16


@dataclass(frozen=True)
class Evaluation:
    """Both gradients, leaf by leaf, and what it takes to explain their difference.

    Attributes:
        leaves: to differentiate by.
        autodiff: `jax.grad`, evaluated in float64.
        candidate: the gradient in question, evaluated in float64 where it can be.
        floor: the largest error that rounding explains, absolute, by leaf.
        autodiff_native: `jax.grad` in the caller's dtype.
        candidate_native: the gradient in question in the caller's dtype.
        formula: the narrowest type that either side computes in although it is given float64.
        function: all leaves of the arguments -> value, in float64.
        values: of these leaves, in float64.
        graph: of the function, or None if it cannot be traced with abstract arguments.
        miscompiled: how the compiled function differs from its operations one by one, or None.
        shared: if the gradients agree, the functions whose `jax.custom_vjp` rule both run.
        wide: both sides in float64, to be evaluated at other arguments.
        identities: what the arguments satisfy only to the rounding of their type, in words.
        inexact: that the gradients agree but for that, or None.
        dtype: the narrowest floating type among the arguments.
    """

    leaves: Leaves
    autodiff: Sequence[np.ndarray]
    candidate: Answer
    floor: list[float]
    autodiff_native: Sequence[np.ndarray]
    candidate_native: Answer
    formula: str
    function: Callable[[Sequence[Any]], Any]
    values: list[Any]
    graph: Graph | None
    miscompiled: str | None
    shared: tuple[str, ...]
    wide: Sides
    identities: str
    inexact: str | None
    dtype: str

    def allowing_for_data(self) -> "Evaluation":
        """Allows for the rounding of the data: a factor of a right formula is no closer than it."""
        ulp = float(jnp.finfo(self.dtype).eps)
        sizes = [ULPS_OF_DATA * ulp * trees.largest(leaf) for leaf in self.autodiff]
        return replace(self, floor=trees.larger(self.floor, sizes))


def evaluate(native: Native, names: Sequence[str], rate: float | None = None) -> Evaluation:
    """Evaluates both gradients in double precision, also with every number moved by an ulp.

    Args:
        native: both sides in the caller's dtype.
        names: of all leaves of the arguments.
        rate: if the candidate is implied by a step of this learning rate.
    """
    wide, own = native.sides.in_float64(), native.sides
    noise = noise_of_function(wide)
    exact = tolerances(wide, noise, rate)
    floor = allowance(native, wide, exact)
    identity = identities(own.args, names, native.dtype)
    apart = distances(wide.candidate.answer.leaves, wide.autodiff.leaves)
    # Compiled or not, a number within rounding of a kink may be on either side of it.
    spreads = {
        dtype: spread_of_function(noise, dtype, wide.autodiff, jumps=True)
        for dtype in ("float64", native.dtype)
    }
    differentiated = [names[i] for i in native.leaves.positions]
    agree = all(distance <= most for distance, most in zip(apart, floor, strict=True))
    inexact = agree and any(distance > most for distance, most in zip(apart, exact, strict=True))
    return Evaluation(
        leaves=native.leaves,
        autodiff=wide.autodiff.leaves,
        candidate=wide.candidate.answer,
        floor=floor,
        autodiff_native=own.autodiff.leaves,
        candidate_native=own.candidate.answer,
        formula=wide.formula,
        function=wide.function.value,
        values=wide.values,
        graph=wide.function.graph,
        miscompiled=miscompilation(native, wide, spreads, differentiated, agree=agree),
        shared=_shared_rules(native, wide) if agree else (),
        wide=wide,
        identities=identity,
        inexact=remark(identity, native.dtype) if inexact else None,
        dtype=native.dtype,
    )


def _shared_rules(native: Native, wide: Sides) -> tuple[str, ...]:
    """Returns the names of the functions whose `jax.custom_vjp` rule both sides run."""
    function, candidate = native.sides.function, native.sides.candidate
    if wide.function.narrow or not (function.traced is None or function.traced.has_rules()):
        return ()  # a widened function is differentiated without rules
    with jax.enable_x64(native.x64):
        return shared_rules(
            partial(_follow, function.gradient(compiled=False), (native.sides.values,)),
            partial(_follow, candidate.grad_fun, native.sides.args),
        )


def _follow(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Traces a function, or runs it if it cannot be traced."""
    try:
        jax.make_jaxpr(function)(*args)
    except Exception:  # anything, as the function has run at these arguments before
        function(*trees.copied(args))
