"""`fit`: training on data in memory."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.typing import ArrayLike

from jaxpercep import loop
from jaxpercep._checks import (
    check_callable,
    check_choice,
    check_finite,
    check_positive_int,
    counted,
    shown,
)
from jaxpercep.gradients import METHODS, Method, check_pair, check_values
from jaxpercep.keeping import Keeping, Place, Run, checked_keeping
from jaxpercep.layer import (
    Layer,
    Params,
    as_array,
    check_input,
    check_key,
)
from jaxpercep.losses import Loss
from jaxpercep.steps import Data, run_steps
from jaxpercep.update import TrainState, check_optimizer, check_state
from jaxpercep.validation import EarlyStopping, History, Watch, check_stopping
from jaxpercep.weighting import check_mean, checked_weights

STEPS_PER_VALIDATION = 100  # of the full batch


def fit(
    model: Layer,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    x: ArrayLike,
    y: ArrayLike,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    key: jax.Array | None = None,
    method: Method = "autodiff",
    sample_weight: ArrayLike | None = None,
    callback: Callable[[TrainState, np.ndarray], bool | None] | None = None,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    validate_every: int | None = None,
    early_stopping: EarlyStopping | None = None,
    checkpoints: Keeping | None = None,
) -> tuple[TrainState, History]:
    """Trains for `steps` updates, or for `epochs` passes over the data.

    Many steps run inside one compiled call, about a second's worth; where the calls are cut changes
    neither the result nor the number of compilations. In between, a terminal shows progress, and
    Ctrl-C ends the run: the state reached and its history are returned. The state passed in stays
    usable. A loss that is NaN or infinite ends the run too, with a `RuntimeWarning` that says at
    which step; what is returned is the state before the update that led there.

    With `batch_size`, epoch e visits the samples in the order of
    `jax.random.permutation(jax.random.fold_in(key, e), n)`; the n mod batch_size samples at its end
    are left out of that epoch. Epochs are counted from `state.step`, so training on from a state
    that `fit` returned, with the same key and batch size, gives what one longer call would have.

    With `validation`, the loss on those data is measured whenever `state.step` is a multiple of
    `validate_every`, and after the last step; nothing else changes. With `early_stopping`, the
    state that is returned is the one whose validation loss was lowest, however the run ends;
    `history.best` says at which step that was. Before the first validation there is none, and a run
    that ends there returns the state reached.

    With `checkpoints`, what the run has reached is written to a folder, between compiled calls and
    when it ends. A call whose folder holds checkpoints of the same run goes on from the last whole
    one, and returns the same bits as a run that was never interrupted. See `Checkpoints`.

    Args:
        model: a layer.
        loss: a loss.
        optimizer: an optax gradient transformation, the one `state` was made with.
        state: from `init_state`, `make_step` or `fit`.
        x: inputs `[n, ...]`.
        y: targets `[n, ...]`.
        steps: how many updates; give this or `epochs`.
        epochs: how many passes of n // batch_size updates.
        batch_size: samples a step; None is the full batch, in the order given.
        key: for the order of the samples; needed with `batch_size`.
        method: `"autodiff"` or `"manual"`.
        sample_weight: weights w `[n]`, 0 or more: the loss of a batch is then the weighted mean
            sum_n w_n l_n / sum_n w_n of the losses of its samples alone. The loss has to be a mean.
        callback: called between compiled calls, and after each validation, with the state and the
            losses since the last time; if it returns True, the run ends.
        validation: inputs `[m, ...]` and targets `[m, ...]`, of which the loss is measured at once.
        validate_every: how many updates there are between validations; None is one epoch with
            `batch_size`, and 100 updates of the full batch.
        early_stopping: when to end the run for want of improvement; needs `validation`.
        checkpoints: a `Checkpoints`, which names the folder; None writes nothing.

    Raises:
        ValueError: Both or neither of `steps` and `epochs` are given; the batch is larger than the
            data; x and y differ in length; the data hold NaN, infinity, or targets that the loss is
            not defined for; a weight is negative or not finite, all are 0, or the loss is no mean
            over samples; the parameters or the first loss are not finite; there are more steps than
            `state.step` can count; the method is unknown; the model ends in `sigmoid` and the loss
            takes logits; the validation data are not fit for model or loss, or missing; the
            checkpoints cannot be used, as `Checkpoints` says.
        TypeError: An argument is of the wrong kind, the callback returns something else than None
            or a bool, or `fit` is called under `jit` or `vmap`.
        OSError: A checkpoint cannot be written.
    """
    check_untraced("fit", state, x, y, validation, sample_weight)
    state = checked_start(optimizer, state, method, callback)
    keeping = checked_keeping(checkpoints)
    x, y = checked_data(model, loss, state.params, x, y)
    weights = checked_weights(sample_weight, len(x))
    if weights is not None:
        check_mean(model, loss, state.params, x, y)
    if batch_size is not None:
        batch_size = check_positive_int("batch_size", batch_size)
    key = _checked_key(len(x), batch_size, key)
    per_epoch = len(x) // (batch_size or len(x))
    total = _total_steps(state, steps, epochs, per_epoch)
    usual = per_epoch if batch_size else STEPS_PER_VALIDATION
    watch = _watch(model, loss, state.params, validation, validate_every, usual, early_stopping)
    run, data = partial(run_steps, model, loss, optimizer, method, batch_size), (x, y, weights)
    taking = _InMemory(run, data, key, total)

    def lower(place: Place) -> Any:
        del place
        return run_steps.lower(*run.args, state, data, key, 1)

    this = Run(
        function="fit",
        settings={
            "model": model,
            "loss": loss,
            "method": method,
            "batch_size": batch_size,
            "validate_every": watch.every,
            "early_stopping": early_stopping,
        },
        arrays={
            "state": state,
            "x": x,
            "y": y,
            "sample_weight": weights,
            "key": key,
            "validation": watch.data,
        },
        lower=lower,
        steps=taking,
    )
    return loop.train(state, taking, watch, callback, keeping.opened(this))


class _InMemory(NamedTuple):
    """Takes steps over data on the device, many a call.

    Attributes:
        run: takes steps: (state, data, key, count) -> (state, losses).
        data: the data.
        key: of the order of the samples.
        total: the number of steps of the whole run.
    """

    run: Callable[..., tuple[TrainState, jax.Array]]
    data: Data
    key: jax.Array | None
    total: int

    def take(self, state: TrainState, count: int) -> tuple[TrainState, np.ndarray]:
        """Takes steps; returns the state and the losses."""
        state, losses = jax.block_until_ready(self.run(state, self.data, self.key, count))
        return state, np.asarray(losses)[:count]

    def again(self, state: TrainState, count: int) -> TrainState:
        """Returns the state so many steps after one."""
        return self.take(state, count)[0]

    def resumable(self, state: TrainState) -> TrainState | None:
        """Returns this state, or None if its loss is not finite."""
        return state if np.isfinite(self.take(state, 1)[1]).all() else None

    def place(self) -> Place:
        """Returns nothing, for the samples to come follow from the key and the step."""
        return {}

    def go_to(self, done: int, place: Place) -> str:
        """Returns in words why a run cannot go on after so many steps, or nothing."""
        del place
        if done <= self.total:
            return ""
        return (
            f"holds a run of {counted(done, 'step')} already, and fit was asked for {self.total} "
            "in all; ask for more, or choose another folder."
        )


def checked_start(optimizer: Any, state: Any, method: Any, callback: Any) -> TrainState:
    """Returns the state with its leaves as JAX's arrays, or raises unless a run can start so."""
    check_optimizer(optimizer)
    check_state(state, optimizer)
    for path, leaf in jax.tree.leaves_with_path(state.params):
        check_finite(f"state.params{jax.tree_util.keystr(path)}", leaf)
    check_choice("method", method, METHODS)
    if callback is not None:
        check_callable("callback", callback, "(state, losses) -> None or bool", 2)

    def held(leaf: Any) -> jax.Array:
        return leaf if isinstance(leaf, jax.Array) else as_array("state", leaf)

    return jax.tree.map(held, state)


_IN_A_SCAN = (
    "step = make_step(model, loss, optimizer) in "
    "jax.lax.scan(lambda state, _: step(state, x, y), state, length=steps)"
)


def check_untraced(function: str, *arguments: Any, instead: str = _IN_A_SCAN) -> None:
    """Raises a `TypeError` if one of the arguments of the function is traced."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments)):
        raise TypeError(
            f"{function} cannot run under jit, vmap or grad: it looks at numbers. Use {instead}."
        )


def checked_data(
    model: Layer, loss: Loss, params: Params, x: ArrayLike, y: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """Returns the data as arrays, or raises if model or loss cannot take them."""
    check_pair(model, loss)
    x, y = check_input(model, x), as_array("y", y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(
            f"x has shape {list(x.shape)} and y {list(y.shape)}; expected one target per sample."
        )
    check_values(model, loss, params, x, y)
    return x, y


def check_is_pair(argument: str, value: Any, fix: str) -> None:
    """Raises a `TypeError` unless the argument is a pair."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{argument}={shown(value)} is not a pair; {fix}, inputs and targets.")


@contextmanager
def naming(argument: str) -> Generator[None]:
    """Names the argument in the errors of checks that do not know whose part they look at."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{argument}: {error}") from error


def _watch(
    model: Layer,
    loss: Loss,
    params: Params,
    validation: Any,
    every: int | None,
    usual: int,
    stopping: EarlyStopping | None,
) -> Watch:
    """Returns what measures the loss on the validation data, or raises if it cannot."""
    check_stopping(stopping)
    if every is not None:
        every = check_positive_int("validate_every", every)
    if validation is None:
        for name, value in (("validate_every", every), ("early_stopping", stopping)):
            if value is not None:
                raise ValueError(f"{name}={shown(value)} needs data: pass validation=(x, y).")
        return Watch()
    check_is_pair("validation", validation, "pass validation=(x, y)")
    with naming("validation"):
        x, y = checked_data(model, loss, params, *validation)

    def measure(params: Params) -> float:
        return float(_loss(model, loss, params, x, y))

    return Watch(measure, every or usual, stopping, (x, y))


@partial(jax.jit, static_argnums=(0, 1))
def _loss(model: Layer, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    return loss.apply(model.apply(params, x), y)


def _checked_key(n: int, batch_size: int | None, key: jax.Array | None) -> jax.Array | None:
    """Returns the key of the order of the samples, or None for the full batch."""
    if key is not None:
        check_key(key)
    if batch_size is None:
        return None
    if batch_size > n:
        raise ValueError(f"batch_size={batch_size} is more than the {n} samples of x.")
    if key is None:
        raise ValueError(
            f"batch_size={batch_size} needs a key for the order of the samples; "
            "pass key=jax.random.key(seed)."
        )
    return key


def _total_steps(state: TrainState, steps: int | None, epochs: int | None, per_epoch: int) -> int:
    left = np.iinfo(np.int32).max - int(state.step)
    if steps is not None and epochs is None:
        return _checked_count("steps", steps, left)
    if epochs is not None and steps is None:
        return _checked_count("epochs", epochs, left // per_epoch) * per_epoch
    raise ValueError(f"steps={steps}, epochs={epochs}: give exactly one of the two.")


def _checked_count(argument: str, value: int, most: int) -> int:
    value = check_positive_int(argument, value)
    if value > most:
        raise ValueError(
            f"{argument}={value}: state.step, an int32, has room for {most} more at most."
        )
    return value
