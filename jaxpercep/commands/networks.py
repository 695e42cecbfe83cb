"""What the commands that train have in common: optimizers by name, and what fits into memory."""

import itertools
import os
from collections.abc import Callable, Sequence
from functools import partial

import optax

from jaxpercep.commands.arguments import UsageError

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
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise UsageError(
            f"--hidden {' '.join(map(str, sizes[1:-1]))}: the parameters and their gradient take "
            f"{needed / 1e9:,.1f} GB, this machine has {present / 1e9:,.1f} GB."
        )
