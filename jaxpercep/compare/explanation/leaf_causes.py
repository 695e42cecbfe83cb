"""The mistakes that one leaf of the gradient shows by itself."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from jaxpercep.compare.evaluation.trees import distance, largest
from jaxpercep.compare.explanation.unreduced import Unreduced

LeafCause: TypeAlias = Literal[
    "scaled",
    "sign_flipped",
    "transposed",
    "swapped",
    "zero",
    "not_finite",
    "not_reduced",
    "wrong_axis",
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
    copies: Callable[[int], Unreduced | None] = lambda _: None,
) -> Mended:
    """Puts leaves into the expected shapes and order, and lists the mistakes found.

    Args:
        right: the gradient.
        candidate: that in question.
        frozen: leaves that it returns as None, on purpose.
        floor: the largest error that rounding explains, absolute, by leaf.
        copies: `copies(leaf)`, the gradient by each copy of a leaf, if it is broadcast.
    """
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
        leaf = np.asarray(leaf, np.float64)
        finding = _over_other_axes(i, right[i], leaf, copies(i), floor[i])
        if finding is not None:
            leaves[i] = right[i]
        else:
            leaves[i], finding = _in_shape(i, right[i], leaf)
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


def _over_other_axes(
    i: int, right: np.ndarray, leaf: np.ndarray, copies: Unreduced | None, floor: float
) -> LeafFinding | None:
    """Finds that the gradient by the copies of a leaf was summed over the wrong axes."""
    if copies is None or distance(leaf, right) <= floor:
        return None
    every = _subsets(len(copies.shape))
    due = [axes for axes in every if _without(copies.shape, axes, right.ndim) == right.shape]
    own = [axes for axes in every if _without(copies.shape, axes, leaf.ndim) == leaf.shape]
    if own in ([], due[:1]):
        return None
    tolerance = floor * max(1.0, largest(leaf) / (largest(right) or 1.0))

    def equal(axes: tuple[int, ...], other: np.ndarray) -> bool:
        total = copies.value.sum(axes).reshape(other.shape)
        return tolerance < largest(total) and distance(total, other) <= tolerance

    due = [axes for axes in due if equal(axes, right)][:1]
    own = [axes for axes in own if due and not {*axes} <= {*due[0]} and equal(axes, leaf)]
    if not own:
        return None
    keep = ", keepdims=True" if right.ndim == len(copies.shape) else ""
    (taken, _), (which, code) = (_axes(axes, copies.shape) for axes in (own[0], due[0]))
    note = f"was summed over {taken}, and should be summed over {which}: .sum(axis={code}{keep})"
    return LeafFinding(i, "wrong_axis", note=note)


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


def _subsets(ndim: int) -> list[tuple[int, ...]]:
    """Lists the sets of axes to sum over, the smallest first."""
    return [axes for count in range(1, ndim + 1) for axes in combinations(range(ndim), count)]


def _without(shape: tuple[int, ...], axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """Returns the shape of a sum over axes, which are kept with size 1 if that gives `ndim`."""
    if ndim == len(shape):
        return tuple(1 if k in axes else size for k, size in enumerate(shape))
    return tuple(size for k, size in enumerate(shape) if k not in axes)


def _unreduced(axes: tuple[int, ...], leaf: np.ndarray, right: np.ndarray) -> str:
    """Says which axes are to be summed over."""
    keep = ", keepdims=True" if leaf.ndim == right.ndim else ""
    which, code = _axes(axes, leaf.shape)
    them = "it" if len(axes) == 1 else "them"
    return f"still has {which}: sum over {them}, .sum(axis={code}{keep})"


def _axes(axes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[str, str]:
    """Returns axes in words, and as code."""
    if len(axes) == 1:
        (axis,) = axes
        return f"axis {axis} (of size {shape[axis]})", str(axis)
    sizes = " and ".join(str(shape[axis]) for axis in axes)
    return f"axes {' and '.join(map(str, axes))} (of sizes {sizes})", str(axes)
