"""A few cells for pytest-benchmark, with its groups, JSON, comparison and histograms.

    pytest benchmarks --benchmark-only

A group is a cell, and a call is `STEPS` steps, of every method alike. All methods share this
process, where the threads of two frameworks meet, and are timed one after the other: for ratios
that survive review use `python -m benchmarks`.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import truth
from benchmarks.flops import step_flops
from benchmarks.peaks import Peaks
from benchmarks.peers import METHODS, Method, Trainer
from benchmarks.plan import left_out, quick
from benchmarks.results import Setting
from benchmarks.workloads import workload_of

BATCHES, PASSES = 8, 8
STEPS = BATCHES * PASSES
SEED = 0

PROFILE = quick()
CELLS = [setting for setting in PROFILE.settings if step_flops(setting) < 5e7]
ALONE = [method for method in METHODS if not method.populations]
PEERS_FIRST = sorted(ALONE, key=lambda method: method.ours)  # so that our ratio is to them all


@pytest.mark.benchmark(min_rounds=10, max_time=0.25)
@pytest.mark.parametrize("method", PEERS_FIRST, ids=lambda method: method.name)
@pytest.mark.parametrize("setting", CELLS, ids=lambda setting: setting.key)
def test_step(
    setting: Setting,
    method: Method,
    benchmark: BenchmarkFixture,
    peaks: Peaks,
    medians: dict[str, dict[str, float]],
) -> None:
    """Times a method that has been shown to compute the right thing.

    `extra_info` has the GFLOP/s, their fraction of the machine's peak, and the ratio of the time to
    that of the fastest peer of this cell that came before, with its name.
    """
    if absence := method.not_installed() or left_out(PROFILE, method, setting):
        pytest.skip(absence.detail)
    trainer, batches = _checked(setting, method)
    benchmark.group = setting.key
    benchmark(trainer.run, batches, PASSES)
    if benchmark.stats is None:  # --benchmark-disable
        return
    seconds = benchmark.stats.stats.median / STEPS
    gflops = step_flops(setting) / seconds / 1e9
    benchmark.extra_info |= {"gflops": gflops, "peak_fraction": gflops / peaks.gflops}
    peers = medians.setdefault(setting.key, {})
    if peers:
        fastest = min(peers, key=lambda name: peers[name])
        benchmark.extra_info |= {"ratio": seconds / peers[fastest], "ratio_to": fastest}
    if not method.ours and not method.limit:
        peers[method.name] = seconds


def _checked(setting: Setting, method: Method) -> tuple[Trainer, object]:
    """Returns a trainer whose first steps agree with float64 truth, and its batches."""
    workload = workload_of(setting)
    initial, data = workload.initial(setting, SEED), workload.batches(setting, BATCHES, SEED)
    trainer = method.build(workload, setting, initial)
    batches = trainer.place(*data)
    trainer.prepare(batches)
    losses = trainer.losses(trainer.run(batches, 1))
    reference = truth.reference(workload, initial, *data)
    wrong = truth.check(initial, trainer.parameters(), losses, reference)
    assert wrong is None, f"{method.name} is refused: {wrong}"
    return trainer, batches
