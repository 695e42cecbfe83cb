"""A multi-layer perceptron as scikit-learn has it: names of activations, lists of arrays."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxpercep.activations import activation, identity, relu, sigmoid, tanh
from jaxpercep.dense import DenseParams
from jaxpercep.layer import Params

ACTIVATIONS = {"identity": identity, "logistic": sigmoid, "relu": relu, "tanh": tanh}
NAMES: dict[Any, str] = {layer: name for name, layer in ACTIVATIONS.items()}


@activation(jnp.exp, keeps="output")
def exponential(y: jax.Array) -> jax.Array:
    """y = e^x; derivative y. No kink."""
    return y


def layered(coefs: Sequence[Any], intercepts: Sequence[Any]) -> Params:
    """Returns the parameters of the `mlp` whose dense layers have these weights and biases."""
    denses = [DenseParams(w, b) for w, b in zip(coefs, intercepts, strict=True)]
    hidden: list[Any] = [part for dense in denses[:-1] for part in (dense, ())]
    return (*hidden, denses[-1])


def unlayered(params: Params) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Returns the weights and the biases of the dense layers, as arrays that can be written to."""
    denses = [part for part in params if isinstance(part, DenseParams)]
    return [np.array(dense.w) for dense in denses], [np.array(dense.b) for dense in denses]
