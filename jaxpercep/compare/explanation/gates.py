"""Runs a function with a gate at every pullback that may be mistaken; a combination opens some."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxpercep.compare.explanation.flow_causes import DROPPED_PATH, FlowCause
from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.pullbacks import Site
from jaxpercep.compare.program.graph import Operation, Plain, Value, perform, run

AT_ONCE = 3
"""The largest number of hypotheses that hold together."""

Key: TypeAlias = tuple[int, FlowCause]
"""An operand, or -1 - i for the output number i of a loop's body, and what is altered there."""

Table: TypeAlias = Mapping[Operation, Mapping[Key, list[int]]]
"""By operation and key, the positions of the hypotheses that alter it."""


def table_of(hypotheses: Sequence[Hypothesis]) -> Table:
    """Lists the alterations by operation."""
    table: dict[Operation, dict[Key, list[int]]] = defaultdict(dict)
    for position, hypothesis in enumerate(hypotheses):
        for operation, operand in hypothesis.switches:
            table[operation].setdefault((operand, hypothesis.cause), []).append(position)
    return table


def rows(hypotheses: Sequence[Hypothesis], combinations: Sequence[Sequence[int]]) -> Value:
    """Encodes combinations of hypotheses for `Gates`: `[combinations, AT_ONCE, 4]`."""
    absent = [-1, -1, -1, 0]

    def row(position: int) -> list[int]:
        iteration = hypotheses[position].iteration
        return [position, *((-1, -1, 0) if iteration is None else map(int, iteration))]

    padded = [
        [*map(row, combination), *[absent] * (AT_ONCE - len(combination))]
        for combination in combinations
    ]
    return jnp.asarray(padded, jnp.int32)


class Stale(NamedTuple):
    """A weight, or a value computed from weights alone, before and after their update."""

    value: Value
    updated: Value


def fresh(value: Value) -> Value:
    """Returns the value before an update."""
    return value.value if isinstance(value, Stale) else value


class Gates(NamedTuple):
    """Evaluates operations so that the mistakes of some hypotheses alter their cotangents.

    Attributes:
        table: the possible alterations.
        row: the hypotheses that hold, `[AT_ONCE, 4]`: position, and depth, index, others of an
            iteration.
        iterations: of the enclosing loops, by depth.
        depth: the number of enclosing loops.
    """

    table: Table
    row: Value
    iterations: Value
    depth: int

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns the operation's results, from which altered cotangents will flow."""
        if any(isinstance(value, Stale) for value in values):
            return self._apply_stale(operation, values)
        return self._gated(operation, values, {})

    def result(self, operation: Operation, index: int, value: Value) -> Value:
        """Returns an output of a loop's body, cut off where a hypothesis says so."""
        value, key = fresh(value), (-1 - index, DROPPED_PATH)
        if key not in self.table.get(operation, ()):
            return value
        return _cut(self._is_open(operation, key), value)

    def within(self, iteration: Value) -> "Gates":
        """Returns the gates inside a loop."""
        return self._replace(
            iterations=self.iterations.at[self.depth].set(iteration), depth=self.depth + 1
        )

    def _is_open(self, operation: Operation, key: Key) -> Value:
        """Returns True if a hypothesis that holds makes this alteration in this iteration."""
        position, depth, index, others = (self.row[:, i] for i in range(4))
        makes = jnp.isin(position, jnp.asarray(self.table[operation][key], jnp.int32))
        if not self.depth:
            return jnp.any(makes)
        now = self.iterations[jnp.maximum(depth, 0)] == index
        return jnp.any(makes & ((depth < 0) | (now ^ (others == 1))))

    def _apply_stale(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Evaluates an operation, also with the updated weights where it takes nothing else."""
        if operation.kind == "call":
            return run(operation.bodies[0], values, self)
        old = [fresh(value) for value in values]
        if operation.kind != "atom":
            given = list(values)
            if operation.loop is not None:
                carry = slice(first := operation.loop.constants, first + operation.loop.carried)
                given[carry] = old[carry]
            return perform(operation, self, given)
        new = {i: value.updated for i, value in enumerate(values) if isinstance(value, Stale)}
        results = self._gated(operation, old, new)
        constants = [not isinstance(v, Stale) and not jnp.ndim(v) for v in values]
        if all(i in new or constant for i, constant in enumerate(constants)):
            updated = perform(operation, Plain(), [new.get(i, v) for i, v in enumerate(old)])
            return [Stale(*pair) for pair in zip(results, updated, strict=True)]
        return results

    def _gated(
        self, operation: Operation, values: Sequence[Value], new: Mapping[int, Value]
    ) -> Sequence[Value]:
        """Returns the results, with gates in the pullback if any hypothesis alters it."""
        keys = [key for key in self.table.get(operation, ()) if key[0] >= 0]
        if not keys:
            return perform(operation, self, values)
        return self._altered(operation, keys, values, new)

    def _altered(
        self,
        operation: Operation,
        keys: Sequence[Key],
        values: Sequence[Value],
        new: Mapping[int, Value],
    ) -> Sequence[Value]:
        """Returns the results, with gates in the pullback that choose between right and altered."""
        state = self.row, self.iterations
        gates = [self._is_open(operation, key) for key in keys]
        floats = [
            i for i, v in enumerate(values) if jnp.issubdtype(jnp.result_type(v), jnp.floating)
        ]

        def merged(others: Any, floating: Sequence[Value]) -> list[Value]:
            given = dict(others) | dict(zip(floats, floating, strict=True))
            return [given[i] for i in range(len(values))]

        def forward(state: Any, others: Any, floating: Sequence[Value]) -> list[Value]:
            gates = self._replace(row=state[0], iterations=state[1])
            return list(perform(operation, gates, merged(others, floating)))

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
            site = Site(operation, merged(others, floating), new, results, cotangents)
            chosen = dict(zip(floats, right, strict=True))
            for (operand, cause), gate in zip(keys, gates, strict=True):
                chosen[operand] = jnp.where(gate, cause.alter(operand, site), chosen[operand])
            return None, None, None, None, [chosen[i] for i in floats]

        switched.defvjp(fwd, bwd)
        others = {i: value for i, value in enumerate(values) if i not in floats}
        return switched(state, gates, others, dict(new), [values[i] for i in floats])


@jax.custom_vjp
def _cut(gate: Value, value: Value) -> Value:
    """Returns the value; no gradient passes through it if the gate is open."""
    del gate
    return value


def _cut_forward(gate: Value, value: Value) -> tuple[Value, Value]:
    return value, gate


def _cut_backward(gate: Value, cotangent: Value) -> tuple[None, Value]:
    return None, jnp.where(gate, jnp.zeros_like(cotangent), cotangent)


_cut.defvjp(_cut_forward, _cut_backward)
