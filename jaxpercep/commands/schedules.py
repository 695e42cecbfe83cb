"""Learning-rate schedules by name."""

from collections.abc import Callable
from functools import partial

import optax

SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "constant": lambda rate, _: optax.constant_schedule(rate),
    "linear": lambda rate, steps: optax.linear_schedule(rate, 0.0, steps),
    "cosine": optax.cosine_decay_schedule,
    "exponential": partial(optax.exponential_decay, decay_rate=0.01),
}
"""By name, the schedule of (learning rate, steps)."""


def learning_rate(name: str, rate: float, steps: int, warmup: int) -> optax.ScalarOrSchedule:
    """Returns the learning rate of each of `steps` updates, of which the first warm up.

    Args:
        name: one of `SCHEDULES`.
        rate: the learning rate after the warm-up.
        steps: how many updates there are.
        warmup: over how many of them it rises, from rate / (warmup + 1), to `rate`.
    """
    if name == "constant" and not warmup:
        return rate
    fall = SCHEDULES[name](rate, steps - warmup)
    if not warmup:
        return fall
    rise = optax.linear_schedule(rate / (warmup + 1), rate, warmup)
    return optax.join_schedules([rise, fall], [warmup])
