"""jaxpercep: by autodiff or by hand, one call a step or all steps in one program."""

from typing import Any, Literal

import jax.numpy as jnp

import jaxpercep as jp
from benchmarks.peers.in_jax import JaxTrainer, OneProgram, make_optimizer
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
) -> JaxTrainer:
    """Builds the trainer."""
    model, optimizer = make_model(workload, setting), make_optimizer(workload)
    step = jp.make_step(model, LOSSES[workload.loss], optimizer, method, donate=True)
    params = to_params(initial)
    state = jp.TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))
    trainer = OneProgram if one_program else JaxTrainer
    return trainer(step, state, read)


def make_model(workload: Workload, setting: Setting) -> jp.Serial:
    """The network."""
    return jp.mlp(setting.sizes, getattr(jp, workload.activation))


def to_params(initial: Parameters) -> Any:
    """Parameters of the network: those of its dense layers, and none of the activations."""
    dense = [jp.DenseParams(jnp.array(w), jnp.array(b)) for w, b in initial]
    return tuple(part for layer in dense for part in (layer, ()))[:-1]


def read(state: jp.TrainState) -> Parameters:
    """Its parameters, without the empty ones of the activations."""
    return from_params(state.params)


def from_params(params: Any) -> Parameters:
    """Undoes `to_params`, without a copy."""
    return list(params[::2])
