"""The hand-written gradient."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.function import UNFIT
from jaxpercep.compare.evaluation.noise import NoisyProgram, noisy_outputs
from jaxpercep.compare.evaluation.own_types import OwnTypes
from jaxpercep.compare.evaluation.trees import Answer, Leaves, distances
from jaxpercep.compare.program.graph import RUN_ONCE, Graph, Plain, run
from jaxpercep.compare.program.jaxprs import Traced, bits, narrowest, trace


@dataclass(frozen=True)
class Candidate:
    """The hand-written gradient, evaluated in float64 where it can be.

    Attributes:
        grad_fun: the caller's, of the arguments.
        expected: the leaves that it should return.
        at: `at(args) -> answer`.
        answer: at the arguments in question.
        formula: the narrowest type it computes in: inside if it can be traced, else of its result.
        traced: None if it cannot be traced, like plain NumPy code.
        noisy: the leaves of its answer with noise in every operation; likewise.
        unrounded: of one that computes in a narrow type, the answer of the same operations in
            float64, or None if they cannot be widened; `noisy` then has these operations, too.
    """

    grad_fun: Callable[..., Any]
    expected: Leaves
    at: Callable[[tuple[Any, ...]], Answer]
    answer: Answer
    formula: str
    traced: Traced | None = None
    noisy: NoisyProgram | None = None
    unrounded: Answer | None = None

    @classmethod
    def of(
        cls,
        grad_fun: Callable[..., Any],
        args: tuple[Any, ...],
        expected: Leaves,
        native: Answer | None = None,
    ) -> "Candidate":
        """Evaluates a candidate at args.

        If it does not take them, its answer in the caller's dtype, `native`, stands in for them.
        """
        try:
            traced = trace(grad_fun, args)
        except Exception:  # anything: it needs concrete arrays, or is wrong with these as well
            return cls._untraced(grad_fun, args, expected, native)
        return cls._of_graph(grad_fun, expected, traced, traced.graph(), args)

    @classmethod
    def _untraced(
        cls,
        grad_fun: Callable[..., Any],
        args: tuple[Any, ...],
        expected: Leaves,
        native: Answer | None,
    ) -> "Candidate":
        def run(copied: Callable[[Any], Any], args: tuple[Any, ...]) -> Answer:
            return trees.answer(grad_fun(*copied(args)), expected)

        at, answer = partial(run, trees.copied), None
        if native is not None:
            with suppress(Exception):  # anything: it may need arrays of JAX
                answer = run(trees.in_numpy, args)
                at = partial(run, trees.in_numpy)
        try:
            answer = answer or at(args)
        except UNFIT:
            if native is None:
                raise
            return cls(grad_fun, expected, lambda _: native, native, _narrowest_of(native))
        formula = _narrowest_of(answer)
        if native is not None:
            formula = min((formula, _rounds_arguments_to(at, args, answer)), key=bits)
        return cls(grad_fun, expected, at, answer, formula)

    @classmethod
    def _of_graph(
        cls,
        grad_fun: Callable[..., Any],
        expected: Leaves,
        traced: Traced,
        graph: Graph,
        args: tuple[Any, ...],
        formula: str | None = None,
        noise: str = "float64",
    ) -> "Candidate":
        """Compiles a candidate as one program, which is faster than compiling each operation."""
        run_graph, noisy = RUN_ONCE(partial(_outputs_of, graph)), noisy_outputs(graph, noise)
        answer_of = partial(_answer_of, traced, expected)

        def at(args: tuple[Any, ...]) -> Answer:
            return answer_of(run_graph(jax.tree.leaves(trees.copied(args))))

        def with_noise(values: Sequence[Any], eps: float, seed: int) -> list[Any]:
            return answer_of(noisy(values, eps, seed)).leaves

        answer = at(args)
        if formula is None:
            formula = min((traced.narrowest(), _narrowest_of(answer)), key=bits)
        return cls(grad_fun, expected, at, answer, formula, traced, with_noise)

    def with_moved_constants(self, values: Sequence[Any]) -> Answer | None:
        """Moves each constant of a narrow type by half an ulp; returns None without such ones."""
        return self._altered(values, lambda traced: traced.with_moved_constants())

    def with_further_passes(self, values: Sequence[Any], count: int) -> Answer | None:
        """Runs loops that have converged further; returns None without such loops."""
        return self._altered(values, lambda traced: traced.with_further_passes(count))

    def _altered(
        self, values: Sequence[Any], alter: Callable[[Traced], Graph | None]
    ) -> Answer | None:
        if self.traced is None or (graph := alter(self.traced)) is None:
            return None
        outputs = RUN_ONCE(partial(_outputs_of, graph))(values)
        return _answer_of(self.traced, self.expected, outputs)

    def in_float64(self, args: tuple[Any, ...], own: OwnTypes, *, widen: bool) -> "Candidate":
        """Gives the candidate float64; if it then fails, widens its graph or leaves it as it is.

        Args:
            args: in float64.
            own: the caller's types.
            widen: widen its graph first, as that of the function was: both then draw the same
                random numbers, for example.
        """
        ways = [partial(self._wide, args), partial(self._as_traced, args)]
        if widen or (self.traced is not None and self.traced.callbacks()):
            ways.reverse()
        failures: list[Exception] = []
        for way in (*ways, partial(self._in_own_types, args, own)):
            try:
                return way()
            except Exception as error:  # anything: it has run in the caller's types
                failures.append(error)
        raise failures[0]

    def _as_traced(self, args: tuple[Any, ...]) -> "Candidate":
        """Widens the operations that it was traced with in the caller's types."""
        if self.traced is None:
            raise TypeError("a candidate that cannot be traced has no graph to widen.")
        return self._widened(self.traced, args, noise="float64")

    def _in_own_types(self, args: tuple[Any, ...], own: OwnTypes) -> "Candidate":
        """Leaves the candidate in the caller's types."""
        structure = jax.tree.structure(args)

        def at(args: tuple[Any, ...]) -> Answer:
            def answer(values: Sequence[Any]) -> Answer:
                return self.at(jax.tree.unflatten(structure, values))

            return own.run(answer, jax.tree.leaves(args))

        formula = min(self.formula, own.narrowest, key=bits)
        return Candidate(self.grad_fun, self.expected, at, at(args), formula)

    def _wide(self, args: tuple[Any, ...]) -> "Candidate":
        candidate = Candidate.of(self.grad_fun, args, self.expected, self.answer)
        if candidate.formula == "float64" or candidate.traced is None:
            return candidate
        try:
            wide = candidate._widened(candidate.traced, args, noise=candidate.formula)
        except UNFIT:  # a primitive with a program of its own in the narrow type
            return replace(candidate, noisy=None)
        return replace(candidate, noisy=wide.noisy, unrounded=wide.answer)

    def _widened(self, traced: Traced, args: tuple[Any, ...], noise: str) -> "Candidate":
        """Runs its operations in float64, whatever types they were traced with."""
        graph = traced.graph(widen=True)
        formula = traced.callbacks() or "float64"
        return Candidate._of_graph(
            self.grad_fun, self.expected, traced, graph, args, formula=formula, noise=noise
        )


def _rounds_arguments_to(
    at: Callable[[tuple[Any, ...]], Answer], args: tuple[Any, ...], answer: Answer
) -> str:
    """Finds the type that a candidate rounds its arguments to.

    Its answer stays the same if any arguments are rounded to that type beforehand.
    """

    def same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
        return all(apart == 0 for apart in distances(at(some).leaves, at(others).leaves))

    generic = [trees.nudged(args, 0.01, seed) for seed in range(2)]
    if all(apart == 0 for apart in distances(at(generic[0]).leaves, answer.leaves)):
        return "float64"  # its answer is the same everywhere
    for dtype in ("bfloat16", "float16", "float32"):
        if all(
            same(numbers, trees.cast(trees.cast(numbers, dtype), "float64")) for numbers in generic
        ):
            return dtype
    return "float64"


def _narrowest_of(answer: Answer) -> str:
    return narrowest(leaf.dtype for leaf in answer.leaves if leaf is not None) or "float64"


def _answer_of(traced: Traced, expected: Leaves, outputs: Sequence[Any]) -> Answer:
    return trees.answer(jax.tree.unflatten(traced.structure, outputs), expected)


def _outputs_of(graph: Graph, values: Sequence[Any]) -> list[Any]:
    return run(graph, values, Plain())
