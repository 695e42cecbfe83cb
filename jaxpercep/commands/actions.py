"""`jaxpercep train` and `jaxpercep predict`."""

import csv
import io
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from jaxpercep import activations, evaluation
from jaxpercep._checks import counted
from jaxpercep._files.series import UnusableError
from jaxpercep._files.writing import write_whole
from jaxpercep.commands import checkpoint, folder, sources
from jaxpercep.commands.arguments import Predict, Train, UsageError, inputs, is_dataset
from jaxpercep.commands.checkpoint import Description, Trained
from jaxpercep.commands.heads import UnknownClassError, in_terms_of
from jaxpercep.commands.networks import OPTIMIZERS, check_memory
from jaxpercep.commands.notes import note, note_images
from jaxpercep.commands.samples import Part, Samples, as_inputs, prepare
from jaxpercep.commands.schedules import learning_rate
from jaxpercep.compose import Serial, mlp
from jaxpercep.layer import Layer, Params
from jaxpercep.plots import loss_curves
from jaxpercep.resuming import Checkpoints
from jaxpercep.tables import Rows, read_rows
from jaxpercep.training import History, TrainState, fit, init_state


def train(arguments: Train) -> int:
    """Trains a network, prints its metrics and saves it; returns the exit code.

    Raises:
        UsageError: The data cannot be read or used, the arguments do not fit it, or `--out` holds
            something else.
        OSError: A file cannot be written.
        ValueError: Training diverged.
    """
    with inputs():
        samples = prepare(arguments)
    parts, head = samples.parts, samples.head
    features = parts["train"].x.shape[1]
    sizes = (features, *arguments.hidden, head.outputs)
    model = mlp(sizes, getattr(activations, arguments.activation))
    check_memory(sizes)
    print(f"{arguments.data}: {_counted(parts)}, {counted(features, 'feature')}")
    print(f"{model!r}\n{head.loss!r}")

    state, history = _fit(arguments, model, samples)
    metrics = {
        name: head.metrics(_outputs(model, state.params, x), y) for name, (x, y) in parts.items()
    }
    for part in metrics.values():
        _check_finite(arguments.learning_rate, state, list(part.values()))
    curve = _loss_curve(arguments, history, len(parts["train"].x))
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
    print(f"{_table(metrics)}\nsaved: {arguments.out}")
    if history.interrupted:
        steps, kept = counted(int(state.step), "step"), arguments.checkpoints or arguments.resume
        fix = ", and --resume goes on from it" if kept else ""
        note(f"jaxpercep train: interrupted after {steps}; the state reached is saved{fix}")
    return 130 if history.interrupted else 0


def predict(arguments: Predict) -> int:
    """Writes predictions as CSV, and metrics to standard error; returns the exit code.

    Raises:
        UsageError: The model or the data cannot be read or used, or do not fit each other.
        OSError: A file cannot be written.
    """
    with inputs():
        model, params, description = checkpoint.load(arguments.model)
        x, _, labelled, remark, where = _rows(arguments, description)
        try:
            targets = None if labelled is None else description.head.encode(labelled)
        except UnknownClassError as error:
            raise UsageError(f"{where(error.row)}: {error}") from error
        except ValueError as error:  # the predictions stand all the same
            targets, remark = None, str(error)
    outputs = _outputs(model, params, as_inputs(description.fill, description.scale, x))
    _write(description.head.columns(outputs), arguments.out)
    note(f"{arguments.data}: {counted(len(x), 'sample')}")
    if targets is not None:
        note(_table({"": description.head.metrics(outputs, targets)}))
    if remark:
        note(f"no metrics: {remark}")
    return 0


def _fit(arguments: Train, model: Serial, samples: Samples) -> tuple[TrainState, History]:
    init_key, order_key = jax.random.split(jax.random.key(arguments.seed))
    part = samples.parts["train"]
    per_epoch = len(part.x) // (arguments.batch_size or len(part.x))
    steps, warmup = (per_epoch * n for n in (arguments.epochs, arguments.warmup_epochs))
    rate = learning_rate(arguments.schedule, arguments.learning_rate, steps, warmup)
    optimizer = OPTIMIZERS[arguments.optimizer](rate)
    kept = arguments.checkpoints or arguments.resume
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "training diverged")  # the callback raises instead
        try:
            state, history = fit(
                model,
                samples.head.loss,
                optimizer,
                init_state(model, optimizer, init_key),
                *part,
                epochs=arguments.epochs,
                batch_size=arguments.batch_size,
                key=order_key,
                method=arguments.method,
                sample_weight=samples.weights,
                callback=partial(_check_finite, arguments.learning_rate),
                checkpoints=Checkpoints(folder.checkpoints(arguments.out)) if kept else None,
            )
        except UnusableError as error:
            raise UsageError(str(error)) from error
    if not history.loss.size:
        raise KeyboardInterrupt  # before the first step: there is nothing to save
    return state, history


def _loss_curve(arguments: Train, history: History, samples: int) -> Figure:
    """The mean loss of each epoch: single batches would hide it in their scatter."""
    steps = samples // (arguments.batch_size or samples)
    starts = np.arange(0, len(history.loss), steps)
    means = np.add.reduceat(history.loss, starts) / np.diff([*starts, len(history.loss)])
    return loss_curves(
        {"train": means},
        title=f"{arguments.data}, {arguments.optimizer}",
        xlabel="epoch",
        ylabel="mean training loss",
    )


def _outputs(model: Layer, params: Params, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(evaluation.outputs(model, params, jnp.asarray(x)))


def _check_finite(
    rate: float, state: TrainState, numbers: Sequence[float] | NDArray[np.float32]
) -> None:
    """Raises a `ValueError` if training has diverged."""
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"training diverged within {counted(int(state.step), 'step')}: the loss is no longer "
            f"finite. Lower --learning-rate (it was {rate:g})."
        )


def _rows(arguments: Predict, description: Description) -> Rows:
    """The features to predict for and, where there are targets, all of the data."""
    layout = description.layout
    if not is_dataset(arguments.data) and not Path(arguments.data).is_dir():
        filled = description.fill is not None
        rows = read_rows(arguments.data, layout, arguments.target, filled)
        note_images(rows.shape)
        return rows
    source = sources.load(arguments.data, None, description.seed)
    shape, hint = source.layout.shape, f": it was trained on {description.data}"
    layout.check_shape(f"DATA={arguments.data!r}", shape, hint)
    source = in_terms_of(description.head.loss_name, source)
    seen, unseen, remark = sources.hold_out(source, description.test_fraction, description.seed)
    note(remark or "the part that training did not see:")
    data = seen if unseen is None else unseen

    def where(row: int) -> str:
        return f"{arguments.data}: sample {row}"

    return Rows(data.x, shape, data, where=where)


def _write(columns: Mapping[str, Sequence[str]], out: Path | None) -> None:
    """Writes a CSV file, wholly or not at all; to standard output without a path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    if out is None:
        sys.stdout.write(text.getvalue())
        sys.stdout.flush()
    else:
        write_whole(out, text.getvalue())


def _counted(parts: Mapping[str, Part]) -> str:
    return ", ".join(
        f"{counted(len(part.x), 'sample')} to {name} on" for name, part in parts.items()
    )


def _table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """One line a part, under the names of the metrics."""
    widths = {name: max(12, len(name) + 2) for name in next(iter(metrics.values()))}
    lines = [f"{'':5}" + "".join(f"{name:>{width}}" for name, width in widths.items())]
    for part, values in metrics.items():
        cells = {name: f"{values[name]:.5g}" if name in values else "" for name in widths}
        lines.append(f"{part:5}" + "".join(f"{cells[n]:>{width}}" for n, width in widths.items()))
    return "\n".join(lines)
