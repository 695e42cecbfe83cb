"""Populations: many small networks, each with a key of its own, trained as one program."""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jax.typing import ArrayLike

from jaxpercep._checks import (
    check_choice,
    check_finite,
    check_positive_int,
    counted,
    is_function,
    shown,
)
from jaxpercep._kinds import brief, misplaced
from jaxpercep.gradients import METHODS, Method, check_pair
from jaxpercep.lanes import in_lanes, suits_lanes
from jaxpercep.layer import Layer, Params, as_array
from jaxpercep.losses import Loss
from jaxpercep.training import check_untraced, checked_data
from jaxpercep.update import TrainState, init_state, update_of

LANES = 128  # networks in a block, whose parameters and activations then fit the cache

Optimizer = optax.GradientTransformation | Callable[..., optax.GradientTransformation]


@dataclass(frozen=True)
class Population:
    """Networks that were trained together.

    Attributes:
        states: a `TrainState` whose leaves have a leading axis of networks;
            `jax.tree.map(lambda a: a[i], states)` is the state of network i.
        losses: `[networks, steps / record_every]`, the loss of each network before the first of
            every `record_every` updates.
        diverged: `[networks]`, True where a recorded loss or a last parameter is NaN or infinite.
    """

    states: TrainState
    losses: jax.Array
    diverged: np.ndarray


def train_population(
    model: Layer,
    loss: Loss,
    optimizer: Optimizer,
    keys: jax.Array,
    x: ArrayLike,
    y: ArrayLike,
    *,
    steps: int,
    learning_rates: ArrayLike | None = None,
    record_every: int = 1,
    method: Method = "manual",
    mesh: Mesh | None = None,
) -> Population:
    """Trains one network per key on the full batch, all of them as one compiled program.

    Network i is, to rounding, what `fit` makes of `init_state(model, optimizer, keys[i])`. One that
    diverges leaves the others alone; a `RuntimeWarning` says how many did.

    Networks lie on the last axis of every array, in blocks of 128 that are trained one after the
    other. `jax.vmap` is used instead where a product takes more than 2048 multiplications, where
    the model has a loop (`Repeat`), and for fewer than 32 networks.

    Args:
        model: a layer.
        loss: a loss.
        optimizer: an optax gradient transformation; with `learning_rates`, a function of the
            learning rate that returns one, such as `optax.sgd`.
        keys: one per network, `jax.random.split(jax.random.key(seed), networks)`.
        x: inputs `[n, ...]`.
        y: targets `[n, ...]`.
        steps: how many updates, each on all of x and y.
        learning_rates: one per network, or None.
        record_every: keeps the loss of each so many steps, of which `steps` is a multiple. Every
            loss of 65,536 networks over 5,000 steps takes 1.3 GB.
        method: `"autodiff"` or `"manual"`.
        mesh: devices with one axis, over which the networks are spread; None is one device.

    Raises:
        ValueError: There are no keys, or another number of learning rates; a learning rate is not
            above 0 and finite; `steps` is not a multiple of `record_every`, or the losses do not
            fit into memory; the mesh has several axes; or x, y, the method, or the model with its
            loss is one that `fit` refuses.
        TypeError: An argument is of the wrong kind; `optimizer` is a function without
            `learning_rates`, or a gradient transformation with them.
    """
    check_untraced("train_population", keys, learning_rates, x, y)
    count = _check_keys(keys)
    check_pair(model, loss)
    check_choice("method", method, METHODS)
    rates = _checked_rates(optimizer, learning_rates, count)
    _check_record(count, steps, record_every)
    mesh, shards = _checked_mesh(mesh)
    x, y = checked_data(model, loss, _first_params(model, keys[0]), x, y)
    run = partial(_train, model, loss, optimizer, method, mesh, shards, steps, record_every)
    states, losses = jax.block_until_ready(run(keys, rates, x, y))
    bad = ~np.isfinite(losses).all(axis=1)
    for leaf in jax.tree.leaves(states.params):
        bad |= ~np.isfinite(leaf).reshape(count, -1).all(axis=1)
    if bad.any():
        warnings.warn(
            f"{counted(int(bad.sum()), 'network')} of {count} diverged: a loss or a parameter is "
            "NaN or infinite. Population.diverged says which; use lower learning rates.",
            RuntimeWarning,
            stacklevel=2,
        )
    return Population(states, losses, bad)


@partial(jax.jit, static_argnums=0)
def _first_params(model: Layer, key: jax.Array) -> Params:
    return model.init(key)


@partial(jax.jit, static_argnums=range(8))
def _train(
    model: Layer,
    loss: Loss,
    optimizer: Any,
    method: Method,
    mesh: Mesh | None,
    shards: int,
    steps: int,
    every: int,
    keys: jax.Array,
    rates: jax.Array | None,
    x: jax.Array,
    y: jax.Array,
) -> tuple[TrainState, jax.Array]:
    """Trains the networks in blocks, one block after the other."""

    def tuned(rate: jax.Array | None) -> optax.GradientTransformation:
        return optimizer if rate is None else optimizer(rate)

    def first(key: jax.Array, rate: jax.Array | None) -> TrainState:
        return init_state(model, tuned(rate), key)

    def step(carry: Any, x: jax.Array, y: jax.Array) -> Any:
        rate, state = carry
        state, value = update_of(model, loss, tuned(rate), method)(state, x, y)
        return (rate, state), value

    carry = rates, jax.vmap(first)(keys, rates)
    lanes = len(keys) >= LANES // 4 and suits_lanes(step, jax.tree.map(_form_of_one, carry), x, y)
    size = LANES if lanes else -(-len(keys) // shards)
    number = shards * -(-len(keys) // (size * shards))
    blocks = _Blocks(len(keys), number, size, axis=-1 if lanes else 1)
    train = partial(_train_blocks, blocks.mapped(step), steps, every)
    if mesh is not None:
        (name,) = mesh.axis_names
        spread, whole = PartitionSpec(name), PartitionSpec()
        train = jax.shard_map(
            train, mesh=mesh, in_specs=(spread, whole, whole), out_specs=spread, check_vma=False
        )
    (_, states), losses = train(jax.tree.map(blocks.divided, carry), x, y)
    joined = partial(blocks.joined, axis=blocks.axis)
    return jax.tree.map(joined, states), blocks.joined(losses, axis=1)


def _train_blocks(
    step: Callable[..., Any], steps: int, every: int, carry: Any, x: jax.Array, y: jax.Array
) -> Any:
    """Trains blocks, and keeps the losses of the first of every `every` steps."""

    def record(carry: Any, _: None) -> Any:
        carry, value = step(carry, x, y)
        # The losses of these steps are not used, so XLA leaves them out.
        return lax.fori_loop(1, every, rest, carry) if every > 1 else carry, value

    def rest(_: jax.Array, carry: Any) -> Any:
        return step(carry, x, y)[0]

    def train(carry: Any) -> Any:
        carry, losses = lax.scan(record, carry, length=steps // every)
        return carry, jnp.moveaxis(losses, -1, 0)

    return lax.map(train, carry)


class _Blocks(NamedTuple):
    """How networks are divided into blocks; the last block is filled up with the first network."""

    networks: int
    number: int
    size: int
    axis: int  # of the networks of a block: -1 in lanes, else 1

    def mapped(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Returns a step of all networks of a block."""
        return in_lanes(step) if self.axis < 0 else jax.vmap(step, (0, None, None))

    def divided(self, a: jax.Array) -> jax.Array:
        """Returns `[networks, ...]` as `[number, size, ...]`, in lanes as `[number, ..., size]`."""
        rows = jnp.arange(self.number * self.size)
        a = a[jnp.where(rows < self.networks, rows, 0)]
        return jnp.moveaxis(a.reshape(self.number, self.size, *a.shape[1:]), 1, self.axis)

    def joined(self, a: jax.Array, axis: int) -> jax.Array:
        """Returns blocks, whose networks are on an axis, as `[networks, ...]`."""
        a = jnp.moveaxis(a, axis, 1)
        return a.reshape(self.number * self.size, *a.shape[2:])[: self.networks]


def _form_of_one(stacked: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(stacked.shape[1:], stacked.dtype)


def _check_keys(keys: Any) -> int:
    """Returns the number of keys, or raises unless they are an array of at least one."""
    dtype, shape = getattr(keys, "dtype", None), tuple(getattr(keys, "shape", ()))
    typed = dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
    raw = dtype == jnp.uint32 and len(shape) == 2 and shape[1] in (2, 4)
    if not (typed and len(shape) == 1) and not raw:
        raise TypeError(
            f"keys={brief(keys)} is not an array of random keys, one per network; make it with "
            f"jax.random.split(jax.random.key(seed), networks).{misplaced(keys)}"
        )
    if not shape[0]:
        raise ValueError(f"keys has shape {list(shape)}, and no key; expected one per network.")
    return shape[0]


def _checked_rates(optimizer: Any, rates: Any, count: int) -> jax.Array | None:
    """Returns the learning rates, or raises unless they and the optimizer go together."""
    is_one = isinstance(optimizer, optax.GradientTransformation)
    if rates is None:
        if is_one:
            return None
        kind = "a function" if is_function(optimizer) else "not an optax gradient transformation"
        order = misplaced(optimizer)
        raise TypeError(
            f"optimizer={brief(optimizer)} is {kind}; pass optax.sgd(0.1), for instance, or a "
            f"function such as optax.sgd with learning_rates, one per network.{order}"
        )
    if is_one or not is_function(optimizer):
        raise TypeError(
            f"optimizer={brief(optimizer)} is not a function of the learning rate, but came with "
            f"learning_rates={shown(rates)}; pass optax.sgd, for instance, and not optax.sgd(0.1)."
        )
    rates = as_array("learning_rates", rates).astype(jnp.zeros(()).dtype)
    if rates.shape != (count,):
        raise ValueError(
            f"learning_rates has shape {list(rates.shape)}, expected [{count}]: one for each key."
        )
    check_finite("learning_rates", rates)
    if not (low := float(rates.min())) > 0:
        raise ValueError(f"learning_rates holds {low:g}; expected numbers above 0.")
    if not isinstance(made := optimizer(float(rates[0])), optax.GradientTransformation):
        raise TypeError(
            f"optimizer={shown(optimizer)} returned {shown(made)} for a learning rate, expected an "
            "optax gradient transformation; pass optax.sgd, for instance."
        )
    return rates


def _check_record(count: int, steps: int, every: int) -> None:
    check_positive_int("steps", steps)
    check_positive_int("record_every", every)
    if steps > np.iinfo(np.int32).max:
        raise ValueError(f"steps={steps} must be below 2**31, for TrainState.step is an int32.")
    if steps % every:
        raise ValueError(
            f"steps={steps} is not a multiple of record_every={every}; pass "
            f"steps={steps - steps % every or every}, for instance."
        )
    needed = 4 * count * (steps // every)
    if needed > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2:
        raise ValueError(
            f"record_every={every}: the losses take {needed / 1e9:,.1f} GB, more than half of this "
            "machine's memory; pass a larger record_every, such as record_every=steps."
        )


def _checked_mesh(mesh: Any) -> tuple[Mesh | None, int]:
    """Returns the mesh, whose axis XLA may reshard along, and the number of its devices."""
    if mesh is None:
        return None, 1
    if not isinstance(mesh, Mesh):
        raise TypeError(
            f"mesh={shown(mesh)} is not a jax.sharding.Mesh; jax.make_mesh((2,), ('networks',)) is "
            "one, of two devices."
        )
    if len(mesh.axis_names) != 1:
        raise ValueError(f"mesh has the axes {mesh.axis_names}, expected a single one.")
    return Mesh(mesh.devices, mesh.axis_names), mesh.size
