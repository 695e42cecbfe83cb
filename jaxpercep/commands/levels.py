"""The losses at which networks get stuck because some samples share an output."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

MOST_SAMPLES = 8  # whose groups are listed: beyond, their losses lie too close to be told apart
TOLERANCE = 5e-3  # how far a final loss may lie from the level that it is counted to
LEAST_SHARE = 0.005  # of the networks, for a level to be shown

Group: TypeAlias = tuple[int, ...]
"""Samples that share an output: how many there are of each class."""


class Level(NamedTuple):
    """A loss, the outputs that it means, and how many networks are at it."""

    loss: float
    outputs: str
    networks: int

    def __str__(self) -> str:
        return f"{self.loss:.4f}: {self.outputs}"


def levels(counts: Sequence[int]) -> dict[float, str]:
    """Returns the losses at which some samples share an output, and describes the outputs.

    A network whose hidden neurons cannot tell the samples of a group apart gives all of them one
    output. Cross entropy is least when that is the share of each class in the group; it is then the
    mean, over the samples, of their group's entropy. Samples in a group of a single class are
    right, others are "at odds 2:1" where the group holds two of one class and one of another.

    Args:
        counts: samples of each class; above `MOST_SAMPLES` in all, only the loss at which all of
            them share an output is listed.
    """
    total = sum(counts)
    divisions = _divisions(tuple(counts)) if total <= MOST_SAMPLES else [(tuple(counts),)]
    found: defaultdict[float, set[str]] = defaultdict(set)
    for groups in divisions:
        loss = sum(sum(group) * entr(np.array(group) / sum(group)).sum() for group in groups)
        found[round(float(loss) / total, 6)].add(_described(groups))
    return {loss: " or ".join(sorted(found[loss])) for loss in sorted(found) if loss}


def occupied(losses: NDArray[np.float32], counts: Sequence[int]) -> list[Level]:
    """Returns the levels that final losses are at, unless that is rare.

    Args:
        losses: a final loss for each network.
        counts: samples of each class.
    """
    known = levels(counts)
    values = np.array(list(known))
    nearest = abs(losses[:, None] - values).argmin(axis=1)
    is_near = abs(losses - values[nearest]) <= TOLERANCE
    found = zip(known.items(), np.bincount(nearest[is_near], minlength=len(values)), strict=True)
    least = max(1, LEAST_SHARE * len(losses))
    return [Level(loss, outputs, int(n)) for (loss, outputs), n in found if n >= least]


def _divisions(counts: Group, largest: Group | None = None) -> Iterator[tuple[Group, ...]]:
    """Every way to divide samples of some classes into groups, each no larger than the last."""
    if not any(counts):
        yield ()
    for group in itertools.product(*(range(count + 1) for count in counts)):
        if any(group) and (largest is None or group <= largest):
            rest = tuple(count - taken for count, taken in zip(counts, group, strict=True))
            for others in _divisions(rest, group):
                yield (group, *others)


def _described(groups: Sequence[Group]) -> str:
    samples: Counter[str] = Counter()
    for group in groups:
        mix = sorted((count for count in group if count), reverse=True)
        odds = ":".join(str(count // np.gcd.reduce(mix)) for count in mix)
        samples[f"at odds {odds}" if len(mix) > 1 else "right"] += sum(group)
    return ", ".join(f"{samples[how]} {how}" for how in sorted(samples, reverse=True))
