"""Says what a value of the candidate is: which known value, or a constant multiple of one."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxpercep.compare.candidate.known import RANK, Known, Pair


class Meaning(NamedTuple):
    """A known value times a constant.

    Attributes:
        known: the value.
        factor: the constant.
        transposed: True if the value is transposed.
    """

    known: Known
    factor: float = 1.0
    transposed: bool = False

    @property
    def is_exact(self) -> bool:
        """True if the value is the known one itself."""
        return self.factor == 1.0 and not self.transposed

    def pair(self) -> Pair:
        """Returns the numbers."""
        arrays = (self.factor * array for array in self.known.pair)
        return Pair(*(array.T if self.transposed else array for array in arrays))

    def words(self, factor_name: Callable[[float], str | None]) -> str:
        """Names it: `minus the transpose of dL/dh`."""
        name = f"the transpose of {self.known.name}" if self.transposed else self.known.name
        if self.factor == 1.0:
            return name
        if self.factor == -1.0:
            return f"minus {name}"
        return f"{factor_name(self.factor) or f'{self.factor:.6g}'} times {name}"


class _Table(NamedTuple):
    """All known values of one shape, as rows of matrices."""

    known: list[Known]
    here: np.ndarray
    there: np.ndarray
    squares: np.ndarray


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Finds known values by their numbers.

    Attributes:
        known: all of them.
        tolerance: the largest relative difference of equal values.
    """

    known: Sequence[Known]
    tolerance: float
    tables: dict[tuple[int, ...], _Table]

    @classmethod
    def of(cls, known: Sequence[Known], tolerance: float) -> "Dictionary":
        """Sorts known values by shape."""
        by_shape: dict[tuple[int, ...], list[Known]] = defaultdict(list)
        for one in known:
            by_shape[one.pair.here.shape].append(one)
        return cls(known, tolerance, {shape: _table(some) for shape, some in by_shape.items()})

    def of_shape(self, shape: tuple[int, ...]) -> Sequence[Known]:
        """Lists the known values of a shape."""
        return self.tables[shape].known if shape in self.tables else []

    def meanings(self, pair: Pair) -> list[Meaning]:
        """Lists what a value is, at both sets of arguments: the plainest meaning first."""
        found = [*self.multiples(pair, transposed=False)]
        if pair.here.ndim == 2:
            found += self.multiples(Pair(pair.here.T, pair.there.T), transposed=True)
        return sorted(found, key=_plainness)

    def multiples(self, pair: Pair, *, transposed: bool) -> list[Meaning]:
        """Lists the known values that a value is a constant multiple of."""
        table = self.tables.get(pair.here.shape)
        here, there = pair.here.ravel(), pair.there.ravel()
        if table is None or not here.any() or pair.there.shape != pair.here.shape:
            return []
        factors = table.here @ here / table.squares
        close = self._close(here, factors[:, None] * table.here)
        close &= self._close(there, factors[:, None] * table.there)
        found = []
        for i in np.flatnonzero(close):
            factor = float(factors[i])
            exact = abs(factor - 1) < 4 * self.tolerance
            minus = abs(factor + 1) < 4 * self.tolerance
            plain = 1.0 if exact else -1.0 if minus else factor
            found.append(Meaning(table.known[i], plain, transposed))
        return found

    def _close(self, value: np.ndarray, rows: np.ndarray) -> np.ndarray:
        scale = np.max(np.abs(value), initial=0.0)
        with np.errstate(invalid="ignore"):
            return np.max(np.abs(rows - value), axis=1, initial=0.0) <= self.tolerance * scale


def _table(known: list[Known]) -> _Table:
    here, there = (np.stack([one.pair[i].ravel() for one in known]) for i in (0, 1))
    return _Table(known, here, there, np.sum(here * here, axis=1))


def _plainness(meaning: Meaning) -> tuple[object, ...]:
    return (
        meaning.factor != 1.0,
        meaning.factor < 0,
        meaning.transposed,
        RANK.index(meaning.known.kind),
    )
