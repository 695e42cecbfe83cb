"""Time to a given loss and accuracy on digits: the measure that no batch size can flatter.

Each method trains the same network from the same first parameters on the same minibatches. After
each epoch the clock is stopped while the loss and accuracy are computed.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class Reached(NamedTuple):
    """After an epoch: the loss on all training samples, and the accuracy on the test samples."""

    loss: float
    accuracy: float


class Target(NamedTuple):
    """A goal of the training: a quantity of `Reached`, and its value."""

    quantity: str
    value: float

    def __str__(self) -> str:
        return (
            f"{'test' if self.quantity == 'accuracy' else 'train'} {self.quantity} {self.value:g}"
        )

    def met(self, reached: Reached) -> bool:
        """Returns whether it is reached."""
        if self.quantity == "accuracy":
            return reached.accuracy >= self.value
        return reached.loss <= self.value


TARGETS = Target("accuracy", 0.95), Target("loss", 0.1)


@dataclass(frozen=True)
class GoalTrainer:
    """Trains with one batch size until the targets are met.

    Attributes:
        pool: the workers.
        batch: samples a step.
        learning_rate: of gradient descent; fixed for each batch size.
        seed: of the first parameters and the order of samples.
    """

    pool: WorkerPool
    batch: int
    learning_rate: float
    seed: int

    @threadpool_limits.wrap(1)  # else our own threads still spin when the clock runs again
    def train(self, method: Method) -> list[Goal]:
        """Trains until every target is met, or for `MAX_EPOCHS`; returns a row for each target.

        Raises:
            CallError: The method failed, or diverged.
        """
        data, setting = digits(), goal_setting(self.batch)
        workload = Digits("digits", "relu", "softmax", "sgd", self.learning_rate)
        steps = len(data.train.x) // self.batch
        process, name, call = method.process, "goal", self.pool.call
        task = Task(method, workload, setting, steps, self.seed)
        built = call(process, Worker.build, name, task)
        reached = [_evaluate(built.parameters, data)]
        times: list[float] = []
        for number in range(1, MAX_EPOCHS):
            if number >= MIN_EPOCHS and all(any(map(t.met, reached)) for t in TARGETS):
                break
            x, y = workload.epoch(data.train, self.batch, number, self.seed)
            seconds, parameters = call(process, Worker.train, name, x, y)
            times.append(seconds)
            reached.append(_evaluate(parameters, data))
        call(process, Worker.drop, name)
        epoch = statistics.median(times)
        return [self._goal(method, t, steps, built.first_call, epoch, reached) for t in TARGETS]

    def _goal(
        self,
        method: Method,
        target: Target,
        steps: int,
        first_epoch: float,
        epoch: float,
        reached: Sequence[Reached],
    ) -> Goal:
        """Returns the row of one target; `steps` an epoch, and the first epoch compiles as well."""
        epochs = next((n for n, found in enumerate(reached, 1) if target.met(found)), None)
        return Goal(
            method.name,
            self.batch,
            self.learning_rate,
            str(target),
            steps=epochs and epochs * steps,
            seconds=epochs and epochs * epoch,
            with_compile=epochs and first_epoch + (epochs - 1) * epoch,
            reached=getattr(reached[epochs - 1 if epochs else -1], target.quantity),
        )


def _evaluate(parameters: Parameters, data: Split) -> Reached:
    log_q = log_softmax(_logits(parameters, data.train.x), axis=-1)
    guess = _logits(parameters, data.test.x).argmax(-1)
    loss = -log_q[np.arange(len(log_q)), data.train.y].mean()
    return Reached(float(loss), float((guess == data.test.y).mean()))


def _logits(parameters: Parameters, x: Floats) -> Floats:
    *hidden, (w, b) = parameters
    for v, c in hidden:
        x = np.maximum(x @ v + c, 0)
    return x @ w + b
