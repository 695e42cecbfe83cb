"""The meaning of a network's outputs `[n, outputs]`: classes, bits or values.

Each kind has a loss, `outputs`, the number of outputs, and four methods: `encode` returns the
targets that the loss takes, `labels` the class of each of them, if they have one, `metrics` numbers
for people, and `columns` the predictions as the columns of a CSV file.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, TypeAlias

import jax
import msgspec
import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import counted, nearest_name, shown
from jaxpercep._files.layout import listed
from jaxpercep._files.numbers import marked
from jaxpercep.commands.arguments import UsageError
from jaxpercep.commands.moments import Moments
from jaxpercep.commands.sources import Scale, Source, check_scale
from jaxpercep.datasets import Dataset
from jaxpercep.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy, SquaredError

Pairs: TypeAlias = Iterable[tuple[NDArray[Any], NDArray[Any]]]
"""Outputs and targets, of some samples at a time."""

_Measure: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], float]


class UnknownClassError(ValueError):
    """A target is of a class that the model does not know; `row` is the first such."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


class Classes(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="loss", tag="softmax"
):
    """One of several classes: the outputs are logits, p = softmax(outputs)."""

    names: tuple[str, ...]
    loss_name: ClassVar[str] = "softmax"
    loss: ClassVar[Loss] = SoftmaxCrossEntropy()

    def __post_init__(self) -> None:
        _check_names(self.names)

    @property
    def outputs(self) -> int:
        """One output a class."""
        return len(self.names)

    def encode(self, data: Dataset) -> NDArray[np.int32]:
        """Returns the number of each label's class, `[n]`."""
        return _numbered(self.names, as_classes(data))

    def labels(self, targets: NDArray[Any]) -> NDArray[Any] | None:
        """Returns the targets, `[n]`."""
        return targets

    def right(self, outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns which of the samples are right, `[..., n]`."""
        return outputs.argmax(axis=-1) == targets

    def metrics(self, pairs: Pairs) -> dict[str, float]:
        """Returns the loss and the accuracy."""

        def accuracy(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
            return float(self.right(outputs, targets).mean())

        return _means({"loss": partial(_value, self.loss), "accuracy": accuracy}, pairs)

    def columns(self, outputs: NDArray[Any]) -> dict[str, Sequence[str]]:
        """Returns the likeliest class and its probability."""
        p = np.asarray(jax.nn.softmax(outputs))
        return {
            "prediction": [self.names[i] for i in p.argmax(axis=1)],
            "probability": _written(p.max(axis=1)),
        }


class Bits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="loss", tag="binary"):
    """Each output tells one of two classes from the other: a logit, p = sigmoid(output)."""

    names: tuple[str, ...]
    outputs: int
    loss_name: ClassVar[str] = "binary"
    loss: ClassVar[Loss] = BinaryCrossEntropy()

    def __post_init__(self) -> None:
        _check_names(self.names)

    def encode(self, data: Dataset) -> NDArray[np.float32]:
        """Returns 0 and 1, `[n, outputs]`."""
        y = data.y if data.classes is None else _numbered(self.names, data)[:, None]
        if y.shape[1] != self.outputs or not _are_bits(y):
            columns = counted(self.outputs, "column")
            raise ValueError(f"the targets are not {columns} of zeros and ones.")
        return y.astype(np.float32)

    def labels(self, targets: NDArray[Any]) -> NDArray[Any] | None:
        """Returns the targets, `[n]`, or None if there are several a sample."""
        return targets[:, 0] if self.outputs == 1 else None

    def right(self, outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns which of the samples are right in every output, `[..., n]`."""
        return ((outputs > 0) == (targets > 0)).all(axis=-1)

    def metrics(self, pairs: Pairs) -> dict[str, float]:
        """Returns the loss and the accuracy; of several labels, that of each and of all at once."""

        def right(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
            return float(self.right(outputs, targets).mean())

        def per_label(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
            return float(((outputs > 0) == (targets > 0)).mean())

        several = {"accuracy per label": per_label, "all labels right": right}
        accuracy = {"accuracy": right} if self.outputs == 1 else several
        return _means({"loss": partial(_value, self.loss)} | accuracy, pairs)

    def columns(self, outputs: NDArray[Any]) -> dict[str, Sequence[str]]:
        """Returns, for each output, the likelier class and its probability."""
        p = np.asarray(jax.nn.sigmoid(np.abs(outputs)))
        columns: dict[str, Sequence[str]] = {}
        for i, mark in enumerate(_marks(self.outputs)):
            columns[f"prediction{mark}"] = [self.names[int(z > 0)] for z in outputs[:, i]]
            columns[f"probability{mark}"] = _written(p[:, i])
        return columns


class Values(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="loss", tag="squared"
):
    """Real values: the outputs are standardized, value = mean + std * output."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    loss_name: ClassVar[str] = "squared"
    loss: ClassVar[Loss] = SquaredError()

    def __post_init__(self) -> None:
        check_scale(self.mean, self.std)

    @property
    def outputs(self) -> int:
        """One output a value."""
        return len(self.mean)

    def encode(self, data: Dataset) -> NDArray[np.float32]:
        """Returns the standardized targets, `[n, outputs]`."""
        y = as_values(data).y
        if y.shape[1] != self.outputs:
            came = counted(y.shape[1], "target column")
            raise ValueError(f"the data has {came}, the model has {self.outputs}.")
        return Scale(self.mean, self.std).apply(y)

    def labels(self, targets: NDArray[Any]) -> NDArray[Any] | None:
        """Returns None: values have no class."""
        del targets

    def metrics(self, pairs: Pairs) -> dict[str, float]:
        """Returns the loss (of standardized values), and in the data's units RMSE and R^2.

        R^2 = 1 - sum (y - prediction)^2 / sum (y - mean of y)^2; left out where y is constant.
        """
        std, y = np.array(self.std), Moments()

        def square(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
            y.add(targets)
            return float(np.mean((np.asarray(outputs - targets) * std) ** 2))

        found = _means({"loss": partial(_value, self.loss), "square": square}, pairs)
        if not found:
            return {}
        error, variance = found.pop("square"), float(np.mean(y.squares * std**2 / y.count))
        found["RMSE"] = math.sqrt(error)
        return found | ({"R^2": 1 - error / variance} if variance > 0 else {})

    def columns(self, outputs: NDArray[Any]) -> dict[str, Sequence[str]]:
        """Returns the values."""
        values = Scale(self.mean, self.std).invert(outputs)
        marks = _marks(self.outputs)
        return {f"prediction{mark}": _written(values[:, i]) for i, mark in enumerate(marks)}


Head: TypeAlias = Classes | Bits | Values


def choose_loss(requested: str, data: Dataset) -> str:
    """Returns the loss's name: `requested`, or for `"auto"` the one that fits the targets.

    Raises:
        UsageError: The targets do not fit the loss that was asked for.
    """
    labels = data.classes is not None or is_one_hot(data)
    bits = data.classes is None and _are_bits(data.y)
    fitting = "softmax" if labels else "binary" if bits else "squared"
    if requested == "softmax" and not labels:
        raise UsageError(f"--loss softmax needs class labels, these are values: use {fitting}.")
    if requested == "binary" and not bits and len(data.classes or ()) != 2:
        count = len(data.classes or ())
        came = counted(count, "class", "classes") if data.classes is not None else "values"
        raise UsageError(
            f"--loss binary needs two classes, or zeros and ones, these are {came}: use {fitting}."
        )
    if requested == "squared":
        try:
            as_values(data)
        except ValueError as error:
            raise UsageError(f"--loss squared: {error} Use {fitting}.") from error
    return fitting if requested == "auto" else requested


def is_one_hot(data: Dataset) -> bool:
    """Returns True for targets of zeros and ones in two or more columns, a single 1 in each row."""
    y = data.y
    if data.classes is not None or y.shape[1] < 2:
        return False
    return _are_bits(y) and bool((y.sum(axis=1) == 1).all())


def as_classes(data: Dataset) -> Dataset:
    """Takes one-hot targets for class labels, `"0"`, `"1"`, ... by column; leaves others alone."""
    if not is_one_hot(data):
        return data
    names = tuple(map(str, range(data.y.shape[1])))
    return Dataset(data.x, data.y.argmax(axis=1).astype(np.int32), names)


def as_values(data: Dataset) -> Dataset:
    """Takes class labels for the numbers that they are; targets `[n, 1]`.

    Raises:
        ValueError: The labels are text.
    """
    if data.classes is None:
        return data
    try:
        numbers = np.array([float(name) for name in data.classes], np.float32)
    except ValueError as error:
        hint = next(filter(None, map(marked, data.classes)), "")
        raise ValueError(f"the targets are text, not numbers: {error}.{hint}") from error
    return Dataset(data.x, numbers[data.y][:, None])


def in_terms_of(loss: str, source: Source) -> Source:
    """Returns the source with the targets that the loss takes: for squared error, values."""
    if loss == "binary":
        return source
    convert = as_values if loss == "squared" else as_classes
    test = None if source.test is None else convert(source.test)
    return replace(source, data=convert(source.data), test=test)


def fit_head(loss: str, data: Dataset, values: Iterable[NDArray[np.float32]]) -> Head:
    """Returns the meaning of the outputs of a network.

    Args:
        loss: the name of its loss.
        data: examples of every class that it is trained on.
        values: the targets that it is trained on, in blocks, if they are values.

    Raises:
        ValueError: All the labels are the same.
    """
    if loss == "squared":
        return Values(**msgspec.structs.asdict(Scale.fit(values)))
    if data.classes is not None and len(data.classes) < 2:
        raise ValueError(f"every target is {data.classes[0]!r}; add rows with another one.")
    if loss == "softmax":
        return Classes(data.classes or ())
    return Bits(data.classes or ("0", "1"), 1 if data.classes else data.y.shape[1])


def _check_names(names: tuple[str, ...]) -> None:
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"the classes {', '.join(names)} are not two or more different ones")


def _numbered(names: Sequence[str], data: Dataset) -> NDArray[np.int32]:
    """The labels of `data` by their place in `names`."""
    if data.classes is None:
        raise ValueError("the targets are values, the model predicts classes.")
    known = [names.index(name) if name in names else -1 for name in data.classes]
    numbered = np.array(known, np.int32)[data.y]
    if (numbered < 0).any():
        row = int(numbered.argmin())
        name = data.classes[data.y[row]]
        raise UnknownClassError(
            f"the model does not know the class {shown(name)}.{nearest_name(name, names)} It knows "
            f"{listed([repr(known) for known in names])}; correct the target, or leave the targets "
            "out to predict without metrics.",
            row,
        )
    return numbered


def _means(measures: Mapping[str, _Measure], pairs: Pairs) -> dict[str, float]:
    """Returns the mean over all samples of what is measured of some; nothing if there are none."""
    totals, samples = dict.fromkeys(measures, 0.0), 0
    for outputs, targets in pairs:
        samples += len(outputs)
        for name, measure in measures.items():
            totals[name] += len(outputs) * float(measure(outputs, targets))
    return {name: total / samples for name, total in totals.items()} if samples else {}


def _are_bits(y: NDArray[Any]) -> bool:
    return bool(np.isin(y, (0, 1)).all())


def _value(loss: Loss, outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    return float(_applied(loss, outputs, targets)) + 0.0  # -0 becomes 0


@partial(jax.jit, static_argnums=0)  # compiled once for all blocks of a size
def _applied(loss: Loss, outputs: NDArray[Any], targets: NDArray[Any]) -> jax.Array:
    return loss.apply(outputs, targets)


def _written(numbers: NDArray[Any]) -> list[str]:
    """Nine digits: all that float32 has. -0 becomes 0."""
    return [f"{number + 0.0:.9g}" for number in numbers]


def _marks(columns: int) -> list[str]:
    return [""] if columns == 1 else [f"_{i}" for i in range(1, columns + 1)]
