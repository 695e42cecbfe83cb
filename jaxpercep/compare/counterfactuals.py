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

from jaxpercep.compare.graph import RUN_ONCE, Graph, Operation, Plain, Value, perform, run
from jaxpercep.compare.hypotheses import Hypothesis

AT_ONCE = 3
"""How many hypotheses may hold together."""


class Mismatch(NamedTuple):
    """How a leaf of the candidate differs from that of a hypothesis: one number per hypothesis.

    Attributes:
        scale: the larger of the two leaves' largest numbers.
        direct: max |candidate - hypothesis|.
        effect: max |hypothesis - right|.
        factor: the best f in candidate = f * hypothesis.
        scaled: max |candidate - f * hypothesis|.
        transposed: max |candidate - hypothesis^T|, infinite if the leaf is not square.
        coefficient: the best c in candidate = hypothesis + c * weight.
        decayed: max |candidate - hypothesis - c * weight|.
    """

    scale: Value
    direct: Value
    effect: Value
    factor: Value
    scaled: Value
    transposed: Value
    coefficient: Value
    decayed: Value


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
    measure = RUN_ONCE(_mismatches)
    return measure(problem.right, problem.right, problem.candidate, weights)


def _mismatches(leaves: Any, right: Any, candidate: Any, weights: Any) -> list[Mismatch]:
    return [_mismatch(*leaf) for leaf in zip(leaves, right, candidate, weights, strict=True)]


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
            return _mismatches(gradient(row, values, updated), right, candidate, weights)

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
        return _cut(self._is_on(operation, key), value)

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
        altered = [partial(_ALTERATIONS[alteration], operand) for operand, alteration in keys]
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
            site = _Site(operation, [given[i] for i in range(len(values))], new, results)
            chosen = dict(zip(floats, right, strict=True))
            for (operand, _), gate, wrong in zip(keys, gates, altered, strict=True):
                value = wrong(site, cotangents)
                chosen[operand] = jnp.where(gate, value, chosen[operand])
            return None, None, None, None, [chosen[i] for i in floats]

        switched.defvjp(fwd, bwd)
        others = {i: value for i, value in enumerate(values) if i not in floats}
        return switched(state, gates, others, dict(new), [values[i] for i in floats])


class _Site(NamedTuple):
    """Where a pullback is altered."""

    operation: Operation
    values: Sequence[Value]
    updated: Mapping[int, Value]
    results: Sequence[Value]

    def pull_back(self, operand: int, at: Mapping[int, Value], cotangents: Any) -> Value:
        """The right pullback to one operand, with other values in place of some operands'."""
        given = [at.get(i, value) for i, value in enumerate(self.values)]

        def function(value: Value) -> list[Value]:
            given[operand] = value
            return list(perform(self.operation, Plain(), given))

        return jax.vjp(function, given[operand])[1](cotangents)[0]


def _left_out(operand: int, site: _Site, cotangents: Sequence[Value]) -> Value:
    del operand, site
    return cotangents[0]


def _at_output(operand: int, site: _Site, cotangents: Sequence[Value]) -> Value:
    return site.pull_back(operand, {operand: site.results[0]}, cotangents)


def _turned(operand: int, site: _Site, cotangents: Sequence[Value]) -> Value:
    matrix = 1 - operand
    return site.pull_back(operand, {matrix: site.values[matrix].T}, cotangents)


def _dropped(operand: int, site: _Site, cotangents: Sequence[Value]) -> Value:
    del cotangents
    return jnp.zeros_like(site.values[operand])


def _stale(operand: int, site: _Site, cotangents: Sequence[Value]) -> Value:
    return site.pull_back(operand, site.updated, cotangents)


_ALTERATIONS = {
    "left_out": _left_out,
    "at_output": _at_output,
    "turned": _turned,
    "dropped": _dropped,
    "stale": _stale,
}


@jax.custom_vjp
def _cut(gate: Value, value: Value) -> Value:
    """The value; no gradient passes where the gate is on."""
    del gate
    return value


def _cut_forward(gate: Value, value: Value) -> tuple[Value, Value]:
    return value, gate


def _cut_backward(gate: Value, cotangent: Value) -> tuple[None, Value]:
    return None, jnp.where(gate, jnp.zeros_like(cotangent), cotangent)


_cut.defvjp(_cut_forward, _cut_backward)


def _mismatch(leaf: Value, right: Value, candidate: Value, weight: Value) -> Mismatch:
    """Measures one leaf; what is not a number counts as infinite."""
    factor = _ratio(jnp.vdot(leaf, candidate), jnp.vdot(leaf, leaf))
    difference = candidate - leaf
    coefficient = _ratio(jnp.vdot(weight, difference), jnp.vdot(weight, weight))
    square = leaf.ndim == 2 and leaf.shape[0] == leaf.shape[1] > 1
    return Mismatch(
        scale=jnp.maximum(_largest(leaf), _largest(candidate)),
        direct=_largest(difference),
        effect=_largest(leaf - right),
        factor=factor,
        scaled=_largest(candidate - factor * leaf),
        transposed=_largest(candidate - leaf.T) if square else jnp.inf * jnp.ones(()),
        coefficient=coefficient,
        decayed=_largest(difference - coefficient * weight),
    )


def _ratio(numerator: Value, denominator: Value) -> Value:
    return jnp.where(denominator == 0, 0, numerator / jnp.where(denominator == 0, 1, denominator))


def _largest(array: Value) -> Value:
    largest = jnp.max(jnp.abs(array), initial=0.0)
    return jnp.where(jnp.isnan(largest), jnp.inf, largest)
