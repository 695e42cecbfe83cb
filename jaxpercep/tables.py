"""Reads the user's CSV and NPZ files, as a `Dataset` or as features alone for prediction."""

import csv
import math
import os
import textwrap
import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import check_finite, check_positive_int, nearest_name
from jaxpercep.datasets import Dataset

_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
# A damaged zip archive makes zipfile and NumPy raise these, an encrypted one RuntimeError.
_NPZ_ERRORS = (ValueError, EOFError, OSError, RuntimeError, zlib.error, zipfile.BadZipFile)


def load_csv(path: str | os.PathLike[str], target: str | int | None = None) -> Dataset:
    """Reads labelled examples from a comma-separated UTF-8 file, one per line.

    The first line is a header if none of its cells is a number. Whole numbers and text in the
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
    table = _open_csv(Path(path))
    if table.width < 2:
        raise ValueError(
            f"{path} has one column, but features and a target need at least two; are the cells "
            "separated by commas?"
        )
    column = _target_column(table, target)
    x, targets = _read_rows(table, column)
    return Dataset(x, *_parse_targets(table, column, targets))


def load_npz(path: str | os.PathLike[str]) -> Dataset:
    """Reads the arrays `x` `[n, features]` and `y` of a file written by `np.savez(path, x=x, y=y)`.

    `y` holds class labels if it is `[n]` of integers, booleans or text (numbered as in
    `load_csv`), and values if it is `[n]` or `[n, outputs]` of floats.

    Returns:
        `x` float32 `[n, features]`; `y` int32 `[n]` with `classes`, or float32 `[n, outputs]`.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        ValueError: The file is not an NPZ file or is damaged; an array is missing, holds objects,
            has the wrong rank or is not finite; or `x` and `y` differ in length.
    """
    x, y = _read_features(path), _read_array(path, "y")
    if y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"{path}: x has {len(x)} rows, y has shape {y.shape}; they must agree.")
    if y.dtype.kind == "f" and y.ndim <= 2 and y.size:
        return Dataset(x, _as_float32(f"{path}: y", y.reshape(len(y), -1)))
    if y.dtype.kind in "biuU" and y.ndim == 1:
        return Dataset(x, *_number_classes(y))
    raise ValueError(
        f"{path}: y has shape {y.shape} and type {y.dtype}, expected class labels [n] (integers or "
        "text) or values [n, outputs] (floats)."
    )


def load_features(
    path: str | os.PathLike[str], features: int, target: str | int | None = None
) -> NDArray[np.float32]:
    """Reads the rows to predict for, labelled or not, from a CSV or an NPZ file (by content).

    Args:
        path: The file.
        features: The number of features that the model takes.
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
    if _is_zip(path):
        x = _read_features(path)
        if x.shape[1] != features:
            raise ValueError(f"{path}: x has {x.shape[1]} features, the model takes {features}.")
        return x
    table = _open_csv(Path(path))
    named = isinstance(target, str) and target in table.names
    if table.width == features and not named:
        return _read_rows(table, None)[0]
    if table.width == features + 1:
        return _read_rows(table, _target_column(table, target))[0]
    raise ValueError(
        f"{path} has {table.width} columns{', the target among them' if named else ''}: expected "
        f"{features} features, or {features + 1} columns with the target."
    )


class _Table(NamedTuple):
    """A CSV file being read: its header, its width, and its rows (line number, cells)."""

    path: Path
    names: list[str]  # empty without a header
    width: int
    rows: Iterator[tuple[int, list[str]]]

    def where(self, line: int, column: int) -> str:
        name = f" ({self.names[column]!r})" if self.names else ""
        return f"{self.path}, line {line}, column {column + 1}{name}"


def _open_csv(path: Path) -> _Table:
    """Takes the header, if any, off the rows of a CSV file."""
    rows = _split_lines(path)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path} is empty, expected rows of comma-separated numbers.")
    line, cells = first
    if any(_number(cell) is not None for cell in cells):
        return _Table(path, [], len(cells), chain([first], rows))
    table = _Table(path, [cell.strip() for cell in cells], len(cells), rows)
    for column, name in enumerate(table.names):
        if not name:
            raise ValueError(f"{table.where(line, column)}: the header gives this column no name.")
        if name in table.names[:column]:
            raise ValueError(f"{table.where(line, column)}: the header has this name twice.")
    return table


def _split_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the cells of every line that is not blank, all of one length."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, skipinitialspace=True)
        width = 0
        try:
            for cells in filter(None, reader):
                width = width or len(cells)
                if len(cells) != width:
                    raise ValueError(
                        f"{path}, line {reader.line_num}: {len(cells)} columns, the first line has "
                        f"{width}."
                    )
                yield reader.line_num, cells
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8.") from error
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}.") from error


def _target_column(table: _Table, target: Any) -> int:
    """Returns the index, from the left, of the column that `target` names."""
    if target is None:
        return table.width - 1
    if isinstance(target, str):
        if target not in table.names:
            names = textwrap.shorten(", ".join(table.names), 200) or "none (it has no header)"
            raise ValueError(
                f"target={target!r} is not a column of {table.path}."
                f"{nearest_name(target, table.names)} Its column names: {names}."
            )
        return table.names.index(target)
    if isinstance(target, bool) or not isinstance(target, (int, np.integer)):
        raise TypeError(
            f"target={target!r} must be a column's name or index, not {type(target).__name__}."
        )
    if not -table.width <= target < table.width:
        raise ValueError(f"target={target} is not a column of {table.path}: it has {table.width}.")
    return int(target) % table.width


def _read_rows(
    table: _Table, target: int | None
) -> tuple[NDArray[np.float32], list[tuple[int, str]]]:
    """Returns the features, and the (line number, cell) of the target column if there is one."""
    kept = [column for column in range(table.width) if column != target]
    features: list[NDArray[np.float32]] = []
    targets: list[tuple[int, str]] = []
    for line, cells in table.rows:
        # Row by row: the text of a large file takes ten times the memory of its numbers.
        values = _cast(np.array([_number(cells[column]) for column in kept], np.float64))
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            column = kept[int(bad[0])]
            raise ValueError(
                f"{table.where(line, column)}: {cells[column]!r} is not a finite float32 number; "
                "features must be finite numbers, and a header line has no numbers."
            )
        features.append(values)
        if target is not None:
            targets.append((line, cells[target].strip()))
    if not features:
        raise ValueError(f"{table.path} has a header and no rows.")
    return np.stack(features), targets


def _parse_targets(
    table: _Table, column: int, targets: list[tuple[int, str]]
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Returns labels and class names if the targets are whole numbers or text, else values."""
    numbers = [_number(cell) for _, cell in targets]
    for (line, cell), number in zip(targets, numbers, strict=True):
        if not cell or (number is not None and not math.isfinite(number)):
            raise ValueError(
                f"{table.where(line, column)}: {cell!r} is neither a label nor a number."
            )
        if (number is None) != (numbers[0] is None):
            raise ValueError(
                f"{table.where(line, column)}: {cell!r} does not go with {targets[0][1]!r} in line "
                f"{targets[0][0]}; a target is all numbers or all text."
            )
    values = [number for number in numbers if number is not None]
    if not values:
        return _number_classes(np.array([cell for _, cell in targets]))
    if all(value.is_integer() for value in values):
        return _number_classes(np.array([int(value) for value in values]))
    return _as_float32(f"{table.path}: the target", np.array(values)[:, None]), None


def _number(cell: str) -> float | None:
    """Returns the cell as a number, or None, which NumPy reads as NaN."""
    try:
        return float(cell)
    except ValueError:
        return None


def _number_classes(labels: NDArray[Any]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Numbers the labels 0 to C-1 in sorted order, and returns the name of each."""
    names, y = np.unique(labels, return_inverse=True)
    return y.astype(np.int32), tuple(str(name) for name in names)


def _is_zip(path: str | os.PathLike[str]) -> bool:
    with Path(path).open("rb") as file:
        return file.read(4) in _ZIP_MAGICS


def _read_array(path: str | os.PathLike[str], key: str) -> NDArray[Any]:
    """Reads one array of an NPZ file without unpickling anything."""
    if not _is_zip(path):
        raise ValueError(f"{path} is not an NPZ file; write one with np.savez(path, x=x, y=y).")
    try:
        # Opened here: NumPy leaves its own handle open if the archive is damaged.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            present = archive.files
            array = archive[key] if key in present else None
    except _NPZ_ERRORS as error:
        reason = str(error) or "it ends early"
        raise ValueError(f"{path}: array {key!r} cannot be read: {reason}.") from error
    if array is None:
        raise ValueError(f"{path} has no array {key!r}; it holds {', '.join(present) or 'none'}.")
    return np.asarray(array)


def _read_features(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Reads and checks the array `x` of an NPZ file."""
    x = _read_array(path, "x")
    if x.dtype.kind not in "biuf" or x.ndim != 2 or not x.size:
        raise ValueError(
            f"{path}: x has shape {x.shape} and type {x.dtype}, expected numbers [n, features], at "
            "least one of each (one feature: x[:, None])."
        )
    return _as_float32(f"{path}: x", x)


def _as_float32(argument: str, values: NDArray[Any]) -> NDArray[np.float32]:
    result = _cast(values)
    check_finite(f"{argument}, as float32,", result)
    return result


def _cast(values: NDArray[Any]) -> NDArray[np.float32]:
    # Overflow becomes infinity, which the callers refuse by place, as they do NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)
