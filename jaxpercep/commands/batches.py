"""Batches of samples in scratch files, in an order that is random and reads the disk in runs."""

import itertools
import math
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jaxpercep.commands.samples import Part
from jaxpercep.commands.scratch import Stored

RUN = 2**20  # bytes that are read at a time, so that a disk has to seek seldom
WINDOW = 2**26  # bytes of which the rows are mixed; two windows are kept

_Key: TypeAlias = tuple[int, int]
"""An epoch, and a window of it."""


class _Window(NamedTuple):
    """Samples in memory, and the order in which they are used."""

    part: Part
    order: NDArray[np.int64]


class ShuffledBatches:
    """Gives batches of samples; an epoch has every sample once, and its last batch may be smaller.

    The samples are cut into runs of rows that lie side by side. An epoch takes the runs in a random
    order, and mixes the rows of so many runs at a time as make a window. Seed, epoch and the
    samples decide the order; batches of any size cut it. The next window is read while one is used.

    Leave it (`with`), so that nothing is read any more.

    Attributes:
        per_epoch: The number of batches of an epoch.
    """

    def __init__(self, samples: Stored, batch_size: int, epochs: int, seed: int) -> None:
        self.per_epoch = math.ceil(samples.size / batch_size)
        self._samples, self._batch_size, self._seed = samples, batch_size, seed
        self._total, self._taken = epochs * self.per_epoch, 0
        row = 8 + sum(array.empty(1).nbytes for array in samples)  # 8 for its place in the order
        self._run = max(1, RUN // row)
        self._runs = max(1, WINDOW // (self._run * row))  # of a window
        self._windows: dict[_Key, Future[_Window]] = {}
        self._pool = ThreadPoolExecutor(1)
        self._ends = lru_cache(2)(self._ends_of)

    def __enter__(self) -> "ShuffledBatches":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Part]:
        return self

    def __next__(self) -> Part:
        if self._taken == self._total:
            raise StopIteration
        epoch, number = divmod(self._taken, self.per_epoch)
        first = number * self._batch_size
        pieces = list(self._rows(epoch, first, min(first + self._batch_size, self._samples.size)))
        self._taken += 1
        if len(pieces) == 1:
            return pieces[0]
        return Part(*map(np.concatenate, zip(*pieces, strict=True)))

    def get_state(self) -> dict[str, Any]:
        """Returns how many batches were taken, as values that JSON takes."""
        return {"taken": self._taken}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state: the next batch is the one that followed on it.

        Raises:
            ValueError: It is not a state of these batches.
        """
        taken = state.get("taken")
        if not isinstance(taken, int) or not 0 <= taken <= self._total:
            raise ValueError(
                f"state={dict(state)} is not one of these batches: expected "
                f"{{'taken': n}}, n from 0 to {self._total}."
            )
        self._taken = taken

    def _rows(self, epoch: int, first: int, end: int) -> Iterator[Part]:
        """Yields the rows from one place in the order of an epoch to another, by windows."""
        ends = self._ends(epoch)
        for number in itertools.count(int(np.searchsorted(ends, first, side="right"))):
            start = int(ends[number - 1]) if number else 0
            (x, y), order = self._window((epoch, number))
            rows = order[max(first - start, 0) : end - start]
            yield Part(x.take(rows, axis=0), y.take(rows, axis=0))
            if end <= ends[number]:
                return

    def _window(self, key: _Key) -> _Window:
        """Returns a window, and has the next one read."""
        if key != next(iter(self._windows), None):
            self._windows = {
                wanted: self._windows.get(wanted) or self._pool.submit(self._read, wanted)
                for wanted in (key, *self._after(key))
            }
        return self._windows[key].result()

    def _after(self, key: _Key) -> Iterator[_Key]:
        """Yields the window after this one, unless it is the last."""
        epoch, number = key
        if number + 1 < len(self._ends(epoch)):
            yield epoch, number + 1
        elif (epoch + 1) * self.per_epoch < self._total:
            yield epoch + 1, 0

    def _read(self, key: _Key) -> _Window:
        epoch, number = key
        runs = self._order(epoch)[number * self._runs : (number + 1) * self._runs]
        firsts = runs * self._run
        counts = np.minimum(self._run, self._samples.size - firsts)
        arrays = [array.empty(int(counts.sum())) for array in self._samples]
        for array, stored in zip(arrays, self._samples, strict=True):
            place = 0
            for first, count in zip(firsts.tolist(), counts.tolist(), strict=True):
                stored.read_into(array[place : place + count], first)
                place += count
        rng = np.random.default_rng((self._seed, epoch, number + 1))
        return _Window(Part(*arrays), rng.permutation(int(counts.sum())))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Returns the runs in the order of an epoch."""
        rng = np.random.default_rng((self._seed, epoch, 0))
        return rng.permutation(math.ceil(self._samples.size / self._run))

    def _ends_of(self, epoch: int) -> NDArray[np.int64]:
        """Returns how many rows there are up to the end of each window of an epoch."""
        firsts = self._order(epoch) * self._run
        rows = np.cumsum(np.minimum(self._run, self._samples.size - firsts))
        return rows[[*range(self._runs - 1, len(rows) - 1, self._runs), len(rows) - 1]]
