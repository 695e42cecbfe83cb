"""The two sides of a comparison, each in the caller's dtype or in float64."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.noise import NoisyProgram, noisy_outputs
from jaxpercep.compare.evaluation.trees import Answer, Leaves, as_numpy, distances
from jaxpercep.compare.program.graph import RUN_ONCE, Graph, Plain, run
from jaxpercep.compare.program.jaxprs import NEEDS_NUMBERS, Traced, bits, trace

# What code says that cannot compute in float64, or not with abstract arguments.
UNFIT = (TypeError, *NEEDS_NUMBERS, jax.dtypes.TypePromotionError)

Gradient: TypeAlias = Callable[[Sequence[Any]], tuple[Any, Sequence[Any]]]
"""All leaves of the arguments -> value, gradient by each leaf to differentiate by."""


class Function(NamedTuple):
    """A scalar function of all leaves of its arguments.

    Attributes:
        call: `call(leaves) -> value`.
        graph: None if it needs concrete arguments, and so cannot be compiled.
        traced: likewise.
        narrow: whether it narrows inside; `call` then computes in float64 all the same.
        refused: whether it does not take float64; likewise.
    """

    call: Callable[[Sequence[Any]], Any]
    graph: Graph | None
    traced: Traced | None
    narrow: bool = False
    refused: bool = False

    def gradient(
        self, positions: Sequence[int], jit: Callable[..., Any] | None = jax.jit
    ) -> Gradient:
        """Its value and gradient by the leaves at these positions; with jit=None not compiled."""

        def by_leaf(chosen: Sequence[Any], values: Sequence[Any]) -> Any:
            given = list(values)
            for position, leaf in zip(positions, chosen, strict=True):
                given[position] = leaf
            return self.call(given)

        gradient = jax.value_and_grad(by_leaf)
        if jit is not None and self.graph is not None:
            gradient = jit(gradient)
        return lambda values: gradient([values[i] for i in positions], values)


def function_of(fun: Callable[..., Any], args: tuple[Any, ...]) -> Function:
    """The function as it is; of its graph only where that can be had."""
    structure = jax.tree.structure(args)

    def call(values: Sequence[Any]) -> Any:
        return fun(*jax.tree.unflatten(structure, values))

    try:
        traced = trace(fun, args)
    except NEEDS_NUMBERS:
        return Function(call, None, None)
    return Function(call, traced.graph(), traced)


class Candidate(NamedTuple):
    """The hand-written gradient, evaluated in float64 where it can be.

    Attributes:
        at: arguments -> answer.
        answer: at the arguments in question.
        formula: the narrowest type at work: inside, if it can be traced, or in the result.
        traced: None if it cannot be, as plain NumPy.
        noisy: the leaves of its answer with noise in every operation; None likewise.
    """

    at: Callable[[tuple[Any, ...]], Answer]
    answer: Answer
    formula: str
    traced: Traced | None
    noisy: NoisyProgram | None


def candidate_of(
    grad_fun: Callable[..., Any], args: tuple[Any, ...], leaves: Leaves, native: Answer | None
) -> Candidate:
    """The candidate at args; where it does not take them, what it answers in the caller's dtype."""

    def called(args: tuple[Any, ...]) -> Answer:
        return trees.answer(grad_fun(*trees.copied(args)), leaves)

    try:
        traced = trace(grad_fun, args)
    except Exception:  # whatever it is that needs concrete arrays, or is wrong with these as well
        try:
            answer = called(args)
        except UNFIT:
            if native is None:
                raise
            return Candidate(partial(_always, native), native, _narrowest_of(native), None, None)
        formula = _narrowest_of(answer)
        if native is not None:
            formula = min((formula, _narrowest_felt(called, args, answer)), key=bits)
        return Candidate(called, answer, formula, None, None)
    return compiled_candidate(traced, traced.graph(), args, leaves)


def _narrowest_felt(
    called: Callable[[tuple[Any, ...]], Answer], args: tuple[Any, ...], answer: Answer
) -> str:
    """The type that a candidate narrows its arguments to.

    It answers the same when they come rounded to that type, whatever they are.
    """

    def same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
        pair = called(some).leaves, called(others).leaves
        return all(apart == 0 for apart in distances(*pair))

    generic = [trees.nudged(args, 0.01, seed) for seed in range(2)]
    if all(apart == 0 for apart in distances(called(generic[0]).leaves, answer.leaves)):
        return "float64"  # its answer is the same everywhere
    for dtype in ("bfloat16", "float16", "float32"):
        if all(
            same(numbers, trees.cast(trees.cast(numbers, dtype), "float64")) for numbers in generic
        ):
            return dtype
    return "float64"


def compiled_candidate(
    traced: Traced,
    graph: Graph,
    args: tuple[Any, ...],
    leaves: Leaves,
    formula: str | None = None,
) -> Candidate:
    """A candidate that can be traced, as one program: compiled sooner than each operation."""
    run_graph = RUN_ONCE(partial(outputs_of, graph))
    noisy = noisy_outputs(graph)

    def of_outputs(outputs: Sequence[Any]) -> Answer:
        return trees.answer(jax.tree.unflatten(traced.structure, outputs), leaves)

    def compiled(args: tuple[Any, ...]) -> Answer:
        return of_outputs(run_graph(jax.tree.leaves(trees.copied(args))))

    def with_noise(values: Sequence[Any], eps: float, seed: int) -> list[Any]:
        return of_outputs(noisy(values, eps, seed)).leaves

    answer = compiled(args)
    if formula is None:
        formula = min((traced.narrowest(), _narrowest_of(answer)), key=bits)
    return Candidate(compiled, answer, formula, traced, with_noise)


def _always(answer: Answer, args: tuple[Any, ...]) -> Answer:
    del args
    return answer


def _narrowest_of(answer: Answer) -> str:
    types = (leaf.dtype for leaf in answer.leaves if leaf is not None)
    floating = (dtype.name for dtype in types if jnp.issubdtype(dtype, jnp.floating))
    return min(floating, key=bits, default="float64")


def outputs_of(graph: Graph, values: Sequence[Any]) -> list[Any]:
    """The outputs of a graph."""
    return run(graph, values, Plain())


def value_of(graph: Graph, values: Sequence[Any]) -> Any:
    """The first output of a graph."""
    return run(graph, values, Plain())[0]


def flat(result: tuple[Any, Sequence[Any]]) -> list[np.ndarray]:
    """The value and the leaves of the gradient as one list."""
    value, grads = result
    return as_numpy([value, *grads])
