"""The values that a backward pass may hold: those of the function, and their right cotangents."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from jaxpercep.compare.program import words

Kind: TypeAlias = Literal[
    "leaf", "cotangent", "value", "use", "reduced", "data", "row", "part", "inside"
]
RANK: tuple[Kind, ...] = get_args(Kind)
ROWS = 32  # the longest first axis whose rows are known, one by one
NAMES = 2  # that a value is said to have
SAME = 1e-12  # relative: what equal values differ by


class Pair(NamedTuple):
    """The same value at the caller's arguments, and at other ones."""

    here: np.ndarray
    there: np.ndarray


@dataclass(frozen=True, eq=False)
class Known:
    """A value whose meaning is known.

    Attributes:
        kind: what it is.
        names: in words; equal values are one, with several names.
        pair: the numbers.
        family: what it shares with the same value in other iterations or passes.
        index: among these.
        statements: of the function's source, by name, where it is computed.
        is_gradient: True for what a backward pass computes.
    """

    kind: Kind
    names: tuple[str, ...]
    pair: Pair
    family: tuple[object, ...] = ()
    index: int = 0
    statements: tuple[object, ...] = ()
    is_gradient: bool = True

    @property
    def name(self) -> str:
        """What it is, in words."""
        return words.joined(self.names[:NAMES])


def stacks(every: Sequence[Known]) -> Iterator[Known]:
    """Yields the same value of all iterations as one array, as `lax.scan` stacks them."""
    families: dict[tuple[object, ...], list[Known]] = defaultdict(list)
    for known in every:
        if known.family:
            families[known.family].append(known)
    for members in families.values():
        shapes = {known.pair.here.shape for known in members}
        if len(members) < 2 or len(shapes) > 1:
            continue
        ordered = sorted(members, key=lambda known: known.index)
        here, there = (np.stack([k.pair[i] for k in ordered]) for i in (0, 1))
        name = ordered[0].names[0].replace(", pass 1 of", ", all passes of")
        yield replace(ordered[0], names=(name,), pair=Pair(here, there), family=())
        flipped = Pair(here[::-1], there[::-1])
        yield replace(ordered[0], names=(f"{name}, reversed",), pair=flipped, family=())


def reduced(known: Known) -> Iterator[Known]:
    """Yields the sum of a cotangent over its first axis, usually the batch."""
    if known.kind in ("cotangent", "use") and known.pair.here.ndim > 1:
        pair = Pair(known.pair.here.sum(0), known.pair.there.sum(0))
        names = tuple(f"{name}, summed over axis 0" for name in known.names)
        yield replace(known, kind="reduced", names=names, pair=pair, family=())


def columns(known: Known) -> Iterator[Known]:
    """Yields a row of numbers as a column, as `keepdims=True` leaves sums of each sample."""
    if known.kind in ("cotangent", "use", "value") and known.pair.here.ndim == 1:
        here, there = (array[:, None] for array in known.pair)
        names = tuple(f"{name}, as a column" for name in known.names)
        yield replace(known, names=names, pair=Pair(here, there), family=())


def rows(known: Known) -> Iterator[Known]:
    """Yields the rows of an array: of one sample, one time step, or one of several stacked layers.

    Those of a gradient by an argument are gradients by a part of it.
    """
    here = known.pair.here
    if (
        known.kind in ("use", "reduced", "data", "row", "part", "inside")
        or here.ndim < 2
        or len(here) > ROWS
    ):
        return
    for i, pair in enumerate(zip(*known.pair, strict=True)):
        names = tuple(_row_name(name, i) for name in known.names)
        kind: Kind = "leaf" if known.kind == "leaf" else "row" if known.is_gradient else "part"
        family = ("rows", *known.names, known.kind)
        yield replace(known, kind=kind, names=names, pair=Pair(*pair), family=family, index=i)


def _row_name(name: str, i: int) -> str:
    return f"{name}[{i}]" if name[-1:] in ")]" or name.isidentifier() else f"row {i} of {name}"
