"""Both sides as the caller has them, and how they are taken to double precision."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.sides import (
    UNFIT,
    Candidate,
    Function,
    candidate_of,
    compiled_candidate,
    flat,
    function_of,
    value_of,
)
from jaxpercep.compare.evaluation.trees import Leaves
from jaxpercep.compare.program.jaxprs import bits


class Native(NamedTuple):
    """Both gradients in the caller's dtype.

    Attributes:
        fun: the function.
        grad_fun: the gradient in question.
        args: of both.
        leaves: what is differentiated.
        x64: whether the caller computes in double precision.
        dtype: the narrowest floating type among the arguments.
        function: the function, with its graph where it has one.
        autodiff: the value, then its gradient by each leaf to differentiate by.
        candidate: the gradient in question.
    """

    fun: Callable[..., Any]
    grad_fun: Callable[..., Any]
    args: tuple[Any, ...]
    leaves: Leaves
    x64: bool
    dtype: str
    function: Function
    autodiff: list[np.ndarray]
    candidate: Candidate

    @classmethod
    def of(
        cls,
        fun: Callable[..., Any],
        grad_fun: Callable[..., Any],
        args: tuple[Any, ...],
        argnums: int | tuple[int, ...],
    ) -> "Native":
        """Evaluates both gradients at args, as the caller would."""
        leaves = trees.differentiated(args, argnums)
        function = function_of(fun, args)
        return cls(
            fun=fun,
            grad_fun=grad_fun,
            args=args,
            leaves=leaves,
            x64=bool(jax.config.read("jax_enable_x64")),
            dtype=narrowest(args),
            function=function,
            autodiff=flat(function.gradient(leaves.positions)(values_of(args))),
            candidate=candidate_of(grad_fun, args, leaves, None),
        )

    @contextmanager
    def double_precision(self) -> Generator[None]:
        """Computes in float64, the NumPy arrays too that the functions have captured.

        JAX keeps what it has once made of a NumPy array, also for other settings than those it was
        made under. So the caches are cleared on the way in, and on the way out: the caller's next
        program must not find arrays in float64.
        """
        traced = (self.function.traced, self.candidate.traced)
        captured = not self.x64 and any(t is not None and t.captures_numpy for t in traced)
        try:
            if captured:
                jax.clear_caches()
            with jax.enable_x64(True):
                yield
        finally:
            if captured:
                jax.clear_caches()


def function_in_float64(native: Native, wide: tuple[Any, ...]) -> Function:
    """The function in float64: where it narrows, or refuses float64, its graph widened."""
    try:
        function = function_of(native.fun, wide)
    except UNFIT:
        traced, refused = native.function.traced, True
        if traced is None:
            raise
    else:
        traced, refused = function.traced, False
        if traced is None or traced.narrowest() == "float64":
            return function
    graph = traced.graph(widen=True)
    return Function(partial(value_of, graph), graph, traced, narrow=True, refused=refused)


def candidate_in_float64(native: Native, wide: tuple[Any, ...], *, refused: bool) -> Candidate:
    """The candidate given float64.

    Where the function refuses float64, the candidate's graph is widened as that of the function is:
    random numbers, say, are then the same in both.
    """
    own = native.candidate
    if refused and own.traced is not None:
        graph = own.traced.graph(widen=True)
        return compiled_candidate(own.traced, graph, wide, native.leaves, formula="float64")
    return candidate_of(native.grad_fun, wide, native.leaves, own.answer)


def values_of(args: tuple[Any, ...]) -> list[Any]:
    """All leaves of arguments, as arrays of JAX's own."""
    return [jnp.asarray(leaf) for leaf in jax.tree.leaves(trees.copied(args))]


def narrowest(args: Any) -> str:
    """The narrowest floating type among the leaves of arguments; that of Python floats."""
    types = [jnp.result_type(leaf) for leaf in jax.tree.leaves(args) if trees.is_floating(leaf)]
    return min((dtype.name for dtype in types), key=bits)
