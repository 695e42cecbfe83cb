"""Plain JAX and optax: the network is a few lines of jax.numpy.

A step a call or all in one program, the hidden layers one by one or in a scan.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from benchmarks.peers.in_jax import JaxTrainer, OneProgram, make_optimizer, mean_loss, stacked
from benchmarks.results import Setting
from benchmarks.workloads import Parameters, Workload


def build(
    workload: Workload,
    setting: Setting,
    initial: Parameters,
    one_program: bool = False,
    repeated: bool = False,
) -> JaxTrainer:
    """Builds the trainer; the state is (parameters, state of the optimizer)."""
    del setting  # the parameters have the shapes
    activation, optimizer = getattr(jax.nn, workload.activation), make_optimizer(workload)

    def hidden_layer(x: jax.Array, layer: Any) -> tuple[jax.Array, None]:
        w, b = layer
        return activation(x @ w + b), None

    def predict(params: Any, x: jax.Array) -> jax.Array:
        first, hidden, (w, b) = params
        x, _ = hidden_layer(x, first)
        if repeated:
            x, _ = lax.scan(hidden_layer, x, hidden)
        else:
            for layer in hidden:
                x, _ = hidden_layer(x, layer)
        return x @ w + b

    def objective(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return mean_loss(workload, predict(params, x), y)

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, x: jax.Array, y: jax.Array) -> Any:
        params, opt_state = state
        loss, grads = jax.value_and_grad(objective)(params, x, y)
        updates, opt_state = optimizer.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), loss

    first, *hidden, last = [(jnp.array(w), jnp.array(b)) for w, b in initial]
    params = first, stacked(hidden) if repeated else hidden, last
    trainer = OneProgram if one_program else JaxTrainer
    return trainer(step, (params, optimizer.init(params)), read)


def read(state: Any) -> Parameters:
    """Reads the parameters, layer by layer."""
    (first, hidden, last), _ = state
    if isinstance(hidden, tuple):  # they are stacked
        hidden = zip(*map(np.asarray, hidden), strict=True)
    return [first, *hidden, last]
