"""Tables as text: what separates their cells, their header, and their rows.

Which columns are what is for `matching` to say, what they hold for `features` and `targets`.
"""

import codecs
import csv
import re
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TextIO, TypeAlias

import numpy as np

from jaxpercep._checks import counted, shown
from jaxpercep._files.layout import Layout
from jaxpercep._files.numbers import Decimals, is_missing, number
from jaxpercep._files.table import Block, Table, check_names, rows_of_block
from jaxpercep._files.unpacking import GZIP

PEEKED = 1000  # rows that are looked at to tell a header

Line: TypeAlias = tuple[int, list[str]]
"""The number of a line, and its cells."""


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
        numbers = partial(_numbers, path, read)
        yield _with_header(path, _split_lines(path, lines, separator), numbers, layout)


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
    rows: Iterator[Line],
    numbers: Callable[[Line], list[float | None]],
    layout: Layout | None,
) -> Table:
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path} is empty, expected rows of comma-separated cells.")
    line, cells = first

    def table(names: list[str], rows: Iterator[Line]) -> Table:
        return Table(path, names, len(cells), partial(_blocks, rows, numbers, len(cells)))

    peeked = list(islice(rows, PEEKED))
    rows = chain(peeked, rows)
    if any(value is not None for value in numbers(first)):
        if layout is None:
            _warn_of_header(table([], rows), first, numbers(first), [row for _, row in peeked])
        return table([], chain([first], rows))
    if _is_known(cells, layout) if layout else _recurs(cells, [row for _, row in peeked]):
        return table([], chain([first], rows))
    named = table([cell.strip() for cell in cells], rows)
    check_names(named, f"{path}, line {line}")
    return named


def _warn_of_header(
    table: Table, first: Line, numbers: list[float | None], rows: Sequence[Sequence[str]]
) -> None:
    """Warns of a line with a number and a text that is in no row, where rows repeat theirs."""
    for i, (cell, value) in enumerate(zip(first[1], numbers, strict=True)):
        texts = [row[i].strip() for row in rows if not is_missing(row[i])]
        repeated = len(set(texts)) < len(texts)
        if value is None and not is_missing(cell) and repeated and cell.strip() not in texts:
            warnings.warn(
                f"{table.where(first[0], i)}: {shown(cell.strip())} is found nowhere below. The "
                "line is read as data, for it has a number; if it is a header, give each column a "
                "name that is not a number.",
                stacklevel=7,  # the caller of `load_csv`
            )
            return


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


def _split_lines(path: Path, lines: Iterator[str], separator: str) -> Iterator[Line]:
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
    if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ValueError(
            f"{path} is UTF-16 text; save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8."
        )
    if error.object.startswith(GZIP):
        return ValueError(f"{path} is packed by gzip; unpack it: gunzip {path.name}.")
    return ValueError(
        f"{path} is not UTF-8 text ({error}); save a table as CSV in UTF-8, or as Parquet or NPY."
    )


def _numbers(path: Path, read: Callable[[str], float | None], line: Line) -> list[float | None]:
    """Returns each cell of a line as a number, or None."""
    try:
        return [read(cell) for cell in line[1]]
    except ValueError as error:
        raise ValueError(f"{path}, line {line[0]}: {error}") from error


def _blocks(
    rows: Iterator[Line],
    numbers: Callable[[Line], list[float | None]],
    width: int,
    columns: Sequence[int],
) -> Iterator[Block]:
    while chunk := list(islice(rows, rows_of_block(width))):
        chosen = [(line, [cells[column] for column in columns]) for line, cells in chunk]
        lines, cells = [line for line, _ in chosen], [cells for _, cells in chosen]
        yield Block(lines, np.array(list(map(numbers, chosen)), np.float64), partial(_text, cells))


def _text(cells: Sequence[Sequence[str]], row: int, column: int) -> str:
    return cells[row][column].strip()
