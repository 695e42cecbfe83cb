"""The target column of a table: class labels if it holds whole numbers or text, else values."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jaxpercep._files.numbers import finite_float32, is_missing, marked
from jaxpercep._files.table import Block, Table

MOST = 2**20  # whole numbers that are more are values

Labelled: TypeAlias = tuple[NDArray[Any], tuple[str, ...] | None]
"""Labels int32 `[n]` and the names of their classes, or values float32 `[n, 1]` and None."""


class _First(NamedTuple):
    """The first target."""

    line: int
    text: str
    is_text: bool


class Targets:
    """Reads the targets of a table, block by block: numbers; of a text its number among them.

    Args:
        table: The file.
        column: The index of the column of targets: the last of every block.
    """

    def __init__(self, table: Table, column: int) -> None:
        self._table, self._column = table, column
        self._first: _First | None = None
        self._texts: dict[str, int] = {}
        self._whole: NDArray[np.float64] | None = np.empty(0)  # those that differ, if all are

    def read(self, block: Block) -> NDArray[np.float64]:
        """Returns the targets of a block.

        Raises:
            ValueError: A target is missing, is not finite, or is text where others are numbers.
        """
        i = block.numbers.shape[1] - 1
        numbers = block.numbers[:, i].astype(np.float64)
        if self._first is None:
            self._first = _First(block.lines[0], block.text(0, i), bool(np.isnan(numbers[0])))
        texts = self._first.is_text
        rows = range(len(numbers)) if texts else np.flatnonzero(~np.isfinite(numbers))
        for row in map(int, rows):
            where = self._table.where(block.lines[row], self._column)
            numbers[row] = self._code(where, block.text(row, i), float(numbers[row]), self._first)
        if self._whole is not None and not texts:
            all_whole = (numbers == np.floor(numbers)).all()
            self._whole = np.union1d(self._whole, numbers) if all_whole else None
            self._whole = None if self._whole is None or len(self._whole) > MOST else self._whole
        return numbers

    def examples(self) -> Labelled:
        """Returns a target of each class, or a value."""
        classes = self._classes()
        if classes is None:
            return np.full((1, 1), 0.5, np.float32), None
        return np.arange(len(classes), dtype=np.int32), classes

    def encoder(self) -> Callable[[NDArray[np.float64]], Labelled]:
        """Returns what makes labels or values of the targets that were read so far.

        It raises a `ValueError` if a value overflows float32.
        """
        classes = self._classes()
        if classes is None:
            return self.values
        whole = np.arange(0.0) if self._whole is None else self._whole
        places = {text: i for i, text in enumerate(classes)}
        order = np.array([places[text] for text in self._texts], np.int32)

        def labels(targets: NDArray[np.float64]) -> Labelled:
            y = order[targets.astype(int)] if self._texts else np.searchsorted(whole, targets)
            return y.astype(np.int32), classes

        return labels

    def values(self, targets: NDArray[np.float64]) -> Labelled:
        """Returns targets that are numbers as values, whole or not."""
        return finite_float32(f"{self._table.path}: the target", targets[:, None]), None

    def _classes(self) -> tuple[str, ...] | None:
        if self._texts:
            return tuple(sorted(self._texts))
        return None if self._whole is None else tuple(str(int(number)) for number in self._whole)

    def _code(self, where: str, text: str, number: float, first: _First) -> float:
        """Returns what stands for a target that is text."""
        if is_missing(text):
            came = f" ({text!r})" if text else ""
            raise ValueError(
                f"{where}: the target is missing{came}; fill it in, or leave out the row."
            )
        if np.isinf(number):
            raise ValueError(f"{where}: {text!r} is neither a label nor a finite number.")
        if np.isnan(number) != first.is_text:
            hint = "" if self._table.names else ", and a header line must hold no number"
            raise ValueError(
                f"{where}: {text!r} does not go with {first.text!r} in {self._table.unit} "
                f"{first.line}; a target is all numbers or all text{hint}."
                f"{marked(text) or marked(first.text)}"
            )
        return self._texts.setdefault(text, len(self._texts))
