"""Searches for the mistakes that reproduce a candidate: none, each, then several at once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax

from jaxpercep.compare.evaluation.trees import distance
from jaxpercep.compare.explanation.counterfactuals import (
    Problem,
    evaluator,
    mismatch_of_right,
    work,
)
from jaxpercep.compare.explanation.explanations import Explanation, Judge
from jaxpercep.compare.explanation.gates import AT_ONCE
from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.mismatch import Mismatch

MAX_HYPOTHESES = 1000
MAX_PAIRS = 2000
MAX_WORK = 2e8  # numbers that the operations of all pairs compute
BASES = 3  # partial explanations that are built upon


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
    touching = _closest([h for h in hypotheses if h.reach & wrong], wrong, right)
    # A wrong cotangent spoils every leaf it reaches, except behind an activation of 0, say.
    spoiling = [j for j, h in enumerate(touching) if not h.reach & right]
    found: list[Explanation] = []
    for likely in (spoiling, range(len(touching))):
        if likely and (not found or len(likely) > len(spoiling)):
            found += _search(problem, compared, touching, likely, judge)
        if found and not all(explanation.unexplained for explanation in found):
            break
    if not found:
        found = [judge.explanation((), jax.device_get(mismatch_of_right(problem)), compared)]
    return _simplest(found)


def _closest(touching: Sequence[Hypothesis], wrong: int, right: int) -> list[Hypothesis]:
    """Keeps, if there are too many, those that reach the wrong leaves and few others."""
    ranked = sorted(touching, key=lambda h: (bool(h.reach & right), (h.reach ^ wrong).bit_count()))
    chosen = set(map(id, ranked[:MAX_HYPOTHESES]))
    return [h for h in touching if id(h) in chosen]


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
    problem: Problem,
    compared: Sequence[int],
    every: Sequence[Hypothesis],
    likely: Sequence[int],
    judge: Judge,
) -> list[Explanation]:
    """Tries no hypothesis, then each of the likely, then several where one is not enough."""
    evaluate = evaluator(problem, every)

    def attempt(combinations: Sequence[tuple[int, ...]]) -> Iterator[Tried]:
        stats = jax.device_get(evaluate(combinations))
        for row, combination in enumerate(combinations):
            mismatch = [Mismatch(*(field[row] for field in leaf)) for leaf in stats]
            if not combination or not _changes_nothing(compared, mismatch, judge):
                flow = tuple(every[j] for j in combination)
                explanation = judge.explanation(flow, mismatch, compared)
                yield Tried(combination, explanation, tuple(f"{m.direct:.9e}" for m in mismatch))

    none, *single = attempt([(), *((j,) for j in likely)])
    found, last = [none.explanation, *(tried.explanation for tried in single)], single
    least = len(none.explanation.unexplained)
    stuck = least and not any(len(e.unexplained) < least for e in found)
    if stuck and (pairs := _pairs(single, problem, every)):
        last = list(attempt(pairs))
        found += [tried.explanation for tried in last]
    while better := [tried for tried in last if len(tried.explanation.unexplained) < least]:
        better.sort(key=lambda tried: (len(tried.explanation.unexplained), tried.explanation.rank))
        best = better[0]
        least = len(best.explanation.unexplained)
        if not least or len(best.combination) == AT_ONCE:
            break
        bases = [tried.combination for tried in better[:BASES]]
        more = [(*base, j) for base in bases for j in likely if _apart(base, j, every)]
        last = list(attempt(more))
        found += [tried.explanation for tried in last]
    return found


def _pairs(
    single: Sequence[Tried], problem: Problem, every: Sequence[Hypothesis]
) -> list[tuple[int, ...]]:
    """Lists pairs of hypotheses, of all with one effect the simplest, as many as are cheap."""
    ranked = sorted(single, key=lambda tried: tried.explanation.rank)
    unique = {tried.effect: tried.combination for tried in ranked[::-1]}
    chosen = list(unique.values())[::-1]
    most = min(MAX_PAIRS, int(MAX_WORK / work(problem)))
    pairs = [(*a, *b) for j, b in enumerate(chosen) for a in chosen[:j]]
    return [pair for pair in pairs if _apart(pair[:1], pair[1], every)][:most]


def _apart(some: Sequence[int], other: int, every: Sequence[Hypothesis]) -> bool:
    """Returns True unless two mistakes are in one operation: together they are any derivative."""
    taken = {(every[j].operation, every[j].iteration) for j in some}
    return (every[other].operation, every[other].iteration) not in taken


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
