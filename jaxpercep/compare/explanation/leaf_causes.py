"""The mistakes that one leaf of the gradient shows by itself."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from jaxpercep.compare.evaluation.trees import distance

LeafCause: TypeAlias = Literal[
    "scaled",
    "sign_flipped",
    "transposed",
    "swapped",
    "zero",
    "not_finite",
    "not_reduced",
    "structure",
    "weight_decay",
]
"""The simplest first."""

FEW = 3  # numbers; a factor fits a smaller leaf by chance


class LeafFinding(NamedTuple):
    """A mistake in one leaf.

    Attributes:
        leaf: its position.
        cause: the code.
        factor: of `scaled` and `weight_decay`.
        note: details for the message.
    """

    leaf: int
    cause: LeafCause
    factor: float | None = None
    note: str = ""


class Mended(NamedTuple):
    """A candidate whose leaves have the expected shapes.

    Attributes:
        leaves: None where nothing can be compared.
        findings: the mistakes that were mended, or cannot be.
    """

    leaves: list[np.ndarray | None]
    findings: list[LeafFinding]


def mend(
    right: Sequence[np.ndarray],
    candidate: Sequence[np.ndarray | None],
    frozen: frozenset[int],
    floor: Sequence[float],
) -> Mended:
    """Puts leaves into the expected shapes and order, and lists the mistakes found."""
    leaves = list(candidate)
    findings: list[LeafFinding] = []
    for i, j in _exchanged(right, candidate, floor):
        leaves[i], leaves[j] = candidate[j], candidate[i]
        findings += [LeafFinding(i, "swapped", note=str(j)), LeafFinding(j, "swapped", note=str(i))]
    for i, leaf in enumerate(leaves):
        if i in frozen:
            continue
        if leaf is None:
            findings.append(LeafFinding(i, "structure", note="missing"))
            continue
        leaves[i], finding = _in_shape(i, right[i], np.asarray(leaf, np.float64))
        if finding is not None:
            findings.append(finding)
        mended = leaves[i]
        if mended is not None and np.isfinite(right[i]).all() and not np.isfinite(mended).all():
            count = int(np.sum(~np.isfinite(mended)))
            findings.append(LeafFinding(i, "not_finite", note=f"{count} of {mended.size}"))
            leaves[i] = None
    return Mended(leaves, findings)


def _exchanged(
    right: Sequence[np.ndarray], candidate: Sequence[np.ndarray | None], floor: Sequence[float]
) -> list[tuple[int, int]]:
    """Finds pairs of leaves that have been exchanged."""
    pairs = []
    for i, own in enumerate(candidate):
        if own is None or distance(own, right[i]) <= floor[i]:
            continue
        for j in range(i + 1, len(candidate)):
            other = candidate[j]
            if (
                other is not None
                and distance(own, right[j]) <= floor[j]
                and distance(other, right[i]) <= floor[i]
                and np.any(right[i])
                and np.any(right[j])
            ):
                pairs.append((i, j))
    return pairs


def _in_shape(
    i: int, right: np.ndarray, leaf: np.ndarray
) -> tuple[np.ndarray | None, LeafFinding | None]:
    """Returns the leaf in the expected shape, or None, and the mistake found."""
    if leaf.shape == right.shape:
        return leaf, None
    if sums := list(_sums(leaf, right.shape)):
        axes, total = min(sums, key=lambda pair: distance(pair[1], right))
        return total, LeafFinding(i, "not_reduced", note=_unreduced(axes, leaf, right))
    if leaf.T.shape == right.shape and leaf.ndim > 1:
        return leaf.T, LeafFinding(i, "transposed")
    note = f"shape {list(leaf.shape)}, expected {list(right.shape)}"
    fits = leaf.size == right.size
    return (leaf.reshape(right.shape) if fits else None), LeafFinding(i, "structure", note=note)


def _sums(leaf: np.ndarray, shape: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Yields the axes, and the sums over them, that have the expected shape."""
    if leaf.size <= np.prod(shape):
        return
    if leaf.ndim == len(shape):
        axes = tuple(k for k, size in enumerate(shape) if size < leaf.shape[k])
        if all(shape[k] == 1 for k in axes):
            yield axes, leaf.sum(axes, keepdims=True)
        return
    for axes in combinations(range(leaf.ndim), max(leaf.ndim - len(shape), 0)):
        if tuple(size for k, size in enumerate(leaf.shape) if k not in axes) == shape:
            yield axes, leaf.sum(axes)


def _unreduced(axes: tuple[int, ...], leaf: np.ndarray, right: np.ndarray) -> str:
    """Says which axes are to be summed over."""
    sizes = " and ".join(str(leaf.shape[k]) for k in axes)
    which = f"axis {axes[0]}" if len(axes) == 1 else f"axes {' and '.join(map(str, axes))}"
    code = axes[0] if len(axes) == 1 else axes
    keep = ", keepdims=True" if leaf.ndim == right.ndim else ""
    return f"still has {which} (of size {sizes}): sum over it with .sum(axis={code}{keep})".replace(
        "over it", "over it" if len(axes) == 1 else "over them"
    )
