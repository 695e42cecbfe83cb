"""Populations of networks that share a batch, by jaxpercep and by `jax.vmap` of plain JAX.

Each pass trains all of them from their first parameters, for as many steps as there are batches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxpercep as jp
from benchmarks.peers import Trainer
from benchmarks.peers.in_jax import make_optimizer, mean_loss
from benchmarks.peers.jaxpercep_steps import LOSSES, from_params, make_model, to_params
from benchmarks.results import Setting
from benchmarks.workloads import Parameters, Workload, sampled


def build(workload: Workload, setting: Setting, initial: Parameters) -> "PopulationTrainer":
    """Builds the trainer that calls `jp.train_population`."""
    model, table = make_model(workload, setting), to_params(initial)
    keys = jax.vmap(jax.random.key)(jnp.arange(len(initial[0][0])))

    def given(key: jax.Array) -> Any:
        """Looks up the parameters of network i with the key of i."""
        return jax.tree.map(itemgetter(jax.random.key_data(key)[-1]), table)

    layer: Any = Given(given, model.apply, model.forward, model.backward)
    loss, optimizer = LOSSES[workload.loss], make_optimizer(workload)

    def train(steps: int, x: jax.Array, y: jax.Array) -> Any:
        trained = jp.train_population(layer, loss, optimizer, keys, x, y, steps=steps)
        return from_params(trained.states.params), trained.losses

    return PopulationTrainer(train, initial)


def build_vmap(workload: Workload, setting: Setting, initial: Parameters) -> "PopulationTrainer":
    """Builds the trainer that maps a step of gradient descent over the networks."""
    del setting  # the parameters have the shapes
    activation, rate = getattr(jax.nn, workload.activation), workload.learning_rate

    def objective(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        *hidden, (w, b) = params
        for v, c in hidden:
            x = activation(x @ v + c)
        return mean_loss(workload, x @ w + b, y)

    def descend(parameter: jax.Array, gradient: jax.Array) -> jax.Array:
        return parameter - rate * gradient

    @partial(jax.jit, static_argnums=1)
    def scanned(params: Any, steps: int, x: jax.Array, y: jax.Array) -> Any:
        def step(params: Any, _: None) -> Any:
            losses, grads = jax.vmap(jax.value_and_grad(objective), (0, None, None))(params, x, y)
            return jax.tree.map(descend, params, grads), losses

        return lax.scan(step, params, length=steps)

    params = [(jnp.array(w), jnp.array(b)) for w, b in initial]
    return PopulationTrainer(partial(scanned, params), initial, axis=1)


@dataclass(frozen=True)
class Given:
    """A layer made of its four functions."""

    init: Callable[..., Any]
    apply: Callable[..., Any]
    forward: Callable[..., Any]
    backward: Callable[..., Any]


class PopulationTrainer(Trainer):
    """Trains a population in one call for each pass.

    Args:
        train: takes the number of steps and the batch; returns parameters and losses.
        initial: the first parameters.
        axis: of the networks in the losses.
    """

    def __init__(self, train: Callable[..., Any], initial: Parameters, axis: int = 0) -> None:
        self._train, self._parameters, self._axis = train, initial, axis
        self._rows = sampled(len(initial[0][0]))

    def place(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Returns the number of steps and the batch, which is the same in all of them."""
        return len(x), jnp.array(x[0]), jnp.array(y[0])

    def run(self, batches: Any, passes: int) -> Any:
        """Calls it."""
        losses: Any = None
        for _ in range(passes):
            self._parameters, losses = jax.block_until_ready(self._train(*batches))
        return losses

    def losses(self, result: Any) -> np.ndarray:
        """Returns those of the sampled networks."""
        return np.moveaxis(np.asarray(result), self._axis, 0)[self._rows]

    def parameters(self) -> Parameters:
        """Returns copies of those of the sampled networks."""
        return [(np.asarray(w)[self._rows], np.asarray(b)[self._rows]) for w, b in self._parameters]
