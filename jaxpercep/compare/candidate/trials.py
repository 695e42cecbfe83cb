"""Runs a candidate with some of its values replaced, and judges the leaves that it then returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from jaxpercep.compare.candidate.identify import Meaning
from jaxpercep.compare.candidate.known import Known
from jaxpercep.compare.candidate.runs import Runs
from jaxpercep.compare.candidate.values import Substitution, Values
from jaxpercep.compare.candidate.variables import Key


@dataclass(eq=False)
class Trials:
    """Remembers the leaves of every trial.

    Attributes:
        runs: of the candidate.
        fixed: substitutions that hold in every trial.
        answers: of the trials so far.
    """

    runs: Runs
    fixed: tuple[Substitution, ...] = ()
    answers: dict[Any, Any] = field(default_factory=dict)

    def given(self, where: int) -> dict[Key, np.ndarray]:
        """Returns what was repaired already, at one of the two sets of arguments."""
        return {key: value for one in self.fixed for key, value in one.at(where).items()}

    def leaves(self, some: Sequence[Substitution], where: int = 0) -> list[Any] | None:
        """Returns the leaves after some substitutions."""
        key = (where, *((s.keys, tuple((id(m.known), *m[1:]) for m in s.due)) for s in some))
        if key not in self.answers:
            replaced = self.given(where)
            for one in some:
                replaced |= one.at(where)
            self.answers[key] = self.runs.answer(replaced, where)
        return self.answers[key]

    def judged(self, some: Sequence[Substitution], where: int) -> tuple[bool, ...]:
        """Returns which leaves are right after some substitutions."""
        leaves = self.leaves(some, where)
        if leaves is None:
            return (False,) * len(self.runs.target.right)
        return self.runs.target.is_right(leaves, where)

    def repairs(self, one: Substitution, *, every: bool) -> bool:
        """Returns True if a substitution makes every leaf right, or more right and none wrong."""
        for where in (0, 1):
            before, after = self.judged([], where), self.judged([one], where)
            worse = any(b and not a for b, a in zip(before, after, strict=True))
            if not all(after) and (every or worse or sum(after) <= sum(before)):
                return False
        return True

    def may_matter(self, values: Values, site: int, *, every: bool) -> bool:
        """Returns True if the wrong leaves change when the values of a site do."""
        if ("moved", site) not in self.answers:
            keys = values.turns[site]
            moved = {key: _moved(values.pairs[key].here) for key in keys}
            self.answers["moved", site] = self.runs.answer(self.given(0) | moved, 0)
        moved_leaves, base = self.answers["moved", site], self.leaves([])
        if moved_leaves is None or base is None:
            return True
        pairs = zip(moved_leaves, base, self.judged([], 0), strict=True)
        changed = [not equal(a, b) for a, b, right in pairs if not right]
        return all(changed) if every else any(changed)

    def scaled(self, key: Key, known: Known, *, every: bool) -> Meaning | None:
        """Returns the multiple of a known value that would make the wrong leaves right, or None.

        Leaves are affine in a cotangent, so that two trials show how they depend on the factor.
        """
        one = self.leaves([Substitution((key,), (Meaning(known),))])
        zero = self.leaves([Substitution((key,), (Meaning(known, 0.0),))])
        if one is None or zero is None:
            return None
        rows = zip(one, zero, self.runs.target.right, self.judged([], 0), strict=True)
        moved = [
            (np.ravel(a) - np.ravel(b), np.ravel(pair.here) - np.ravel(b))
            for a, b, pair, right in rows
            if not right and np.shape(a) == np.shape(b) == pair.here.shape
        ]
        if not moved:
            return None
        columns = zip(*moved, strict=True)
        direction, due = (np.concatenate(parts).astype(np.float64) for parts in columns)
        square = direction @ direction
        factor = _rounded(float(direction @ due / square)) if square > 0 else 0.0
        left = np.max(np.abs(factor * direction - due), initial=0.0)
        fits = left <= 1e-4 * np.max(np.abs(due), initial=0.0)
        return Meaning(known, factor) if factor and (fits or not every) else None


def _moved(value: np.ndarray) -> np.ndarray:
    """Returns a value with every number changed."""
    rng, value = np.random.default_rng(3), np.nan_to_num(value)
    scale = float(np.max(np.abs(value), initial=0.0)) or 1.0
    return value + scale * rng.uniform(0.5, 1.5, value.shape)


def equal(a: Any, b: Any) -> bool:
    """Returns True if two arrays are equal to within rounding."""
    if a is None or b is None or np.shape(a) != np.shape(b):
        return a is b
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    scale = np.max(np.abs(b), initial=0.0)
    with np.errstate(invalid="ignore"):
        return bool(np.array_equal(a, b) or np.max(np.abs(a - b), initial=0.0) <= 1e-12 * scale)


def _rounded(factor: float) -> float:
    """Returns a factor without the rounding of the fit, where it is a simple fraction."""
    if not np.isfinite(factor):
        return 0.0
    simple = float(Fraction(factor).limit_denominator(100_000))
    return simple if abs(simple - factor) <= 1e-9 * abs(factor) else factor
