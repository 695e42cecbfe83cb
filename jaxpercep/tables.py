"""Reads the user's CSV and NPZ files, as a `Dataset` or as features alone for prediction."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import check_positive_int, counted
from jaxpercep._files import csv, npz
from jaxpercep._files.features import Features
from jaxpercep._files.layout import Layout
from jaxpercep._files.matching import choose_columns, match_columns
from jaxpercep._files.numbers import finite_float32, number_classes
from jaxpercep.datasets import Dataset


def load_csv(path: str | os.PathLike[str], target: str | int | None = None) -> Dataset:
    """Reads labelled examples, all of whose features are numbers, from a CSV file in UTF-8.

    Cells are separated by tabs, semicolons or commas: whichever of these the first line has. With
    semicolons, numbers may have a decimal comma. The first line is a header if none of its cells is
    a number, unless each of its texts is found in its column again. Whole numbers and text in the
    target column are class labels, numbered 0 to C-1 in sorted order, with their names in
    `classes`: two files number their labels alike only if they hold the same classes. Any other
    number makes the target a real value.

    Args:
        path: The file.
        target: The target column, by its name in the header or by its index (negative from the
            right); by default the last.

    Returns:
        `x` float32 `[n, features]`; `y` int32 `[n]` with `classes`, or float32 `[n, 1]` without.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        TypeError: `target` is neither a name nor an index.
        ValueError: There is no such column, the file is empty, its rows differ in length, or a cell
            is not a finite number; the message gives file, line and column.
    """
    return _read_csv(path, target, texts=False)[0]


def load_npz(path: str | os.PathLike[str]) -> Dataset:
    """Reads the arrays `x` and `y` of a file written by `np.savez(path, x=x, y=y)`.

    `x` is `[n, features]`, or images `[n, height, width]` or `[n, height, width, channels]`, which
    are flattened. `y` holds class labels if it is `[n]` of integers, booleans or text (numbered as
    in `load_csv`), and values if it is `[n]` of floats or `[n, outputs]` of numbers.

    Returns:
        `x` float32 `[n, features]`; `y` int32 `[n]` with `classes`, or float32 `[n, outputs]`.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        ValueError: The file is not an NPZ file or is damaged, or announces to unpack to more than
            128 MiB and 100 times its size; an array is missing, holds objects, has the wrong rank
            or is not finite; or `x` and `y` differ in length.
    """
    return _read_npz(path)[0]


def load_features(
    path: str | os.PathLike[str], features: int, target: str | int | None = None
) -> NDArray[np.float32]:
    """Reads the rows to predict for, labelled or not, from a CSV or an NPZ file (by content).

    Args:
        path: The file.
        features: The number of features that the model takes. They go by their order in the file.
        target: The column to drop if a CSV file has one more than `features`, named as in
            `load_csv`, by default the last. Ignored for NPZ files: their `x` holds no target.

    Returns:
        float32 `[n, features]`.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        TypeError: `features` is not an integer, or `target` neither a name nor an index.
        ValueError: The file has another number of features, or cannot be read: see `load_csv` and
            `load_npz`.
    """
    check_positive_int("features", features)
    return read_rows(path, Layout((features,)), target).x


def read_examples(
    path: str | os.PathLike[str],
    target: str | int | None = None,
    drop: Sequence[str | int] = (),
    missing: bool = False,
) -> tuple[Dataset, Layout]:
    """Reads labelled examples by `load_npz` or `load_csv`, and how they lie in the file.

    A column of text becomes a feature of 0 and 1 for each of its texts. An NPZ file is told by
    `.npz` at the end of its name or by its content, unless it is a pipe, which can be read only
    once.

    Args:
        path: The file.
        target: The target column of a CSV file.
        drop: The columns of a CSV file to leave out.
        missing: True to read missing cells of features as NaN.
    """
    return _read_npz(path) if _is_npz(path) else _read_csv(path, target, drop, missing)


class Rows(NamedTuple):
    """Rows to predict for.

    Attributes:
        x: The features, float32 `[n, features]`.
        shape: The shape of one of them before it was flattened.
        labelled: The features with their targets, or None.
        remark: Why the targets that are there cannot be used, or "".
        where: Says where the target of a row is, in words.
    """

    x: NDArray[np.float32]
    shape: tuple[int, ...]
    labelled: Dataset | None = None
    remark: str = ""
    where: Callable[[int], str] = "row {}".format


def read_rows(
    path: str | os.PathLike[str],
    layout: Layout,
    target: str | int | None = None,
    missing: bool = False,
) -> Rows:
    """Reads the rows to predict for as those of training were read, labelled or not.

    Columns are matched by name if the file and the one of training have a header, otherwise by
    position.

    Args:
        path: A CSV or an NPZ file.
        layout: That of the file of training.
        target: The target column of a CSV file; None is that of training.
        missing: True to read missing cells of features as NaN.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        TypeError: `target` is neither a name nor an index.
        ValueError: The file is damaged, or has other features than those of training.
    """
    if _is_npz(path):
        return _npz_rows(path, layout)
    with csv.open_csv(Path(path), layout) as table:
        columns, column = match_columns(table, layout, target)
        known = layout.categories or [()] * len(columns)
        x, _, cells = _read_cells(table, column, Features(table, columns, known, missing))
    if column is None:
        return Rows(x, x.shape[1:])
    try:
        labelled = Dataset(x, *csv.parse_targets(table, column, cells))
    except ValueError as error:
        return Rows(x, x.shape[1:], remark=str(error))

    def where(row: int) -> str:
        return table.where(cells[row][0], column)

    return Rows(x, x.shape[1:], labelled, where=where)


def _npz_rows(path: str | os.PathLike[str], layout: Layout) -> Rows:
    x = _images(path)
    shape = x.shape[1:]
    layout.check_shape(f"{path}: x", shape)
    x = _flattened(path, x)
    try:
        y = npz.read_array(path, "y")
        labelled = None if y is None else Dataset(x, *_npz_targets(path, len(x), y))
    except ValueError as error:
        return Rows(x, shape, remark=str(error))

    def where(row: int) -> str:
        return f"{path}: y[{row}]"

    return Rows(x, shape, labelled, where=where)


def _is_npz(path: str | os.PathLike[str]) -> bool:
    return Path(path).suffix == ".npz" or (Path(path).is_file() and npz.is_zip(path))


def _read_csv(
    path: str | os.PathLike[str],
    target: str | int | None,
    drop: Sequence[str | int] = (),
    missing: bool = False,
    texts: bool = True,
) -> tuple[Dataset, Layout]:
    with csv.open_csv(Path(path)) as table:
        columns, column, dropped = choose_columns(table, target, drop)
        features = Features(table, columns, None if texts else [()] * len(columns), missing)
        x, categories, cells = _read_cells(table, column, features)
    names = tuple(table.names) or None
    layout = Layout((len(columns),), names, column, tuple(dropped), categories)
    return Dataset(x, *csv.parse_targets(table, column, cells)), layout


def _read_cells(
    table: csv.Table, target: int | None, features: Features
) -> tuple[NDArray[np.float32], tuple[tuple[str, ...], ...], list[tuple[int, str]]]:
    """Returns the features, the texts of each column, and (line number, cell) of each target."""
    targets: list[tuple[int, str]] = []
    for line, cells in table.rows:
        features.add(line, cells)
        if target is not None:
            targets.append((line, cells[target].strip()))
    return *features.encoded(), targets


def _read_npz(path: str | os.PathLike[str]) -> tuple[Dataset, Layout]:
    x, y = _images(path), _array(path, "y")
    return Dataset(_flattened(path, x), *_npz_targets(path, len(x), y)), Layout(x.shape[1:])


def _array(path: str | os.PathLike[str], key: str) -> NDArray[Any]:
    array = npz.read_array(path, key)
    if array is None:
        present = ", ".join(npz.names(path)) or "none"
        raise ValueError(f"{path} has no array {key!r}; it holds {present}.")
    return array


def _images(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Reads the array `x` of an NPZ file and checks its shape and type."""
    x = _array(path, "x")
    if x.dtype.kind not in "biuf" or not 2 <= x.ndim <= 4 or not x.size:
        raise ValueError(
            f"{path}: x has shape {x.shape} and type {x.dtype}, expected numbers [n, features], or "
            "images [n, height, width] or [n, height, width, channels], at least one of each (one "
            "feature: x[:, None])."
        )
    return x


def _flattened(path: str | os.PathLike[str], x: NDArray[Any]) -> NDArray[np.float32]:
    return finite_float32(f"{path}: x", x.reshape(len(x), -1))


def _is_text(y: NDArray[Any]) -> bool:
    """Returns True unless a text is empty, or has what is not a character of Unicode."""
    if not y.dtype.itemsize or (y == "").any():
        return False
    points = np.ascontiguousarray(y).view(y.dtype.byteorder + "u4")
    return bool(((points < 0xD800) | ((points > 0xDFFF) & (points < 0x110000))).all())


def _npz_targets(
    path: str | os.PathLike[str], rows: int, y: NDArray[Any]
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Returns labels and their names, or values `[n, outputs]`."""
    if y.ndim == 0 or len(y) != rows:
        raise ValueError(
            f"{path}: x has {counted(rows, 'row')}, y has shape {y.shape}; they must agree."
        )
    floats = y.dtype.kind == "f" and y.ndim <= 2
    if y.size and (floats or (y.dtype.kind in "biu" and y.ndim == 2 and y.shape[1] > 1)):
        return finite_float32(f"{path}: y", y.reshape(len(y), -1)), None
    if y.dtype.kind in "biuU" and y.ndim == 1:
        if y.dtype.kind == "U" and not _is_text(y):
            raise ValueError(f"{path}: y holds text that is empty or not Unicode; write it again.")
        return number_classes(y)
    raise ValueError(
        f"{path}: y has shape {y.shape} and type {y.dtype}, expected class labels [n] (integers or "
        "text) or values [n, outputs] (numbers; floats for a single one)."
    )
