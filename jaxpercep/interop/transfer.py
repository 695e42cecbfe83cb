"""Moves arrays between a tree of flax and the parameters of a model."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep._checks import shown
from jaxpercep.interop.flax_layers import Leaf
from jaxpercep.layer import Params, check_not_state


@dataclass(frozen=True)
class Transfer:
    """A model's parameters and the leaves of a flax tree, array by array.

    Attributes:
        leaves: the leaves of the flax tree.
        structure: its structure.
        places: the model's parameters with, for each array, its place among the leaves.
    """

    leaves: list[Any]
    structure: Any
    places: Params

    def to_jaxpercep(self) -> Params:
        """Returns the leaves as parameters of the model: the very arrays, stacked for a Repeat.

        Raises:
            TypeError: The arrays to be stacked differ in dtype.
        """
        return jax.tree.map_with_path(self._gathered, self.places)

    def to_flax(self, params: Params) -> Any:
        """Returns the flax tree with the model's parameters as its leaves.

        Raises:
            ValueError: `params` differ from the model's in structure or shapes.
        """
        check_structure(params, self.places)
        leaves = list(self.leaves)
        named = jax.tree.leaves_with_path(params)
        for (path, array), place in zip(named, jax.tree.leaves(self.places), strict=True):
            check_parameter(f"params{jax.tree_util.keystr(path)}", array)
            expected = (*place.shape, *leaves[place.flat[0]].shape)
            if jnp.shape(array) != expected:
                raise ValueError(
                    f"params{jax.tree_util.keystr(path)} has shape {list(jnp.shape(array))}, "
                    f"expected {list(expected)}: pass parameters of this model."
                )
            for index in np.ndindex(place.shape):
                leaves[place[index]] = array[index] if index else array
        return self.structure.unflatten(leaves)

    def _gathered(self, path: Any, place: Any) -> Any:
        if place.ndim == 0:
            return self.leaves[place]
        parts = [self._gathered(path, part) for part in place]
        if len(dtypes := {str(part.dtype) for part in parts}) > 1:
            raise TypeError(
                f"params{jax.tree_util.keystr(path)}: Repeat stacks arrays of one dtype, flax's "
                f"are {' and '.join(sorted(dtypes))}; convert them to one."
            )
        if any(isinstance(part, jax.core.Tracer) for part in parts):
            return jnp.stack(parts)
        stacked = np.stack(parts)  # jnp.stack compiles, for seconds if there are many
        on_host = all(isinstance(part, np.ndarray) for part in parts)
        return stacked if on_host else jnp.asarray(stacked)  # jnp would narrow NumPy's float64


def check_parameter(name: str, leaf: Any) -> None:
    """Raises a `TypeError` unless the leaf, if it is an array, is floating and has no mask."""
    dtype = getattr(leaf, "dtype", None)
    if (
        dtype is None
        or isinstance(leaf, np.ma.MaskedArray)
        or not jnp.issubdtype(dtype, jnp.floating)
    ):
        came = f"a {type(leaf).__name__} of dtype {dtype}"
        raise TypeError(f"{name} is {came}; expected an array of floating point, without a mask.")


def flattened(argument: str, tree: Any) -> tuple[list[Any], Any, Any]:
    """Returns the leaves, the structure, and the tree with a `Leaf` in place of every array.

    Raises:
        TypeError: An array is not one of parameters; the message names the argument.
    """
    leaves, structure = jax.tree.flatten(tree)
    for path, leaf in jax.tree.leaves_with_path(tree):
        if hasattr(leaf, "shape") and not jnp.issubdtype(leaf.dtype, jnp.integer):
            check_parameter(argument + jax.tree_util.keystr(path), leaf)
    numbered = [
        Leaf(place, tuple(leaf.shape)) if hasattr(leaf, "shape") else leaf
        for place, leaf in enumerate(leaves)
    ]
    return leaves, structure, structure.unflatten(numbered)


def check_structure(params: Params, places: Params) -> None:
    """Raises unless `params` have the structure of `places`."""
    check_not_state("params", params)
    if jax.tree.structure(params) != jax.tree.structure(places):
        came, expected = (
            {jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)}
            for tree in (params, places)
        )
        odd = [f"params{name}" for name in sorted(came ^ expected)] or ["a container"]
        raise ValueError(
            f"params={shown(params)} is not of this model: {', '.join(odd[:4])} missing or "
            "unknown; draw them with its init(key)."
        )
