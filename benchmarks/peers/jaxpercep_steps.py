"""jaxpercep: by autodiff or by hand, a step a call or all in one, layers repeated or not."""

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

import jaxpercep as jp
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
