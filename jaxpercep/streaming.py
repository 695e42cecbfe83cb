"""Training on a stream of batches, from data that need not fit into memory."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jax.typing import ArrayLike

from jaxpercep._checks import as_numbers, check_finite
from jaxpercep.batches import Batch, Stream
from jaxpercep.gradients import Method, check_pair
from jaxpercep.keeping import Keeping, Place, Run, checked_keeping
from jaxpercep.layer import Layer, as_array, typed_list
from jaxpercep.loop import train
from jaxpercep.losses import Loss
from jaxpercep.training import (
    check_is_pair,
    check_untraced,
    checked_data,
    checked_start,
    naming,
)
from jaxpercep.update import Step, TrainState, update_of
from jaxpercep.validation import History, Watch


def fit_batches(
    model: Layer,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    batches: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    method: Method = "autodiff",
    callback: Callable[[TrainState, np.ndarray], bool | None] | None = None,
    checkpoints: Keeping | None = None,
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

    With `checkpoints`, a call whose folder holds checkpoints of the same run goes on from the last
    of them, as `Checkpoints` says. An iterator with `get_state` and `set_state`, such as Grain's,
    is set back to where it was. Of any other the batches trained on are taken and dropped, so the
    iterable has to give the same batches in the same order again; that is checked at the last one.

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
        checkpoints: a `Checkpoints`, which names the folder; None writes nothing.

    Raises:
        ValueError: There is no batch, or one, which the message names by its number from 0, has
            inputs and targets that differ in length, that hold NaN or infinity, or that model or
            loss are not defined for; the parameters or the first loss are not finite; the method is
            unknown; the model ends in `sigmoid` and the loss takes logits; the checkpoints cannot
            be used, as `Checkpoints` says.
        TypeError: An argument is of the wrong kind, a batch is not a pair of arrays, the callback
            returns something else than None or a bool, JSON cannot hold the iterator's state, or
            `fit_batches` is called under `jit` or `vmap`.
        OSError: A checkpoint cannot be written.
    """
    check_untraced("fit_batches", state)
    check_pair(model, loss)
    state = checked_start(optimizer, state, method, callback)
    keeping = checked_keeping(checkpoints)
    step = partial(_step, model, loss, optimizer, method)
    fix = f"batches, a {type(batches).__name__}, has to give pairs such as (x, y)"
    checked = _Checked(model, loss, state, step, fix)
    stream = Stream(step, checked, batches, kept=checkpoints is not None)

    def lower(place: Place) -> Any:
        x, y = (jax.ShapeDtypeStruct(shape, dtype) for dtype, shape in place["forms"])
        return _step.lower(*step.args, state, x, y)

    run = Run(
        function="fit_batches",
        settings={"model": model, "loss": loss, "method": method},
        arrays={"state": state},
        lower=lower,
        steps=stream,
    )
    return train(state, stream, Watch(), callback, keeping.opened(run))


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
            x, y = _own("x", typed_list("x", pair[0])), _own("y", pair[1])
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
