"""The form of gradients: structure, shapes and dtypes, those of what they are the gradients of.

They are looked at where gradients are computed. Which layer of a model returned another form is
found afterwards, layer by layer, from shapes alone (`jax.eval_shape`).
"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxpercep.compose import Repeat, Residual, Serial
from jaxpercep.layer import Layer, Params
from jaxpercep.losses import Loss


@contextmanager
def naming_the_layer(
    model: Layer, params: Params, x: Any, loss: Loss | None = None, y: Any = None
) -> Generator[None]:
    """Names the layer, or the loss, that returns a gradient of a wrong form, if that made it fail.

    Raises:
        TypeError: A layer did not return a pair.
        ValueError: A gradient does not have the form of what it is the gradient of.
    """
    try:
        yield
    except Exception:
        _check_backward("model", model, params, x)
        if loss is not None:
            prediction = jax.eval_shape(model.apply, params, x)
            _, residuals = jax.eval_shape(loss.forward, prediction, y)
            gradient = jax.eval_shape(loss.backward, residuals)
            check_form(f"loss: {loss!r}.backward returned dprediction", gradient, prediction)
        raise


def check_form(what: str, gradient: Any, of: Any) -> None:
    """Raises a `ValueError` unless a gradient has structure, shapes and dtypes of what it is of."""
    came, due = jax.tree.structure(gradient), jax.tree.structure(of)
    if came != due:
        raise ValueError(f"{what} of structure {came}, expected {due}.")
    leaves = zip(jax.tree.leaves_with_path(gradient), jax.tree.leaves(of), strict=True)
    for (path, leaf), primal in leaves:
        came, due = _form(leaf), _form(primal)
        if came != due:
            raise ValueError(f"{what}{jax.tree_util.keystr(path)} of {came}, expected {due}.")


def _check_backward(where: str, layer: Layer, params: Params, x: Any) -> None:
    """Checks what `backward` returns, first of the layers inside."""
    y, residuals = jax.eval_shape(layer.forward, params, x)
    match layer:
        case Serial():
            h = x
            for i, (part, p) in enumerate(zip(layer.layers, params, strict=True)):
                _check_backward(f"{where}.layers[{i}]", part, p, h)
                h = jax.eval_shape(part.apply, p, h)
        case Residual():
            _check_backward(f"{where}.layer", layer.layer, params, x)
        case Repeat():
            first = jax.eval_shape(partial(jax.tree.map, _first), params)
            _check_backward(f"{where}.layer", layer.layer, first, x)
    returned = jax.eval_shape(layer.backward, params, residuals, y)
    what = f"{where}: {layer!r}.backward returned"
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"{what} a {type(returned).__name__}, expected the pair (dparams, dx).")
    check_form(f"{what} dparams", returned[0], params)
    check_form(f"{what} dx", returned[1], x)


def _first(stacked: jax.Array) -> jax.Array:
    return stacked[0]


def _form(array: Any) -> str:
    dtype = array.dtype if hasattr(array, "dtype") else jnp.result_type(array)
    return f"{dtype}{list(jnp.shape(array))}"
