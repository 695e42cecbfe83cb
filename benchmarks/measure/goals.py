"""Time to a given loss and accuracy on digits: the measure that no batch size can flatter.

Each method trains the same network from the same first parameters on the same minibatches. After
each epoch the clock is stopped while the loss and accuracy are computed.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

from benchmarks.measure.messages import Task
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.worker import Worker
from benchmarks.peers import Method
from benchmarks.plan import goal_setting
from benchmarks.results import Goal, Setting
from benchmarks.workloads import Floats, Parameters, Workload
from jaxpercep.datasets import Dataset, Split, digits

MIN_EPOCHS, MAX_EPOCHS = 10, 60  # enough to know the time of an epoch well, and no more


@dataclass(frozen=True)
class Digits(Workload):
    """The classification, on minibatches of scikit-learn's digits."""

    def batches(self, setting: Setting, steps: int, seed: int) -> tuple[Floats, NDArray[np.int32]]:
        """Returns the first `steps` batches of the first epoch."""
        x, y = self.epoch(digits().train, setting.batch, 0, seed)
        return x[:steps], y[:steps]

    def epoch(
        self, data: Dataset, batch: int, number: int, seed: int
    ) -> tuple[Floats, NDArray[np.int32]]:
        """Returns all samples in random order, as batches; the rest that fills none is dropped."""
        steps = len(data.x) // batch
        order = np.random.default_rng([seed, 2, number]).permutation(len(data.x))
        rows = order[: steps * batch].reshape(steps, batch)
        return data.x[rows], data.y[rows]


TARGETS = {"test accuracy": 0.95, "train loss": 0.1}
"""The accuracy on the test samples, and the loss on all training samples."""


@threadpool_limits.wrap(1)  # else our own threads still spin when the clock runs again
def train_to_goals(
    pool: WorkerPool, method: Method, batch: int, learning_rate: float, seed: int
) -> list[Goal]:
    """Trains until every target is met, or for `MAX_EPOCHS`; returns a row for each target.

    Args:
        pool: the workers.
        method: the way to train.
        batch: samples a step.
        learning_rate: of gradient descent; fixed for each batch size.
        seed: of the first parameters and the order of samples.

    Raises:
        CallError: The method failed, or diverged.
    """
    data, setting = digits(), goal_setting(batch)
    workload = Digits("digits", "relu", "softmax", "sgd", learning_rate)
    steps = len(data.train.x) // batch
    process, name, call = method.process, "goal", pool.call
    built = call(process, Worker.build, name, Task(method, workload, setting, steps, seed))
    reached, times = [_evaluate(built.parameters, data)], list[float]()
    for number in range(1, MAX_EPOCHS):
        epochs = [_epochs(target, reached) for target in TARGETS]
        if number >= MIN_EPOCHS and None not in epochs:
            break
        x, y = workload.epoch(data.train, batch, number, seed)
        seconds, parameters = call(process, Worker.train, name, x, y)
        times.append(seconds)
        reached.append(_evaluate(parameters, data))
    call(process, Worker.drop, name)
    epoch = statistics.median(times)
    return [
        Goal(
            method.name,
            batch,
            learning_rate,
            f"{target} {value:g}",
            steps=epochs and epochs * steps,
            seconds=epochs and epochs * epoch,
            # The first epoch compiles as well.
            with_compile=epochs and built.first_call + (epochs - 1) * epoch,
            reached=reached[epochs - 1 if epochs else -1][target],
        )
        for target, value in TARGETS.items()
        for epochs in [_epochs(target, reached)]
    ]


def _epochs(target: str, reached: Sequence[Mapping[str, float]]) -> int | None:
    """Returns after how many epochs a target was met; None if it was not."""
    value, sign = TARGETS[target], -1 if target == "train loss" else 1
    return next((n for n, r in enumerate(reached, 1) if sign * r[target] >= sign * value), None)


def _evaluate(parameters: Parameters, data: Split) -> dict[str, float]:
    log_q = log_softmax(_logits(parameters, data.train.x), axis=-1)
    guess = _logits(parameters, data.test.x).argmax(-1)
    loss = -log_q[np.arange(len(log_q)), data.train.y].mean()
    return {"test accuracy": float((guess == data.test.y).mean()), "train loss": float(loss)}


def _logits(parameters: Parameters, x: Floats) -> Floats:
    *hidden, (w, b) = parameters
    for v, c in hidden:
        x = np.maximum(x @ v + c, 0)
    return x @ w + b
