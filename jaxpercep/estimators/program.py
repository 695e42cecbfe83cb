"""What is compiled: epochs of gradient descent, the loss with its gradient, the outputs.

A program is compiled once for every `Rule` and shape. All numbers (learning rate, penalty, how many
epochs) are arguments: what a grid search varies most does not compile anything.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from jaxpercep.estimators.samples import Table, dense, padded, rounded
from jaxpercep.gradients import value_and_grad
from jaxpercep.layer import Layer, Params
from jaxpercep.losses import Loss
from jaxpercep.update import TrainState, update_of
from jaxpercep.weighting import Weighted

ROWS_AT_ONCE = 4096  # of which outputs are computed, so that there are few programs and arrays


class Rule(NamedTuple):
    """What a program is compiled for, beside the shapes: the static argument.

    Attributes:
        model: the network, which returns logits.
        loss: of the predictions and targets of one sample.
        scale: a factor of that loss.
        solver: `"adam"` or `"sgd"`.
        nesterov: whether momentum is Nesterov's.
        decaying: whether the learning rate is divided by a power of the samples seen.
        batch: the number of samples of a step.
    """

    model: Layer
    loss: Loss
    scale: float = 1.0
    solver: str = "adam"
    nesterov: bool = False
    decaying: bool = False
    batch: int = 0


class Numbers(NamedTuple):
    """The numbers of an estimator's parameters of the same names; patience is n_iter_no_change."""

    learning_rate_init: Any
    alpha: Any
    momentum: Any
    power_t: Any
    beta_1: Any
    beta_2: Any
    epsilon: Any
    tol: Any
    patience: Any


class Training(NamedTuple):
    """What an epoch changes.

    Attributes:
        state: parameters and optimizer.
        rate: the learning rate.
        seen: the number of samples so far.
        best: the least loss of an epoch.
        idle: the number of epochs in a row that were not better by `tol`.
    """

    state: TrainState
    rate: Any
    seen: Any
    best: Any
    idle: Any


@partial(jax.jit, static_argnums=0)
def first_state(rule: Rule, numbers: Numbers, params: Params) -> TrainState:
    """Returns the state before the first step."""
    zero = jnp.zeros((), jnp.int32)
    opt_state = _optimizer(rule, numbers, numbers.alpha, numbers.alpha, zero).init(params)
    return TrainState(zero, params, opt_state)


@partial(jax.jit, static_argnums=0)
def run_epochs(
    rule: Rule,
    numbers: Numbers,
    training: Training,
    table: Table,
    orders: Any,
    batches: Any,
    count: Any,
) -> tuple[jax.Array, Training, jax.Array]:
    """Trains for `count` epochs, or until the loss has not improved for long enough.

    Args:
        rule: what to compile for.
        numbers: the parameters.
        training: where to start.
        table: the samples.
        orders: `[epochs, rows]`, the rows in the order in which each epoch visits them.
        batches: the number of steps of an epoch.
        count: the most epochs.

    Returns:
        The number of epochs run, at least 1; what they led to; and their losses.
    """
    total = jnp.sum(table.y[:, -1])

    def epoch(carry: Any) -> Any:
        done, before, losses = carry
        order = orders[done]

        def batch(i: jax.Array, carry: Any) -> Any:
            state, loss = carry
            rows = lax.dynamic_slice_in_dim(order, i * rule.batch, rule.batch)
            x, y = table.x[rows], table.y[rows]
            state, value = _step(rule, numbers, before.rate, state, x, y)
            return state, loss + value * (jnp.sum(y[:, -1]) / total)

        state, loss = lax.fori_loop(0, batches, batch, (before.state, jnp.zeros_like(total)))
        after = _after_epoch(rule, numbers, before._replace(state=state), table.samples, loss)
        return done + 1, after, losses.at[done].set(loss)

    def unfinished(carry: Any) -> jax.Array:
        done, now, _ = carry
        return (done < count) & ((done == 0) | (now.idle <= numbers.patience))

    losses = jnp.zeros(len(orders), total.dtype)
    return lax.while_loop(unfinished, epoch, (jnp.zeros((), jnp.int32), training, losses))


@partial(jax.jit, static_argnums=0)
def objective(
    rule: Rule, like: Params, flat: jax.Array, alpha: Any, table: Table
) -> tuple[jax.Array, jax.Array]:
    """Returns the loss with its penalty, and the gradient as one vector, in all samples.

    Args:
        rule: what to compile for.
        like: parameters, of which only the form counts.
        flat: the parameters, as one vector.
        alpha: of the penalty.
        table: the samples.
    """
    params = ravel_pytree(like)[1](flat)
    decay = alpha / jnp.sum(table.y[:, -1])
    loss, targets = _weighted(rule, table.y)
    value, grads = value_and_grad(rule.model, loss, "manual")(params, table.x, targets)

    def decayed(gradient: jax.Array, leaf: jax.Array) -> jax.Array:
        return gradient + decay * leaf if _is_weight(leaf) else gradient

    gradient = jax.tree.map(decayed, grads, params)
    return value + _penalty(decay, params), ravel_pytree(gradient)[0]


def outputs(model: Layer, params: Params, x: Any) -> NDArray[Any]:
    """Returns the model's outputs `[samples, outputs]`; x may be sparse."""
    parts: list[NDArray[Any]] = []
    dtype = jax.tree.leaves(params)[0].dtype
    for start in range(0, x.shape[0], ROWS_AT_ONCE):
        part = dense(x[start : start + ROWS_AT_ONCE]).astype(dtype, copy=False)
        y = _apply(model, params, padded(part, rounded(len(part))))
        parts.append(np.asarray(y)[: len(part)])
    return np.concatenate(parts)


@partial(jax.jit, static_argnums=0)
def _apply(model: Layer, params: Params, x: Any) -> jax.Array:
    return model.apply(params, x)


def _step(
    rule: Rule, numbers: Numbers, rate: Any, state: TrainState, x: jax.Array, y: jax.Array
) -> tuple[TrainState, jax.Array]:
    """Returns the state after a batch, and its loss before, with the penalty."""
    decay = numbers.alpha / jnp.sum(y[:, -1])
    optimizer = _optimizer(rule, numbers, rate, decay, state.step)
    loss, targets = _weighted(rule, y)
    after, value = update_of(rule.model, loss, optimizer, "manual")(state, x, targets)
    return after, value + _penalty(decay, state.params)


def _weighted(rule: Rule, y: jax.Array) -> tuple[Weighted, jax.Array]:
    """Returns the loss and the targets of a table's y."""
    return Weighted(rule.loss, y[:, -1], rule.scale), y[:, :-1]


def _optimizer(
    rule: Rule, numbers: Numbers, rate: Any, decay: Any, step: jax.Array
) -> optax.GradientTransformation:
    """Returns the optimizer of one step; its numbers are traced."""
    weights = optax.add_decayed_weights(decay, partial(jax.tree.map, _is_weight))
    if rule.solver == "adam":
        # scikit-learn adds epsilon before it corrects the bias of the second moment, optax after.
        unbiased = 1 - numbers.beta_2 ** (step + 1).astype(numbers.beta_2.dtype)
        epsilon = numbers.epsilon / jnp.sqrt(unbiased)
        return optax.chain(weights, optax.adam(rate, numbers.beta_1, numbers.beta_2, epsilon))
    # The velocity keeps the rates at which it was gathered; optax.sgd would apply the newest one.
    return optax.chain(weights, optax.scale(-rate), optax.trace(numbers.momentum, rule.nesterov))


def _is_weight(leaf: Any) -> bool:
    return leaf.ndim > 1


def _penalty(decay: jax.Array, params: Params) -> jax.Array:
    """Returns decay / 2 times the sum of the squares of all weights, biases left out."""
    squares = [jnp.sum(jnp.square(p)) for p in jax.tree.leaves(params) if _is_weight(p)]
    return decay / 2 * sum(squares[1:], squares[0])


def _after_epoch(
    rule: Rule, numbers: Numbers, training: Training, samples: Any, loss: jax.Array
) -> Training:
    worse = loss > training.best - numbers.tol
    seen = training.seen + samples
    rate = training.rate
    if rule.decaying:
        rate = numbers.learning_rate_init / (seen + 1) ** numbers.power_t
    return training._replace(
        rate=rate,
        seen=seen,
        best=jnp.minimum(training.best, loss),
        idle=jnp.where(worse, training.idle + 1, 0),
    )
