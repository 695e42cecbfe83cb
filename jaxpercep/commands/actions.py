"""`jaxpercep train`: from memory, or from disk."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jaxpercep import activations
from jaxpercep._checks import counted
from jaxpercep._files.series import AnotherRunError, UnusableError
from jaxpercep.commands import checkpoint, folder, stored
from jaxpercep.commands.arguments import Train, UsageError, inputs
from jaxpercep.commands.batches import ShuffledBatches
from jaxpercep.commands.checkpoint import Description, Trained
from jaxpercep.commands.networks import OPTIMIZERS, check_memory, outputs_of
from jaxpercep.commands.notes import note, table
from jaxpercep.commands.samples import Part, Samples, prepare
from jaxpercep.commands.schedules import learning_rate
from jaxpercep.commands.scratch import Stored, scratch_folder
from jaxpercep.compose import Serial, mlp
from jaxpercep.losses import Loss
from jaxpercep.plots import loss_curves
from jaxpercep.resuming import Checkpoints
from jaxpercep.streaming import fit_batches
from jaxpercep.training import fit
from jaxpercep.update import TrainState, init_state
from jaxpercep.validation import History


def train(arguments: Train) -> int:
    """Trains a network, prints its metrics and saves it; returns the exit code.

    Raises:
        UsageError: The data cannot be read or used, the arguments do not fit it, or `--out` holds
            something else.
        OSError: A file cannot be written.
        ValueError: Training diverged.
    """
    if not arguments.stream:
        with inputs():
            samples = prepare(arguments)
        size = samples.parts["train"].size
        steps = size // (arguments.batch_size or size)
        return _train(arguments, samples, steps, partial(_fit, arguments, samples))
    with scratch_folder(arguments.out) as scratch:
        with inputs():
            stored_samples = stored.prepare(arguments, scratch)
        part = stored_samples.parts["train"]
        size = stored.batch_size(arguments, part.size)
        with ShuffledBatches(part, size, arguments.epochs, arguments.seed) as batches:
            run = partial(fit_batches, batches=batches, checkpoints=_checkpoints(arguments))
            return _train(arguments, stored_samples, batches.per_epoch, run)


def _train(
    arguments: Train,
    samples: Samples[Part] | Samples[Stored],
    per_epoch: int,
    run: Callable[..., tuple[TrainState, History]],
) -> int:
    """Trains on the samples by `run`, which takes so many steps an epoch."""
    parts, head = samples.parts, samples.head
    sizes = (samples.layout.inputs, *arguments.hidden, head.outputs)
    model = mlp(sizes, getattr(activations, arguments.activation))
    check_memory(sizes)
    print(f"{arguments.data}: {_counted(parts)}, {counted(sizes[0], 'feature')}")
    print(f"{model!r}\n{head.loss!r}")

    state, history = _run(arguments, model, samples.loss, per_epoch, run)
    metrics = {
        name: head.metrics((outputs_of(model, state.params, x), y) for x, y in part.blocks())
        for name, part in parts.items()
    }
    for part in metrics.values():
        _check_finite(arguments.learning_rate, state, list(part.values()))
    curve = _loss_curve(arguments, history, per_epoch)
    description = Description(
        head=head,
        fill=samples.fill,
        scale=samples.scale,
        layout=samples.layout,
        data=arguments.data,
        seed=arguments.seed,
        test_fraction=arguments.test_fraction,
        metrics=metrics,
    )
    checkpoint.save(arguments.out, Trained(model, state.params, description), curve)
    print(f"{table(metrics)}\nsaved: {arguments.out}")
    if history.interrupted:
        steps, kept = counted(int(state.step), "step"), folder.has_checkpoints(arguments.out)
        fix = ", and --resume goes on from it" if kept else ""  # there is none of the first step
        note(f"jaxpercep train: interrupted after {steps}; the state reached is saved{fix}")
    return 130 if history.interrupted else 0


def _run(
    arguments: Train,
    model: Serial,
    loss: Loss,
    per_epoch: int,
    run: Callable[..., tuple[TrainState, History]],
) -> tuple[TrainState, History]:
    steps, warmup = (per_epoch * n for n in (arguments.epochs, arguments.warmup_epochs))
    rate = learning_rate(arguments.schedule, arguments.learning_rate, steps, warmup)
    optimizer = OPTIMIZERS[arguments.optimizer](rate)
    check = partial(_check_finite, arguments.learning_rate)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "training diverged")  # the callback raises instead
        try:
            state = init_state(model, optimizer, _keys(arguments)[0])
            state, history = run(
                model, loss, optimizer, state, method=arguments.method, callback=check
            )
        except UnusableError as error:
            another = isinstance(error, AnotherRunError) and arguments.schedule != "constant"
            hint = f" --schedule {arguments.schedule} depends on --epochs." if another else ""
            raise UsageError(f"{error}{hint}") from error
    if not history.loss.size:
        note("interrupted before the first step: there is nothing to save")
        raise KeyboardInterrupt
    return state, history


def _fit(
    arguments: Train,
    samples: Samples[Part],
    model: Serial,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    state: TrainState,
    **options: Any,
) -> tuple[TrainState, History]:
    """Calls `fit` with samples in memory."""
    return fit(
        model,
        loss,
        optimizer,
        state,
        *samples.parts["train"],
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        key=_keys(arguments)[1],
        sample_weight=samples.weights,
        checkpoints=_checkpoints(arguments),
        **options,
    )


def _checkpoints(arguments: Train) -> Checkpoints | None:
    if arguments.checkpoints or arguments.resume:
        return Checkpoints(folder.checkpoints(arguments.out))
    return None


def _keys(arguments: Train) -> tuple[jax.Array, jax.Array]:
    """Returns the key of the parameters, and that of the order of the samples."""
    first, second = jax.random.split(jax.random.key(arguments.seed))
    return first, second


def _loss_curve(arguments: Train, history: History, per_epoch: int) -> Figure:
    """The mean loss of each epoch: single batches would hide it in their scatter."""
    starts = np.arange(0, len(history.loss), per_epoch)
    means = np.add.reduceat(history.loss, starts) / np.diff([*starts, len(history.loss)])
    return loss_curves(
        {"train": means},
        title=f"{arguments.data}, {arguments.optimizer}",
        xlabel="epoch",
        ylabel="mean training loss",
    )


def _check_finite(
    rate: float, state: TrainState, numbers: Sequence[float] | NDArray[np.float32]
) -> None:
    """Raises a `ValueError` if training has diverged."""
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"training diverged within {counted(int(state.step), 'step')}: the loss is no longer "
            f"finite. Lower --learning-rate (it was {rate:g})."
        )


def _counted(parts: Mapping[str, Part] | Mapping[str, Stored]) -> str:
    return ", ".join(f"{counted(part.size, 'sample')} to {name} on" for name, part in parts.items())
