"""Decides whether a wrong cotangent at one place can be what makes all wrong leaves wrong.

A cotangent d added at a value u adds J^T d to the gradient, J = du/d(leaves). So the leaves' errors
must lie in the range of J^T: a least squares, in the directions of some of the leaves' numbers. All
J come from one run of the function with tangents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxpercep.compare.program.graph import RUN_ONCE, Graph, Operation, Plain, Value, perform, run

DIRECTIONS = 256  # numbers of the leaves, at most, that are looked at
LARGEST = 2048  # numbers, at most, of the operands of a place that is judged
MEMORY = 2e7  # numbers, at most, that are held
SPARE = 8  # columns of a sketch beyond its rank
CUTOFF = 1e-13  # relative: smaller singular values are rounding
CLOSE = 1e-7  # relative: what is left of an error that is explained


@dataclass(frozen=True)
class Errors:
    """The errors of the leaves that have no explanation, and of those that are right.

    Attributes:
        leaves: which these are, as their numbers.
        positions: of the leaves among the function's inputs.
        errors: candidate - right, by leaf.
        scale: the size of each leaf.
        floor: the largest error that rounding explains, absolute, by leaf.
    """

    leaves: Sequence[int]
    positions: Sequence[int]
    errors: Sequence[np.ndarray]
    scale: Sequence[float]
    floor: Sequence[float]

    def at(self, chosen: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Returns for chosen numbers of the leaves: whose they are, error, scale and floor."""
        owners = _owners(chosen)
        error = [e.ravel()[at] for e, at in zip(self.errors, chosen, strict=True)]
        scale = np.array([s or 1.0 for s in self.scale])
        numbers = np.array(self.leaves)
        return (
            numbers[owners],
            np.concatenate(error),
            scale[owners],
            np.array(self.floor)[owners],
        )

    def chosen(self) -> list[np.ndarray]:
        """Draws positions in each leaf, about as many in each, `DIRECTIONS` in all."""
        rng, left = np.random.default_rng(0), DIRECTIONS
        found: dict[int, np.ndarray] = {}
        order = sorted(range(len(self.errors)), key=lambda i: self.errors[i].size)
        for waiting, i in zip(range(len(order), 0, -1), order, strict=True):
            size = self.errors[i].size
            found[i] = np.sort(rng.permutation(size)[: left // waiting])
            left -= len(found[i])
        return [found[i] for i in range(len(self.errors))]


Places: TypeAlias = Mapping[Operation, Sequence[int]]
"""Operations, each with the positions of the operands that a gradient flows to."""


class Attribution:
    """Tells which places can explain the errors; those that cannot be judged can."""

    def __init__(
        self,
        graph: Graph,
        values: Sequence[Value],
        errors: Errors,
        places: Places,
        programs: dict[Any, Any],
    ) -> None:
        """Runs the function with tangents, and keeps those of the places' operands.

        Args:
            graph: of the function.
            values: of its inputs.
            errors: to be explained.
            places: that may be at fault.
            programs: that have been compiled for the graph, by what they are for.
        """
        self.errors, self.chosen = errors, errors.chosen()
        program = _Program(graph, values, errors.positions, programs)
        sizes = program.sizes(places)
        judged = {o: of for o, of in places.items() if 0 < sizes.get(o, 0) <= LARGEST}
        self.tangents: dict[Operation, np.ndarray] = {}
        if judged and sum(map(len, self.chosen)) * sum(map(sizes.__getitem__, judged)) <= MEMORY:
            self.tangents = program.tangents(judged, self.chosen)

    def explains(self, places: Sequence[Operation], leaves: int) -> bool:
        """Returns True if wrong cotangents at these places together can make leaves' errors.

        Args:
            places: operations whose pullbacks are wrong.
            leaves: those with errors to be explained, as a bit set; right ones have to stay right.
        """
        if not all(place in self.tangents for place in places):
            return True
        owners, error, scale, floor = self.errors.at(self.chosen)
        used = np.isin(owners, [leaf for leaf in self.errors.leaves if leaves >> leaf & 1])
        used |= error == 0.0
        matrix = np.concatenate([self.tangents[place] for place in places], axis=1)
        matrix, error = (matrix / scale[:, None])[used], (error / scale)[used]
        if not (np.isfinite(matrix).all() and np.isfinite(error).all()):
            return True
        if matrix.shape[1] > len(error) + SPARE:
            sketch = np.random.default_rng(0).normal(size=(matrix.shape[1], len(error) + SPARE))
            matrix = matrix @ sketch
        solution = np.linalg.lstsq(matrix, error, rcond=CUTOFF)[0]
        left = np.abs(matrix @ solution - error)
        return bool(np.all(left <= CLOSE + 10 * (floor / scale)[used]))


class _Program(NamedTuple):
    """A function of some of its inputs, the leaves."""

    graph: Graph
    values: Sequence[Value]
    positions: Sequence[int]
    programs: dict[Any, Any]

    @property
    def leaves(self) -> list[Value]:
        """The values of the leaves."""
        return [self.values[i] for i in self.positions]

    def operands(self, leaves: Sequence[Value], places: Places) -> dict[int, Value]:
        """Returns the operands of the places, each place's as one vector, by number."""
        given = list(self.values)
        for position, leaf in zip(self.positions, leaves, strict=True):
            given[position] = leaf
        recorder = _Recorder({o: (n, of) for n, (o, of) in enumerate(places.items())})
        run(self.graph, given, recorder)
        return {n: jnp.concatenate(list(map(jnp.ravel, v))) for n, v in recorder.found.items()}

    def sizes(self, places: Places) -> dict[Operation, int]:
        """Counts the numbers of the operands of each place, except in branches."""
        shapes = jax.eval_shape(partial(self.operands, places=places), self.leaves)
        return {o: shapes[n].size for n, o in enumerate(places) if n in shapes}

    def tangents(self, places: Places, chosen: Sequence[np.ndarray]) -> dict[Operation, np.ndarray]:
        """Returns for each place the tangents of its operands by directions of the leaves."""
        key = "tangents", *self.positions, *map(id, places)
        if key not in self.programs:
            self.programs[key] = self._compiled(places)
        found = self.programs[key](self.leaves, _owners(chosen), np.concatenate(list(chosen)))
        return {operation: np.asarray(found[n]) for n, operation in enumerate(places)}

    def _compiled(self, places: Places) -> Any:
        """Compiles the program `(leaves, whose directions, which) -> tangents by place`."""

        @RUN_ONCE
        def every(leaves: Sequence[Value], which: Value, at: Value) -> Any:
            operands, pullback = jax.vjp(partial(self.operands, places=places), leaves)
            # The transpose of the pullback, since rules of custom_vjp have no tangents.
            _, forward = jax.vjp(pullback, jax.tree.map(jnp.zeros_like, operands))

            def along(leaf: Value, at: Value) -> Value:
                units = [jnp.where(leaf == i, 1.0, 0.0) for i in range(len(leaves))]
                flat = [jnp.zeros(v.size).at[at].set(u) for u, v in zip(units, leaves, strict=True)]
                shaped = [f.reshape(v.shape) for f, v in zip(flat, leaves, strict=True)]
                return forward((shaped,))[0]

            return jax.vmap(along)(which, at)

        return every


def _owners(chosen: Sequence[np.ndarray]) -> np.ndarray:
    """Returns for each of the chosen numbers the position of its leaf."""
    return np.concatenate([np.full(len(at), i) for i, at in enumerate(chosen)])


class _Recorder(Plain):
    """Evaluates operations, and keeps the operands of some; not of those in branches."""

    def __init__(self, places: Mapping[Operation, tuple[int, Sequence[int]]]) -> None:
        self.places = places
        self.found: dict[int, Sequence[Value]] = {}

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        if operation in self.places:
            number, operands = self.places[operation]
            self.found[number] = [values[i] for i in operands]
        if operation.kind == "cond":
            return perform(operation, Plain(), values)
        if operation.loop is None:
            return perform(operation, self, values)
        first, carried, length, reverse = operation.loop

        def body(carry: Any, xs: Any) -> Any:
            inner = _Recorder(self.places)
            results = run(operation.bodies[0], [*values[:first], *carry, *xs], inner)
            return results[:carried], (results[carried:], inner.found)

        carry, scanned = list(values[first : first + carried]), list(values[first + carried :])
        carry, (ys, found) = lax.scan(body, carry, scanned, length=length, reverse=reverse)
        self.found.update(found)
        return [*carry, *ys]
