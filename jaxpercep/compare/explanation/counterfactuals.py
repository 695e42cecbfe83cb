"""Computes the gradients that a function would have if one pullback were mistaken.

The function is run with a gate at every place where a hypothesis alters a cotangent. One compiled
program evaluates all hypotheses, one after the other.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxpercep.compare.explanation.gates import Gates, Stale, fresh, rows, table_of
from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.mismatch import Mismatch, mismatches
from jaxpercep.compare.program.graph import RUN_ONCE, Constant, Graph, Value, run

CHUNK = 32  # combinations that are evaluated in one call


class Problem(NamedTuple):
    """A candidate that hypotheses are to explain.

    Attributes:
        graph: of the function, with one output, a scalar; None if it cannot be traced.
        values: of the graph's inputs.
        differentiated: the positions of the leaves among them.
        right: the gradient by these leaves.
        candidate: the gradient in question, likewise.
        programs: that have been compiled for the graph, by what they are for.
        updated: of `compare_updates`, the weights after the candidate's step.
    """

    graph: Graph | None
    values: Sequence[Value]
    differentiated: Sequence[int]
    right: Sequence[Value]
    candidate: Sequence[Value]
    programs: dict[Any, Any]
    updated: Sequence[Value] | None = None


def work(problem: Problem) -> int:
    """Counts the numbers that the function's operations take and make, roughly."""
    assert problem.graph is not None
    return sum(
        prod(variable.aval.shape) * (operation.loop.length if operation.loop else 1)
        for operation in problem.graph.walk()
        for variable in (*operation.operands, *operation.results)
        if not isinstance(variable, Constant)
    )


def mismatch_of_right(problem: Problem) -> list[Mismatch]:
    """Measures how each leaf of the candidate differs from that of the right gradient."""
    weights = [problem.values[i] for i in problem.differentiated]
    measure = RUN_ONCE(mismatches)
    return measure(problem.right, problem.right, problem.candidate, weights)


def evaluator(problem: Problem, hypotheses: Sequence[Hypothesis]) -> Any:
    """Returns the function `combinations of hypotheses -> a Mismatch for each leaf`.

    A combination is up to `AT_ONCE` positions in `hypotheses`. The fields of each `Mismatch` are
    arrays with one number for each combination. `CHUNK` of those are evaluated at a time, so that
    one program is enough.
    """
    key = (*problem.differentiated, *map(id, hypotheses))
    if key not in problem.programs:
        problem.programs[key] = _compiled(problem, hypotheses)
    evaluate = problem.programs[key]
    updated = problem.updated or [None] * len(problem.differentiated)
    fixed = problem.values, problem.right, problem.candidate, updated
    count = min(len(hypotheses) + 1, CHUNK)

    def of_combinations(combinations: Sequence[Sequence[int]]) -> list[Mismatch]:
        padded = [*combinations, *[()] * (-len(combinations) % count)]
        starts = range(0, len(padded), count)
        parts = [evaluate(rows(hypotheses, padded[i : i + count]), *fixed) for i in starts]
        return jax.tree.map(_joined, *parts)

    return of_combinations


def _compiled(problem: Problem, hypotheses: Sequence[Hypothesis]) -> Any:
    """Compiles the program that evaluates combinations of hypotheses, encoded as rows."""
    graph, differentiated = problem.graph, problem.differentiated
    assert graph is not None
    table = table_of(hypotheses)
    depth = max((len(h.loops) for h in hypotheses), default=0)

    def gradient(row: Value, values: Sequence[Value], updated: Any) -> Sequence[Value]:
        gates = Gates(table, row, jnp.zeros(depth, jnp.int32), 0)

        def function(leaves: Sequence[Value]) -> Value:
            given = list(values)
            for position, leaf, new in zip(differentiated, leaves, updated, strict=True):
                given[position] = leaf if new is None else Stale(leaf, new)
            return fresh(run(graph, given, gates)[0])

        return jax.grad(function)([values[i] for i in differentiated])

    @RUN_ONCE
    def evaluate(rows: Value, values: Any, right: Any, candidate: Any, updated: Any) -> Any:
        def one(row: Value) -> list[Mismatch]:
            weights = [values[i] for i in differentiated]
            return mismatches(gradient(row, values, updated), right, candidate, weights)

        return lax.map(one, rows)

    return evaluate


def _joined(*fields: Value) -> Value:
    return jnp.concatenate(fields)
