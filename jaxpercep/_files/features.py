"""The columns of features of a table: numbers, or texts, each of which is a category."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import counted, nearest_name, shown
from jaxpercep._files.csv import Table
from jaxpercep._files.layout import listed
from jaxpercep._files.numbers import as_float32, is_missing

FEW, MOST = 10, 1000
"""Texts of a column: above FEW they must repeat, and there are never more than MOST."""


class Features:
    """Reads the features of a table, row by row: its text takes ten times the memory.

    A column whose first cell is text holds texts. A text is kept as its number among those of its
    column, and a missing cell as NaN.

    Args:
        table: The file.
        columns: The indices of the columns of features.
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
        self._rows: list[NDArray[np.float32]] = []
        self._lines: list[int] = []
        self._began: dict[int, tuple[int, str]] = {}  # column of text -> its first line and text

    def add(self, line: int, cells: Sequence[str]) -> None:
        """Reads the features of a row.

        Raises:
            ValueError: A cell is missing, is not finite, or not what its column holds.
        """
        chosen = [cells[column] for column in self._columns]
        values = as_float32(np.array(self._table.numbers(line, chosen), np.float64))
        for i in map(int, np.flatnonzero(~np.isfinite(values) | self._holds_text)):
            values[i] = self._code(i, line, chosen[i].strip())
        self._rows.append(values)
        self._lines.append(line)

    def encoded(self) -> tuple[NDArray[np.float32], tuple[tuple[str, ...], ...]]:
        """Returns the features that a network takes, and the texts of each column.

        A text becomes one feature for each text of its column, which are 0 but for its own, 1; a
        missing one leaves NaN in all of them.

        Raises:
            ValueError: There are no rows, or a column has too many texts.
        """
        if not self._rows:
            raise ValueError(f"{self._table.path} has a header and no rows.")
        values = np.stack(self._rows)
        if not self._holds_text.any():
            return values, ()
        if self._open:
            self._check_categories()
        names = [tuple(sorted(known) if self._open else known) for known in self._texts]
        parts = []
        for column, known, texts in zip(values.T[:, :, None], self._texts, names, strict=True):
            hot = column == np.array([known[text] for text in texts], np.float32)
            parts.append(np.where(np.isnan(column), column, hot) if texts else column)
        return np.concatenate(parts, axis=1, dtype=np.float32), tuple(names)

    def _code(self, i: int, line: int, text: str) -> float:
        """Returns what stands for a text, or for a cell that is not a finite number."""
        known = self._texts[i]
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
        is_number = self._table.numbers(line, [text]) != [None]
        if not self._open or (is_number and not known):
            raise ValueError(f"{where}: {_fault(text, list(known), is_number)}")
        self._check_alike(i, where, text, is_number)
        self._began.setdefault(i, (line, text))
        self._holds_text[i] = True
        return known.setdefault(text, len(known))

    def _check_alike(self, i: int, where: str, text: str, is_number: bool) -> None:
        """Raises a `ValueError` if a column holds both numbers and text."""
        if self._texts[i]:
            kinds, first = ("a number", "text"), self._began[i] if is_number else None
        else:
            before = zip(self._lines, (float(row[i]) for row in self._rows), strict=True)
            numbers = ((n, f"{value:.9g}") for n, value in before if np.isfinite(value))
            kinds, first = ("text", "number"), next(numbers, None)
        if first is None:
            return
        hint = "" if self._table.names else "; a header line must hold no number"
        raise ValueError(
            f"{where}: {shown(text)} is {kinds[0]}, but line {first[0]} has the {kinds[1]} "
            f"{shown(first[1])}: a column is all numbers or all text{hint}. Correct it, or leave "
            f"the column out: --drop {self._table.option(self._columns[i])}."
        )

    def _check_categories(self) -> None:
        """Raises a `ValueError` if a column has so many texts that they identify rows."""
        rows = counted(len(self._rows), "row")
        for i, known in enumerate(self._texts):
            if len(known) > MOST or (len(known) > FEW and 2 * len(known) > len(self._rows)):
                line, text = self._began[i]
                where = self._table.where(line, self._columns[i])
                raise ValueError(
                    f"{where}: {shown(text)} is one of {len(known)} different texts in {rows}, so "
                    "the column identifies rows more than it describes them. Leave it out: "
                    f"--drop {self._table.option(self._columns[i])}."
                )


def _fault(text: str, known: list[str], is_number: bool) -> str:
    """Says why a cell is not a feature, and the fix."""
    if known:
        names = listed([repr(name) for name in known])
        return (
            f"{shown(text)} is a category that the model does not know."
            f"{nearest_name(text, known)} It knows {names}; correct the cell, or train with rows "
            "that have it."
        )
    if not is_number:
        return f"{shown(text)} is text; features must be numbers, and a header line must hold none."
    return f"{shown(text)} is not a finite float32 number; features must be finite."
