"""What commands have in common: optimizers by name, what fits into memory, what networks say."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from jaxpercep import evaluation
from jaxpercep._checks import memory
from jaxpercep.commands.arguments import UsageError
from jaxpercep.layer import Layer, Params

OPTIMIZERS: dict[str, Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": partial(optax.sgd, momentum=0.9),
    "adam": optax.adam,
    "adamw": optax.adamw,
}


def check_memory(sizes: Sequence[int], networks: int = 1) -> None:
    """Raises a `UsageError` unless the parameters and their gradients fit into memory.

    Args:
        sizes: features from input to output.
        networks: how many are trained at a time.
    """
    needed = 2 * 4 * networks * sum((n + 1) * m for n, m in itertools.pairwise(sizes))
    present = memory()
    if needed > present:
        raise UsageError(
            f"--hidden {' '.join(map(str, sizes[1:-1]))}: the parameters and their gradient take "
            f"{needed / 1e9:,.1f} GB, this machine has {present / 1e9:,.1f} GB."
        )


def outputs_of(model: Layer, params: Params, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns what a network says of samples."""
    return np.asarray(evaluation.outputs(model, params, jnp.asarray(x)))
