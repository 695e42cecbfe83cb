"""Measures what flows through each operation of a function at some arguments, for the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.pullbacks import Site
from jaxpercep.compare.program.graph import RUN_ONCE, Graph, Operation, Plain, Value, perform, run


class Flowing(NamedTuple):
    """The largest numbers at one operation.

    Attributes:
        results: of the cotangents of its results.
        operands: by operand, of the cotangent that flows back along it.
        values: by operand, of its value.
    """

    results: float
    operands: dict[int, float]
    values: dict[int, float]


class Probed(NamedTuple):
    """What flows through a function.

    Attributes:
        at: by operation, outside of loops and branches.
        changes: by hypothesis, how far it alters the first cotangent that it alters.
    """

    at: dict[Operation, Flowing]
    changes: dict[Hypothesis, float]


class Sides(NamedTuple):
    """Arrays of one operation that a derivative can flow through, by position."""

    operands: dict[int, Value]
    results: dict[int, Value]


def probe(
    graph: Graph, values: Sequence[Value], weights: Value, hypotheses: Sequence[Hypothesis]
) -> Probed:
    """Measures what flows through each operation, and what hypotheses change at their place.

    Args:
        graph: its only output is an array; weighted and summed it is the function.
        values: of the graph's inputs.
        weights: of the output.
        hypotheses: to measure.
    """
    places = _outside_of_loops(graph)
    numbers = {operation: k for k, operation in enumerate(places)}

    def sides(values: Sequence[Value]) -> dict[int, Sides]:
        recorder = _Recorder(numbers)
        run(graph, values, recorder)
        return _sides(recorder.taken)

    taps = jax.tree.map(_zeros, jax.eval_shape(sides, list(values)))

    @RUN_ONCE
    def measured(values: Sequence[Value], weights: Value) -> Any:
        def function(taps: dict[int, Sides]) -> Any:
            recorder = _Recorder(numbers, taps)
            return jnp.vdot(weights, run(graph, values, recorder)[0]), recorder.taken

        _, pull_back, taken = jax.vjp(function, taps, has_aux=True)
        (cotangents,) = pull_back(jnp.ones((), weights.dtype))
        changes = {
            j: _change(hypothesis, taken[k], cotangents[k])
            for j, hypothesis in enumerate(hypotheses)
            if (k := numbers.get(hypothesis.operation)) is not None
        }
        return jax.tree.map(_largest, (cotangents, _sides(taken), changes))

    cotangents, of_values, changes = jax.device_get(measured(list(values), weights))
    at = {
        places[k]: Flowing(
            max(map(float, of.results.values()), default=0.0), of.operands, of_values[k].operands
        )
        for k, of in cotangents.items()
    }
    known = {j: change for j, change in changes.items() if change is not None}
    return Probed(at, {hypotheses[j]: float(change) for j, change in known.items()})


def _change(
    hypothesis: Hypothesis, taken: tuple[Sequence[Value], Sequence[Value]], cotangents: Sides
) -> Value | None:
    """Returns by how much a hypothesis alters a cotangent, where that can be told from outside."""
    operation, operand = hypothesis.switches[0]
    values, results = taken
    if operand < 0 or len(cotangents.results) < len(results):
        return None
    own = [cotangents.results[i] for i in range(len(results))]
    site = Site(operation, list(values), {}, results, own)
    return hypothesis.cause.alter(operand, site) - site.pull_back(operand, {})


def _outside_of_loops(graph: Graph) -> list[Operation]:
    """Lists the operations outside of loops and branches, each before those inside it."""
    found: list[Operation] = []
    for operation in graph.operations:
        found.append(operation)
        if operation.kind == "call":
            found += _outside_of_loops(operation.bodies[0])
    return found


@dataclass
class _Recorder(Plain):
    """Evaluates operations, adds taps to what they take and make, and keeps both.

    Attributes:
        numbers: of the operations to record.
        taps: by number, what is added.
        taken: by number, operands and results.
    """

    numbers: dict[Operation, int]
    taps: dict[int, Sides] = field(default_factory=dict)
    taken: dict[int, tuple[list[Value], list[Value]]] = field(default_factory=dict)

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns the operation's results, with taps."""
        k = self.numbers[operation]
        tap = self.taps.get(k, Sides({}, {}))
        given = _tapped(values, tap.operands)
        inner = self if operation.kind == "call" else Plain()
        results = _tapped(perform(operation, inner, given), tap.results)
        self.taken[k] = given, results
        return results


def _sides(taken: dict[int, tuple[list[Value], list[Value]]]) -> dict[int, Sides]:
    return {k: Sides(*map(_floating, pair)) for k, pair in taken.items()}


def _tapped(values: Sequence[Value], taps: dict[int, Value]) -> list[Value]:
    return [v + taps[i] if i in taps else v for i, v in enumerate(values)]


def _floating(values: Sequence[Value]) -> dict[int, Value]:
    arrays = {i: jnp.asarray(v) for i, v in enumerate(values)}
    return {i: v for i, v in arrays.items() if jnp.issubdtype(v.dtype, jnp.floating)}


def _zeros(shape: Any) -> Value:
    return jnp.zeros(shape.shape, shape.dtype)


def _largest(array: Value) -> Value:
    return jnp.max(jnp.abs(array), initial=0.0)
