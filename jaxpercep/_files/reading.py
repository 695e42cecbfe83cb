"""The examples of a table of any format, read in blocks."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from jaxpercep._files import npz
from jaxpercep._files.csv import open_csv
from jaxpercep._files.features import Features
from jaxpercep._files.layout import Layout
from jaxpercep._files.matching import choose_columns
from jaxpercep._files.npy import MAGIC as NPY
from jaxpercep._files.npy import open_npy
from jaxpercep._files.parquet import MAGIC as PARQUET
from jaxpercep._files.parquet import open_parquet
from jaxpercep._files.table import Table
from jaxpercep._files.targets import Targets


def open_table(
    path: str | os.PathLike[str], layout: Layout | None = None
) -> AbstractContextManager[Table]:
    """Opens a CSV, a Parquet or an NPY file.

    Args:
        path: The file.
        layout: That of the file of training, if it is another one.
    """
    match file_format(path):
        case "npy":
            return open_npy(Path(path))
        case "parquet":
            return open_parquet(Path(path))
        case _:
            return open_csv(Path(path), layout)


def file_format(path: str | os.PathLike[str]) -> Literal["csv", "npy", "npz", "parquet"]:
    """Returns the format of a file, by the end of its name or else its content."""
    path = Path(path)
    match path.suffix:
        case ".npy":
            return "npy"
        case ".npz":
            return "npz"
        case ".parquet":
            return "parquet"
    if not path.is_file():
        return "csv"
    with path.open("rb") as file:
        begin = file.read(len(NPY))
        if begin.startswith(PARQUET):  # as the first name of a CSV file may, which has other ends
            file.seek(-len(PARQUET), os.SEEK_END)
            return "parquet" if file.read() == PARQUET else "csv"
    return "npy" if begin == NPY else "npz" if npz.is_zip(path) else "csv"


class Reading:
    """The examples of a table that is open, read in blocks.

    Attributes:
        table: The table.
        features: What its features hold, of the blocks read so far.
        targets: What its targets are.

    Args:
        table: The table.
        target: The target column, None for the last.
        drop: The columns to leave out.
        missing: True to read missing cells of features as NaN.
        texts: True to allow for features that are text.
    """

    def __init__(
        self,
        table: Table,
        target: str | int | None,
        drop: Sequence[str | int] = (),
        missing: bool = False,
        texts: bool = True,
    ) -> None:
        self.table = table
        self._columns, self._target, self._dropped = choose_columns(table, target, drop)
        known = None if texts else [()] * len(self._columns)
        self.features = Features(table, self._columns, known, missing)
        self.targets = Targets(table, self._target)

    @property
    def width(self) -> int:
        """The number of features in the file."""
        return len(self._columns)

    def blocks(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
        """Yields features and targets as they were read, for `features` and `targets` to encode."""
        for block in self.table.blocks([*self._columns, self._target]):
            yield self.features.read(block), self.targets.read(block)

    def layout(self) -> Layout:
        """Returns how the examples lie in the file, once all were read."""
        names, dropped = tuple(self.table.names) or None, tuple(self._dropped)
        return Layout((self.width,), names, self._target, dropped, self.features.categories())
