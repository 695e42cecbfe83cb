"""jaxpercep: by autodiff or by hand, one call a step or all steps in one program."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxpercep as jp
from benchmarks.peers import Preparation
from benchmarks.peers.in_jax import JaxTrainer, Step, compile_ahead, make_optimizer
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


class OneProgram(JaxTrainer):
    """All passes over the batches in one call; how many is an argument of the program."""

    def __init__(self, step: Step, state: Any, read: Callable[[Any], Parameters]) -> None:
        super().__init__(step, state, read)

        @partial(jax.jit, donate_argnums=0)
        def train(state: Any, x: jax.Array, y: jax.Array, passes: jax.Array) -> Any:
            def on_batch(state: Any, batch: Any) -> Any:
                return step(state, *batch)

            def one_pass(_: jax.Array, carry: Any) -> Any:
                # In a loop body of a single step, XLA copies every weight before it updates it.
                return lax.scan(on_batch, carry[0], (x, y), unroll=2)

            return lax.fori_loop(0, passes, one_pass, (state, jnp.zeros(len(x))))

        self._train = train

    def place(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Two arrays for all steps."""
        return jax.block_until_ready((jnp.array(x), jnp.array(y)))

    def prepare(self, batches: Any) -> Preparation:
        """Compiles the training."""
        return compile_ahead(self._train, self._state, *batches, 1)

    def run(self, batches: Any, passes: int) -> Any:
        """Calls the program."""
        result = self._train(self._state, *batches, passes)
        self._state, losses = jax.block_until_ready(result)
        return losses


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
