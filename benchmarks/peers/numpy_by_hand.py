"""NumPy: forward and backward by hand, in arrays that are allocated once and written in place."""

from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks.peers import Trainer
from benchmarks.results import Setting
from benchmarks.workloads import Floats, Parameters, Workload


def build(workload: Workload, setting: Setting, initial: Parameters) -> "NumpyTrainer":
    """Builds the trainer."""
    return NumpyTrainer(workload, setting, initial)


class NumpyTrainer(Trainer):
    """Trains by h_k = f(h_k-1 w_k + b_k), and back by the chain rule."""

    def __init__(self, workload: Workload, setting: Setting, initial: Parameters) -> None:
        self._workload = workload
        self._parameters = [(w.copy(), b.copy()) for w, b in initial]
        self._grads = [(np.empty_like(w), np.empty_like(b)) for w, b in initial]
        self._h, self._d = (
            [np.empty((setting.batch, m), np.float32) for m in setting.sizes[1:]] for _ in range(2)
        )
        leaves = [leaf for layer in self._parameters for leaf in layer]
        grads = [leaf for layer in self._grads for leaf in layer]
        make = {"sgd": Sgd, "adam": Adam}[workload.optimizer]
        self._optimizer = make(leaves, grads, workload.learning_rate)

    def place(self, x: Floats, y: np.ndarray) -> Any:
        """Returns a pair of arrays for each step."""
        return list(zip(x, y, strict=True))

    def run(self, batches: Any, passes: int) -> list[float]:
        """Takes the steps."""
        losses: list[float] = []
        for _ in range(passes):
            losses = [self._step(x, y) for x, y in batches]
        return losses

    def losses(self, result: list[float]) -> np.ndarray:
        """Converts them to an array."""
        return np.array(result)

    def parameters(self) -> Parameters:
        """Returns copies of them."""
        return [(w.copy(), b.copy()) for w, b in self._parameters]

    def _step(self, x: Floats, y: np.ndarray) -> float:
        h = [x, *self._h]
        for k, (w, b) in enumerate(self._parameters):
            np.matmul(h[k], w, out=h[k + 1])
            h[k + 1] += b
            if k < len(self._parameters) - 1:
                activate(self._workload.activation, h[k + 1])
        loss = loss_and_error(self._workload.loss, h[-1], y, out=self._d[-1])
        for k in reversed(range(len(self._parameters))):
            dw, db = self._grads[k]
            np.matmul(h[k].T, self._d[k], out=dw)
            np.sum(self._d[k], axis=0, out=db)
            if k > 0:
                np.matmul(self._d[k], self._parameters[k][0].T, out=self._d[k - 1])
                # h[k] is not needed any more: its derivative takes its place.
                self._d[k - 1] *= slope(self._workload.activation, h[k])
        self._optimizer.step()
        return loss


def activate(name: str, z: Floats) -> None:
    """Overwrites z with f(z)."""
    match name:
        case "relu":
            np.maximum(z, 0, out=z)
        case "tanh":
            np.tanh(z, out=z)
        case "sigmoid":
            expit(z, out=z)


def slope(name: str, h: Floats) -> Floats:
    """Overwrites h = f(z) with f'(z), and returns it."""
    match name:
        case "relu":
            return np.greater(h, 0, out=h)
        case "tanh":
            np.multiply(h, h, out=h)
            return np.subtract(1, h, out=h)
        case _:
            return np.multiply(h, 1 - h, out=h)


def loss_and_error(name: str, p: Floats, y: np.ndarray, out: Floats) -> float:
    """Returns the loss; writes its gradient by the predictions p into `out`."""
    n = len(p)
    match name:
        case "softmax":
            rows = np.arange(n)
            p -= p.max(axis=1, keepdims=True)
            np.exp(p, out=out)
            total = out.sum(axis=1, keepdims=True)
            loss = (np.log(total[:, 0]) - p[rows, y]).mean()
            out /= total
            out[rows, y] -= 1
            out /= n
        case "squared":
            np.subtract(p, y, out=out)
            loss = 0.5 * np.vdot(out, out) / n
            out /= n
        case _:
            loss = (np.logaddexp(0, p) - y * p).mean()
            expit(p, out=out)
            out -= y
            out /= p.size
    return float(loss)


class Sgd:
    """leaf -= rate gradient."""

    def __init__(self, leaves: list[Floats], grads: list[Floats], rate: float) -> None:
        self._pairs, self._rate = list(zip(leaves, grads, strict=True)), rate

    def step(self) -> None:
        """Updates the leaves in place; the gradients serve as scratch."""
        for leaf, grad in self._pairs:
            grad *= self._rate
            leaf -= grad


class Adam:
    """leaf -= rate m / (sqrt(v) + eps), m and v the bias-corrected means of g and g^2."""

    def __init__(self, leaves: list[Floats], grads: list[Floats], rate: float) -> None:
        means = [(np.zeros_like(leaf), np.zeros_like(leaf)) for leaf in leaves]
        self._arrays = list(zip(leaves, grads, means, strict=True))
        self._rate, self._steps = rate, 0

    def step(self) -> None:
        """Updates the leaves in place; the gradients serve as scratch."""
        self._steps += 1
        first = self._rate / (1 - 0.9**self._steps)
        second = 1 / (1 - 0.999**self._steps)
        for leaf, g, (m, v) in self._arrays:
            m *= 0.9
            g *= 0.1
            m += g
            v *= 0.999
            g *= g
            g *= 0.1  # 0.001 times the square of the gradient
            v += g
            np.multiply(v, second, out=g)
            np.sqrt(g, out=g)
            g += 1e-8
            np.divide(m, g, out=g)
            g *= first
            leaf -= g
