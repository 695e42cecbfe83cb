"""Takes the sum off the end of a function, so that its terms can be weighted otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxpercep.compare.program.graph import (
    Constant,
    Graph,
    Operation,
    Plain,
    Value,
    Variable,
    run,
)

LINEAR = {"mul", "div", "neg", "convert_element_type", "reshape", "squeeze", "copy"}


@dataclass(eq=False, frozen=True)
class Renamed:
    """A variable of a call's body, in the graph around it."""

    aval: Any


@dataclass(frozen=True)
class Summed:
    """A function as the inner product of an array with weights.

    Attributes:
        graph: its only output is the array.
        weights: of the array's numbers.
        operation: the sum that has been taken off, or None if the array is the function's value.
    """

    graph: Graph
    weights: Value
    operation: Operation | None


def without_sum(graph: Graph, dtype: Any) -> Summed:
    """Takes the last sum, and the constant factors after it, off a function with one scalar."""
    graph = _opened(graph)
    tail: list[Operation] = []
    variable: Variable = graph.outputs[0]
    made = {result: operation for operation in graph.operations for result in operation.results}
    while (last := made.get(variable)) is not None and last.kind == "atom":
        others = [o for o in last.operands if not isinstance(o, Constant)]
        if len(others) != 1 or last.name not in LINEAR | {"reduce_sum"}:
            break
        tail.insert(0, last)
        variable = others[0]
        if last.name == "reduce_sum":
            break
    if not tail or tail[0].name != "reduce_sum":
        return Summed(graph, jnp.ones((), dtype), None)
    rest = Graph([variable], {}, tail, graph.outputs)

    def total(array: Value) -> Value:
        return run(rest, [array], Plain())[0]

    weights = jax.grad(total)(jnp.zeros(variable.aval.shape, dtype))
    kept = [operation for operation in graph.operations if operation not in tail]
    return Summed(Graph(graph.inputs, graph.captured, kept, [variable]), weights, tail[0])


def _opened(graph: Graph) -> Graph:
    """Puts the bodies of the calls that compute the output in their place."""
    while True:
        output = graph.outputs[0]
        found = [i for i, o in enumerate(graph.operations) if output in o.results]
        if not found:
            return graph
        place = found[0]
        last = graph.operations[place]
        linear = last.kind == "atom" and last.name in LINEAR
        if linear and (source := _producer(graph, last)) is not None:
            place, last = source, graph.operations[source]
        if last.kind != "call":
            return graph
        graph = _inlined(graph, place)


def _producer(graph: Graph, operation: Operation) -> int | None:
    """Returns the position of what computes the only variable that an operation takes."""
    others = [o for o in operation.operands if not isinstance(o, Constant)]
    places = [i for i, o in enumerate(graph.operations) if set(o.results) & set(others)]
    return places[0] if len(others) == 1 and places else None


def _inlined(graph: Graph, place: int) -> Graph:
    """Replaces a call by the operations of its body."""
    call = graph.operations[place]
    body = call.bodies[0]
    names: dict[Variable, Any] = dict(zip(body.inputs, call.operands, strict=True))
    captured = {}
    for variable, value in body.captured.items():
        names[variable] = Renamed(variable.aval)
        captured[names[variable]] = value

    def named(operands: Sequence[Any]) -> list[Any]:
        return [
            o if isinstance(o, Constant) else names.setdefault(o, Renamed(o.aval)) for o in operands
        ]

    inside = [
        replace(o, operands=named(o.operands), results=named(o.results)) for o in body.operations
    ]
    results = dict(zip(call.results, named(body.outputs), strict=True))

    def read(operands: Sequence[Any]) -> list[Any]:
        return [o if isinstance(o, Constant) else results.get(o, o) for o in operands]

    after = [replace(o, operands=read(o.operands)) for o in graph.operations[place + 1 :]]
    operations = [*graph.operations[:place], *inside, *after]
    return Graph(graph.inputs, {**graph.captured, **captured}, operations, read(graph.outputs))
