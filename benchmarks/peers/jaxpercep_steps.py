"""jaxpercep: by autodiff or by hand, a step a call or all in one, layers repeated or not; fit."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import jaxpercep as jp
from benchmarks.peers import Trainer
from benchmarks.peers.in_jax import JaxTrainer, OneProgram, make_optimizer, stacked
from benchmarks.results import Setting
from benchmarks.workloads import Parameters, Workload

LOSSES = {
    "softmax": jp.SoftmaxCrossEntropy(),
    "squared": jp.SquaredError(0.5, "batch_mean"),
    "binary": jp.BinaryCrossEntropy(),
}


def build(
    workload: Workload,
    setting: Setting,
    initial: Parameters,
    method: Literal["autodiff", "manual"],
    one_program: bool = False,
    repeated: bool = False,
) -> JaxTrainer:
    """Builds the trainer."""
    make = make_repeated if repeated else make_model
    model, optimizer = make(workload, setting), make_optimizer(workload)
    step = jp.make_step(model, LOSSES[workload.loss], optimizer, method, donate=True)
    params = to_repeated_params(initial) if repeated else to_params(initial)
    state = jp.TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))
    from_its_params = from_repeated_params if repeated else from_params
    trainer = OneProgram if one_program else JaxTrainer
    return trainer(step, state, lambda state: from_its_params(state.params))


def build_fit(workload: Workload, setting: Setting, initial: Parameters) -> "FitTrainer":
    """Builds the trainer that calls `jp.fit`."""
    return FitTrainer(workload, setting, initial)


class FitTrainer(Trainer):
    """Calls `jp.fit`, which shuffles the samples of all batches anew in each pass.

    The data are laid out so that the first pass visits the batches in order, as the others do.
    Where all batches are the same, it is given one, and nothing to shuffle.
    """

    def __init__(self, workload: Workload, setting: Setting, initial: Parameters) -> None:
        model, optimizer = make_model(workload, setting), make_optimizer(workload)
        params = to_params(initial)
        self._state = jp.TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))
        self._fit = partial(jp.fit, model, LOSSES[workload.loss], optimizer, method="manual")

    def place(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Returns the number of batches, the data, and how they are visited."""
        steps, batch = x.shape[:2]
        order: dict[str, Any] = {"batch_size": None, "key": None}
        if steps > 1 and (x == x[:1]).all() and (y == y[:1]).all():
            return steps, (jnp.array(x[0]), jnp.array(y[0])), order
        key = jax.random.key(0)
        first = np.argsort(jax.random.permutation(jax.random.fold_in(key, 0), steps * batch))
        data = (jnp.array(a.reshape(-1, *a.shape[2:])[first]) for a in (x, y))
        return steps, tuple(data), {"batch_size": batch, "key": key}

    def run(self, batches: Any, passes: int) -> np.ndarray:
        """Calls it once."""
        steps, data, order = batches
        self._state, history = self._fit(self._state, *data, steps=steps * passes, **order)
        return history.loss[-steps:]

    def losses(self, result: np.ndarray) -> np.ndarray:
        """Returns them."""
        return result

    def parameters(self) -> Parameters:
        """Returns copies of them."""
        return [(np.array(w), np.array(b)) for w, b in from_params(self._state.params)]


def make_model(workload: Workload, setting: Setting) -> jp.Serial:
    """Builds the network."""
    return jp.mlp(setting.sizes, getattr(jp, workload.activation))


def to_params(initial: Parameters) -> Any:
    """Converts to the network's parameters: those of its dense layers; activations have none."""
    dense = [jp.DenseParams(jnp.array(w), jnp.array(b)) for w, b in initial]
    return tuple(part for layer in dense for part in (layer, ()))[:-1]


def from_params(params: Any) -> Parameters:
    """Undoes `to_params`, without a copy."""
    return list(params[::2])


def make_repeated(workload: Workload, setting: Setting) -> jp.Serial:
    """Builds the network with its hidden layers after the first, all of one width, in a Repeat."""
    features, width, *_, outputs = setting.sizes
    activation = getattr(jp, workload.activation)
    hidden = jp.Repeat(jp.Serial(jp.Dense(width, width), activation), setting.depth - 1)
    return jp.Serial(jp.Dense(features, width), activation, hidden, jp.Dense(width, outputs))


def to_repeated_params(initial: Parameters) -> Any:
    """Converts to parameters of the network with a Repeat, which are stacked."""
    first, *hidden, last = (jp.DenseParams(jnp.array(w), jnp.array(b)) for w, b in initial)
    return first, (), (stacked(hidden), ()), last


def from_repeated_params(params: Any) -> Parameters:
    """Undoes `to_repeated_params`."""
    first, _, (hidden, _), last = params
    return [first, *zip(np.asarray(hidden.w), np.asarray(hidden.b), strict=True), last]
