"""NPY files: their header, and those of a matrix as tables; nothing in them is ever unpickled.

They are read in runs of rows, and not mapped: a mapped file counts in full towards a limit on the
address space of a process.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from jaxpercep._checks import counted
from jaxpercep._files.table import Block, Table, rows_of_block

MAGIC = b"\x93NUMPY"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class _Matrix(NamedTuple):
    """An array `[rows, columns]` in a file: where it begins, and how it lies there."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    def read(self, first: int, count: int, columns: Sequence[int]) -> NDArray[Any]:
        """Returns so many rows from the first, `[count, columns]`."""
        rows, width = self.shape
        if not self.fortran:
            return self._run(first * width, count * width).reshape(count, width)[:, columns]
        return np.stack([self._run(column * rows + first, count) for column in columns], axis=1)

    def _run(self, first: int, count: int) -> NDArray[Any]:
        offset = self.offset + first * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, count, offset=offset)


@contextmanager
def open_npy(path: Path) -> Generator[Table]:
    """Opens a matrix of numbers as a table without names.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        ValueError: It is not an NPY file, is damaged, or holds something else.
    """
    with path.open("rb") as file:
        try:
            shape, fortran, dtype = read_header(file)
        except ValueError as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise ValueError(
                f"{path} cannot be read as an NPY file: {reason}; write one with np.save(path, "
                "array)."
            ) from error
        matrix = _Matrix(path, file.tell(), shape, fortran, dtype)
    _check(matrix)
    yield Table(path, [], shape[1], partial(_blocks, matrix), shape[0], "row")


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Returns the shape, whether it is in column-major order, and the type of an NPY file.

    Raises:
        ValueError: It is not the header of an NPY file, or that of one which holds objects.
    """
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of NPY is not one of plain arrays")
    try:
        shape, fortran, dtype = _HEADERS[version](stream)
    except ValueError:
        raise
    except Exception as error:  # NumPy takes it for Python: there are many ways to fail at that
        raise ValueError(f"its header is damaged ({type(error).__name__})") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    if min(shape, default=0) < 0:
        raise ValueError(f"its header announces the shape {shape}")
    return shape, fortran, dtype


def check_size(shape: tuple[int, ...], dtype: np.dtype[Any], found: int) -> None:
    """Raises a `ValueError` unless an array of this shape and type takes the bytes that are there.

    Args:
        shape: The shape.
        dtype: The type.
        found: The bytes after the header.
    """
    announced = math.prod(shape) * dtype.itemsize
    if announced != found:
        raise ValueError(
            f"its header announces shape {shape} of {dtype}, that is "
            f"{counted(announced, 'byte')} of data, but {found} are there"
        )


def _check(matrix: _Matrix) -> None:
    """Raises a `ValueError` unless it is a matrix of real numbers, all of which are there."""
    path, offset, shape, _, dtype = matrix
    if dtype.kind not in "biuf" or len(shape) != 2 or 0 in shape:
        raise ValueError(
            f"{path} holds an array of shape {shape} and type {dtype}, expected real numbers "
            "[rows, columns], the targets in one of the columns, and at least one row; for "
            "anything else use np.savez(path, x=x, y=y)."
        )
    try:
        check_size(shape, dtype, path.stat().st_size - offset)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; write it again.") from error


def _blocks(matrix: _Matrix, columns: Sequence[int]) -> Iterator[Block]:
    rows, size = matrix.shape[0], rows_of_block(matrix.shape[1])
    dtype = np.result_type(matrix.dtype, np.float32)
    for first in range(0, rows, size):
        cells = matrix.read(first, min(size, rows - first), columns)
        lines = range(first + 1, first + 1 + len(cells))
        yield Block(lines, cells.astype(dtype), partial(_text, cells))


def _text(cells: NDArray[Any], row: int, column: int) -> str:
    return str(cells[row, column])
