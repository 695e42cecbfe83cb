"""Finds the flax layer that is the counterpart of each layer of a model.

The model is walked in the order of application. For each of its layers, exactly one of the flax
layers that may be applied next must have its parameters and shapes. If none has, it is another
network. If several have, the names do not tell, and nothing is guessed.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from jaxpercep.compose import Repeat, Residual, Serial
from jaxpercep.dense import Dense, DenseParams
from jaxpercep.interop.flax_layers import FlaxLayer, FlaxLayers, shown
from jaxpercep.layer import Layer, Params
from jaxpercep.norm import LayerNorm, LayerNormParams

_Lead: TypeAlias = tuple[int, ...]
"""Leading axes of every shape: the `times` of each surrounding Repeat that flax has stacked too."""


def match(model: Layer, layers: FlaxLayers) -> Params:
    """Returns the model's parameters with, for each array, its place among flax's leaves.

    A place is an integer array of shape `[]`, or `[times]` if flax has the layers of a Repeat one
    by one.

    Raises:
        ValueError: The layers do not fit, or fit in more than one way.
        TypeError: A layer of the model has parameters of a form of its own.
    """
    places = _places(layers, model, "", ())
    if left := layers.left():
        raise ValueError(f"The model has no layer for {_listed(left)}. {_advice(left[0])}")
    return places


def _places(layers: FlaxLayers, layer: Layer, where: str, lead: _Lead) -> Params:
    match layer:
        case Serial():
            parts = enumerate(layer.layers)
            return tuple(_places(layers, part, f"{where}.layers[{i}]", lead) for i, part in parts)
        case Residual():
            return _places(layers, layer.layer, f"{where}.layer", lead)
        case Repeat():
            return _repeated(layers, layer, where, lead)
        case Dense() | LayerNorm():
            return _taken(layers, layer, where, lead)
    shapes = jax.eval_shape(layer.init, jax.random.key(0))
    if jax.tree.leaves(shapes):
        raise TypeError(
            f"{_located(layer, where)} has parameters of a form of its own; only those of Dense "
            "and LayerNorm have counterparts. Convert the layers around it as models of their own."
        )
    return shapes


def _repeated(layers: FlaxLayers, layer: Repeat, where: str, lead: _Lead) -> Params:
    """Matches parameters that flax stacks too (nn.scan, nnx.vmap), or `times` single layers."""
    inner, stacked = f"{where}.layer", (*lead, layer.times)
    first = _first(layer.layer, ())
    if lead or first is None:
        return _places(layers, layer.layer, inner, stacked)
    dense_or_norm, axes = first
    together = _fitting(layers, dense_or_norm, (*stacked, *axes))
    apart = _fitting(layers, dense_or_norm, axes)
    if together and apart:
        raise _ambiguous(layer, where, together + apart)
    if together:
        return _places(layers, layer.layer, inner, stacked)
    turns = [f"{inner} (iteration {i} of {layer.times})" for i in range(1, layer.times + 1)]
    copies = [_places(layers, layer.layer, turn, ()) for turn in turns]
    return jax.tree.map(_stacked, *copies)


def _stacked(*places: np.ndarray) -> np.ndarray:
    return np.stack(places)


def _first(layer: Layer, lead: _Lead) -> tuple[Dense | LayerNorm, _Lead] | None:
    """Returns the first layer inside that has parameters, and the leading axes of Repeats."""
    match layer:
        case Dense() | LayerNorm():
            return layer, lead
        case Serial():
            return next(filter(None, (_first(part, lead) for part in layer.layers)), None)
        case Residual():
            return _first(layer.layer, lead)
        case Repeat():
            return _first(layer.layer, (*lead, layer.times))
    return None


def _taken(layers: FlaxLayers, layer: Dense | LayerNorm, where: str, lead: _Lead) -> Params:
    found = _fitting(layers, layer, lead)
    if len(found) > 1:
        raise _ambiguous(layer, where, found)
    if not found:
        raise _misfit(layer, where, _shapes(layer, lead), layers)
    layers.take(found[0])
    place: dict[str, Any] = {name: np.array(leaf.place) for name, leaf in found[0].leaves.items()}
    if isinstance(layer, Dense):
        return DenseParams(place["kernel"], place.get("bias"))
    return LayerNormParams(place["scale"], place["bias"])


def _fitting(layers: FlaxLayers, layer: Dense | LayerNorm, lead: _Lead) -> list[FlaxLayer]:
    shapes, epsilons = _shapes(layer, lead), (None, getattr(layer, "epsilon", None))
    return [head for head in layers.heads() if head.shapes == shapes and head.epsilon in epsilons]


def _shapes(layer: Dense | LayerNorm, lead: _Lead) -> dict[str, tuple[int, ...]]:
    if isinstance(layer, LayerNorm):
        return dict.fromkeys(("scale", "bias"), (*lead, layer.features))
    shapes: dict[str, tuple[int, ...]] = {"kernel": (*lead, layer.in_features, layer.out_features)}
    if layer.use_bias:
        shapes["bias"] = (*lead, layer.out_features)
    return shapes


# Messages


def _ambiguous(layer: Layer, where: str, found: Sequence[FlaxLayer]) -> ValueError:
    return ValueError(
        f"{_located(layer, where)} could be any of {_listed(found)}: their names do not say which "
        "is applied first. Pass order=[...]: the names of all flax layers, or of the modules that "
        "hold them, in the order of application."
    )


def _misfit(
    layer: Dense | LayerNorm, where: str, shapes: dict[str, tuple[int, ...]], layers: FlaxLayers
) -> ValueError:
    def likeness(head: FlaxLayer) -> tuple[bool, int]:
        same_kind = ("kernel" in head.leaves) == ("kernel" in shapes)
        return same_kind, len(head.shapes.items() & shapes.items())

    expected = f"{_located(layer, where)} has {shown(shapes)}"
    if heads := layers.heads():
        advice = _advice(max(heads, key=likeness))
        return ValueError(f"{expected}, but next in flax is {_listed(heads)}. {advice}")
    return ValueError(
        f"{expected}, but flax has no layer left for it: all {len(layers.all)} are used. A layer "
        "that flax applies twice has no counterpart: parameters are not shared here."
    )


def _advice(flax_layer: FlaxLayer) -> str:
    """Says which layer of a model the flax layer would be."""
    match flax_layer.shapes:
        case {"kernel": (*stacked, n, m)} if len(stacked) < 2:
            bias = "" if "bias" in flax_layer.leaves else ", use_bias=False"
            layer = f"Dense({n}, {m}{bias})"
        case {"scale": (*stacked, n), "bias": _} if len(stacked) < 2:
            layer = repr(LayerNorm(n, flax_layer.epsilon or 1e-6))
        case {"kernel": _}:
            return f"{flax_layer.name!r} is not a Dense: its kernel would have two axes."
        case _:
            return "A LayerNorm here has both scale and bias: give the one in flax both."
    layer = f"Repeat({layer}, {stacked[0]})" if stacked else layer
    return f"{flax_layer.name!r} would be {layer}."


def _listed(layers: Sequence[FlaxLayer]) -> str:
    named = "; ".join(map(str, layers[:4]))
    return f"{named}; and {len(layers) - 4} more" if len(layers) > 4 else named


def _located(layer: Layer, where: str) -> str:
    return f"{where.removeprefix('.')}: {layer!r}" if where else repr(layer)
