"""What the gradient would have been, had one pullback been written wrongly.

The function is run with a switch at every place where a hypothesis alters a cotangent. One compiled
program evaluates all hypotheses, one after the other.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxpercep.compare.explanation.alterations import ALTERATIONS, Site, cut
from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.mismatch import Mismatch, mismatches
from jaxpercep.compare.program.graph import RUN_ONCE, Graph, Operation, Plain, Value, perform, run

AT_ONCE = 3
"""How many hypotheses may hold together."""


class Problem(NamedTuple):
    """What hypotheses are to explain.

    Attributes:
        graph: of the function, with one output, a scalar; None if there is none.
        values: of the graph's inputs.
        differentiated: the positions of the leaves among them.
        right: the gradient, a leaf each.
        candidate: the gradient in question, likewise.
        updated: of `compare_updates`, the weights after the candidate's step.
    """

    graph: Graph | None
    values: Sequence[Value]
    differentiated: Sequence[int]
    right: Sequence[Value]
    candidate: Sequence[Value]
    updated: Sequence[Value] | None = None


def mismatch_of_right(problem: Problem) -> list[Mismatch]:
    """How each leaf of the candidate differs from that of the right gradient."""
    weights = [problem.values[i] for i in problem.differentiated]
    measure = RUN_ONCE(mismatches)
    return measure(problem.right, problem.right, problem.candidate, weights)


def evaluator(problem: Problem, hypotheses: Sequence[Hypothesis]) -> Any:
    """The compiled program: `combinations of hypotheses -> a Mismatch for each leaf`.

    A combination is up to `AT_ONCE` positions in `hypotheses`. The fields of each `Mismatch` are
    arrays with one number for each combination.
    """
    graph = problem.graph
    assert graph is not None
    table = _table(hypotheses)
    depth = max((len(h.loops) for h in hypotheses), default=0)

    def gradient(row: Value, values: Sequence[Value], updated: Any) -> Sequence[Value]:
        gates = _Gates(table, row, jnp.zeros(depth, jnp.int32), 0)

        def function(leaves: Sequence[Value]) -> Value:
            given = list(values)
            for position, leaf, new in zip(problem.differentiated, leaves, updated, strict=True):
                given[position] = leaf if new is None else _Stale(leaf, new)
            return _fresh(run(graph, given, gates)[0])

        return jax.grad(function)([values[i] for i in problem.differentiated])

    @RUN_ONCE
    def evaluate(rows: Value, values: Any, right: Any, candidate: Any, updated: Any) -> Any:
        def one(row: Value) -> list[Mismatch]:
            weights = [values[i] for i in problem.differentiated]
            return mismatches(gradient(row, values, updated), right, candidate, weights)

        return lax.map(one, rows)

    updated = problem.updated or [None] * len(problem.differentiated)
    fixed = problem.values, problem.right, problem.candidate, updated

    def of_combinations(combinations: Sequence[Sequence[int]]) -> list[Mismatch]:
        return evaluate(_rows(hypotheses, combinations), *fixed)

    return of_combinations


def _rows(hypotheses: Sequence[Hypothesis], combinations: Sequence[Sequence[int]]) -> Value:
    """Combinations of hypotheses as the program takes them: `[combinations, AT_ONCE, 4]`."""
    absent = [-1, -1, -1, 0]

    def row(position: int) -> list[int]:
        iteration = hypotheses[position].iteration
        return [position, *((-1, -1, 0) if iteration is None else map(int, iteration))]

    padded = [
        [*map(row, combination), *[absent] * (AT_ONCE - len(combination))]
        for combination in combinations
    ]
    return jnp.asarray(padded, jnp.int32)


Table = Mapping[Operation, Mapping[tuple[int, str], list[int]]]
"""By operation, operand and alteration: the hypotheses that make it."""


def _table(hypotheses: Sequence[Hypothesis]) -> Table:
    table: dict[Operation, dict[tuple[int, str], list[int]]] = defaultdict(dict)
    for position, hypothesis in enumerate(hypotheses):
        for operation, operand, alteration in hypothesis.switches:
            table[operation].setdefault((operand, alteration), []).append(position)
    return table


class _Stale(NamedTuple):
    """A weight, or what was made from weights alone, before and after their update."""

    value: Value
    updated: Value


def _fresh(value: Value) -> Value:
    return value.value if isinstance(value, _Stale) else value


class _Gates(NamedTuple):
    """Runs a function with the alterations of some hypotheses.

    Attributes:
        table: what can be altered.
        row: the hypotheses that hold, `[AT_ONCE, 4]`: position, and depth, index, others of an
            iteration.
        iterations: of the loops around, by depth.
        depth: the number of loops around.
    """

    table: Table
    row: Value
    iterations: Value
    depth: int

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """The operation's results, from which altered cotangents will flow."""
        if any(isinstance(value, _Stale) for value in values):
            return self._apply_stale(operation, values)
        alterations = [key for key in self.table.get(operation, ()) if key[0] >= 0]
        if not alterations:
            return perform(operation, self, values)
        return self._altered(operation, alterations, values, {})

    def result(self, operation: Operation, index: int, value: Value) -> Value:
        """What a loop's body passes on, cut off where a hypothesis says so."""
        value = _fresh(value)
        key = (-1 - index, "dropped")
        if key not in self.table.get(operation, ()):
            return value
        return cut(self._is_on(operation, key), value)

    def within(self, iteration: Value) -> "_Gates":
        """The gates inside a loop."""
        return self._replace(
            iterations=self.iterations.at[self.depth].set(iteration), depth=self.depth + 1
        )

    def _is_on(self, operation: Operation, key: tuple[int, str]) -> Value:
        """Whether a hypothesis that holds makes this alteration, here and now."""
        position, depth, index, others = (self.row[:, i] for i in range(4))
        makes = jnp.isin(position, jnp.asarray(self.table[operation][key], jnp.int32))
        if not self.depth:
            return jnp.any(makes)
        now = self.iterations[jnp.maximum(depth, 0)] == index
        return jnp.any(makes & ((depth < 0) | (now ^ (others == 1))))

    def _apply_stale(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Also follows what the updated weights would have given."""
        if operation.kind == "call":
            return run(operation.bodies[0], values, self)
        fresh = [_fresh(value) for value in values]
        if operation.kind != "atom":
            given = list(values)
            if operation.loop is not None:
                first, carried = operation.loop.constants, operation.loop.carried
                given[first : first + carried] = fresh[first : first + carried]
            return perform(operation, self, given)
        new = {i: value.updated for i, value in enumerate(values) if isinstance(value, _Stale)}
        keys = [key for key in self.table.get(operation, ()) if key[0] >= 0]
        if keys:
            results = self._altered(operation, keys, fresh, new)
        else:
            results = perform(operation, self, fresh)
        constants = [not isinstance(v, _Stale) and not jnp.ndim(v) for v in values]
        if all(i in new or constant for i, constant in enumerate(constants)):
            updated = perform(operation, Plain(), [new.get(i, v) for i, v in enumerate(fresh)])
            return [_Stale(*pair) for pair in zip(results, updated, strict=True)]
        return results

    def _altered(
        self,
        operation: Operation,
        keys: Sequence[tuple[int, str]],
        values: Sequence[Value],
        new: Mapping[int, Value],
    ) -> Sequence[Value]:
        """The results, with a pullback in which gates choose between right and altered."""
        state = self.row, self.iterations
        gates = [self._is_on(operation, key) for key in keys]
        altered = [partial(ALTERATIONS[alteration], operand) for operand, alteration in keys]
        floats = [
            i for i, v in enumerate(values) if jnp.issubdtype(jnp.result_type(v), jnp.floating)
        ]

        def forward(state: Any, others: Any, floating: Sequence[Value]) -> list[Value]:
            given = dict(others) | dict(zip(floats, floating, strict=True))
            gates = self._replace(row=state[0], iterations=state[1])
            return list(perform(operation, gates, [given[i] for i in range(len(values))]))

        @jax.custom_vjp
        def switched(state: Any, gates: Any, others: Any, new: Any, floating: Any) -> Any:
            del gates, new
            return forward(state, others, floating)

        def fwd(state: Any, gates: Any, others: Any, new: Any, floating: Any) -> Any:
            results, pullback = jax.vjp(partial(forward, state, others), floating)
            return results, (gates, others, new, floating, results, pullback)

        def bwd(saved: Any, cotangents: Any) -> Any:
            gates, others, new, floating, results, pullback = saved
            (right,) = pullback(cotangents)
            given = dict(others) | dict(zip(floats, floating, strict=True))
            site = Site(operation, [given[i] for i in range(len(values))], new, results)
            chosen = dict(zip(floats, right, strict=True))
            for (operand, _), gate, wrong in zip(keys, gates, altered, strict=True):
                value = wrong(site, cotangents)
                chosen[operand] = jnp.where(gate, value, chosen[operand])
            return None, None, None, None, [chosen[i] for i in floats]

        switched.defvjp(fwd, bwd)
        others = {i: value for i, value in enumerate(values) if i not in floats}
        return switched(state, gates, others, dict(new), [values[i] for i in floats])
