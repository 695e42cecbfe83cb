"""Plain JAX and optax: the network is a few lines of jax.numpy; a step a call, or a scan of all."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from benchmarks.peers.in_jax import JaxTrainer, OneProgram, make_optimizer, mean_loss
from benchmarks.results import Setting
from benchmarks.workloads import Parameters, Workload


def build(
    workload: Workload, setting: Setting, initial: Parameters, one_program: bool = False
) -> JaxTrainer:
    """Builds the trainer; the state is (parameters, state of the optimizer)."""
    del setting  # the parameters have the shapes
    activation, optimizer = getattr(jax.nn, workload.activation), make_optimizer(workload)

    def predict(params: Any, x: jax.Array) -> jax.Array:
        *hidden, (w, b) = params
        for v, c in hidden:
            x = activation(x @ v + c)
        return x @ w + b

    def objective(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return mean_loss(workload, predict(params, x), y)

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, x: jax.Array, y: jax.Array) -> Any:
        params, opt_state = state
        loss, grads = jax.value_and_grad(objective)(params, x, y)
        updates, opt_state = optimizer.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), loss

    params = [(jnp.array(w), jnp.array(b)) for w, b in initial]
    trainer = OneProgram if one_program else JaxTrainer
    return trainer(step, (params, optimizer.init(params)), read)


def read(state: Any) -> Parameters:
    """The parameters."""
    return state[0]
