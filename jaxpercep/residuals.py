"""Storing each residual once.

What is one layer's output is the next one's input: sigmoid keeps its output y, and the dense layer
after it keeps the same array as its x. `store_once` recognizes arrays that are one object and keeps
one of them, so that a combinator may simply collect the residuals of its parts.
"""

from typing import Any

import jax
from jax.tree_util import PyTreeDef

from jaxpercep.layer import Residuals


@jax.tree_util.register_pytree_node_class
class StoredOnce:
    """A tree of residuals in which every array is held once.

    Attributes:
        arrays: the distinct arrays, in order of first appearance.
        treedef: the structure of the original tree.
        slots: for each leaf of the original tree the index of its array; -1, -2, ... stand for the
            arrays that the caller promised to give back to `restore`.
    """

    def __init__(
        self, arrays: tuple[jax.Array, ...], treedef: PyTreeDef, slots: tuple[int, ...]
    ) -> None:
        self.arrays = arrays
        self.treedef = treedef
        self.slots = slots

    def __repr__(self) -> str:
        return f"StoredOnce({self.treedef.unflatten(self.slots)!r}, arrays={self.arrays!r})"

    def tree_flatten(self) -> tuple[tuple[jax.Array, ...], Any]:
        """The arrays are the children; structure and slots are static."""
        return self.arrays, (self.treedef, self.slots)

    @classmethod
    def tree_unflatten(cls, static: Any, arrays: Any) -> "StoredOnce":
        """The inverse of `tree_flatten`."""
        return cls(tuple(arrays), *static)

    def restore(self, *given: jax.Array) -> Residuals:
        """Returns the original tree."""
        available = (*self.arrays, *reversed(given))
        return self.treedef.unflatten([available[slot] for slot in self.slots])


def store_once(residuals: Residuals, *given: jax.Array) -> StoredOnce:
    """Packs a tree so that each array is held once, and those in `given` not at all.

    Args:
        residuals: any pytree of arrays.
        given: arrays known to the caller from elsewhere; they must be passed to `restore` again.
    """
    leaves, treedef = jax.tree.flatten(residuals)
    arrays: list[jax.Array] = []
    slot_of = {id(array): -1 - i for i, array in enumerate(given)}
    for leaf in leaves:
        if id(leaf) not in slot_of:
            slot_of[id(leaf)] = len(arrays)
            arrays.append(leaf)
    return StoredOnce(tuple(arrays), treedef, tuple(slot_of[id(leaf)] for leaf in leaves))
