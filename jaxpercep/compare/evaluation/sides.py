"""Both sides of a comparison at the same arguments."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.candidate import Candidate
from jaxpercep.compare.evaluation.function import Function, ValueAndGradient
from jaxpercep.compare.evaluation.trees import Leaves


class Sides(NamedTuple):
    """Both gradients, in the caller's dtype or in float64.

    Attributes:
        args: of the function and of the candidate.
        values: all leaves of args.
        function: the function.
        autodiff: its value, and its gradient by each leaf to differentiate by.
        candidate: the gradient in question.
    """

    args: tuple[Any, ...]
    values: list[Any]
    function: Function
    autodiff: ValueAndGradient[np.ndarray]
    candidate: Candidate

    @classmethod
    def of(
        cls,
        fun: Callable[..., Any],
        grad_fun: Callable[..., Any],
        args: tuple[Any, ...],
        leaves: Leaves,
    ) -> "Sides":
        """Evaluates both gradients at args, as the caller would."""
        values = [jnp.asarray(leaf) for leaf in jax.tree.leaves(trees.copied(args))]
        function = Function.of(fun, args, leaves.positions)
        autodiff = function.value_and_gradient(values)
        return cls(args, values, function, autodiff, Candidate.of(grad_fun, args, leaves))

    def in_float64(self) -> "Sides":
        """Evaluates both gradients again, in float64; only while JAX has it enabled."""
        args = trees.cast(self.args, "float64")
        values = jax.tree.leaves(args)
        function = self.function.in_float64(args)
        autodiff = function.value_and_gradient(values)
        candidate = self.candidate.in_float64(args, widen=function.refused)
        return Sides(args, values, function, autodiff, candidate)
