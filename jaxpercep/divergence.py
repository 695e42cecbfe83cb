"""What `fit` does when a loss is NaN or infinite: it goes back to the last state that is good."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Call(NamedTuple):
    """One compiled call of `fit`: the state before it, and its number of steps."""

    before: Any
    count: int


def step_back(
    take: Callable[[Any, int], tuple[Any, np.ndarray]], calls: Sequence[Call], good: int
) -> tuple[int, Any]:
    """Returns the step whose loss is not finite, with a warning, and the last state before it.

    Args:
        take: takes steps again: (state, count) -> (state, losses).
        calls: the last call, and the one before if there was one.
        good: the number of finite losses of the last call.

    Raises:
        ValueError: The first loss of all is not finite, for which no update is to blame.
    """
    if not good and len(calls) < 2:
        raise ValueError(
            "the loss is NaN or infinite before the first update: the model's outputs are outside "
            "of what the loss is defined for (BinaryCrossEntropy(from_logits=False) takes "
            "probabilities), or they overflow."
        )
    step = int(calls[-1].before.step) + good
    warnings.warn(
        f"training diverged: at step {step} the loss is NaN or infinite. The state before is "
        "returned, or the best one with early stopping; use a lower learning rate.",
        RuntimeWarning,
        stacklevel=3,
    )
    call = calls[-1] if good else calls[0]
    return step, take(call.before, (good or call.count) - 1)[0]
