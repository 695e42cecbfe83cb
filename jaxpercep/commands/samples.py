"""The samples of `jaxpercep train` as the network takes them, and what that depends on."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import counted
from jaxpercep._extras import needed_by
from jaxpercep._files.layout import Layout
from jaxpercep.commands import sources
from jaxpercep.commands.arguments import Train, UsageError
from jaxpercep.commands.heads import Head, choose_loss, fit_head, in_terms_of
from jaxpercep.commands.notes import note, note_images
from jaxpercep.commands.sources import Fill, Scale, Source


class Part(NamedTuple):
    """Samples as the network takes them."""

    x: NDArray[np.float32]
    y: NDArray[Any]


class Samples(NamedTuple):
    """Samples, and how they came of the data.

    Attributes:
        parts: Those to train on and, if any, to test on, by name.
        weights: Of each sample to train on, or None if all weigh the same.
        head: What the targets are.
        fill: What missing features count as.
        scale: How features are standardized.
        layout: How features lie in the data.
    """

    parts: dict[str, Part]
    weights: NDArray[np.float32] | None
    head: Head
    fill: Fill | None
    scale: Scale | None
    layout: Layout


def prepare(arguments: Train) -> Samples:
    """Reads the samples.

    Raises:
        UsageError: The arguments do not fit the data.
        OSError: A file cannot be read.
        ValueError: A file cannot be used.
    """
    filled = arguments.missing == "mean"
    source = sources.load(arguments.data, arguments.target, arguments.seed, arguments.drop, filled)
    loss, source = _in_terms_of_loss(arguments, source)
    layout = source.layout
    _note_features(layout)
    held, tested, remark = sources.hold_out(source, arguments.test_fraction, arguments.seed)
    try:
        head = fit_head(loss, held)
        fill = Fill.fit(held.x, layout) if filled else None
    except ValueError as error:
        raise UsageError(f"{arguments.data}: {error}") from error
    scale = None if source.scaled else Scale.fit(as_inputs(fill, None, held.x), layout.numbers)
    if remark:
        note(remark)
    _check_steps(arguments, len(held.x))
    parts = {
        name: Part(as_inputs(fill, scale, data.x), head.encode(data))
        for name, data in (("train", held), ("test", tested))
        if data is not None
    }
    weights = _weights(arguments, head, parts["train"].y)
    return Samples(parts, weights, head, fill, scale, layout)


def as_inputs(fill: Fill | None, scale: Scale | None, x: NDArray[np.float32]) -> NDArray[Any]:
    """Returns the features as the network takes them: filled, then standardized."""
    x = x if fill is None else fill.apply(x)
    return x if scale is None else scale.apply(x)


def _in_terms_of_loss(arguments: Train, source: Source) -> tuple[str, Source]:
    """Returns the loss's name, and the source with the targets that it takes."""
    data, classes = source.data, len(source.data.classes or ())
    if arguments.loss == "auto" and source.divisible and classes > len(data.x) / 2:
        raise UsageError(
            f"--loss auto: {counted(classes, 'class', 'classes')} among "
            f"{counted(len(data.x), 'sample')}. Use --loss squared if the targets are "
            "quantities, --loss softmax if they are classes all the same."
        )
    loss = choose_loss(arguments.loss, data)
    if loss == "softmax" and data.classes is None:
        note(
            f"one-hot targets: {data.y.shape[1]} classes, by column; --loss binary takes each "
            "column by itself"
        )
    return loss, in_terms_of(loss, source)


def _note_features(layout: Layout) -> None:
    """Says what features become of images and of texts, and if a header might have been missed."""
    note_images(layout.shape)
    if layout.categories and layout.columns is None:
        note("no header: the first line has a number, or texts that are found again, and is data")
    for i, texts in enumerate(layout.categories):
        if texts:
            note(f"{layout.name(i)} is text: {counted(len(texts), 'category', 'categories')}")


def _check_steps(arguments: Train, samples: int) -> None:
    """Raises a `UsageError` unless batches and epochs fit the number of samples."""
    if arguments.batch_size is not None and arguments.batch_size > samples:
        raise UsageError(
            f"--batch-size {arguments.batch_size}: training has {counted(samples, 'sample')}."
        )
    most = (2**31 - 1) // (samples // (arguments.batch_size or samples))
    if arguments.epochs > most:
        raise UsageError(f"--epochs {arguments.epochs}: expected at most {most} (2**31 - 1 steps).")


def _weights(arguments: Train, head: Head, targets: NDArray[Any]) -> NDArray[np.float32] | None:
    if arguments.class_weight == "none":
        return None
    labels = head.labels(targets)
    if labels is None:
        raise UsageError(
            f"--class-weight {arguments.class_weight}: the targets of {arguments.data} are values, "
            "or several labels a sample, and have no class to weigh; leave the option out."
        )
    with needed_by("--class-weight"):
        from sklearn.utils.class_weight import compute_sample_weight

    return compute_sample_weight(arguments.class_weight, labels).astype(np.float32)
