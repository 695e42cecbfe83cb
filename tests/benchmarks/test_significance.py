"""Tests of many changes: silent where nothing changed, and not blind where one thing did."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.results import Blocks
from benchmarks.significance import FALSE, Effect, judge, moderated, paired, unpaired

BLOCKS, ROUNDS = 3, 2


def runs(
    rng: np.random.Generator,
    count: int,
    *,
    blocks: int = BLOCKS,
    spread: float = 0.015,
    drift: float = 0.0,
    together: float = 0.0,
) -> list[tuple[Blocks, Blocks]]:
    """Two runs of the same code: `spread` between blocks, `drift` of each method between runs."""
    noise = rng.gamma(4, 1 / 4, count)  # methods and cells differ in how steady they are
    shape = (2, blocks, count)
    logs = rng.normal(0, spread * noise, shape) + rng.normal(0, drift, (2, 1, count))
    logs += np.array([0, together])[:, None, None]
    times = np.exp(logs[..., None] + rng.normal(0, 0.02, (*shape, ROUNDS)))
    return [(times[0, :, i].tolist(), times[1, :, i].tolist()) for i in range(count)]


def effects(pairs: list[tuple[Blocks, Blocks]], slower: float = 0.0) -> list[Effect]:
    found = [unpaired(*pair) for pair in pairs]
    assert all(found)
    first, *rest = [one for one in found if one]
    return [first._replace(change=first.change + np.log1p(slower)), *rest]


def false_alarms(drift: float, together: float, controls: int) -> float:
    """The share of 60 comparisons of the same code in which something is found."""
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        ours = effects(runs(rng, 60, drift=drift, together=together))
        others = effects(runs(rng, max(1, controls), drift=drift, together=together))
        alarms += any(f.p <= FALSE for f in judge(ours, others[:controls]))
    return alarms / 60


# The same code twice.


@pytest.mark.parametrize(("drift", "together"), [(0, 0), (0.03, 0), (0.01, 0.05)])
def test_the_same_code_is_silent_whatever_the_drift(drift: float, together: float) -> None:
    assert false_alarms(drift, together, controls=60) <= 0.1


def test_without_controls_drift_would_be_taken_for_a_change() -> None:
    assert false_alarms(0.03, 0, controls=0) > 0.9


def test_one_interval_in_twenty_excludes_1_and_nothing_is_found() -> None:
    excluding, found = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        findings = judge(effects(runs(rng, 100)), effects(runs(rng, 50)))
        excluding += [f.ratio.excludes(1) for f in findings]
        found += [f.p <= FALSE for f in findings]
    assert 0.02 < np.mean(excluding) < 0.08
    assert sum(found) <= 4


# One change.


@pytest.mark.parametrize("count", [1, 10, 471])
def test_ten_per_cent_are_found_among_any_number(count: int) -> None:
    """No correction makes it blind: a p value of such a test may be as small as it needs to be."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        ours = effects(runs(rng, count, spread=0.008), slower=0.1)
        first, *rest = judge(ours, effects(runs(rng, 50, spread=0.008)))
        found.append(first.p <= FALSE)
        assert sum(f.p <= FALSE for f in rest) <= 2
    assert np.mean(found) >= 0.95


def test_the_floor_is_the_least_change_that_is_found_alone() -> None:
    rng = np.random.default_rng(0)
    ours, others = effects(runs(rng, 30)), effects(runs(rng, 30))
    calm = [one._replace(change=0.0) for one in ours]
    floor = judge(calm, others)[0].floor
    for change, found in ((1.02 * floor, True), (0.98 * floor, False)):
        first = calm[0]._replace(change=float(np.log1p(change)))
        assert (judge([first, *calm[1:]], others)[0].p <= FALSE) is found


def test_drift_raises_the_floor() -> None:
    ours = effects(runs(np.random.default_rng(0), 30))
    quiet, restless = (
        judge(ours, effects(runs(np.random.default_rng(1), 200, drift=drift)))
        for drift in (0.0, 0.05)
    )
    assert quiet[0].floor < 0.12
    assert restless[0].floor > 0.2


# Effects, and their variances.


def test_pairs_cancel_what_both_sides_share() -> None:
    rng = np.random.default_rng(0)
    old = np.exp(rng.normal(0, 0.5, (5, 4)))  # a machine that changes from round to round
    new = 1.1 * old * np.exp(rng.normal(0, 0.01, (5, 4)))
    effect, apart = paired(old.tolist(), new.tolist()), unpaired(old.tolist(), new.tolist())
    assert effect
    assert apart
    assert effect.change == pytest.approx(np.log(1.1), abs=0.01)
    assert (effect.freedom, effect.share) == (4, 1 / 5)
    assert np.sqrt(apart.variance * apart.share) > 10 * np.sqrt(effect.variance * effect.share)


def test_a_plain_t_test_is_what_few_effects_get() -> None:
    old, new = ([[1.0, 1.2], [1.1], [0.9]], [[1.3], [1.5], [1.2]])
    effect = unpaired(old, new)
    assert effect
    (found,) = judge([effect], [])
    logs = [[np.median(np.log(block)) for block in side] for side in (new, old)]
    assert found.p == pytest.approx(stats.ttest_ind(*logs).pvalue)
    low, high = np.exp(stats.ttest_ind(*logs).confidence_interval(0.95))
    assert (found.ratio.low, found.ratio.high) == pytest.approx((low, high))


def test_blocks_without_times_do_not_count() -> None:
    old, new = [[1.0], [], [1.1], [1.2]], [[2.0], [2.0], [], [2.4]]
    effect = paired(old, new)
    assert effect
    assert effect.change == pytest.approx(np.log(2))
    assert effect.freedom == 1
    assert paired([[1.0], []], [[1.0], [1.0]]) is None
    assert unpaired([[1.0]], [[1.0], [2.0]]) is None
    assert unpaired([[1.0], []], [[1.0], [2.0]]) is None


def test_variances_are_drawn_as_far_as_they_are_alike() -> None:
    rng, freedom, prior = np.random.default_rng(0), 4, 8
    for common in (1e-4, 1e-2):
        true = common * prior / rng.chisquare(prior, 5000)
        seen = true * rng.chisquare(freedom, 5000) / freedom
        drawn, freedoms = moderated([Effect(0, v, freedom, 1) for v in seen])
        assert freedoms[0] == pytest.approx(freedom + prior, abs=1.5)
        assert np.mean((np.log(drawn) - np.log(true)) ** 2) < 0.5 * np.mean(
            (np.log(seen) - np.log(true)) ** 2
        )
    alike, freedoms = moderated([Effect(0, 1e-4, 4, 1)] * 5)
    assert alike == pytest.approx([alike[0]] * 5)
    assert list(freedoms) == [20] * 5  # no more than there are in all
    assert list(moderated([Effect(0, 0.0, 4, 1)] * 2)[0]) == [1e-12] * 2
