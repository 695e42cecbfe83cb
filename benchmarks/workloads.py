"""The workloads: the network, its loss and optimizer, the data and the first parameters."""

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import Setting

Floats: TypeAlias = NDArray[np.floating]

Targets: TypeAlias = NDArray[Any]
"""int32 labels `[batch]`, or float32 numbers `[batch, out]`."""

Parameters: TypeAlias = list[tuple[Floats, Floats]]
"""Of each dense layer, first to last: w `[in, out]` and b `[out]`, float32."""

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0], np.float32)


@dataclass(frozen=True)
class Workload:
    """A way to train a multi-layer perceptron.

    Attributes:
        name: as the command line has it.
        activation: after every hidden layer; the output layer has none.
        loss: `"softmax"`: cross entropy on logits, integer labels, mean over the batch;
            `"squared"`: half the squared error, summed over features, mean over the batch;
            `"binary"`: cross entropy on logits, mean over all elements.
        optimizer: plain gradient descent, or Adam with the usual constants.
        learning_rate: of the optimizer.
    """

    name: str
    activation: Literal["relu", "tanh", "sigmoid"]
    loss: Literal["softmax", "squared", "binary"]
    optimizer: Literal["sgd", "adam"]
    learning_rate: float

    def initial(self, setting: Setting, seed: int) -> Parameters:
        """Draws the parameters that every method starts from.

        w is normal, with variance 2 gain / (in + out) and gain 2 for relu, 1 otherwise (Glorot &
        Bengio 2010, He et al. 2015): signal and error keep their size through many layers. In the
        last layer it is divided by the number of hidden layers, each of which its error moves: deep
        and wide networks train at the learning rate of small ones. b is small and not zero: a wrong
        bias gradient could hide behind zeros. In a population, networks are the leading axis.
        """
        rng = np.random.default_rng([seed, 0])
        gain = 2 if self.activation == "relu" else 1
        lead = () if setting.networks is None else (setting.networks,)

        def layer(n: int, m: int, share: int) -> tuple[Floats, Floats]:
            scale = np.sqrt(2 * gain / (n + m) / share)
            w, b = scale * rng.normal(size=(*lead, n, m)), 0.1 * rng.normal(size=(*lead, m))
            return w.astype(np.float32), b.astype(np.float32)

        *hidden, last = pairwise(setting.sizes)
        return [*(layer(n, m, 1) for n, m in hidden), layer(*last, max(1, setting.depth))]

    def batches(self, setting: Setting, steps: int, seed: int) -> tuple[Floats, Targets]:
        """Draws the data of some steps.

        x is normal, and y follows from it by a linear map that is drawn first: the largest output
        is the label, or their tanh the value. With the binary loss, every batch is the four points
        of XOR.

        Returns:
            x `[steps, batch, in]` float32, and y: for softmax `[steps, batch]` int32 labels, else
            `[steps, batch, out]` float32.

        Raises:
            ValueError: The loss is binary, and the batch is not 4, or the network is not from 2
                features to 1.
        """
        if self.loss == "binary":
            if (setting.sizes[0], setting.sizes[-1], setting.batch) != (2, 1, 4):
                raise ValueError(
                    f"setting {setting.key!r}: the data of {self.name!r} are the four points of "
                    "XOR; expected sizes from 2 to 1, as (2, 2, 1), and batch 4."
                )
            x, y = XOR
            return np.tile(x, (steps, 1, 1)), np.tile(y[:, None], (steps, 1, 1))
        rng = np.random.default_rng([seed, 1])
        n, m = setting.sizes[0], setting.sizes[-1]
        teacher = rng.normal(size=(n, m)) / np.sqrt(n)
        x = rng.normal(size=(steps, setting.batch, n)).astype(np.float32)
        y = x @ teacher
        if self.loss == "softmax":
            return x, y.argmax(-1).astype(np.int32)
        return x, np.tanh(y).astype(np.float32)


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("classification", "relu", "softmax", "sgd", 0.01),
        Workload("classification-adam", "relu", "softmax", "adam", 0.001),
        Workload("regression", "tanh", "squared", "sgd", 0.01),
        Workload("xor", "sigmoid", "binary", "sgd", 1.0),
    )
}
"""By name."""

SAMPLE = 3  # networks of a population that are checked


def sampled(networks: int) -> list[int]:
    """Returns the networks of a population that are checked, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, networks - 1, min(networks, SAMPLE))})


def network_of(parameters: Parameters, i: int) -> Parameters:
    """Returns the parameters of one network, of those of several."""
    return [(w[i], b[i]) for w, b in parameters]


SHALLOW = 4  # hidden layers up to which a workload's learning rate is as it stands


def workload_of(setting: Setting) -> Workload:
    """Returns the setting's workload, with 4 / depth of its learning rate above 4 hidden layers.

    Timing takes thousands of steps on a few samples: at the full rate, networks of 64 layers
    diverge.
    """
    workload = WORKLOADS[setting.workload]
    rate = workload.learning_rate * min(1.0, SHALLOW / max(1, setting.depth))
    return dataclasses.replace(workload, learning_rate=rate)
