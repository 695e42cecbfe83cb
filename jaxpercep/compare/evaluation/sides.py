"""Both sides of a comparison at the same arguments."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.candidate import Candidate
from jaxpercep.compare.evaluation.function import Function, ValueAndGradient
from jaxpercep.compare.evaluation.own_types import OwnTypes
from jaxpercep.compare.evaluation.trees import Leaves
from jaxpercep.compare.program.jaxprs import bits


class Sides(NamedTuple):
    """Both gradients, in the caller's dtype or in float64.

    Attributes:
        args: of the function and of the candidate.
        values: all leaves of args.
        function: the function.
        autodiff: its value, and its gradient by each leaf to differentiate by.
        candidate: the gradient in question.
        own: the caller's types.
    """

    args: tuple[Any, ...]
    values: list[Any]
    function: Function
    autodiff: ValueAndGradient[np.ndarray]
    candidate: Candidate
    own: OwnTypes

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
        candidate = Candidate.of(grad_fun, args, leaves)
        return cls(args, values, function, autodiff, candidate, OwnTypes.of(values))

    def in_float64(self) -> "Sides":
        """Evaluates both gradients again, in float64; only while JAX has it enabled."""
        args = trees.cast(self.args, "float64")
        values = jax.tree.leaves(args)
        function, autodiff = self.function.in_float64(args, self.own)
        candidate = self.candidate.in_float64(args, self.own, widen=function.refused)
        return Sides(args, values, function, autodiff, candidate, self.own)

    @property
    def formula(self) -> str:
        """The narrowest type that either side computes in although it is given float64."""
        return min(self.function.formula, self.candidate.formula, key=bits)
