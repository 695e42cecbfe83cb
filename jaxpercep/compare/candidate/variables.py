"""The variables around an expression, where code that is suggested for it is evaluated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from types import FrameType
from typing import Any, NamedTuple

import jax
import numpy as np

SAMPLES = 3  # of a batch that are looked at


class Key(NamedTuple):
    """One value of a run: a site, and which pass through it."""

    site: int
    turn: int


class Sighting(NamedTuple):
    """One pass through an expression; inside `jax.vmap`, one sample of it.

    Attributes:
        key: the pass.
        sample: where the value stands in that of the pass: `()` outside of `jax.vmap`.
        value: that the expression has, before it is replaced.
        scope: the globals.
        variables: the locals.
    """

    key: Key
    sample: tuple[int, ...]
    value: Any
    scope: dict[str, Any]
    variables: dict[str, Any]

    def with_numbers(self) -> "Sighting":
        """Returns the same with arrays of NumPy; what is still abstract becomes None."""

        def number(leaf: Any) -> Any:
            if isinstance(leaf, jax.core.Tracer):
                return None
            return np.array(leaf) if isinstance(leaf, (jax.Array, np.ndarray)) else leaf

        variables = {name: jax.tree.map(number, value) for name, value in self.variables.items()}
        return self._replace(value=np.array(self.value, np.float64), variables=variables)


class Level(NamedTuple):
    """One `jax.vmap` around a frame.

    Attributes:
        size: of the batch.
        value: True if the value has its axis.
        arrays: which of the arrays have it.
    """

    size: int
    value: bool
    arrays: Sequence[bool]


@dataclass(frozen=True, eq=False)
class Variables:
    """The variables of a frame.

    Attributes:
        scope: the globals.
        arrays: arrays and tracers among the leaves of the locals.
        others: the locals, with numbers in the place of those leaves.
        levels: the axes that the value and the arrays have in front, the outermost first.
    """

    scope: dict[str, Any]
    arrays: Sequence[Any]
    others: Mapping[str, Any]
    levels: tuple[Level, ...] = ()

    @classmethod
    def of(cls, frame: FrameType) -> "Variables":
        """Reads a frame of the user's."""
        arrays: list[Any] = []

        def numbered(leaf: Any) -> Any:
            if not _is_array(leaf):
                return leaf
            arrays.append(leaf)
            return _Number(len(arrays) - 1)

        named = {k: v for k, v in frame.f_locals.items() if not k.startswith("_jaxpercep")}
        return cls(frame.f_globals, arrays, jax.tree.map(numbered, named))

    def outside(self, arrays: Sequence[Any], level: Level) -> "Variables":
        """Returns the same variables outside of a `jax.vmap`."""
        return replace(self, arrays=arrays, levels=(level, *self.levels))

    def samples(self, key: Key, value: Any) -> Iterator[Sighting]:
        """Yields what is seen; of a batch, the first samples."""
        for index in islice(np.ndindex(*(level.size for level in self.levels)), SAMPLES):
            own = [level.value for level in self.levels]
            sample = tuple(i for has, i in zip(own, index, strict=True) if has)
            taken = value[sample] if sample else value
            yield Sighting(key, sample, taken, self.scope, self.locals_at(index))

    def locals_at(self, index: Sequence[int]) -> dict[str, Any]:
        """Returns the locals of one sample."""

        def array(leaf: Any) -> Any:
            if not isinstance(leaf, _Number):
                return leaf
            taken = self.arrays[leaf]
            for level, i in zip(self.levels, index, strict=True):
                taken = taken[i] if level.arrays[leaf] else taken
            return taken

        return jax.tree.map(array, dict(self.others))


class _Number(int):
    """Stands for an array."""


def _is_array(leaf: Any) -> bool:
    is_numbers = isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc"
    return is_numbers or isinstance(leaf, jax.Array)


NOTHING = Variables({}, (), {})
