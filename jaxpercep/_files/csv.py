"""Tables as text: what separates their cells, their header, their rows and targets.

Which columns are what is for `matching` to say, what the features hold for `features`.
"""

import csv
import math
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import counted
from jaxpercep._files.layout import Layout
from jaxpercep._files.numbers import Decimals, finite_float32, is_missing, number, number_classes

PEEKED = 1000  # rows that are looked at to tell a header


class Table(NamedTuple):
    """A table being read: its header, its width, and its rows (line number, cells)."""

    path: Path
    names: list[str]  # empty without a header
    width: int
    rows: Iterator[tuple[int, list[str]]]
    number: Callable[[str], float | None]

    def where(self, line: int, column: int) -> str:
        """Returns the place of a cell in words."""
        name = f" ({self.names[column]!r})" if self.names else ""
        return f"{self.path}, line {line}, column {column + 1}{name}"

    def option(self, column: int) -> str:
        """Returns the column as an option takes it: by name, or by index without a header."""
        name = self.names[column] if self.names else str(column)
        return name if re.fullmatch(r"\w[\w-]*", name) else repr(name)

    def numbers(self, line: int, cells: Sequence[str]) -> list[float | None]:
        """Returns each cell as a number, or None."""
        try:
            return [self.number(cell) for cell in cells]
        except ValueError as error:
            raise ValueError(f"{self.path}, line {line}: {error}") from error


@contextmanager
def open_csv(path: Path, layout: Layout | None = None) -> Generator[Table]:
    """Opens a table and takes its header, if any, off its rows.

    Args:
        path: The file.
        layout: That of the file of training, if it is another one.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            separator, lines = _separated(file)
        except UnicodeDecodeError as error:
            raise _not_utf8(path, error) from error
        read = Decimals() if separator == ";" else number
        yield _with_header(path, _split_lines(path, lines, separator), read, layout)


def _separated(file: TextIO) -> tuple[str, Iterator[str]]:
    """Returns what separates the cells, and the lines of the file from the first.

    That is a tab if the first row has one outside of quotes, or else a semicolon, or else a comma.
    """
    head: list[str] = []
    quotes = 0
    for line in file:
        head.append(line)
        quotes += line.count('"')
        if line.strip() and quotes % 2 == 0:
            break
    bare = re.sub('"[^"]*"', "", "".join(head))
    return next((mark for mark in "\t;" if mark in bare), ","), chain(head, file)


def _with_header(
    path: Path,
    rows: Iterator[tuple[int, list[str]]],
    read: Callable[[str], float | None],
    layout: Layout | None,
) -> Table:
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path} is empty, expected rows of comma-separated cells.")
    line, cells = first
    bare = Table(path, [], len(cells), chain([first], rows), read)
    if any(value is not None for value in bare.numbers(line, cells)):
        return bare
    peeked = list(islice(rows, PEEKED))
    rows = chain(peeked, rows)
    if _is_known(cells, layout) if layout else _recurs(cells, [row for _, row in peeked]):
        return bare._replace(rows=chain([first], rows))
    table = bare._replace(names=[cell.strip() for cell in cells], rows=rows)
    for column, name in enumerate(table.names):
        if not name:
            raise ValueError(f"{table.where(line, column)}: the header gives this column no name.")
        if name in table.names[:column]:
            raise ValueError(f"{table.where(line, column)}: the header has this name twice.")
    return table


def _recurs(cells: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Returns True if each text of a line is found in its column again, as those of data are."""
    others = [row for row in rows if row != cells]  # a header may be repeated, too
    texts = [(i, cell) for i, cell in enumerate(cells) if not is_missing(cell)]
    return bool(texts) and all(any(cell == row[i] for row in others) for i, cell in texts)


def _is_known(cells: Sequence[str], layout: Layout) -> bool:
    """Returns True if the features of a line, by position, are all categories of the model."""
    if not layout.categories or not all(layout.categories):
        return False
    has_target = len(cells) == layout.width
    others = [cell for i, cell in enumerate(cells) if not (has_target and i == layout.target)]
    if len(others) != layout.width - 1:
        return False
    texts = [others[place].strip() for place in layout.places]
    return all(
        a in known or is_missing(a) for a, known in zip(texts, layout.categories, strict=True)
    )


def _split_lines(
    path: Path, lines: Iterator[str], separator: str
) -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the cells of every line that is not blank, all of one length."""
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    width = 0
    try:
        for cells in filter(None, reader):
            width = width or len(cells)
            if len(cells) != width:
                by = "" if separator == "," else f" (separated by {separator!r})"
                raise ValueError(
                    f"{path}, line {reader.line_num}: {counted(len(cells), 'column')}, the first "
                    f"line has {width}{by}."
                )
            yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}.") from error


def _not_utf8(path: Path, error: UnicodeDecodeError) -> ValueError:
    return ValueError(f"{path} is not UTF-8 text ({error}); save it as UTF-8.")


def parse_targets(
    table: Table, column: int, targets: list[tuple[int, str]]
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Returns labels and class names if the targets are whole numbers or text, else values."""
    numbers = [table.numbers(line, [cell])[0] for line, cell in targets]
    for (line, cell), value in zip(targets, numbers, strict=True):
        where = table.where(line, column)
        if is_missing(cell):
            came = f" ({cell!r})" if cell else ""
            raise ValueError(
                f"{where}: the target is missing{came}; fill it in, or leave out the row."
            )
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{where}: {cell!r} is neither a label nor a finite number.")
        if (value is None) != (numbers[0] is None):
            raise ValueError(
                f"{where}: {cell!r} does not go with {targets[0][1]!r} in line {targets[0][0]}; a "
                "target is all numbers or all text."
            )
    values = [value for value in numbers if value is not None]
    if not values:
        return number_classes(np.array([cell for _, cell in targets]))
    if all(value.is_integer() for value in values):
        return number_classes(np.array([int(value) for value in values]))
    return finite_float32(f"{table.path}: the target", np.array(values)[:, None]), None
