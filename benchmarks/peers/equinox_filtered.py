"""equinox: the model is a pytree, differentiated and jitted by its filtered transformations."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.in_jax import JaxTrainer, make_optimizer, mean_loss
from benchmarks.results import Setting
from benchmarks.workloads import Parameters, Workload


def build(workload: Workload, setting: Setting, initial: Parameters) -> JaxTrainer:
    """Builds the trainer; the state is (model, state of the optimizer)."""
    optimizer = make_optimizer(workload)

    @eqx.filter_value_and_grad
    def objective(model: eqx.nn.Sequential, x: jax.Array, y: jax.Array) -> jax.Array:
        return mean_loss(workload, jax.vmap(model)(x), y)

    @eqx.filter_jit(donate="all-except-first")
    def train_step(batch: Any, model: eqx.nn.Sequential, opt_state: Any) -> Any:
        loss, grads = objective(model, *batch)
        updates, opt_state = optimizer.update(grads, opt_state)
        return (eqx.apply_updates(model, updates), opt_state), loss

    model = make_model(workload, setting, initial)
    opt_state = optimizer.init(eqx.filter(model, eqx.is_array))
    return JaxTrainer(FilteredStep(train_step), (model, opt_state), read)


class FilteredStep:
    """The step with the arguments of the loop."""

    def __init__(self, train_step: Any) -> None:
        self._train_step = train_step

    def __call__(self, state: Any, x: jax.Array, y: jax.Array) -> Any:
        """Takes a step."""
        return self._train_step((x, y), *state)

    def lower(self, state: Any, x: jax.Array, y: jax.Array) -> Any:
        """Lowers the step as `jax.jit` does; equinox wraps the result."""
        return self._train_step.lower((x, y), *state).lowered


def make_model(workload: Workload, setting: Setting, initial: Parameters) -> eqx.nn.Sequential:
    """Builds the network, with these parameters; equinox's weights are `[out, in]`."""

    def make() -> eqx.nn.Sequential:
        activation = eqx.nn.Lambda(getattr(jax.nn, workload.activation))
        pairs = zip(setting.sizes[:-1], setting.sizes[1:], strict=True)
        dense = [eqx.nn.Linear(n, m, key=jax.random.key(0)) for n, m in pairs]
        return eqx.nn.Sequential([part for layer in dense for part in (layer, activation)][:-1])

    arrays = [jnp.array(array) for w, b in initial for array in (w.T, b)]
    return eqx.tree_at(arrays_of, eqx.filter_eval_shape(make), arrays)


def arrays_of(model: eqx.nn.Sequential) -> list[jax.Array]:
    """Lists the weights and biases, layer by layer."""
    return [array for layer in model.layers[::2] for array in (layer.weight, layer.bias)]


def read(state: Any) -> Parameters:
    """Reads the parameters."""
    return [(np.asarray(layer.weight).T, layer.bias) for layer in state[0].layers[::2]]
