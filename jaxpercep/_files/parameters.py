"""The parameters of a model as an NPZ file, bit for bit."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import shown
from jaxpercep._files.npz import read_arrays
from jaxpercep._files.saved import DType
from jaxpercep.layer import Layer, Params, as_floating, check_not_state


def form(model: Layer) -> Params:
    """Returns the structure and shapes of a model's parameters; nothing is drawn."""
    return jax.eval_shape(model.init, jax.random.key(0))


def named(params: Params) -> dict[str, Any]:
    """Returns the leaves by name: `params[0].w` is a leaf of the first layer of a `Serial`."""
    leaves = jax.tree.leaves_with_path(params)
    return {f"params{jax.tree_util.keystr(path)}": leaf for path, leaf in leaves}


def checked(model: Layer, params: Params) -> dict[str, NDArray[Any]]:
    """Returns the parameters by name.

    Raises:
        ValueError: Their structure or shapes are not those of the model.
        TypeError: They are a state of training, or a leaf is not an array of one of the types in
            `DType`, or is traced.
    """
    due, fix = form(model), "pass those that its init(key) drew, or that were trained from them."
    check_not_state("params", params)
    if jax.tree.structure(params) != jax.tree.structure(due):
        raise ValueError(
            f"params={shown(params)} do not have the structure of those of model={model!r}; {fix}"
        )
    given, shapes = named(params), named(due)
    converted = named(as_floating("params", params))
    for name, array in converted.items():
        if isinstance(array, jax.core.Tracer):
            raise TypeError(f"{name} is traced: save cannot run under jit, vmap or grad.")
        if array.shape != shapes[name].shape:
            raise ValueError(
                f"{name} has shape {list(array.shape)}, that of model={model!r} has "
                f"{list(shapes[name].shape)}; {fix}"
            )
        dtype = np.asarray(given[name]).dtype.name
        if dtype != array.dtype.name or dtype not in get_args(DType):
            raise TypeError(
                f"{name} has dtype {dtype}, which JAX does not hold here, or no saved model does; "
                "convert it with .astype(jnp.float32)."
            )
    return {name: np.asarray(array) for name, array in converted.items()}


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Returns the content of an NPZ file."""
    file = io.BytesIO()
    carried: Any = {name: array.view(_carrier(array.dtype)) for name, array in arrays.items()}
    np.savez(file, **carried)
    return file.getvalue()


def unpacked(path: Path, form: Params, dtypes: Mapping[str, DType]) -> Params:
    """Reads the parameters of this form and these types, by name.

    Raises:
        ValueError: The file holds others, or cannot be read, or JAX does not hold one of the types.
    """
    arrays, due = read_arrays(path), named(form)
    came = {name: array.shape for name, array in arrays.items()}
    shapes = {name: leaf.shape for name, leaf in due.items()}
    if came != shapes or dtypes.keys() != due.keys():
        raise ValueError(
            f"it holds {shown(came)}, and the model has {shown(shapes)}; save the model again"
        )
    leaves = [_typed(name, arrays[name], dtypes[name]) for name in due]
    return jax.tree.structure(form).unflatten(leaves)


def _typed(name: str, array: NDArray[Any], dtype_name: str) -> jax.Array:
    """Returns a parameter in the type in which it was saved."""
    dtype = jnp.dtype(dtype_name)
    if array.dtype != _carrier(dtype):
        raise ValueError(
            f"{name} has dtype {array.dtype}, and had {dtype} when it was saved; save it again"
        )
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ValueError(
            f"{name} has dtype {dtype}, which JAX does not hold here: call "
            "jax.config.update('jax_enable_x64', True) first"
        )
    return jnp.asarray(array.view(dtype))


def _carrier(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Returns the type that holds the bits in an NPZ file, which knows no bfloat16."""
    return np.dtype(np.uint16) if dtype == jnp.bfloat16 else dtype
