"""Arrays and samples in scratch files, for what does not fit into memory."""

import contextlib
import glob
import math
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray

from jaxpercep._files.table import rows_of_block
from jaxpercep._files.writing import writing

_LOCK = "lock"


@contextlib.contextmanager
def scratch_folder(out: Path) -> Generator[Path]:
    """Yields a hidden folder beside `out`, which is removed at the end, however that comes.

    Of a process that was killed it is removed by the next one. Those of processes that run are told
    by a lock, which the operating system releases.
    """
    parents = [path for path in out.absolute().parents if path.exists()]
    prefix, suffix = f".{out.name}.", ".scratch"
    for parent in parents:  # the nearest may have been made since
        for left in parent.glob(f"{glob.escape(prefix)}*{suffix}"):
            # An error says that it is locked, another user's, or gone meanwhile.
            with contextlib.suppress(OSError), FileLock(left / _LOCK, blocking=False):
                shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=prefix, suffix=suffix, dir=parents[0]) as name,
        FileLock(Path(name, _LOCK)),
    ):
        yield Path(name)


class StoredArray:
    """An array in a file: rows of one type and shape, written at its end and read anywhere.

    Attributes:
        shape: The shape of a row.
        rows: The number of rows.
    """

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
        self.shape, self.rows = shape, 0
        self._path, self._dtype = path, np.dtype(dtype)

    def append(self, rows: NDArray[Any]) -> None:
        """Writes rows to the end."""
        with writing(self._path, "a scratch file"), self._path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, self._dtype).data)
        self.rows += len(rows)

    def empty(self, rows: int) -> NDArray[Any]:
        """Returns an array for so many rows to be read into."""
        return np.empty((rows, *self.shape), self._dtype)

    def read_into(self, array: NDArray[Any], first: int) -> NDArray[Any]:
        """Fills an array with the rows from the first one, and returns it."""
        with self._path.open("rb") as file:
            file.seek(first * math.prod(self.shape) * self._dtype.itemsize)
            if file.readinto(array.data) != array.nbytes:
                raise OSError(f"{self._path} ends early: another program has changed it.")
        return array

    def remove(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)


class Stored(NamedTuple):
    """Samples in two files."""

    x: StoredArray
    y: StoredArray

    @classmethod
    def create(cls, folder: Path, name: str, features: int, y: NDArray[Any]) -> "Stored":
        """Returns samples, of which there are none yet, with targets of the kind of y."""
        x = StoredArray(folder / f"{name}.x", np.float32, (features,))
        return cls(x, StoredArray(folder / f"{name}.y", y.dtype, y.shape[1:]))

    @property
    def size(self) -> int:
        """The number of samples."""
        return self.x.rows

    def append(self, x: NDArray[Any], y: NDArray[Any]) -> None:
        """Writes samples to the end."""
        self.x.append(x)
        self.y.append(y)

    def blocks(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yields the samples in their order, some at a time."""
        step = rows_of_block(math.prod(self.x.shape))
        for first in range(0, self.size, step):
            rows = min(step, self.size - first)
            x, y = (array.read_into(array.empty(rows), first) for array in self)
            yield x, y

    def remove(self) -> None:
        """Removes the files."""
        self.x.remove()
        self.y.remove()
