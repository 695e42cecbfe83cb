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

    kernel is w, bias is b, scale is scale. The arrays are the very ones given, but for those that a
    Repeat stacks where flax has them layer by layer.

    Args:
        model: the same network, of Dense, LayerNorm and layers without parameters, in Serial,
            Residual and Repeat.
        variables: what `module.init` returned or training made of it, a dict or a FrozenDict;
            or what is in its `"params"`; or gradients of either.
        order: paths of the flax layers, or of the modules that hold some, first applied first, as
            `["embed", "blocks/0", "head"]`: needed where numbered names and shapes do not tell.

    Raises:
        TypeError: variables that are no mapping of arrays, a layer of the model with parameters of
            a form of its own, arrays of different dtypes for a Repeat to stack.
        ValueError: a flax layer without a counterpart, another number of layers, other shapes, a
            missing bias, collections beside `"params"`, or an order that is not known.
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
        variables: what `module.init` returns, or its shapes alone: `jax.eval_shape(module.init,
            key, x)`. The names and containers are taken from it.
        order: as in `from_linen`.

    Raises:
        TypeError, ValueError: as `from_linen`; params that are not those of the model.
    """
    return _transfer(model, variables, order).to_flax(params)


def _transfer(model: Layer, variables: Mapping[str, Any], order: Sequence[str] | None) -> Transfer:
    check_layer("model", model)
    if not isinstance(variables, Mapping):
        raise TypeError(
            f"variables is a {type(variables).__name__}, expected what module.init(key, x) returns."
        )
    leaves, structure, numbered = flattened(variables)
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
            "has no counterpart in jaxpercep. What does not change the output, leave out."
        )
    return variables["params"]
