"""Comma-separated files: their header, their rows, and which column is what."""

import csv
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import check_finite, counted, nearest_name
from jaxpercep._files.layout import Layout, listed


class Table(NamedTuple):
    """A CSV file being read: its header, its width, and its rows (line number, cells)."""

    path: Path
    names: list[str]  # empty without a header
    width: int
    rows: Iterator[tuple[int, list[str]]]

    def where(self, line: int, column: int) -> str:
        """Returns the place of a cell in words."""
        name = f" ({self.names[column]!r})" if self.names else ""
        return f"{self.path}, line {line}, column {column + 1}{name}"


@contextmanager
def open_csv(path: Path) -> Generator[Table]:
    """Opens a CSV file and takes its header, if any, off its rows."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield _with_header(path, _split_lines(path, file))


def _with_header(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Table:
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path} is empty, expected rows of comma-separated numbers.")
    line, cells = first
    if any(_number(cell) is not None for cell in cells):
        return Table(path, [], len(cells), chain([first], rows))
    table = Table(path, [cell.strip() for cell in cells], len(cells), rows)
    for column, name in enumerate(table.names):
        if not name:
            raise ValueError(f"{table.where(line, column)}: the header gives this column no name.")
        if name in table.names[:column]:
            raise ValueError(f"{table.where(line, column)}: the header has this name twice.")
    return table


def _split_lines(path: Path, file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the cells of every line that is not blank, all of one length."""
    reader = csv.reader(file, strict=True, skipinitialspace=True)
    width = 0
    try:
        for cells in filter(None, reader):
            width = width or len(cells)
            if len(cells) != width:
                raise ValueError(
                    f"{path}, line {reader.line_num}: {counted(len(cells), 'column')}, the first "
                    f"line has {width}."
                )
            yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8.") from error
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}.") from error


def target_column(table: Table, target: Any) -> int:
    """Returns the index, from the left, of the column that `target` names; None is the last."""
    if target is None:
        return table.width - 1
    if isinstance(target, str):
        if target not in table.names:
            raise ValueError(
                f"target={target!r} is not a column of {table.path}."
                f"{nearest_name(target, table.names)} Its column names: "
                f"{listed(table.names) or 'none (it has no header)'}."
            )
        return table.names.index(target)
    if isinstance(target, bool) or not isinstance(target, (int, np.integer)):
        raise TypeError(
            f"target={target!r} must be a column's name or index, not {type(target).__name__}."
        )
    if not -table.width <= target < table.width:
        raise ValueError(f"target={target} is not a column of {table.path}: it has {table.width}.")
    return int(target) % table.width


def match_columns(
    table: Table, layout: Layout, target: str | int | None
) -> tuple[list[int], int | None]:
    """Finds the columns of a layout: by name if both have names, otherwise by position.

    Returns:
        The indices of the features, in the layout's order, and of the target, None if it has none.
    """
    if table.names and layout.columns:
        return _by_name(table, layout, target)
    width = layout.features
    named = isinstance(target, str) and target in table.names
    if table.width == width and not named:
        return list(range(width)), None
    if table.width == width + 1:
        column = target_column(table, layout.target if target is None else target)
        return [i for i in range(table.width) if i != column], column
    raise ValueError(
        f"{table.path} has {counted(table.width, 'column')}"
        f"{', the target among them' if named else ''}: expected {counted(width, 'feature')}, or "
        f"{counted(width + 1, 'column')} with the target."
    )


def _by_name(
    table: Table, layout: Layout, target: str | int | None
) -> tuple[list[int], int | None]:
    name = layout.named_target if target is None else table.names[target_column(table, target)]
    features = layout.named_features
    if name in features:
        raise ValueError(
            f"target={target!r} of {table.path} is the column {name!r}, a feature of the model."
        )
    missing = [repr(n) for n in features if n not in table.names]
    extra = [repr(n) for n in table.names if n not in (*features, name)]
    if missing or extra:
        lacks = [f"lacks {listed(missing)}"] if missing else []
        has = [f"has {listed(extra)} besides"] if extra else []
        raise ValueError(
            f"{table.path} {' and '.join(lacks + has)}: the model takes the columns "
            f"{listed(features)}, in any order, with or without the target {name!r}. Rename, add "
            "or remove columns."
        )
    column = table.names.index(name) if name in table.names else None
    return [table.names.index(n) for n in features], column


def read_rows(
    table: Table, kept: Sequence[int], target: int | None
) -> tuple[NDArray[np.float32], list[tuple[int, str]]]:
    """Returns the features, and the (line number, cell) of the target column if there is one."""
    features: list[NDArray[np.float32]] = []
    targets: list[tuple[int, str]] = []
    for line, cells in table.rows:
        # Row by row: the text of a large file takes ten times the memory of its numbers.
        values = as_float32(np.array([_number(cells[column]) for column in kept], np.float64))
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            column = kept[int(bad[0])]
            raise ValueError(f"{table.where(line, column)}: {_fault(cells[column])}")
        features.append(values)
        if target is not None:
            targets.append((line, cells[target].strip()))
    if not features:
        raise ValueError(f"{table.path} has a header and no rows.")
    return np.stack(features), targets


def _fault(cell: str) -> str:
    """Says why a cell is not a feature, and the fix."""
    if not cell.strip():
        return "the cell is empty; fill it in, or leave out the row or the column."
    if _number(cell) is None:
        return f"{cell!r} is text; features must be numbers, and a header line must hold none."
    return f"{cell!r} is not a finite float32 number; features must be finite."


def parse_targets(
    table: Table, column: int, targets: list[tuple[int, str]]
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Returns labels and class names if the targets are whole numbers or text, else values."""
    numbers = [_number(cell) for _, cell in targets]
    for (line, cell), number in zip(targets, numbers, strict=True):
        where = table.where(line, column)
        if not cell:
            raise ValueError(f"{where}: the target is missing; fill it in, or leave out the row.")
        if number is not None and not math.isfinite(number):
            raise ValueError(f"{where}: {cell!r} is neither a label nor a finite number.")
        if (number is None) != (numbers[0] is None):
            raise ValueError(
                f"{where}: {cell!r} does not go with {targets[0][1]!r} in line {targets[0][0]}; a "
                "target is all numbers or all text."
            )
    values = [number for number in numbers if number is not None]
    if not values:
        return number_classes(np.array([cell for _, cell in targets]))
    if all(value.is_integer() for value in values):
        return number_classes(np.array([int(value) for value in values]))
    return finite_float32(f"{table.path}: the target", np.array(values)[:, None]), None


def number_classes(labels: NDArray[Any]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Numbers the labels 0 to C-1 in sorted order, and returns the name of each."""
    names, y = np.unique(labels, return_inverse=True)
    return y.astype(np.int32), tuple(str(name) for name in names)


def finite_float32(argument: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Returns the values as float32, or raises a `ValueError` that names the argument."""
    result = as_float32(values)
    check_finite(f"{argument}, as float32,", result)
    return result


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Returns the values as float32, where overflow becomes infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


def _number(cell: str) -> float | None:
    """Returns the cell as a number, or None, which NumPy reads as NaN."""
    try:
        return float(cell)
    except ValueError:
        return None
