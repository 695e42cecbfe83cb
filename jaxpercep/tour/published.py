"""The published figures that the tour reproduces, as JSON files in `figures`."""

import json
from functools import cache
from importlib import resources
from typing import Any

import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxpercep.dense import DenseParams


@cache
def load(name: str) -> dict[str, Any]:
    """Returns the contents of `figures/NAME.json`."""
    text = resources.files("jaxpercep.tour").joinpath("figures", f"{name}.json").read_text()
    return json.loads(text)


def dense_params(layer: dict[str, Any], dtype: DTypeLike = jnp.float32) -> DenseParams:
    """Returns the parameters of one published layer, {"w": [in][out], "b": [out]}."""
    return DenseParams(jnp.asarray(layer["w"], dtype), jnp.asarray(layer["b"], dtype))
