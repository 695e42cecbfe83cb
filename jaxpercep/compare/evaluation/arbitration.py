"""Arbitrates by a third reference, independent of autodiff and candidate: finite differences.

Along a direction u, f(x + h u) is sampled at steps h, h/2, h/4, ... and the difference quotients
are extrapolated to h = 0; the extrapolation also estimates its error (Ridders, 1982). One-sided
quotients, extrapolated likewise, distinguish a kink from a smooth point.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation.subgradients import smooth_direction
from jaxpercep.compare.evaluation.trees import largest
from jaxpercep.compare.program.graph import RUN_ONCE

Verdict: TypeAlias = Literal[
    "match",
    "manual_wrong",
    "autodiff_wrong",
    "both_wrong",
    "kink",
    "compiler_wrong",
    "inconclusive",
]

STEPS = 20
FIRST_STEP = 0.1  # times the size of the leaf
WORST_LEAVES = 6  # are arbitrated
WORST_NUMBERS = 4  # of a leaf are tried, while the worst are on kinks


class Derivative(NamedTuple):
    """A derivative with an error estimate."""

    value: float
    error: float


class Differences(NamedTuple):
    """The derivative along a direction, two-sided and one-sided."""

    central: Derivative
    right: Derivative
    left: Derivative

    @property
    def kinked(self) -> bool:
        """True if the one-sided derivatives differ."""
        apart = abs(self.right.value - self.left.value)
        return apart > 10 * (self.right.error + self.left.error) and apart > 1e-6 * (
            abs(self.right.value) + abs(self.left.value)
        )


def arbitrate(
    function: Callable[[Sequence[Any]], Any],
    values: Sequence[Any],
    positions: Sequence[int],
    autodiff: Sequence[np.ndarray],
    candidate: Sequence[np.ndarray | None],
    wrong: Sequence[int],
    *,
    compiled: bool,
) -> Verdict:
    """Decides in float64 which gradient is wrong.

    Args:
        function: all leaves of the arguments -> value.
        values: of these leaves.
        positions: of the leaves to differentiate by.
        autodiff: its gradient, by leaf.
        candidate: the gradient in question, by leaf.
        wrong: the leaves in which the two differ, the worst first.
        compiled: True if the function can be compiled.
    """
    sample = _sampler(function, values, [positions[i] for i in wrong[:WORST_LEAVES]], compiled)
    found: set[Verdict] = set()
    for i in wrong[:WORST_LEAVES]:
        other = candidate[i]
        if other is None or other.shape != autodiff[i].shape:
            continue
        pair = autodiff[i], np.asarray(other, np.float64)
        size = max(largest(values[positions[i]]), 1e-3)
        along = partial(sample, positions[i], FIRST_STEP * size)
        of_leaf = _of_leaf(along, *pair)
        if of_leaf == {"kink"}:
            u = smooth_direction(function, values, positions[i], size, pair[1], compiled=compiled)
            of_leaf |= set() if u is None else _unless_kinked(along(u), *pair, u)
        found |= of_leaf
    if "both_wrong" in found or {"manual_wrong", "autodiff_wrong"} <= found:
        return "both_wrong"
    ranked: tuple[Verdict, ...] = ("manual_wrong", "autodiff_wrong", "kink")
    return next((verdict for verdict in ranked if verdict in found), "inconclusive")


def _of_leaf(
    sample: Callable[[np.ndarray], Differences], autodiff: np.ndarray, candidate: np.ndarray
) -> set[Verdict]:
    """Returns the verdicts along the difference of the two, and at its largest numbers.

    Numbers on a kink are set aside, since the others may still be wrong.
    """
    with np.errstate(invalid="ignore"):
        apart = np.array(np.abs(candidate - autodiff))
    apart[~np.isfinite(apart)] = np.inf
    least = 1e-3 * np.max(apart, initial=0.0, where=np.isfinite(apart))
    found: set[Verdict] = set()
    for _ in range(WORST_NUMBERS):
        worst = np.argmax(apart)
        verdicts: set[Verdict] = set()
        for u in _directions(autodiff, candidate, apart, worst):
            verdicts |= _unless_kinked(sample(u), autodiff, candidate, u)
        found |= verdicts
        apart.flat[worst] = 0.0
        if "kink" not in verdicts or np.max(apart) <= least:
            break
    return found


def _unless_kinked(
    differences: Differences, autodiff: np.ndarray, candidate: np.ndarray, u: np.ndarray
) -> set[Verdict]:
    """Returns the verdict along a direction; none from one across kinks of several numbers.

    Even right gradients need not lie between the one-sided derivatives there: such kinks may open
    to either side.
    """
    if differences.kinked and np.count_nonzero(u) > 1:
        return set()
    return {_decide(differences, _along(autodiff, u), _along(candidate, u))}


def _directions(
    autodiff: np.ndarray, candidate: np.ndarray, apart: np.ndarray, worst: np.intp
) -> Iterator[np.ndarray]:
    """Yields the direction of the worst number alone, then that of the whole difference."""
    alone = np.zeros_like(apart)
    alone.flat[worst] = 1.0
    yield alone
    del alone  # large leaves: one direction at a time
    if np.isfinite(apart).all() and np.count_nonzero(apart) > 1:
        signed = np.subtract(candidate, autodiff, out=np.zeros_like(apart), where=apart > 0)
        signed /= np.linalg.norm(signed)
        yield signed


def _along(gradient: np.ndarray, direction: np.ndarray) -> float:
    """Returns the derivative along a direction that a gradient claims."""
    used = direction != 0  # elsewhere it may be anything, even nan
    return float(np.dot(gradient[used], direction[used]))


def _decide(differences: Differences, autodiff: float, candidate: float) -> Verdict:
    """Compares both claims with the differences."""
    limits = (differences.left, differences.right)
    shown = limits if differences.kinked else (differences.central,)
    if not all(np.isfinite([d.value, d.error]).all() for d in shown):
        return "inconclusive"
    slack = max(5 * d.error for d in shown)
    low, high = min(d.value for d in shown), max(d.value for d in shown)
    apart = abs(candidate - autodiff)
    if np.isfinite(apart):
        if slack > 0.2 * apart:
            return "inconclusive"
        slack = max(slack, 1e-3 * apart)  # finite differences are not more precise than that
    right, claimed = (low - slack <= side <= high + slack for side in (autodiff, candidate))
    if right and claimed:
        return "kink" if differences.kinked else "inconclusive"
    if right:
        return "manual_wrong"
    return "autodiff_wrong" if claimed else "both_wrong"


def _steps(first: float) -> np.ndarray:
    """Returns 0, then steps to the right, then to the left."""
    steps = first * 0.5 ** np.arange(STEPS)
    return np.concatenate([[0.0], steps, -steps])


def _sampler(
    function: Callable[[Sequence[Any]], Any],
    values: Sequence[Any],
    positions: Sequence[int],
    compiled: bool,
) -> Callable[[int, float, np.ndarray], Differences]:
    """Returns `(position, first step, direction) -> differences`, for a direction of length 1.

    Every step moves all of the positions, the others by 0, so that one program serves them all.
    """
    still = {i: jnp.zeros_like(values[i]) for i in positions}

    def at(given: Sequence[Any], directions: dict[int, Any], step: Any) -> Any:
        moved = list(given)
        for i, direction in directions.items():
            moved[i] = given[i] + step * direction
        return function(moved)

    def compiled_row(given: Sequence[Any], directions: dict[int, Any], steps: Any) -> Any:
        return jax.lax.map(partial(at, given, directions), steps)

    def eager_row(given: Sequence[Any], directions: dict[int, Any], steps: Any) -> Any:
        return [at(given, directions, step) for step in steps]

    row = RUN_ONCE(compiled_row) if compiled else eager_row

    def differences(position: int, first: float, direction: np.ndarray) -> Differences:
        directions = still | {position: jnp.asarray(direction)}
        samples = row(list(values), directions, jnp.asarray(_steps(first)))
        return _extrapolated(np.asarray(samples), first)

    return differences


def _extrapolated(samples: np.ndarray, first: float) -> Differences:
    """Extrapolates difference quotients along a direction of length 1 to step 0."""
    steps = _steps(first)[1 : 1 + STEPS]
    middle, right, left = samples[0], samples[1 : 1 + STEPS], samples[1 + STEPS :]
    noise = 4 * np.finfo(np.float64).eps * np.max(np.abs(samples), initial=0.0) / steps
    with np.errstate(invalid="ignore", over="ignore"):
        return Differences(
            _richardson((right - left) / (2 * steps), noise, order=2),
            _richardson((right - middle) / steps, 2 * noise, order=1),
            _richardson((middle - left) / steps, 2 * noise, order=1),
        )


def _richardson(quotients: np.ndarray, noise: np.ndarray, *, order: int) -> Derivative:
    """Extrapolates quotients at steps h, h/2, ... whose error is a series in h^order.

    Each column of the table cancels one more term; its best entry is the one that differs least
    from the two it was computed from, rounding included.
    """
    best = Derivative(float("nan"), float("inf"))
    column, rounding = quotients, noise
    for k in range(1, 6):
        factor = 2.0 ** (order * k)
        next_column = (factor * column[1:] - column[:-1]) / (factor - 1)
        next_rounding = (factor * rounding[1:] + rounding[:-1]) / (factor - 1)
        change = np.maximum(np.abs(next_column - column[1:]), np.abs(next_column - column[:-1]))
        errors = np.where(np.isfinite(change), change + next_rounding, np.inf)
        i = int(np.argmin(errors))
        if errors[i] < best.error:
            best = Derivative(float(next_column[i]), float(errors[i]))
        column, rounding = next_column, next_rounding
    return best
