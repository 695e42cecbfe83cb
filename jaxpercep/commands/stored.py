"""The samples of `jaxpercep train --stream`: a table of any size, brought into scratch files.

It is read once; what depends on all of it (categories, means, scales, which rows are held out) is
measured in passes over the scratch files, some rows at a time.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxpercep._files.layout import Layout
from jaxpercep._files.reading import Reading, file_format, open_table
from jaxpercep._interactive import deferred_interrupt
from jaxpercep.commands.arguments import Train, UsageError
from jaxpercep.commands.heads import Head, fit_head
from jaxpercep.commands.held_out import HeldOut
from jaxpercep.commands.notes import note
from jaxpercep.commands.samples import (
    Samples,
    as_inputs,
    check_steps,
    chosen_loss,
    labels_to_weigh,
    note_features,
)
from jaxpercep.commands.scratch import Stored
from jaxpercep.commands.sources import Fill, Scale
from jaxpercep.datasets import Dataset
from jaxpercep.losses import Loss
from jaxpercep.weighting import ClassWeighted

BATCH = 256  # of training, unless another is asked for


def prepare(arguments: Train, folder: Path) -> Samples[Stored]:
    """Reads the samples into files in a folder.

    Raises:
        UsageError: The arguments do not fit the data.
        OSError: A file cannot be read, or written.
        ValueError: A file cannot be used.
        KeyboardInterrupt: Ctrl-C, between two blocks of rows.
    """
    with deferred_interrupt() as interrupted:
        read, reading = _read(arguments, folder, interrupted)
        layout = reading.layout()
        note_features(layout)
        kinds = Dataset(np.empty((0, layout.inputs), np.float32), *reading.targets.examples())
        loss = chosen_loss(arguments, kinds, read.size)
        examples = _Examples(read, reading, loss, interrupted)
        remark = examples.hold_out(arguments.test_fraction, arguments.seed)
        head, fill, scale = _measured(arguments, examples, loss, kinds, layout)
        if remark:
            note(remark)
        size = int(examples.trained_on.sum())
        check_steps(arguments, size, per_epoch(arguments, size))
        weighted = _weighted(arguments, head, kinds, examples)
        targets = head.encode(kinds)
        names = ("train",) if examples.held_out is None else ("train", "test")
        parts = {name: Stored.create(folder, name, layout.inputs, targets) for name in names}
        for data, held_out in examples.divided():
            for part, chosen in zip(parts.values(), (~held_out, held_out), strict=False):
                rows = _rows(data, chosen)
                part.append(as_inputs(fill, scale, rows.x), head.encode(rows))
    read.remove()
    return Samples(parts, None, weighted, head, fill, scale, layout)


def batch_size(arguments: Train, samples: int) -> int:
    """Returns how many samples a batch has."""
    return arguments.batch_size or min(BATCH, samples)


def per_epoch(arguments: Train, samples: int) -> int:
    """Returns the number of batches of an epoch, of which the last may be smaller."""
    return math.ceil(samples / batch_size(arguments, samples))


class _Examples:
    """The examples of a table that was read, from scratch files, as often as they are asked for.

    Attributes:
        counts: The number of examples of each class; of values, in all.
        held_out: Which are held out, or None.
    """

    def __init__(
        self, read: Stored, reading: Reading, loss: str, interrupted: Callable[[], bool]
    ) -> None:
        self._read, self._interrupted = read, interrupted
        self._features = reading.features.encoder()
        targets = reading.targets
        self._targets = targets.values if loss == "squared" else targets.encoder()
        self._names = () if loss == "squared" else targets.examples()[1] or ()
        self.counts = np.zeros(max(1, len(self._names)), np.int64)
        self.held_out: HeldOut | None = None
        for data, _ in self.divided():
            self.counts += np.bincount(_classes(data), minlength=len(self.counts))

    def hold_out(self, fraction: float, seed: int) -> str:
        """Has a share of the examples held out; returns why not, or ""."""
        if fraction == 0:
            return "no test part: --test-fraction 0"
        try:
            self.held_out = HeldOut(self.counts, self._names, fraction, seed)
        except ValueError as error:  # fraction and seed are in range: the rows are too few
            return f"no test part: {error}"
        return ""

    @property
    def trained_on(self) -> NDArray[np.int64]:
        """The number of examples of each class that are not held out."""
        return self.counts if self.held_out is None else self.counts - self.held_out.quotas

    def divided(self) -> Iterator[tuple[Dataset, NDArray[np.bool_]]]:
        """Yields the examples, some at a time, with True for each that is held out."""
        draw = None if self.held_out is None else self.held_out.drawer()
        for x, y in self._read.blocks():
            if self._interrupted():
                raise KeyboardInterrupt
            data = Dataset(self._features(x), *self._targets(y))
            yield data, np.zeros(len(x), bool) if draw is None else draw(_classes(data))

    def training(self) -> Iterator[Dataset]:
        """Yields the examples that are not held out, some at a time."""
        for data, held_out in self.divided():
            yield _rows(data, ~held_out)


def _read(
    arguments: Train, folder: Path, interrupted: Callable[[], bool]
) -> tuple[Stored, Reading]:
    """Copies the table into scratch files; texts as numbers."""
    path, filled = arguments.data, arguments.missing == "mean"
    if file_format(path) == "npz":
        raise UsageError(
            f"--stream: {path} is an NPZ file, which is unpacked in memory; write it as Parquet or "
            "as an NPY file with the targets in the last column."
        )
    note(f"{path}: copied into scratch files beside {arguments.out}, once, before training")
    with open_table(path) as table:
        reading = Reading(table, arguments.target, arguments.drop, filled)
        read = Stored.create(folder, "read", reading.width, np.empty(0))
        for block in reading.blocks():
            if interrupted():
                raise KeyboardInterrupt
            read.append(*block)
    return read, reading


def _measured(
    arguments: Train, examples: _Examples, loss: str, kinds: Dataset, layout: Layout
) -> tuple[Head, Fill | None, Scale]:
    """Returns what the targets are, what fills and what scales the features."""
    try:
        head = fit_head(loss, kinds, (data.y for data in examples.training()))
        filled = arguments.missing == "mean"
        fill = Fill.fit((data.x for data in examples.training()), layout) if filled else None
    except ValueError as error:
        raise UsageError(f"{arguments.data}: {error}") from error
    x = (as_inputs(fill, None, data.x) for data in examples.training())
    return head, fill, Scale.fit(x, layout.numbers)


def _weighted(arguments: Train, head: Head, kinds: Dataset, examples: _Examples) -> Loss:
    """Returns the loss with the weights of its classes, n / (classes * n of a class), if any."""
    if arguments.class_weight == "none":
        return head.loss
    labels_to_weigh(arguments, head, head.encode(kinds))
    counts = examples.trained_on
    weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return ClassWeighted(head.loss, tuple(weights.tolist()))


def _classes(data: Dataset) -> NDArray[Any]:
    """Returns the number of the class of each example; values are one class."""
    return np.zeros(len(data.y), int) if data.classes is None else data.y


def _rows(data: Dataset, chosen: NDArray[np.bool_]) -> Dataset:
    return Dataset(data.x[chosen], data.y[chosen], data.classes)
