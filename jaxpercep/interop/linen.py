"""Parameters of flax linen modules, to and from jaxpercep."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import linen as nn

from jaxpercep.interop.flax_layers import FlaxLayers, unsupported
from jaxpercep.interop.matching import match
from jaxpercep.interop.transfer import Transfer, flattened
from jaxpercep.layer import Layer, Params, check_layer


def from_linen(
    model: Layer, variables: Mapping[str, Any], *, order: Sequence[str] | None = None
) -> Params:
    """Returns the parameters of `model` that a linen module has in `variables`, bit for bit.

    kernel is w, bias is b, scale is scale. The arrays are the very ones given, except those that a
    Repeat stacks and flax has layer by layer.

    Args:
        model: the same network, of Dense, LayerNorm and layers without parameters, in Serial,
            Residual and Repeat.
        variables: the result of `module.init`, or of training, a dict or a FrozenDict; or its
            `"params"`; or gradients of either.
        order: paths of the flax layers, or of the modules that contain them, in the order of
            application, as `["embed", "blocks/0", "head"]`: needed if numbers in the names and
            shapes do not tell it.

    Raises:
        TypeError: `variables` is not a mapping of arrays, a layer of the model has parameters of a
            form of its own, or the arrays that a Repeat stacks differ in dtype.
        ValueError: A flax layer has no counterpart; the numbers of layers, or their shapes, differ;
            a bias is missing; there are collections beside `"params"`; or the order is not known.
    """
    return _transfer(model, variables, order).to_jaxpercep()


def to_linen(
    model: Layer,
    params: Params,
    variables: Mapping[str, Any],
    *,
    order: Sequence[str] | None = None,
) -> Any:
    """Returns `variables` with the model's parameters in it, bit for bit: undoes `from_linen`.

    Args:
        model: the same network, as in `from_linen`.
        params: its parameters, or gradients.
        variables: the result of `module.init`, or its shapes alone: `jax.eval_shape(module.init,
            key, x)`. It gives the names and containers.
        order: as in `from_linen`.

    Raises:
        TypeError: As in `from_linen`.
        ValueError: As in `from_linen`, or `params` are not those of the model.
    """
    return _transfer(model, variables, order).to_flax(params)


def _transfer(model: Layer, variables: Mapping[str, Any], order: Sequence[str] | None) -> Transfer:
    check_layer("model", model)
    if not isinstance(variables, Mapping):
        raise TypeError(
            f"variables is a {type(variables).__name__}, expected a result of module.init(key, x)."
        )
    leaves, structure, numbered = flattened("variables", variables)
    layers = FlaxLayers(_params_of(numbered), order)
    for layer in layers.all:
        name = re.sub(r"_\d+$", "", layer.path[-1] if layer.path else "")
        if isinstance(kind := getattr(nn, name, None), type) and kind not in (
            nn.Dense,
            nn.LayerNorm,
        ):
            raise unsupported(layer.name, f"flax.linen.{name}")
    return Transfer(leaves, structure, match(model, layers))


def _params_of(variables: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(variables.get("params"), Mapping):
        return variables
    others = [name for name in variables if name != "params" and jax.tree.leaves(variables[name])]
    if others:
        raise ValueError(
            f"variables has {', '.join(others)} beside params: a layer with state (BatchNorm, say) "
            "has no counterpart in jaxpercep. Leave out collections that do not change the output."
        )
    return variables["params"]
