"""Models as JSON: each layer by the name of its class with its hyperparameters, or by its own name.

`mlp([2, 8, 1], tanh)` is

    {"class": "Serial", "layers": [{"class": "Dense", "in_features": 2, ...}, {"class": "tanh"}, ...

Every hyperparameter is written out, so that another default changes no saved model.
"""

from dataclasses import fields
from typing import Any

import numpy as np

from jaxpercep import activations
from jaxpercep._checks import check_choice, shown
from jaxpercep.activations import Activation
from jaxpercep.compose import Repeat, Residual, Serial
from jaxpercep.dense import Dense
from jaxpercep.layer import Layer
from jaxpercep.norm import LayerNorm

_CLASSES = {kind.__name__: kind for kind in (Dense, LayerNorm, Repeat, Residual, Serial)}
_ACTIVATIONS = {
    name: value for name, value in vars(activations).items() if isinstance(value, Activation)
}
_NAMES = {layer: name for name, layer in _ACTIVATIONS.items()}


def described(layer: Layer, place: str = "model") -> dict[str, Any]:
    """Returns a layer as a JSON object, from which `built` makes an equal one.

    Args:
        layer: the layer.
        place: what to call it in an error.

    Raises:
        ValueError: It, or a layer inside it, is not one of the library's, or holds a function.
    """
    if layer in _NAMES:
        return {"class": _NAMES[layer]}
    name = type(layer).__name__
    kind = _CLASSES.get(name)
    if kind is None or type(layer) is not kind:
        raise ValueError(
            f"{place}={shown(layer)} cannot be saved: its class {name} is code, which no "
            f"file can hold. Build the model of {', '.join(_CLASSES)} and the library's "
            "activations, or save the parameters alone, with numpy.savez."
        )
    inside = {f.name: _value(getattr(layer, f.name), f"{place}.{f.name}") for f in fields(kind)}
    return {"class": name, **inside}


def _value(value: Any, place: str) -> Any:
    """Returns a hyperparameter as a JSON value."""
    if isinstance(value, tuple):
        return [_value(part, f"{place}[{i}]") for i, part in enumerate(value)]
    if isinstance(value, type):
        return value.__name__  # a dtype
    if isinstance(value, Layer):
        return described(value, place)
    if callable(value):
        raise ValueError(
            f"{place}={shown(value)} is a function, which no file can hold. Build the model with "
            "the name of an initializer, such as 'glorot_uniform': the parameters fit all the same."
        )
    return value.item() if isinstance(value, np.generic) else value


def built(value: Any) -> Layer:
    """Returns the layer that `described` wrote.

    Raises:
        ValueError: It is not the description of a layer.
        TypeError: A hyperparameter is of the wrong kind.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{shown(value)} is not a layer")
    name: Any = value.get("class")
    check_choice("class", name, [*_CLASSES, *_ACTIVATIONS])
    kind = _CLASSES.get(name)
    due = {"class"} if kind is None else {"class", *(f.name for f in fields(kind))}
    if value.keys() != due:
        raise ValueError(f"{name} has the fields {shown([*value])}, expected {sorted(due)}")
    if kind is None:
        return _ACTIVATIONS[name]
    given = {key: _inside(part) for key, part in value.items() if key != "class"}
    return Serial(*given["layers"]) if kind is Serial else kind(**given)


def _inside(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(built, value))
    return built(value) if isinstance(value, dict) else value
