"""Reads the user's tables and NPZ files, as a `Dataset` or as features alone for prediction.

A table is a CSV, a Parquet or an NPY file. It is read in blocks of rows, not all of which are kept.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import as_path, check_positive_int, counted, memory
from jaxpercep._files import npz
from jaxpercep._files.csv import open_csv
from jaxpercep._files.features import Features
from jaxpercep._files.layout import Layout
from jaxpercep._files.matching import match_columns
from jaxpercep._files.numbers import finite_float32, number_classes
from jaxpercep._files.reading import Reading, file_format, open_table
from jaxpercep._files.table import Block, Table
from jaxpercep._files.targets import Targets
from jaxpercep.datasets import Dataset


def load_csv(path: str | os.PathLike[str], target: str | int | None = None) -> Dataset:
    """Reads labelled examples, all of whose features are numbers, from a CSV file in UTF-8.

    Cells are separated by tabs, semicolons or commas: whichever of these the first line has. With
    semicolons, numbers may have a decimal comma. The first line is a header if none of its cells is
    a number, unless each of its texts is found in its column again. If it has a number, and a text
    that is found nowhere below while others repeat, a `UserWarning` says that it is data. Whole
    numbers and text in the target column are class labels, numbered 0 to C-1 in sorted order, with
    their names in `classes`: two files number their labels alike only if they hold the same
    classes. Any other number makes the target a real value.

    Args:
        path: The file.
        target: The target column, by its name in the header or by its index (negative from the
            right); by default the last.

    Returns:
        `x` float32 `[n, features]`; `y` int32 `[n]` with `classes`, or float32 `[n, 1]` without.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        TypeError: `path` is not a path, or `target` neither a name nor an index.
        ValueError: There is no such column, the file is empty, its rows differ in length, or a cell
            is not a finite number; the message gives file, line and column.
    """
    return _read_table(open_csv(as_path("path", path)), target, texts=False)[0]


def load_npz(path: str | os.PathLike[str]) -> Dataset:
    """Reads the arrays `x` and `y` of a file written by `np.savez(path, x=x, y=y)`.

    `x` is `[n, features]`, or images `[n, height, width]` or `[n, height, width, channels]`, which
    are flattened. `y` holds class labels if it is `[n]` of integers, booleans or text (numbered as
    in `load_csv`), and values if it is `[n]` of floats or `[n, outputs]` of numbers.

    Returns:
        `x` float32 `[n, features]`; `y` int32 `[n]` with `classes`, or float32 `[n, outputs]`.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        TypeError: `path` is not a path.
        ValueError: The file is not an NPZ file or is damaged, or announces to unpack to more than
            128 MiB and 100 times its size; an array is missing, holds objects, has the wrong rank
            or is not finite; or `x` and `y` differ in length.
    """
    return _read_npz(as_path("path", path))[0]


def load_features(
    path: str | os.PathLike[str], features: int, target: str | int | None = None
) -> NDArray[np.float32]:
    """Reads the rows to predict for, labelled or not, from a table or an NPZ file (by content).

    Args:
        path: The file.
        features: The number of features that the model takes. They go by their order in the file.
        target: The column to drop if a table has one more than `features`, named as in
            `load_csv`, by default the last. Ignored for NPZ files: their `x` holds no target.

    Returns:
        float32 `[n, features]`.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        TypeError: `path` is not a path, `features` not an integer, or `target` neither a name nor
            an index.
        ValueError: The file has another number of features, or cannot be read: see `load_csv` and
            `load_npz`.
    """
    check_positive_int("features", features)
    path = as_path("path", path)
    return np.concatenate([rows.x for rows in read_rows(path, Layout((features,)), target)])


def read_examples(
    path: str | os.PathLike[str],
    target: str | int | None = None,
    drop: Sequence[str | int] = (),
    missing: bool = False,
) -> tuple[Dataset, Layout]:
    """Reads labelled examples from a table or an NPZ file, and how they lie there.

    A column of text becomes a feature of 0 and 1 for each of its texts. What kind of file it is
    tells the end of its name, or its content, unless it is a pipe, which can be read only once.

    Args:
        path: The file.
        target: The target column of a table.
        drop: The columns of a table to leave out.
        missing: True to read missing cells of features as NaN.
    """
    if file_format(path) == "npz":
        return _read_npz(path)
    return _read_table(open_table(path), target, drop, missing)


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
) -> Iterator[Rows]:
    """Yields the rows to predict for, in blocks, as those of training were read, labelled or not.

    Columns are matched by name if the file and the one of training have a header, otherwise by
    position. From the first block whose targets cannot be used, none are labelled.

    Args:
        path: A table, or an NPZ file, which is one block.
        layout: That of the file of training.
        target: The target column of a table; None is that of training.
        missing: True to read missing cells of features as NaN.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        TypeError: `target` is neither a name nor an index.
        ValueError: The file is damaged, or has other features than those of training.
    """
    if file_format(path) == "npz":
        yield _npz_rows(path, layout)
        return
    with open_table(path, layout) as table:
        columns, column = match_columns(table, layout, target)
        features = Features(table, columns, layout.categories or [()] * len(columns), missing)
        targets, remark = None if column is None else Targets(table, column), ""
        for block in table.blocks(columns if column is None else [*columns, column]):
            read, labelled = features.read(block), None
            x = features.encoder()(read)
            if targets is not None and not remark:
                labelled, remark = _labelled(x, targets, block)
            where = partial(_where, table, column or 0, block)
            yield Rows(x, x.shape[1:], labelled, remark, where)
        features.categories()  # raises if there were no rows


def _labelled(x: NDArray[np.float32], targets: Targets, block: Block) -> tuple[Dataset | None, str]:
    """Returns the features with the targets of the block, or why these cannot be used."""
    try:
        read = targets.read(block)
        return Dataset(x, *targets.encoder()(read)), ""
    except ValueError as error:
        return None, str(error)


def _where(table: Table, column: int, block: Block, row: int) -> str:
    return table.where(block.lines[row], column)


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


def _read_table(
    opened: AbstractContextManager[Table],
    target: str | int | None,
    drop: Sequence[str | int] = (),
    missing: bool = False,
    texts: bool = True,
) -> tuple[Dataset, Layout]:
    with opened as table:
        reading = Reading(table, target, drop, missing, texts)
        _check_fits(table, reading.width)
        blocks = list(reading.blocks())
    layout = reading.layout()
    x, y = map(np.concatenate, zip(*blocks, strict=True))
    return Dataset(reading.features.encoder()(x), *reading.targets.encoder()(y)), layout


def _check_fits(table: Table, features: int) -> None:
    """Raises a `ValueError` if the file says that its rows are more than the memory takes."""
    needed, present = 4 * (table.rows or 0) * features, memory()
    if needed > present:
        raise ValueError(
            f"{table.path}: {table.rows:,} rows of {counted(features, 'feature')} take "
            f"{needed / 1e9:,.1f} GB, this machine has {present / 1e9:,.1f} GB; "
            "`jaxpercep train --stream` trains on them from disk."
        )


def _read_npz(path: str | os.PathLike[str]) -> tuple[Dataset, Layout]:
    x, y = _images(path), _array(path, "y")
    return Dataset(_flattened(path, x), *_npz_targets(path, len(x), y)), Layout(x.shape[1:])


def _array(path: str | os.PathLike[str], key: str) -> NDArray[Any]:
    array = npz.read_array(path, key)
    if array is None:
        present = ", ".join(npz.names(path)) or "none"
        raise ValueError(
            f"{path} has no array {key!r}; it holds {present}. Write arrays by "
            "numpy.savez(path, x=x, y=y), and a table as CSV, Parquet or NPY."
        )
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
