"""Intervals that contain what they should, as often as they should."""

import re

import numpy as np
import pytest

from benchmarks import statistics
from benchmarks.results import Interval
from benchmarks.statistics import median_interval, paired_ratio

REPEATS = 200
ROUNDS = 12


@pytest.fixture(autouse=True)
def _fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough to cover as often: the ends of an interval move by a few per cent of its width."""
    monkeypatch.setattr(statistics, "RESAMPLES", 1000)


def samples(seed: int, median: float = 1.0, noise: float = 0.05) -> list[float]:
    rng = np.random.default_rng(seed)
    return (median * rng.lognormal(0, noise, ROUNDS)).tolist()


def contain(intervals: list[Interval], value: float) -> float:
    return float(np.mean([not interval.excludes(value) for interval in intervals]))


def test_a_median_lies_in_its_interval_19_times_of_20() -> None:
    intervals = [median_interval(samples(seed, 3.0), seed) for seed in range(REPEATS)]
    assert 0.90 <= contain(intervals, 3.0) <= 0.99
    assert contain(intervals, 3.2) < 0.35
    assert all(i.low <= i.median <= i.high for i in intervals)


def test_the_same_against_itself_is_1_19_times_of_20() -> None:
    pairs = [(samples(seed), samples(seed + REPEATS)) for seed in range(REPEATS)]
    intervals = [paired_ratio(a, b, seed) for seed, (a, b) in enumerate(pairs)]
    assert 0.90 <= contain(intervals, 1.0) <= 0.99
    slower = [paired_ratio((1.2 * np.array(a)).tolist(), b, 0) for a, b in pairs]
    assert contain(slower, 1.2) > 0.9
    assert contain(slower, 1.0) < 0.1


def test_pairs_cancel_what_both_share() -> None:
    load = np.random.default_rng(0).lognormal(0, 0.5, ROUNDS)
    a, b = (load * 1.1 * samples(1, noise=0.01)).tolist(), (load * samples(2, noise=0.01)).tolist()
    paired, shuffled = paired_ratio(a, b, 0), paired_ratio(a, b[::-1], 0)
    assert paired.low < 1.1 < paired.high
    assert paired.excludes(1)
    assert paired.high - paired.low < 0.1 * (shuffled.high - shuffled.low)


def test_constant_samples_have_an_interval_without_width() -> None:
    assert median_interval([2.0] * 5, 0) == Interval(2, 2, 2)
    assert paired_ratio([3.0] * 5, [2.0] * 5, 0) == Interval(1.5, 1.5, 1.5)


def test_the_seed_fixes_the_interval() -> None:
    assert median_interval(samples(1), 5) == median_interval(samples(1), 5)
    found = {median_interval(np.arange(100.0).tolist(), seed) for seed in range(5)}
    assert len(found) > 1


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [1.0], "a has shape [1]: expected a list of two or more."),
        ([1.0, 2.0], [1.0, 2.0, 3.0], "a has 2 samples and b 3: expected one of each per round."),
        ([1.0, float("nan")], [1.0, 2.0], "a holds a number that is not finite: [1.0, nan]."),
    ],
)
def test_samples_that_cannot_be_used(a: list[float], b: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        paired_ratio(a, b, 0)
