"""PyTorch: a Sequential and torch.optim, eager or compiled."""

import atexit
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.machine import affinity
from benchmarks.peers import Preparation, Trainer
from benchmarks.results import Setting
from benchmarks.workloads import Floats, Parameters, Workload, network_of, sampled

Tensor = torch.Tensor
Objective = Callable[[Tensor, Tensor], Tensor]


def half_squared_error(prediction: Tensor, y: Tensor) -> Tensor:
    """Returns half the squared error, summed over features, mean over the batch."""
    return 0.5 * functional.mse_loss(prediction, y, reduction="sum") / len(y)


ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
LOSSES = {
    "softmax": functional.cross_entropy,
    "squared": half_squared_error,
    "binary": functional.binary_cross_entropy_with_logits,
}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def build(
    workload: Workload, setting: Setting, initial: Parameters, compiled: bool = False
) -> "TorchTrainer":
    """Builds the trainer, with as many threads as the process may use cores."""
    torch.set_num_threads(len(affinity()))
    trainer = CompiledTrainer if compiled else TorchTrainer
    return trainer(workload, make_model(workload, setting, initial))


def build_one_by_one(workload: Workload, setting: Setting, initial: Parameters) -> "OneByOne":
    """Builds the trainer of some networks of a population; on one core, for they are small."""
    rows = sampled(len(initial[0][0]))
    trainers = [build(workload, setting, network_of(initial, i)) for i in rows]
    torch.set_num_threads(1)
    return OneByOne(trainers)


class TorchTrainer(Trainer):
    """Eager: Python calls one operation after the other."""

    def __init__(self, workload: Workload, model: nn.Sequential) -> None:
        self._model, self._labels = model, workload.loss == "softmax"
        self._objective = make_objective(workload, model)
        optimizer = OPTIMIZERS[workload.optimizer]
        self._optimizer = optimizer(model.parameters(), lr=workload.learning_rate, fused=True)

    def place(self, x: Floats, y: np.ndarray) -> Any:
        """Returns a pair of tensors for each step; PyTorch's labels are int64."""
        y = y.astype(np.int64) if self._labels else y
        return [(torch.tensor(a), torch.tensor(b)) for a, b in zip(x, y, strict=True)]

    def run(self, batches: Any, passes: int) -> list[Tensor]:
        """Takes the steps."""
        losses: list[Tensor] = []
        for _ in range(passes):
            losses = [self._step(x, y) for x, y in batches]
        return losses

    def losses(self, result: list[Tensor]) -> np.ndarray:
        """Converts them to numbers."""
        return torch.stack(result).numpy()

    def parameters(self) -> Parameters:
        """Returns copies of them."""
        return [
            (layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy())
            for layer in linear_layers(self._model)
        ]

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        self._optimizer.zero_grad()
        loss = self._objective(x, y)
        loss.backward()
        self._optimizer.step()
        return loss.detach()


class CompiledTrainer(TorchTrainer):
    """`torch.compile` of the model with its loss, and of their backward pass.

    The optimizer stays PyTorch's own fused kernel.
    """

    def __init__(self, workload: Workload, model: nn.Sequential) -> None:
        super().__init__(workload, model)
        start_compiler()
        # Compiled programs are kept with the function's code, at most 8: each gets its own copy.
        self._objective.__code__ = self._objective.__code__.replace()
        self._objective = torch.compile(self._objective, fullgraph=True)

    def prepare(self, batches: Any) -> Preparation:
        """Compiles both passes, by the first call of each."""
        start = time.perf_counter()
        self._objective(*batches[0]).backward()
        return Preparation(compile=time.perf_counter() - start)


class OneByOne(Trainer):
    """Trains one network after the other."""

    def __init__(self, trainers: Sequence[TorchTrainer]) -> None:
        self._trainers = trainers

    def place(self, x: Floats, y: np.ndarray) -> Any:
        """Returns the batches, which the networks share."""
        return self._trainers[0].place(x, y)

    def run(self, batches: Any, passes: int) -> list[list[Tensor]]:
        """Trains them."""
        return [trainer.run(batches, passes) for trainer in self._trainers]

    def losses(self, result: list[list[Tensor]]) -> np.ndarray:
        """Converts them to numbers."""
        return torch.stack([torch.stack(losses) for losses in result]).numpy()

    def parameters(self) -> Parameters:
        """Returns copies of them."""
        networks = [trainer.parameters() for trainer in self._trainers]
        layers = (zip(*layer, strict=True) for layer in zip(*networks, strict=True))
        return [(np.stack(w), np.stack(b)) for w, b in layers]


def make_model(workload: Workload, setting: Setting, initial: Parameters) -> nn.Sequential:
    """Builds the network, with these parameters; PyTorch's weights are `[out, in]`."""
    pairs = zip(setting.sizes[:-1], setting.sizes[1:], strict=True)
    activation = ACTIVATIONS[workload.activation]
    layers = [layer for n, m in pairs for layer in (nn.Linear(n, m), activation())]
    model = nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for layer, (w, b) in zip(linear_layers(model), initial, strict=True):
            layer.weight.copy_(torch.tensor(w.T))
            layer.bias.copy_(torch.tensor(b))
    return model


@cache
def start_compiler() -> None:
    """Imports the compiler and has it precompile its headers: that is done once, not per model.

    Its files go into a new folder: with those of an earlier run, compiling would seem free.
    """
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder.name
    torch.compile(torch.square)(torch.ones(1, requires_grad=True)).backward()


def linear_layers(model: nn.Sequential) -> list[nn.Linear]:
    """Lists the layers with parameters."""
    return [layer for layer in model if isinstance(layer, nn.Linear)]


def make_objective(workload: Workload, model: nn.Sequential) -> Objective:
    """Returns the loss as a function of a batch."""
    loss = LOSSES[workload.loss]

    def objective(x: Tensor, y: Tensor) -> Tensor:
        return loss(model(x), y)

    return objective
