"""Measures, at any arguments, how far each mistake would move the gradient of a function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxpercep.compare.evaluation.trees import distance, largest
from jaxpercep.compare.explanation.gates import Gates, fresh, rows, table_of
from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.program.graph import RUN_ONCE, Graph, Value, run

PLAIN = 1e-6  # a relative error that shows at other arguments, far above rounding
NOTHING = 1e-12  # of the largest number that any mistake makes: smaller ones are rounding


class LeafMistake(NamedTuple):
    """A mistake that would show in leaves alone: `other` is the position of the second one."""

    cause: Literal["zero", "transposed", "swapped", "weight_decay"]
    leaf: int
    other: int = -1


Mistake: TypeAlias = Hypothesis | LeafMistake


class Seen(NamedTuple):
    """What mistakes do to the gradient at some arguments.

    Attributes:
        right: the gradient.
        effect: max |wrong - right| by mistake and leaf.
        scale: the largest number of the two, likewise.
    """

    right: list[np.ndarray]
    effect: np.ndarray
    scale: np.ndarray

    @property
    def is_finite(self) -> bool:
        """True if the gradient exists at these arguments."""
        return all(np.isfinite(leaf).all() for leaf in self.right)

    def sizes(self) -> np.ndarray:
        """Returns relative effects by mistake and leaf, 0 where rounding explains them."""
        most = np.max(self.scale, initial=0.0, where=np.isfinite(self.scale))
        shows = np.isfinite(self.effect) & (self.effect > PLAIN * self.scale + NOTHING * most)
        return np.divide(self.effect, self.scale, out=np.zeros_like(self.effect), where=shows)


@dataclass(frozen=True)
class Survey:
    """Every mistake that is tried, and the program that tries them.

    Attributes:
        mistakes: in the flow, then in leaves.
        program: `(values, weights) -> right, effect, scale`.
        positions: of the leaves to differentiate by.
    """

    mistakes: tuple[Mistake, ...]
    program: Callable[..., Any]
    positions: Sequence[int]

    @classmethod
    def of(
        cls, graph: Graph, positions: Sequence[int], hypotheses: Sequence[Hypothesis]
    ) -> "Survey":
        """Compiles the hypotheses of a graph into one program.

        Args:
            graph: its only output is an array; weighted and summed it is the function.
            positions: of the leaves to differentiate by among the graph's inputs.
            hypotheses: about this graph.
        """
        shapes = [graph.inputs[i].aval.shape for i in positions]
        every = (*hypotheses, *_of_leaves(shapes))
        return cls(every, _program(graph, positions, hypotheses), positions)

    def at(self, values: Sequence[Value], weights: Value) -> Seen:
        """Tries every mistake at these values."""
        right, effect, scale = jax.device_get(self.program(list(values), weights))
        right = [np.asarray(leaf) for leaf in right]
        own = [largest(values[i]) for i in self.positions]
        extra = [_of_leaf(m, right, own) for m in self.mistakes if isinstance(m, LeafMistake)]
        shape = (-1, len(right))
        return Seen(
            right,
            np.concatenate([effect, np.reshape([e for e, _ in extra], shape)]),
            np.concatenate([scale, np.reshape([s for _, s in extra], shape)]),
        )


def _program(
    graph: Graph, positions: Sequence[int], hypotheses: Sequence[Hypothesis]
) -> Callable[..., Any]:
    """Compiles one gradient, which a loop evaluates without a mistake and then with each."""
    table = table_of(hypotheses)
    depth = max((len(h.loops) for h in hypotheses), default=0)
    every = rows(hypotheses, [(), *((j,) for j in range(len(hypotheses)))])

    def gradient(row: Value, values: Sequence[Value], weights: Value) -> list[Value]:
        gates = Gates(table, row, jnp.zeros(depth, jnp.int32), 0)

        def function(leaves: Sequence[Value]) -> Value:
            given = list(values)
            for position, leaf in zip(positions, leaves, strict=True):
                given[position] = leaf
            return jnp.vdot(weights, fresh(run(graph, given, gates)[0]))

        return jax.grad(function)([values[i] for i in positions])

    @RUN_ONCE
    def program(values: Sequence[Value], weights: Value) -> Any:
        def step(right: list[Value], row: Value) -> Any:
            leaves = gradient(row, values, weights)
            is_first = row[0, 0] < 0
            right = [jnp.where(is_first, g, r) for g, r in zip(leaves, right, strict=True)]
            pairs = list(zip(leaves, right, strict=True))
            effect = jnp.stack([_largest(a - b) for a, b in pairs])
            scale = jnp.stack([jnp.maximum(_largest(a), _largest(b)) for a, b in pairs])
            return right, (effect, scale)

        start = [jnp.zeros_like(values[i]) for i in positions]
        right, (effect, scale) = lax.scan(step, start, every)
        return right, effect[1:], scale[1:]

    return program


def _largest(array: Value) -> Value:
    return jnp.max(jnp.abs(array), initial=0.0)


def _of_leaves(shapes: Sequence[tuple[int, ...]]) -> list[LeafMistake]:
    """Lists the mistakes that single leaves may contain."""
    found = [LeafMistake("zero", i) for i in range(len(shapes))]
    square = [i for i, s in enumerate(shapes) if len(s) == 2 and s[0] == s[1] > 1]
    found += [LeafMistake("transposed", i) for i in square]
    pairs = combinations(range(len(shapes)), 2)
    found += [LeafMistake("swapped", i, j) for i, j in pairs if shapes[i] == shapes[j]]
    return found + [LeafMistake("weight_decay", i) for i in range(len(shapes))]


def _of_leaf(
    mistake: LeafMistake, right: Sequence[np.ndarray], own: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Returns effect and scale by leaf."""
    i, effect, scale = mistake.leaf, [0.0] * len(right), [0.0] * len(right)
    others = {
        "zero": np.zeros_like(right[i]),
        "transposed": right[i].T,
        "swapped": right[mistake.other],
        "weight_decay": right[i] + own[i],
    }
    other = others[mistake.cause]
    effect[i] = distance(right[i], other)
    scale[i] = max(largest(right[i]), largest(other))
    return effect, scale
