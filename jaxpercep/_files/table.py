"""A table as its readers see it: columns, named or not, and rows in blocks."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from numpy.typing import NDArray

CELLS = 2**17  # of a block: a megabyte of numbers, some more of text


class Block(NamedTuple):
    """Some rows of a table, in the columns that were asked for.

    Attributes:
        lines: Where each row is in the file.
        numbers: The cells as floating point `[rows, columns]`, NaN where one is no number.
        text: Returns the text of the cell (row, column) of `numbers`, "" if it is empty.
    """

    lines: Sequence[int]
    numbers: NDArray[Any]
    text: Callable[[int, int], str]


@dataclass(frozen=True)
class Table:
    """A table that is open.

    Attributes:
        path: The file.
        names: The names of its columns; empty if it has none.
        width: The number of its columns.
        blocks: Returns its rows in the columns with these indices, block by block; once.
        rows: The number of its rows, if the file says it.
        unit: What `lines` of a block counts, from 1.
    """

    path: Path
    names: list[str]
    width: int
    blocks: Callable[[Sequence[int]], Iterator[Block]]
    rows: int | None = None
    unit: Literal["line", "row"] = "line"

    def place(self, column: int) -> str:
        """Returns what to call a column: its number, from 1, and its name."""
        return f"column {column + 1}" + (f" ({self.names[column]!r})" if self.names else "")

    def where(self, line: int, column: int) -> str:
        """Returns the place of a cell in words."""
        return f"{self.path}, {self.unit} {line}, {self.place(column)}"

    def option(self, column: int) -> str:
        """Returns the column as an option takes it: by name, or by index without a name."""
        name = (self.names[column] if self.names else "") or str(column)
        return name if re.fullmatch(r"\w[\w-]*", name) else repr(name)


def check_names(table: Table, header: str) -> None:
    """Raises a `ValueError` if two columns have the same name, or none.

    Args:
        table: The table.
        header: The place of the names in words.
    """
    for column, name in enumerate(table.names):
        if name in table.names[:column]:
            where = f"{header}, {table.place(column)}"
            raise ValueError(f"{where}: the header has this name twice; give each its own.")


def rows_of_block(width: int) -> int:
    """Returns the number of rows, of so many cells, that a block has at most."""
    return max(1, CELLS // width)
