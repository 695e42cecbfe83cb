"""Finds the mistakes that reproduce a candidate: in leaves, in the gradient's flow, or in both."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import jax
import numpy as np

from jaxpercep.compare.evaluation.trees import distance, largest
from jaxpercep.compare.explanation.counterfactuals import (
    Problem,
    evaluator,
    mismatch_of_right,
    work,
)
from jaxpercep.compare.explanation.flow_causes import FLOW_CAUSES
from jaxpercep.compare.explanation.gates import AT_ONCE
from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.leaf_causes import FEW, LeafCause, LeafFinding, Mended
from jaxpercep.compare.explanation.mismatch import Mismatch

CLOSE = 1e-10  # relative: in float64 a right explanation is far closer, a wrong one far worse
MAX_HYPOTHESES = 1000
MAX_PAIRS = 2000
MAX_WORK = 2e8  # numbers that the operations of all pairs compute
BASES = 3  # partial explanations that are built upon
ORDER: tuple[str, ...] = (
    *get_args(LeafCause),
    "held_constant",  # simpler to say than which derivative has no effect then
    *(cause.code for cause in FLOW_CAUSES),
)


@dataclass(frozen=True)
class Explanation:
    """Mistakes that together reproduce the candidate.

    Attributes:
        flow: mistakes in the flow of the gradient.
        leaves: mistakes in single leaves.
        residual: the largest relative mismatch that is left in what is explained.
        unexplained: leaves that still differ.
    """

    flow: tuple[Hypothesis, ...]
    leaves: tuple[LeafFinding, ...]
    residual: float
    unexplained: tuple[int, ...]

    @property
    def parts(self) -> int:
        """Counts the mistakes; leaves with the same cause and factor count once."""
        return len(self.flow) + len({_kind(finding) for finding in self.leaves})

    @property
    def rank(self) -> tuple[int, ...]:
        """Ranks explanations: the simpler, the smaller."""
        flow = ["held_constant" if one.held else one.cause.code for one in self.flow]
        causes = [*flow, *(one.cause for one in self.leaves)]
        return (self.parts, *sorted(ORDER.index(cause) for cause in set(causes)))


def _kind(finding: LeafFinding) -> tuple[str, str]:
    factor = finding.factor
    return finding.cause, "" if factor is None else f"{factor:.9g}"


class Judge(NamedTuple):
    """Decides which leaves of the candidate are explained by given mistakes in the flow.

    Attributes:
        mended: the candidate, its leaves in the expected shapes.
        floor: the largest error that rounding explains, absolute, by leaf.
        scale: the largest number of each leaf of the right gradient.
        close: the largest relative difference between leaves that count as equal.
        means: `means(factor)`, the meaning of a factor such as 1/batch, or None.
    """

    mended: Mended
    floor: Sequence[float]
    scale: Sequence[float]
    close: float
    means: Callable[[float], str | None]

    def explanation(
        self, flow: tuple[Hypothesis, ...], mismatch: Sequence[Mismatch], compared: Sequence[int]
    ) -> Explanation:
        """Explains the leaves that these mistakes in the flow leave wrong, as far as possible."""
        found = list(self.mended.findings)
        residual = 0.0
        unexplained: list[int] = []
        for i, m in zip(compared, mismatch, strict=True):
            finding, left = self.leaf(i, m)
            residual = max(residual, left)
            if finding is not None:
                found.append(finding)
            elif not np.isfinite(left):
                unexplained.append(i)
        found, unexplained = self._fitting(found, unexplained)
        finite = residual if np.isfinite(residual) else 0.0
        return Explanation(flow, tuple(found), finite, tuple(unexplained))

    def tolerance(self, i: int, m: Mismatch) -> float:
        """Returns the largest difference between leaves that count as equal."""
        stretch = float(m.scale) / self.scale[i] if self.scale[i] else 1.0
        return max(self.floor[i] * max(1.0, stretch), self.close * float(m.scale))

    def leaf(self, i: int, m: Mismatch) -> tuple[LeafFinding | None, float]:
        """Returns the simplest mistake that reproduces a leaf, and the relative mismatch left."""
        tolerance, scale = self.tolerance(i, m), float(m.scale) or 1.0
        candidate = self.mended.leaves[i]
        assert candidate is not None
        if float(m.direct) <= tolerance:
            return None, float(m.direct) / scale
        if (size := largest(candidate)) <= tolerance:
            note = "to within rounding: its terms cancel each other" if size else ""
            return LeafFinding(i, "zero", note=note), size / scale
        factor, coefficient = float(m.factor), float(m.coefficient)
        if float(m.scaled) <= tolerance and factor:
            flipped = abs(factor + 1) < 1e-9
            cause: LeafCause = "sign_flipped" if flipped else "scaled"
            return LeafFinding(i, cause, None if flipped else factor), float(m.scaled) / scale
        if float(m.transposed) <= tolerance:
            return LeafFinding(i, "transposed"), float(m.transposed) / scale
        if float(m.decayed) <= tolerance and coefficient:
            return LeafFinding(i, "weight_decay", coefficient), float(m.decayed) / scale
        return None, float("inf")

    def _fitting(
        self, found: list[LeafFinding], unexplained: list[int]
    ) -> tuple[list[LeafFinding], list[int]]:
        """Discards factors that fit a leaf of few numbers but have no meaning."""
        large = {_kind(f) for f in found if self._size(f.leaf) >= FEW}
        kept = []
        for finding in found:
            invented = (
                finding.factor is not None
                and self._size(finding.leaf) < FEW
                and _kind(finding) not in large
                and not (finding.cause == "scaled" and self.means(finding.factor))
            )
            if invented:
                unexplained.append(finding.leaf)
            else:
                kept.append(finding)
        return kept, sorted(unexplained)

    def _size(self, leaf: int) -> int:
        mended = self.mended.leaves[leaf]
        return 0 if mended is None else mended.size


def explain(
    problem: Problem,
    compared: Sequence[int],
    hypotheses: Sequence[Hypothesis],
    judge: Judge,
) -> list[Explanation]:
    """Returns the simplest explanations, all equally good; none may explain every leaf.

    Args:
        problem: the function, its gradient and the candidate, of the leaves that are compared.
        compared: their positions.
        hypotheses: the possible mistakes in the flow.
        judge: decides which leaves they explain.
    """
    wrong, right = _masks(problem, compared, judge)
    touching = [h for h in hypotheses if h.reach & wrong]
    # A wrong cotangent spoils every leaf it reaches, except behind an activation of 0, say.
    spoiling = [h for h in touching if not h.reach & right]
    found: list[Explanation] = []
    for likely in (spoiling, touching):
        if likely and (not found or len(likely) > len(spoiling)):
            found += _search(problem, compared, _closest(likely, wrong), judge)
        if found and not all(explanation.unexplained for explanation in found):
            break
    if not found:
        found = [judge.explanation((), jax.device_get(mismatch_of_right(problem)), compared)]
    return _simplest(found)


def _closest(likely: Sequence[Hypothesis], wrong: int) -> list[Hypothesis]:
    """Keeps, if there are too many, those that reach the wrong leaves and few others."""
    ranked = sorted(likely, key=lambda h: (h.reach ^ wrong).bit_count())
    chosen = set(map(id, ranked[:MAX_HYPOTHESES]))
    return [h for h in likely if id(h) in chosen]


class Tried(NamedTuple):
    """Some hypotheses that were taken to hold together.

    Attributes:
        combination: their positions.
        explanation: what they explain.
        effect: what tells whether two of them have the same effect.
    """

    combination: tuple[int, ...]
    explanation: Explanation
    effect: tuple[str, ...]


def _search(
    problem: Problem, compared: Sequence[int], likely: Sequence[Hypothesis], judge: Judge
) -> list[Explanation]:
    """Tries no hypothesis, then each, then several at once where one is not enough."""
    evaluate = evaluator(problem, likely)

    def attempt(combinations: Sequence[tuple[int, ...]]) -> Iterator[Tried]:
        stats = jax.device_get(evaluate(combinations))
        for row, combination in enumerate(combinations):
            mismatch = [Mismatch(*(field[row] for field in leaf)) for leaf in stats]
            if not combination or not _changes_nothing(compared, mismatch, judge):
                flow = tuple(likely[j] for j in combination)
                explanation = judge.explanation(flow, mismatch, compared)
                yield Tried(combination, explanation, tuple(f"{m.direct:.9e}" for m in mismatch))

    none, *single = attempt([(), *((j,) for j in range(len(likely)))])
    found, last = [none.explanation, *(tried.explanation for tried in single)], single
    least = len(none.explanation.unexplained)
    stuck = least and not any(len(e.unexplained) < least for e in found)
    if stuck and (pairs := _pairs(single, problem)):
        last = list(attempt(pairs))
        found += [tried.explanation for tried in last]
    while better := [tried for tried in last if len(tried.explanation.unexplained) < least]:
        better.sort(key=lambda tried: (len(tried.explanation.unexplained), tried.explanation.rank))
        best = better[0]
        least = len(best.explanation.unexplained)
        if not least or len(best.combination) == AT_ONCE:
            break
        bases = [tried.combination for tried in better[:BASES]]
        more = [(*base, j) for base in bases for j in range(len(likely)) if j not in base]
        last = list(attempt(more))
        found += [tried.explanation for tried in last]
    return found


def _pairs(single: Sequence[Tried], problem: Problem) -> list[tuple[int, ...]]:
    """Lists pairs of hypotheses, of all with one effect the simplest, as many as are cheap."""
    ranked = sorted(single, key=lambda tried: tried.explanation.rank)
    unique = {tried.effect: tried.combination for tried in ranked[::-1]}
    chosen = list(unique.values())[::-1]
    most = min(MAX_PAIRS, int(MAX_WORK / work(problem)))
    return [(*a, *b) for j, b in enumerate(chosen) for a in chosen[:j]][:most]


def _masks(problem: Problem, compared: Sequence[int], judge: Judge) -> tuple[int, int]:
    """Returns bit sets of the leaves that are wrong, and of those that are right and not zero."""
    wrong = sum(1 << leaf for leaf in {finding.leaf for finding in judge.mended.findings})
    right = 0
    for i, own, other in zip(compared, problem.right, problem.candidate, strict=True):
        if not distance(own, other) <= judge.floor[i]:
            wrong |= 1 << i
        elif judge.scale[i] > judge.floor[i] and not wrong >> i & 1:
            right |= 1 << i
    return wrong, right


def _changes_nothing(compared: Sequence[int], mismatch: Sequence[Mismatch], judge: Judge) -> bool:
    """Returns True if a hypothesis gives the right gradient, so that nothing supports it."""
    pairs = zip(compared, mismatch, strict=True)
    return all(float(m.effect) <= judge.tolerance(i, m) for i, m in pairs)


def _simplest(found: Sequence[Explanation]) -> list[Explanation]:
    """Keeps those that leave the fewest leaves open and have the fewest parts, simplest first."""
    open_ = min(len(e.unexplained) for e in found)
    best = [e for e in found if len(e.unexplained) == open_]
    parts = min(e.parts for e in best)
    best = [e for e in best if e.parts == parts]
    closest = min(e.residual for e in best)
    best = [e for e in best if e.residual <= max(1e3 * closest, 1e-13)]
    if open_ and len(best) > 1:  # no guessing: keep only the causes that leaves show by themselves
        return [found[0]]
    return sorted(best, key=lambda e: e.rank)
