"""Many updates as one compiled program, which `fit` calls."""

from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxpercep import loop
from jaxpercep.deferring import Deferred
from jaxpercep.gradients import Method
from jaxpercep.layer import Layer
from jaxpercep.losses import Loss
from jaxpercep.update import TrainState, update_of
from jaxpercep.weighting import Weighted

STEPS_PER_BLOCK = 64  # of the innermost loop
NUMBERS_PER_BLOCK = 128  # of predictions that it keeps, 512 bytes of float32
MOST_DEFERRED = 8  # numbers of a prediction whose loss is left for later

Data: TypeAlias = tuple[jax.Array, jax.Array, jax.Array | None]
"""Inputs, targets, and the weights of the samples if there are any."""


@partial(jax.jit, static_argnums=range(5))
def run_steps(
    model: Layer,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    method: Method,
    batch_size: int | None,
    state: TrainState,
    data: Data,
    key: jax.Array | None,
    count: int,
) -> tuple[TrainState, jax.Array]:
    """Takes `count` <= STEPS_PER_CALL steps; `count` is traced, so one program serves every cut.

    XLA compiles an inner loop into one kernel if it carries little. So it carries the state and its
    own losses, or the few predictions from which they follow; an outer loop shuffles, and keeps all
    losses.
    """
    samples = len(data[0])
    batches = samples // (batch_size or samples)

    def loss_of(weights: jax.Array | None) -> Loss:
        return loss if weights is None else Weighted(loss, weights)

    def permutation(epoch: jax.Array) -> jax.Array | None:
        if key is None:
            return None
        return jax.random.permutation(jax.random.fold_in(key, epoch), samples)

    def batch(order: jax.Array | None, position: jax.Array) -> Data:
        if order is None or batch_size is None:
            return data
        rows = lax.dynamic_slice_in_dim(order, position * batch_size, batch_size)
        x, y, weights = data
        return x[rows], y[rows], None if weights is None else weights[rows]

    def step(state: TrainState, x: jax.Array, y: jax.Array, weights: jax.Array | None) -> Any:
        mine = loss_of(weights)
        record = Deferred(mine) if deferring else mine
        return update_of(model, record, optimizer, method)(state, x, y)

    def loss_at(order: jax.Array | None, position: jax.Array, prediction: jax.Array) -> jax.Array:
        _, y, weights = batch(order, position)
        return loss_of(weights).apply(prediction, y)

    def block(carry: Any) -> Any:
        done, state, order, losses = carry
        epoch, position = jnp.divmod(state.step, batches)

        def keep(_: jax.Array) -> jax.Array | None:
            return order

        order = lax.cond(position == 0, permutation, keep, epoch)
        steps = jnp.minimum(length, count - done)
        if order is not None:
            steps = jnp.minimum(steps, batches - position)

        def body(i: jax.Array, carry: Any) -> Any:
            state, records = carry
            state, record = step(state, *batch(order, position + i))
            return state, records.at[i].set(record)

        records = jnp.zeros((length, *record.shape), record.dtype)
        state, mine = lax.fori_loop(0, steps, body, (state, records))
        if deferring:
            positions = position + jnp.arange(length, dtype=position.dtype)
            mine = jax.vmap(partial(loss_at, order))(positions, mine)
        return done + steps, state, order, lax.dynamic_update_slice(losses, mine, (done,))

    order = permutation(state.step // batches)
    prediction = jax.eval_shape(model.apply, state.params, batch(order, state.step % batches)[0])
    deferring = method == "manual" and prediction.size <= MOST_DEFERRED
    length = (
        min(STEPS_PER_BLOCK, NUMBERS_PER_BLOCK // prediction.size) if deferring else STEPS_PER_BLOCK
    )
    record = jax.eval_shape(step, state, *batch(order, state.step % batches))[1]
    dtype = jax.eval_shape(partial(loss_at, order), state.step % batches, prediction).dtype
    losses = jnp.zeros(loop.STEPS_PER_CALL + length, dtype)
    carry = jnp.zeros_like(count), state, order, losses
    _, state, _, losses = lax.while_loop(lambda carry: carry[0] < count, block, carry)
    return state, losses
