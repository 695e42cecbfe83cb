"""Training on a stream of batches, from data that need not fit into memory."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeAlias

import jax
import numpy as np
import optax
from jax.typing import ArrayLike

from jaxpercep._checks import as_numbers, check_finite, shown
from jaxpercep.gradients import Method, check_pair
from jaxpercep.keeping import Keeper
from jaxpercep.layer import Layer, as_array
from jaxpercep.loop import SECONDS_PER_CALL, train
from jaxpercep.losses import Loss
from jaxpercep.training import (
    Step,
    TrainState,
    check_is_pair,
    check_run,
    check_untraced,
    checked_data,
    naming,
    update_of,
)
from jaxpercep.validation import History, Watch

Batch: TypeAlias = tuple[jax.Array | np.ndarray, jax.Array | np.ndarray]
"""Inputs and targets; those of NumPy are placed on the device by the step, in less time."""


def fit_batches(
    model: Layer,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    batches: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    method: Method = "autodiff",
    callback: Callable[[TrainState, np.ndarray], bool | None] | None = None,
) -> tuple[TrainState, History]:
    """Trains on batches as they come, one update each, until there are no more.

    The result is that of a loop of `make_step` over the same batches, bit for bit. While a step is
    computed, the next batch is made by the iterable, checked, and sent to the device. At most two
    batches are kept, and what the iterable gave may be overwritten as soon as it is asked for more.

    Every size of batch has a program of its own, which is compiled when the first batch of that
    size comes and used again for the others, in later calls too. So a last batch that is smaller is
    trained on like the others, and compiles once; batches of many different sizes compile as often.

    About once a second the callback is called, a terminal shows progress, and Ctrl-C ends the run:
    the state reached and its history are returned. At those moments, and when a run ends there,
    exactly the batches trained on have been taken from the iterable, so that another call with the
    same iterator goes on, and the state of an iterator that has one belongs to that of the network.

    A loss that is NaN or infinite ends the run, with a `RuntimeWarning` that says at which step;
    what is returned is the state before the update that led there.

    Args:
        model: a layer.
        loss: a loss.
        optimizer: an optax gradient transformation, the one `state` was made with.
        state: from `init_state`, `make_step`, `fit` or `fit_batches`; it stays usable.
        batches: gives pairs of inputs `[n, ...]` and targets `[n, ...]`: a list, a generator, a
            data set of Grain, a `DataLoader` of PyTorch. One pass over it is the run, so for more
            than one epoch it has to repeat itself.
        method: `"autodiff"` or `"manual"`.
        callback: called about once a second with the state and the losses since the last time; if
            it returns True, the run ends.

    Raises:
        ValueError: There is no batch, or one, which the message names by its number from 0, has
            inputs and targets that differ in length, that hold NaN or infinity, or that model or
            loss are not defined for; the parameters or the first loss are not finite; the method is
            unknown; the model ends in `sigmoid` and the loss takes logits.
        TypeError: An argument is of the wrong kind, a batch is not a pair of arrays, the callback
            returns something else than None or a bool, or `fit_batches` is called under `jit` or
            `vmap`.
    """
    check_untraced("fit_batches", state)
    check_pair(model, loss)
    check_run(optimizer, state, method, callback)
    step = partial(_step, model, loss, optimizer, method)
    fix = f"batches, a {type(batches).__name__}, has to give pairs such as (x, y)"
    stream = _Stream(step, _Checked(model, loss, state, step, fix), batches)
    kept = nullcontext(Keeper())
    return train(state, stream.take, stream.again, lambda: stream.length, Watch(), callback, kept)


@partial(jax.jit, static_argnums=range(4))
def _step(
    model: Layer,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    method: Method,
    state: TrainState,
    x: ArrayLike,
    y: ArrayLike,
) -> tuple[TrainState, jax.Array]:
    return update_of(model, loss, optimizer, method)(state, x, y)


class _Checked:
    """Makes a batch of an item, or raises; a shape and type is checked when it is first seen."""

    def __init__(self, model: Layer, loss: Loss, state: TrainState, step: Step, fix: str) -> None:
        """Takes what trains, and how to mend an item that is not a pair."""
        self._model, self._loss, self._state, self._step = model, loss, state, step
        self._fix = fix
        self._predicted: dict[Any, tuple[int, ...]] = {}  # the predictions' shape, by the batch's

    def __call__(self, argument: str, pair: Any) -> Batch:
        check_untraced("fit_batches", pair)
        check_is_pair(argument, pair, self._fix)
        with naming(argument):
            x, y = _own("x", pair[0]), _own("y", pair[1])
            form = x.shape, x.dtype, y.shape, y.dtype
            if form in self._predicted:
                check_finite("x", x)
                check_finite("y", y)
                self._loss.check(self._predicted[form], np.asarray(y))
            else:
                checked_data(self._model, self._loss, self._state.params, x, y)
                jax.eval_shape(self._step, self._state, x, y)
                outputs = jax.eval_shape(self._model.apply, self._state.params, x)
                self._predicted[form] = outputs.shape
        return x, y


def _own(argument: str, value: Any) -> jax.Array | np.ndarray:
    """Returns an array that does not share its memory with what can be written to.

    JAX takes the memory of NumPy's arrays and PyTorch's tensors as it is where it can, and a step
    reads it later than an iterable that uses its buffer again.
    """
    if isinstance(value, jax.Array):
        return value
    array = np.array(as_numbers(argument, value))
    held = array.dtype == jax.dtypes.canonicalize_dtype(array.dtype)
    return array if held else as_array(argument, array)


def _iterator(batches: Any) -> Iterator[Any]:
    try:
        return iter(batches)
    except TypeError as error:
        raise TypeError(
            f"batches={shown(batches)} cannot be iterated over; pass an iterable of pairs, such as "
            "[(x, y)], and call a function that makes one."
        ) from error


class _Stream:
    """Takes steps along the batches of an iterable.

    Attributes:
        length: the number of batches, None until the last has been taken and another asked for.
    """

    def __init__(
        self,
        step: Step,
        checked: Callable[[str, Any], Batch],
        batches: Any,
    ) -> None:
        """Takes the step, what makes a batch of an item and its name, and the iterable of items."""
        self.length: int | None = None
        self._step, self._checked, self._items = step, checked, _iterator(batches)
        self._given, self._number = batches, 0
        self._before: deque[TrainState] = deque(maxlen=3)  # the states before the last steps

    def take(self, state: TrainState, count: int) -> tuple[TrainState, np.ndarray]:
        """Takes at most `count` steps, for about a second; returns the state and the losses.

        JAX returns from a step before it is computed. Then the loss of the step before is waited
        for, so that one step is computed while the next batch is made; if that loss is not finite,
        no more steps are taken.
        """
        losses: list[jax.Array] = []
        end = time.perf_counter() + SECONDS_PER_CALL
        batch = self._next() if count else None
        while batch is not None:
            self._before.append(state)
            state, loss = self._step(state, *batch)
            losses.append(loss)
            going_on = len(losses) < count and time.perf_counter() < end
            finite = len(losses) < 2 or np.isfinite(losses[-2])
            batch = self._next() if going_on and finite else None
        return state, np.asarray(jax.device_get(losses))

    def again(self, state: TrainState, count: int) -> TrainState:
        """Returns the state `count` steps after this one, which is one of those kept."""
        step = int(state.step) + count
        return next(state for state in self._before if int(state.step) == step)

    def _next(self) -> Batch | None:
        """Returns the next batch, or None at the end."""
        try:
            pair = next(self._items)
        except StopIteration:
            if not self._number:
                raise ValueError(
                    f"batches={shown(self._given)} gave no batch. A generator gives its batches "
                    "once: make a new one for every call."
                ) from None
            self.length = self._number
            return None
        batch = self._checked(f"batches[{self._number}]", pair)
        self._number += 1
        return batch
