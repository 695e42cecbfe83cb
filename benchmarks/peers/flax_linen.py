"""flax linen: a Sequential of Dense layers in a TrainState."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.training.train_state import TrainState

from benchmarks.peers.in_jax import JaxTrainer, make_optimizer, mean_loss
from benchmarks.peers.jaxpercep_steps import from_params, make_model, to_params
from benchmarks.results import Setting
from benchmarks.workloads import Parameters, Workload
from jaxpercep.interop import from_linen, to_linen


def build(workload: Workload, setting: Setting, initial: Parameters) -> JaxTrainer:
    """Builds the trainer."""
    features, *sizes = setting.sizes
    activation = getattr(nn, workload.activation)
    layers = [layer for size in sizes for layer in (nn.Dense(size), activation)]
    network = nn.Sequential(layers[:-1])

    @partial(jax.jit, donate_argnums=0)
    def step(state: TrainState, x: jax.Array, y: jax.Array) -> tuple[TrainState, jax.Array]:
        def objective(params: Any) -> jax.Array:
            return mean_loss(workload, state.apply_fn({"params": params}, x), y)

        loss, grads = jax.value_and_grad(objective)(state.params)
        return state.apply_gradients(grads=grads), loss

    model = make_model(workload, setting)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, features)))
    variables = to_linen(model, to_params(initial), shapes)

    def read(state: TrainState) -> Parameters:
        return from_params(from_linen(model, state.params))

    optimizer = make_optimizer(workload)
    state = TrainState.create(apply_fn=network.apply, params=variables["params"], tx=optimizer)
    return JaxTrainer(step, state.replace(step=jnp.array(0)), read)
