"""The samples of `jaxpercep train` as the network takes them, and what that depends on."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import counted
from jaxpercep._extras import needed_by
from jaxpercep._files.layout import Layout
from jaxpercep.commands import sources
from jaxpercep.commands.arguments import Train, UsageError
from jaxpercep.commands.heads import Head, choose_loss, fit_head, in_terms_of
from jaxpercep.commands.notes import note, note_images
from jaxpercep.commands.sources import Fill, Scale
from jaxpercep.datasets import Dataset
from jaxpercep.losses import Loss

MANY, LEAST = 20, 10
"""More whole numbers than MANY, with fewer samples of each than LEAST, may be classes or values."""

P = TypeVar("P")


class Part(NamedTuple):
    """Samples as the network takes them."""

    x: NDArray[Any]
    y: NDArray[Any]

    @property
    def size(self) -> int:
        """The number of samples."""
        return len(self.x)

    def blocks(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yields all of them."""
        yield self.x, self.y


class Samples(NamedTuple, Generic[P]):
    """Samples, and how they came of the data.

    Attributes:
        parts: Those to train on and, if any, to test on, by name.
        weights: Of each sample to train on, or None if the loss knows them, or all weigh the same.
        loss: What training minimizes.
        head: What the targets are.
        fill: What missing features count as.
        scale: How features are standardized.
        layout: How features lie in the data.
    """

    parts: Mapping[str, P]
    weights: NDArray[np.float32] | None
    loss: Loss
    head: Head
    fill: Fill | None
    scale: Scale | None
    layout: Layout


def prepare(arguments: Train) -> Samples[Part]:
    """Reads the samples.

    Raises:
        UsageError: The arguments do not fit the data, or the data not into memory.
        OSError: A file cannot be read.
        ValueError: A file cannot be used.
    """
    try:
        return _prepare(arguments)
    except MemoryError as error:
        raise UsageError(
            f"{arguments.data} does not fit into memory: {error or 'there is none left'}. Add "
            "--stream to train on a CSV, Parquet or NPY file from disk."
        ) from error


def _prepare(arguments: Train) -> Samples[Part]:
    filled = arguments.missing == "mean"
    source = sources.load(arguments.data, arguments.target, arguments.seed, arguments.drop, filled)
    loss = chosen_loss(arguments, source.data, len(source.data.x), source.divisible)
    source, layout = in_terms_of(loss, source), source.layout
    note_features(layout)
    held, tested, remark = sources.hold_out(source, arguments.test_fraction, arguments.seed)
    try:
        head = fit_head(loss, held, [held.y])
        fill = Fill.fit([held.x], layout) if filled else None
    except ValueError as error:
        raise UsageError(f"{arguments.data}: {error}") from error
    x = as_inputs(fill, None, held.x)
    scale = None if source.scaled else Scale.fit([x], layout.numbers)
    if remark:
        note(remark)
    check_steps(arguments, len(x), len(x) // (arguments.batch_size or len(x)))
    parts = {
        name: Part(as_inputs(fill, scale, data.x), head.encode(data))
        for name, data in (("train", held), ("test", tested))
        if data is not None
    }
    weights = _weights(arguments, head, parts["train"].y)
    return Samples(parts, weights, head.loss, head, fill, scale, layout)


def as_inputs(fill: Fill | None, scale: Scale | None, x: NDArray[np.float32]) -> NDArray[Any]:
    """Returns the features as the network takes them: filled, then standardized."""
    x = x if fill is None else fill.apply(x)
    return x if scale is None else scale.apply(x)


def chosen_loss(arguments: Train, data: Dataset, samples: int, divisible: bool = True) -> str:
    """Returns the loss's name.

    Args:
        arguments: Ask for one.
        data: Examples of all kinds of targets.
        samples: How many there are in all.
        divisible: True if some of them can be held out.

    Raises:
        UsageError: The targets do not fit the loss that was asked for.
    """
    names = data.classes or ()
    numbers = [int(name) for name in names if re.fullmatch("-?[0-9]+", name)]
    whole = len(numbers) == len(names)
    if arguments.loss == "auto" and divisible:
        few = whole and len(names) > MANY and samples < LEAST * len(names)
        if few or len(names) > samples / 2:
            other = "--loss squared if they are quantities" if whole else "another --target"
            raise UsageError(
                f"--loss auto: the targets are {len(names)} different "
                f"{'whole numbers' if whole else 'texts'} in {counted(samples, 'sample')}. Use "
                f"{other}, or --loss softmax if they are classes all the same."
            )
        if whole and len(names) > 2 and max(numbers) - min(numbers) >= len(names):  # with gaps
            note(
                f"the targets, {len(names)} different whole numbers, are taken as classes; --loss "
                "squared takes them as quantities"
            )
    loss = choose_loss(arguments.loss, data)
    if loss == "softmax" and data.classes is None:
        note(
            f"one-hot targets: {data.y.shape[1]} classes, by column; --loss binary takes each "
            "column by itself"
        )
    return loss


def note_features(layout: Layout) -> None:
    """Says what features become of images and of texts, and if a header might have been missed."""
    note_images(layout.shape)
    if layout.categories and layout.columns is None:
        note("no header: the first line has a number, or texts that are found again, and is data")
    for i, texts in enumerate(layout.categories):
        if texts:
            note(f"{layout.name(i)} is text: {counted(len(texts), 'category', 'categories')}")


def check_steps(arguments: Train, samples: int, per_epoch: int) -> None:
    """Raises a `UsageError` unless batches and epochs fit the number of samples."""
    if arguments.batch_size is not None and arguments.batch_size > samples:
        raise UsageError(
            f"--batch-size {arguments.batch_size}: training has {counted(samples, 'sample')}."
        )
    most = (2**31 - 1) // per_epoch
    if arguments.epochs > most:
        raise UsageError(f"--epochs {arguments.epochs}: expected at most {most} (2**31 - 1 steps).")


def labels_to_weigh(arguments: Train, head: Head, targets: NDArray[Any]) -> NDArray[Any]:
    """Returns the class of each target, or raises a `UsageError` if they have none."""
    labels = head.labels(targets)
    if labels is None:
        raise UsageError(
            f"--class-weight {arguments.class_weight}: the targets of {arguments.data} are values, "
            "or several labels a sample, and have no class to weigh; leave the option out."
        )
    return labels


def _weights(arguments: Train, head: Head, targets: NDArray[Any]) -> NDArray[np.float32] | None:
    if arguments.class_weight == "none":
        return None
    labels = labels_to_weigh(arguments, head, targets)
    with needed_by("--class-weight"):
        from sklearn.utils.class_weight import compute_sample_weight

    return compute_sample_weight(arguments.class_weight, labels).astype(np.float32)
