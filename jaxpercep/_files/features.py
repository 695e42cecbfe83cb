"""The columns of features of a table: numbers, or texts, each of which is a category."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import counted, nearest_name, shown
from jaxpercep._files.layout import listed
from jaxpercep._files.numbers import as_float32, is_missing, marked
from jaxpercep._files.table import Block, Table

FEW, MOST = 10, 1000
"""Texts of a column: above FEW they must repeat, and there are never more than MOST."""

Categories: TypeAlias = tuple[tuple[str, ...], ...]
"""Of each column its texts, or () if it holds numbers; () if all do."""


class Features:
    """Reads the features of a table, block by block.

    A column whose first cell is text holds texts. A text is read as its number among those of its
    column, which takes a tenth of the memory, and a missing cell as NaN.

    Args:
        table: The file.
        columns: The indices of the columns of features: the first of every block.
        known: Of each its texts, or () if it holds numbers; None to find out.
        missing: True to allow for missing cells.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[int],
        known: Sequence[Sequence[str]] | None,
        missing: bool,
    ) -> None:
        self._table, self._columns, self._missing = table, columns, missing
        self._open = known is None
        known = known or [()] * len(columns)
        self._texts = [{text: i for i, text in enumerate(texts)} for texts in known]
        self._holds_text = np.array([bool(texts) for texts in known])
        self._rows = 0
        self._numbers: dict[int, tuple[int, float]] = {}  # column -> its first line and number
        self._began: dict[int, tuple[int, str]] = {}  # column of text -> its first line and text

    def read(self, block: Block) -> NDArray[np.float32]:
        """Returns the features of a block as numbers `[rows, columns]`.

        Raises:
            ValueError: A cell is missing, is not finite, or not what its column holds; or a column
                has too many texts.
        """
        values = as_float32(block.numbers[:, : len(self._columns)])
        suspect = self._holds_text | ~np.isfinite(values).all(axis=0)
        for i in map(int, np.flatnonzero(suspect)):
            self._read_column(i, block, values[:, i])
        for i in range(len(self._columns)):
            unseen = i not in self._numbers and not self._holds_text[i]
            if unseen and (first := _first_number(block, i)):
                self._numbers[i] = first
        self._rows += len(values)
        self._check_categories(few=False)
        return values

    def categories(self) -> Categories:
        """Returns the texts of each column, in the order of the features that they become.

        Raises:
            ValueError: No rows were read, or a column has too many texts.
        """
        if not self._rows:
            raise ValueError(f"{self._table.path} has a header and no rows.")
        if not self._holds_text.any():
            return ()
        self._check_categories(few=True)
        return tuple(tuple(sorted(known) if self._open else known) for known in self._texts)

    def encoder(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Returns what makes features that a network takes of those that were read.

        A text becomes one feature for each text of its column, which are 0 but for its own, 1; a
        missing one leaves NaN in all of them.

        Raises:
            ValueError: No rows were read, or a column has too many texts.
        """
        codes = [
            np.array([known[text] for text in texts], np.float32)
            for known, texts in zip(self._texts, self.categories(), strict=False)
        ]

        def encoded(values: NDArray[np.float32]) -> NDArray[np.float32]:
            parts = []
            for column, texts in zip(values.T[:, :, None], codes, strict=True):
                hot = np.where(np.isnan(column), column, column == texts)
                parts.append(hot if len(texts) else column)
            return np.concatenate(parts, axis=1, dtype=np.float32)

        return encoded if codes else np.asarray

    def _read_column(self, i: int, block: Block, values: NDArray[np.float32]) -> None:
        """Replaces every cell of a column that is no finite number by what stands for it."""
        holds_text = bool(self._holds_text[i])
        rows = range(len(values)) if holds_text else np.flatnonzero(~np.isfinite(values))
        for row in map(int, rows):
            values[row] = self._code(i, row, block)
            if self._holds_text[i] and not holds_text:  # then numbers below have no place here
                self._read_column(i, block, values)
                return

    def _code(self, i: int, row: int, block: Block) -> float:
        """Returns what stands for a text, or for a cell that is not a finite number."""
        text, known, line = block.text(row, i), self._texts[i], block.lines[row]
        if text in known:
            return known[text]
        where = self._table.where(line, self._columns[i])
        if is_missing(text):
            if self._missing:
                return np.nan
            raise ValueError(
                f"{where}: the cell is {f'missing ({text!r})' if text else 'empty'}; fill it in, "
                "or leave out the row or the column; `jaxpercep train --missing mean` fills it."
            )
        is_number = not np.isnan(block.numbers[row, i])
        if not self._open or (is_number and not known):
            raise ValueError(f"{where}: {self._fault(text, list(known), is_number)}")
        self._check_alike(i, row, block, is_number)
        self._began.setdefault(i, (line, text))
        self._holds_text[i] = True
        return known.setdefault(text, len(known))

    def _check_alike(self, i: int, row: int, block: Block, is_number: bool) -> None:
        """Raises a `ValueError` if a column holds both numbers and text."""
        text, line = block.text(row, i), block.lines[row]
        if self._texts[i]:
            kinds, first = ("a number", "text"), self._began[i] if is_number else None
        else:
            kinds, first = ("text", "number"), self._numbers.get(i)
            first = first or _first_number(block, i, row)
        if first is None:
            return
        other = first[1] if isinstance(first[1], str) else f"{first[1]:.9g}"
        hint = "" if self._table.names else "; a header line must hold no number"
        fix = marked(text) or marked(other)
        raise ValueError(
            f"{self._table.where(line, self._columns[i])}: {shown(text)} is {kinds[0]}, but "
            f"{self._table.unit} {first[0]} has the {kinds[1]} {shown(other)}: a column is all "
            f"numbers or all text{hint}.{fix} Correct it, or leave the column out: --drop "
            f"{self._table.option(self._columns[i])}."
        )

    def _check_categories(self, few: bool) -> None:
        """Raises a `ValueError` if a column has so many texts that they identify rows.

        Args:
            few: True to ask for more than FEW too, once all rows are read.
        """
        rows = counted(self._rows, "row")
        for i, (line, text) in self._began.items():
            count = len(self._texts[i])
            if count > MOST or (few and count > FEW and 2 * count > self._rows):
                raise ValueError(
                    f"{self._table.where(line, self._columns[i])}: {shown(text)} is one of {count} "
                    f"different texts in {rows}, so the column identifies rows more than it "
                    f"describes them.{marked(text)} Leave it out: "
                    f"--drop {self._table.option(self._columns[i])}."
                )

    def _fault(self, text: str, known: list[str], is_number: bool) -> str:
        """Says why a cell is not a feature, and the fix."""
        if known:
            names = listed([repr(name) for name in known])
            return (
                f"{shown(text)} is a category that the model does not know."
                f"{nearest_name(text, known)} It knows {names}; correct the cell, or train with "
                "rows that have it."
            )
        if not is_number:
            hint = ", and a header line must hold none" if self._table.unit == "line" else ""
            return f"{shown(text)} is text; features must be numbers{hint}.{marked(text)}"
        return f"{shown(text)} is not a finite float32 number; features must be finite."


def _first_number(block: Block, i: int, end: int | None = None) -> tuple[int, float] | None:
    """Returns the first finite number of a column, before the row `end`, and where it is."""
    values = as_float32(block.numbers[:end, i])
    rows = np.flatnonzero(np.isfinite(values))
    return (block.lines[rows[0]], float(values[rows[0]])) if len(rows) else None
