"""Small datasets as NumPy arrays: logic gates, parity, planar shapes, digits, MNIST-style folders.

Nothing here imports JAX, and scikit-learn is imported only when it is used, so this module loads
fast. `jaxpercep.tables` reads the user's own CSV and NPZ files.
"""

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import (
    as_numbers,
    as_path,
    check_choice,
    check_positive_int,
    check_real,
    counted,
    shown,
)
from jaxpercep._extras import needed_by
from jaxpercep.idx import load_idx, read_mnist_folder

__all__ = [
    "Dataset",
    "Split",
    "circles",
    "digits",
    "load_idx",
    "load_mnist",
    "logic_gate",
    "moons",
    "parity",
    "spirals",
    "train_test_split",
]

_GATES = {
    "AND": (0, 0, 0, 1),
    "OR": (0, 1, 1, 1),
    "NAND": (1, 1, 1, 0),
    "NOR": (1, 0, 0, 0),
    "XOR": (0, 1, 1, 0),
    "XNOR": (1, 0, 0, 1),
}
_MAX_PARITY_BITS = 20


class Dataset(NamedTuple):
    """Examples, one per row.

    Attributes:
        x: Features, float32 `[n, features]`.
        y: Class labels, int32 `[n]`, or values, float32 `[n, outputs]`.
        classes: The name of each class label if it was read from a file, else None.
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    classes: tuple[str, ...] | None = None


class Split(NamedTuple):
    """Two disjoint datasets: one to train on, one to test on."""

    train: Dataset
    test: Dataset


def logic_gate(name: str) -> Dataset:
    """Returns the truth table of AND, OR, NAND, NOR, XOR or XNOR, in either case, on 00 to 11.

    Returns:
        `x` float32 `[4, 2]` and `y` float32 `[4, 1]`, of zeros and ones.

    Raises:
        ValueError: `name` is not one of the six gates.
    """
    name = name.upper() if isinstance(name, str) else name
    check_choice("name", name, _GATES)
    y = np.array(_GATES[name], np.float32)
    return Dataset(parity(2).x, y[:, None])


def parity(bits: int) -> Dataset:
    """`y = (x_1 + ... + x_bits) mod 2` on all inputs; `parity(2)` is XOR.

    Args:
        bits: The number of inputs, 1 to 20.

    Returns:
        `x` float32 `[2**bits, bits]` in counting order, the first column the most significant bit,
        and `y` float32 `[2**bits, 1]`.

    Raises:
        TypeError: `bits` is not an integer.
        ValueError: `bits` is out of range.

    Source: Minsky and Papert, "Perceptrons" (1969), chapter 3.
    """
    check_positive_int("bits", bits)
    if bits > _MAX_PARITY_BITS:
        raise ValueError(
            f"bits={bits} must be at most {_MAX_PARITY_BITS}: the table has 2**bits rows."
        )
    x = np.arange(2**bits)[:, None] >> np.arange(bits)[::-1] & 1
    y = x.sum(axis=1, keepdims=True) % 2
    return Dataset(x.astype(np.float32), y.astype(np.float32))


def moons(n: int, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Draws two interleaved half circles of radius 1, by `sklearn.datasets.make_moons`.

    Args:
        n: The number of points, at least 2, half of them in each class.
        noise: Standard deviation of the Gaussian noise on both coordinates.
        seed: The same seed gives the same points.

    Returns:
        `x` float32 `[n, 2]` and `y` int32 `[n]` in {0, 1}.

    Raises:
        TypeError: An argument is not a number of the right kind.
        ValueError: `n` is below 2, `noise` negative or not finite, `seed` not in [0, 2**32).
    """
    _check_sampling(n, noise, seed)
    with needed_by("moons"):
        from sklearn.datasets import make_moons

    return _labelled(*make_moons(n, noise=noise, random_state=seed))


def circles(n: int, noise: float = 0.05, seed: int = 0) -> Dataset:
    """Draws a circle of radius 1 (class 0) around one of radius 1/2, by `sklearn`'s `make_circles`.

    Arguments, results and errors are those of `moons`.
    """
    _check_sampling(n, noise, seed)
    with needed_by("circles"):
        from sklearn.datasets import make_circles

    return _labelled(*make_circles(n, noise=noise, random_state=seed, factor=0.5))


def spirals(n: int, noise: float = 0.02, seed: int = 0, turns: float = 1.5) -> Dataset:
    """Draws two interleaved Archimedean spirals; the second is the first turned by half a circle.

    `x = t (cos a, sin a) + noise * N(0, I)` with `a = 2 pi turns t + pi y` and `t = sqrt(U(0, 1))`,
    which spreads the points evenly along the outer turns of the arm; `turns` is how often an arm
    winds around the origin, negative for clockwise.

    The other arguments, results and errors are those of `moons`.

    Source: Lang and Witbrock, "Learning to tell two spirals apart" (1988).
    """
    _check_sampling(n, noise, seed)
    check_real("turns", turns)
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 2)
    t = np.sqrt(rng.uniform(size=n))
    angle = 2 * np.pi * turns * t + np.pi * y
    arms = t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _labelled(arms + noise * rng.normal(size=(n, 2)), y)


def digits(test_fraction: float = 0.2, seed: int = 0) -> Split:
    """Splits the 1797 handwritten digits of scikit-learn, 8 x 8 pixels in [0, 1], stratified.

    Returns:
        A `Split` with `x` float32 `[n, 64]` and `y` int32 `[n]`; errors as in `train_test_split`.

    Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998).
    """
    with needed_by("digits"):
        from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return train_test_split(_labelled(np.asarray(pixels) / 16, labels), test_fraction, seed)


def train_test_split(dataset: Dataset, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """Splits at random, reproducibly; class labels keep their proportions in both parts.

    Args:
        dataset: The examples; stratified by class if `y` is a vector of integers.
        test_fraction: The share of the rows that go to `test` (rounded up), between 0 and 1.
        seed: The same seed gives the same split.

    Raises:
        TypeError: `dataset` is not a `Dataset`, or an argument is not a number of the right kind.
        ValueError: `test_fraction` is not between 0 and 1, `x` and `y` differ in length, or the
            rows are too few for every class to be in both parts.
    """
    _check_seed(seed)
    check_real("test_fraction", test_fraction)
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction={test_fraction} must be between 0 and 1, as 0.2.")
    x, y = _arrays(dataset)
    with needed_by("train_test_split"):
        from sklearn import model_selection

    strata: Any = y if y.ndim == 1 and np.issubdtype(y.dtype, np.integer) else None
    labels, counts = np.unique(np.zeros(len(x)) if strata is None else y, return_counts=True)
    known = dataset.classes
    names = [] if strata is None else [known[i] if known else i for i in labels.tolist()]
    check_divisible(counts, names, test_fraction)
    parts = model_selection.train_test_split(
        np.arange(len(x)), test_size=test_fraction, random_state=seed, stratify=strata
    )
    train, test = (Dataset(x[rows], y[rows], dataset.classes) for rows in parts)
    return Split(train, test)


def check_divisible(counts: NDArray[np.int64], names: Sequence[object], fraction: float) -> None:
    """Raises a `ValueError` unless a share of the rows can be held out, some of every class.

    Args:
        counts: The number of rows of each class, or of all rows if they have none.
        names: Those of the classes, if there are any.
        fraction: The share, which is rounded up.
    """
    rows = int(counts.sum())
    number = math.ceil(fraction * rows)
    came = f"test_fraction={fraction} cannot split {counted(rows, 'row')}"
    if names and counts.min() < 2:
        raise ValueError(
            f"{came}: class {names[int(counts.argmin())]!r} has only one; every class needs at "
            "least 2."
        )
    if min(number, rows - number) < len(counts):
        classes = f" each have one of {counted(len(counts), 'class', 'classes')}" if names else ""
        raise ValueError(
            f"{came}: {number} to test on and {rows - number} to train on cannot"
            f"{classes or ' be'}. Use more rows{' of every class' * bool(names)}, or another "
            "fraction."
        )


def load_mnist(folder: str | os.PathLike[str]) -> Split:
    """Reads a folder of four IDX files: MNIST, or any set published in its form.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte`, each with or without `.gz`, or with a dot before `idx`.

    Returns:
        A `Split` with the pixels divided by 255 as `x` float32 `[n, rows * columns]`, and `y` int32
        `[n]`.

    Raises:
        TypeError: `folder` is neither a string nor a path.
        FileNotFoundError: One of the four is missing; the message lists what was looked for.
        ValueError: A file is damaged (see `load_idx`), has the wrong rank or type, images and
            labels differ in number, or training and test images in size.
    """
    return split_of_images(read_mnist_folder(as_path("folder", folder)))


def split_of_images(parts: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> Split:
    """Flattens the images uint8 `[n, rows, columns]` of two parts, and divides pixels by 255."""
    return Split(*(_labelled(x.reshape(len(x), -1) / np.float32(255), y) for x, y in parts))


def _labelled(x: Any, y: Any) -> Dataset:
    return Dataset(np.asarray(x, np.float32), np.asarray(y, np.int32))


def _arrays(dataset: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Returns the features and targets, after checking that each row has a target."""
    if not isinstance(dataset, Dataset):
        raise TypeError(f"dataset must be a Dataset(x, y), not {type(dataset).__name__}.")
    x, y = as_numbers("dataset.x", dataset.x), as_numbers("dataset.y", dataset.y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(
            f"dataset has x of shape {x.shape} and y of shape {y.shape}; their lengths must agree."
        )
    return x, y


def _check_sampling(n: Any, noise: Any, seed: Any) -> None:
    check_positive_int("n", n)
    if n < 2:
        raise ValueError(f"n={n} must be at least 2: one point of each class.")
    check_real("noise", noise)
    if noise < 0:
        raise ValueError(f"noise={noise} must be at least 0: it is a standard deviation.")
    _check_seed(seed)


def _check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed={shown(seed)} must be an integer, not {type(seed).__name__}.")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed} must be at least 0 and below 2**32.")
