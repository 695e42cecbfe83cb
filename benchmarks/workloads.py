"""What is trained: the network, its loss and optimizer, the data and the first parameters."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from benchmarks.results import Setting

Parameters: TypeAlias = list[tuple[np.ndarray, np.ndarray]]
"""Of each dense layer, first to last: w `[in, out]` and b `[out]`, float32."""


@dataclass(frozen=True)
class Workload:
    """A way to train a multi-layer perceptron.

    Attributes:
        name: as the command line has it.
        activation: after every hidden layer; the output layer has none.
        loss: `"softmax"`: cross entropy on logits, integer labels, mean over the batch; `"squared"`:
            half the squared error, summed over features, mean over the batch; `"binary"`: cross
            entropy on logits, mean over all elements.
        optimizer: plain gradient descent, or Adam with the usual constants.
        learning_rate: of the optimizer.
    """

    name: str
    activation: Literal["relu", "tanh", "sigmoid"]
    loss: Literal["softmax", "squared", "binary"]
    optimizer: Literal["sgd", "adam"]
    learning_rate: float

    def initial(self, setting: Setting, seed: int) -> Parameters:
        """The parameters that every method starts from."""
        ...

    def batches(self, setting: Setting, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Data of some steps: x `[steps, batch, in]` float32; y `[steps, batch]` int32 labels for
        softmax, else `[steps, batch, out]` float32.
        """
        ...


WORKLOADS: dict[str, Workload] = {}
"""By name."""
