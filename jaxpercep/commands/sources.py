"""Data for the command line: a dataset by name, or the user's files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxpercep import datasets, idx
from jaxpercep._files.layout import Layout
from jaxpercep.commands.arguments import PARITY, is_dataset
from jaxpercep.commands.moments import Moments
from jaxpercep.datasets import Dataset
from jaxpercep.tables import read_examples

POINTS = 1000  # of the datasets that are drawn

_DRAWN = {"circles": datasets.circles, "moons": datasets.moons, "spirals": datasets.spirals}


@dataclass(frozen=True)
class Source:
    """Examples as they were read. Integer targets always have `classes`.

    Attributes:
        data: All examples, or those to train on.
        layout: How they lie in their file.
        test: Those to test on, where the source has a part of its own for that.
        divisible: True if some of `data` can be held out; False for a truth table.
        scaled: True if the features are of order one already.
    """

    data: Dataset
    layout: Layout
    test: Dataset | None = None
    divisible: bool = True
    scaled: bool = True


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Standardization, z = (x - mean) / std, of each column.

    Attributes:
        mean: The mean of each column.
        std: Its standard deviation; 1 for a constant column.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        check_scale(self.mean, self.std)

    @classmethod
    def fit(
        cls, blocks: Iterable[NDArray[np.float32]], columns: Sequence[bool] | None = None
    ) -> "Scale":
        """Measures the columns of blocks `[n, columns]`, or those for which `columns` has True.

        The others stay as they are.
        """
        found = Moments(blocks)
        chosen = np.ones(len(found.mean), bool) if columns is None else np.array(columns)
        mean, std = found.mean, np.sqrt(found.squares / found.count)
        mean, std = np.where(chosen, mean, 0), np.where(chosen & (std > 0), std, 1)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns z."""
        return ((x - np.array(self.mean)) / np.array(self.std)).astype(np.float32)

    def invert(self, z: ArrayLike) -> NDArray[np.float64]:
        """Returns x."""
        return np.asarray(z) * np.array(self.std) + np.array(self.mean)


class Fill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Means, which missing features (NaN) count as.

    Attributes:
        mean: The mean of each column; of a category its share.
    """

    mean: tuple[float, ...]

    def __post_init__(self) -> None:
        if not all(abs(mean) <= float(np.finfo(np.float32).max) for mean in self.mean):
            raise ValueError("a mean is not a finite float32 number")

    @classmethod
    def fit(cls, blocks: Iterable[NDArray[np.float32]], layout: Layout) -> "Fill":
        """Measures the columns of blocks `[n, columns]`, which come of the features of a layout.

        Raises:
            ValueError: A feature is missing in all rows.
        """
        found = Moments(blocks)
        if not found.count.all():
            sizes = [max(1, len(texts)) for texts in layout.categories] or layout.features * [1]
            feature = int(np.repeat(np.arange(len(sizes)), sizes)[found.count.argmin()])
            raise ValueError(
                f"{layout.name(feature)} is missing in every row to train on, so it has no mean; "
                "leave the column out: --drop."
            )
        return cls(tuple(found.mean.tolist()))

    def apply(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns x without NaN."""
        return np.where(np.isnan(x), np.array(self.mean, np.float32), x)


def check_scale(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Raises a `ValueError` unless each column has a finite mean and a finite std above 0."""
    if len(mean) != len(std) or not mean:
        raise ValueError(f"there are {len(mean)} means and {len(std)} standard deviations")
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and min(std) > 0):
        raise ValueError("a mean is not finite, or a standard deviation not above 0")


def load(
    data: str,
    target: int | str | None,
    seed: int,
    drop: Sequence[int | str] = (),
    missing: bool = False,
) -> Source:
    """Reads DATA.

    Args:
        data: A dataset's name, or the path of a table, an NPZ file or a folder of IDX files.
        target: The target column of a table; None is the last.
        seed: Of the points of moons, circles and spirals.
        drop: The columns of a table to leave out.
        missing: True to read missing cells of a table as NaN.

    Raises:
        OSError: A file is missing or not readable.
        ValueError: A file is damaged, or does not hold what it should.
    """
    if is_dataset(data):
        return _by_name(data.lower(), seed)
    path = Path(data)
    if path.is_dir():
        images = idx.read_mnist_folder(path)
        train, test = datasets.split_of_images(images)
        count = 1 + max(train.y.max(), test.y.max())
        layout = Layout(images[0][0].shape[1:])
        return Source(_named(train, count), layout, _named(test, count), divisible=False)
    return Source(*read_examples(path, target, drop, missing), scaled=False)


def hold_out(source: Source, fraction: float, seed: int) -> tuple[Dataset, Dataset | None, str]:
    """Divides the examples: those to train on, those to test on, and a remark if there are none.

    Args:
        source: From `load`.
        fraction: The share to hold out of a source that has no test part; 0 holds out nothing.
        seed: The same seed holds out the same examples.
    """
    if source.test is not None:
        return source.data, source.test, ""
    if not source.divisible:
        return source.data, None, "no test part: a truth table is learnt as a whole"
    if fraction == 0:
        return source.data, None, "no test part: --test-fraction 0"
    try:
        train, test = datasets.train_test_split(source.data, fraction, seed)
    except ValueError as error:  # fraction and seed are in range: the rows are too few
        return source.data, None, f"no test part: {error}"
    return train, test, ""


def _by_name(name: str, seed: int) -> Source:
    bits = PARITY.fullmatch(name)
    if name in _DRAWN:
        data = _named(_DRAWN[name](POINTS, seed=seed), 2)
    elif name == "digits":
        parts = datasets.digits()
        x, y = (np.concatenate(pair) for pair in zip(parts.train[:2], parts.test[:2], strict=True))
        data = _named(Dataset(x, y), 10)
    else:
        data = datasets.parity(int(bits[1])) if bits else datasets.logic_gate(name)
    return Source(data, Layout(data.x.shape[1:]), divisible=data.classes is not None)


def _named(data: Dataset, classes: int) -> Dataset:
    return data._replace(classes=tuple(map(str, range(classes))))
