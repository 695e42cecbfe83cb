"""Which of many changes are more than noise: a test for each, corrected for their number.

The repeats of a test are blocks: stretches of time, each in processes of its own. The rounds within
one share the layout of memory and the state of the machine, so their spread says nothing of either.
A few blocks estimate a variance poorly; each is drawn towards those of the others (the moderated
t-test). The drift is added to it, as the controls show it: methods that cannot have changed.

The p values of a t-test have no smallest one, as those of a permutation test have: correcting them
for any number of tests leaves a change that is large beside its noise in sight.

Sources: Smyth, "Linear models and empirical Bayes methods for assessing differential expression in
microarray experiments", Statistical Applications in Genetics and Molecular Biology 3 (2004);
Benjamini and Hochberg, "Controlling the false discovery rate", Journal of the Royal Statistical
Society B 57 (1995).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from benchmarks.results import Blocks, Interval
from benchmarks.statistics import CONFIDENCE

FALSE = 1 - CONFIDENCE
"""The share of false ones among the changes that are found."""

Floats = NDArray[np.float64]


class Effect(NamedTuple):
    """The change of a time, as the logarithm of new / old.

    Attributes:
        change: the logarithm.
        variance: of one block.
        freedom: the degrees of freedom of that variance.
        share: of it that is the variance of `change`: 1 / blocks, summed over both runs.
    """

    change: float
    variance: float
    freedom: int
    share: float


class Finding(NamedTuple):
    """A change, judged among the others.

    Attributes:
        ratio: new / old, with its confidence interval.
        p: corrected for the number of changes: a change is found if it is at most `FALSE`.
        floor: how far from 1 the ratio must be to be found, were it the only change.
    """

    ratio: Interval
    p: float
    floor: float


def paired(old: Blocks, new: Blocks) -> Effect | None:
    """Returns the effect on times of the same rounds; None if fewer than two blocks have them."""
    pairs = [np.log(np.divide(b, a)) for a, b in zip(old, new, strict=True) if a and b]
    x = [np.median(pair) for pair in pairs]
    if len(x) < 2:
        return None
    return Effect(float(np.mean(x)), float(np.var(x, ddof=1)), len(x) - 1, 1 / len(x))


def unpaired(old: Blocks, new: Blocks) -> Effect | None:
    """Returns the effect on times of two runs; None if either has fewer than two blocks."""
    x, y = ([np.median(np.log(block)) for block in run if block] for run in (old, new))
    if min(len(x), len(y)) < 2:
        return None
    freedom = len(x) + len(y) - 2
    variance = ((len(x) - 1) * np.var(x, ddof=1) + (len(y) - 1) * np.var(y, ddof=1)) / freedom
    change = float(np.mean(y) - np.mean(x))
    return Effect(change, float(variance), freedom, 1 / len(x) + 1 / len(y))


def judge(effects: Sequence[Effect], controls: Sequence[Effect]) -> list[Finding]:
    """Judges the effects as one family.

    Args:
        effects: those that are judged.
        controls: of methods that cannot have changed: their effects are the drift.
    """
    variances, freedoms = moderated([*effects, *controls])
    variances *= [effect.share for effect in (*effects, *controls)]
    changes, n = np.array([effect.change for effect in effects]), len(effects)
    seen = np.array([control.change for control in controls])
    drift = max(0.0, float(np.mean(seen**2 - variances[n:]))) if controls else 0.0
    errors, freedoms = np.sqrt(variances[:n] + drift), freedoms[:n]
    ps = stats.false_discovery_control(2 * stats.t.sf(abs(changes) / errors, freedoms))
    half = stats.t.isf(FALSE / 2, freedoms) * errors
    floors = np.expm1(stats.t.isf(FALSE / 2 / n, freedoms) * errors)
    ends = np.exp([changes, changes - half, changes + half])
    rows = np.column_stack([*ends, ps, floors]).tolist()
    return [Finding(Interval(*row[:3]), *row[3:]) for row in rows]


def moderated(effects: Sequence[Effect]) -> tuple[Floats, Floats]:
    """Draws the variances towards their common one; returns them and their degrees of freedom.

    The common one, and how far they are drawn, follow from the mean and the variance of their
    logarithms: the less these vary beyond chance, the more is common.
    """
    variances = np.array([effect.variance for effect in effects])
    variances = np.maximum(variances, max(1e-12, 1e-5 * float(np.median(variances))))
    freedoms = np.array([effect.freedom for effect in effects], np.float64)
    if len(effects) < 3:
        return variances, freedoms
    logs = np.log(variances) - special.digamma(freedoms / 2) + np.log(freedoms / 2)
    excess = float(np.var(logs, ddof=1) - special.polygamma(1, freedoms / 2).mean())
    prior = _prior_freedom(excess)
    half = np.array([prior / 2])
    common = np.exp(logs.mean() + special.digamma(half) - np.log(half))
    drawn = (prior * common + freedoms * variances) / (prior + freedoms)
    return drawn, np.minimum(prior + freedoms, freedoms.sum())


def _prior_freedom(excess: float) -> float:
    """Solves trigamma(freedom / 2) = excess; without any excess, all variances are the same."""
    low, high = 1e-3, 1e6
    if special.polygamma(1, high) >= excess:
        return 2 * high
    return 2 * float(optimize.brentq(lambda half: special.polygamma(1, half) - excess, low, high))
