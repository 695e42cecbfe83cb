"""Cotangents, or tangents, that a linear map is compared at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees

# A stream of our own: `default_rng(0)` is what a user's own data may be drawn from.
STREAM = 0x9D1F_6A3C_58E2_074B_C7B0_E9D4_213F_8A65
FACTOR = -16  # enough for a clipped cotangent to be clipped, and exact in every type


@dataclass(frozen=True)
class Cotangents:
    """Two independent cotangents; a map that is right at them and linear is right at all.

    Attributes:
        first: a tree of arrays, with None for integers.
        second: likewise.
    """

    first: Any
    second: Any

    @property
    def wide(self) -> "Cotangents":
        """The same in float64, where a sum is exact."""
        return Cotangents(trees.cast(self.first, "float64"), trees.cast(self.second, "float64"))

    @classmethod
    def of(cls, shapes: Any) -> "Cotangents":
        """Draws both for these shapes, the same in every run."""
        return cls(_drawn(shapes, 0), _drawn(shapes, 1))

    @property
    def multiple(self) -> Any:
        """A multiple of the first."""
        return jax.tree.map(_multiple, self.first)

    @property
    def sum(self) -> Any:
        """The sum of the two."""
        return jax.tree.map(jnp.add, self.first, self.second)

    @property
    def others(self) -> tuple[Any, ...]:
        """All but the first; at these a map that is not linear shows."""
        return self.second, self.multiple, self.sum

    def partial(self) -> Iterator[tuple[str, tuple[Any, Any]]]:
        """Yields pairs of cotangents that share one part with the first, and names the part.

        The name is that of a Python expression; if the part is empty, it is `""`.
        """
        rests = self.second, jax.tree.map(_multiple, self.second)
        for one, other in zip(*(_mixed(self.first, rest) for rest in rests), strict=True):
            yield one[0], (one[1], other[1])


def _multiple(array: Any) -> Any:
    return FACTOR * array


def _mixed(kept: Any, rest: Any) -> Iterator[tuple[str, Any]]:
    """Yields the rest with one part of what is kept in its place, none at first."""
    yield "", rest
    own, structure = jax.tree.flatten(kept)
    others = jax.tree.leaves(rest)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(kept)]
    for i, (leaf, path) in enumerate(zip(own, paths, strict=True)):
        if len(own) > 1:
            yield f"dy{path}", jax.tree.unflatten(structure, [*others[:i], leaf, *others[i + 1 :]])
        for text, index in _slices(leaf.shape):
            part = others[i].at[index].set(leaf[index])
            leaves = [*others[:i], part, *others[i + 1 :]]
            yield f"dy{path}[{text}]", jax.tree.unflatten(structure, leaves)


def _slices(shape: Sequence[int]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yields the first and the last slice along every axis, with the text between the brackets."""
    for axis, size in enumerate(shape):
        for index in (0, -1) if size > 1 else ():
            yield ", ".join([":"] * axis + [str(index)]), (*[slice(None)] * axis, index)


def _drawn(shapes: Any, number: int) -> Any:
    sizes = [size for shape in jax.tree.leaves(shapes) for size in shape.shape]
    seed = np.random.SeedSequence(STREAM, spawn_key=(number, *sizes))
    rng = np.random.Generator(np.random.Philox(seed))

    def draw(shape: Any) -> Any:
        if not jnp.issubdtype(shape.dtype, jnp.floating):
            return None
        return jnp.asarray(rng.normal(size=shape.shape), shape.dtype)

    return jax.tree.map(draw, shapes)
