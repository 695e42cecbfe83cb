"""Medians and ratios of medians with bootstrap confidence intervals, at 95 %.

The percentile method throughout. The bias-corrected one (BCa) divides by the spread of a jackknife,
which is zero for a median as soon as its middle values agree, as clock ticks make them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.results import Interval

CONFIDENCE = 0.95
RESAMPLES = 5000


def median_interval(samples: Sequence[float], seed: int) -> Interval:
    """Returns the median of the samples, with the samples resampled.

    Raises:
        ValueError: There are fewer than two samples, or one is not finite.
    """
    x = _checked("samples", samples)
    found = stats.bootstrap(
        (x,),
        np.median,
        n_resamples=RESAMPLES,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(np.median(x)), float(found.low), float(found.high))


def paired_ratio(a: Sequence[float], b: Sequence[float], seed: int) -> Interval:
    """Returns the median of a_i / b_i, with rounds i resampled: drift between rounds cancels.

    Raises:
        ValueError: a and b differ in length, have fewer than two samples, or one is not finite.
    """
    x, y = _checked("a", a), _checked("b", b)
    if len(x) != len(y):
        raise ValueError(f"a has {len(x)} samples and b {len(y)}: expected one of each per round.")
    return median_interval((x / y).tolist(), seed)


def _checked(argument: str, samples: Sequence[float]) -> NDArray[np.float64]:
    x = np.asarray(samples, np.float64)
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"{argument} has shape {list(x.shape)}: expected a list of two or more.")
    if not np.isfinite(x).all():
        raise ValueError(f"{argument} holds a number that is not finite: {x.tolist()}.")
    return x
