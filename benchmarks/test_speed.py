"""The cells and methods of a default run, for pytest-benchmark: its groups, files and histograms.

    pytest benchmarks --benchmark-only -m batch --benchmark-group-by=param:batch

Its times are those of one step: it counts the steps of a round as iterations. Workload, network,
depth, batch and method are parameters, for `--benchmark-group-by=param:NAME`, and the sweeps are
marks, for `-m`. All methods share this process, where the threads of two frameworks meet, and are
timed one after the other: for ratios that survive review use `python -m benchmarks`.
"""

from functools import partial
from timeit import timeit
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import truth
from benchmarks.peers import METHODS, Method, Trainer
from benchmarks.plan import default, distinct_batches
from benchmarks.results import Setting
from benchmarks.workloads import workload_of

SEED = 0
DEEPEST = 64  # hidden layers: deeper networks compile for longer than all others are timed

PROFILE = default()
CELLS = {s.key: s for s in PROFILE.settings if s.networks is None and s.depth <= DEEPEST}
BY_NAME = {method.name: method for method in METHODS}
CASES = [
    pytest.param(
        setting.workload,
        setting.key.split()[1],
        setting.depth,
        setting.batch,
        method.name,
        id=f"{setting.key}-{method.name}",
        marks=[
            pytest.mark.benchmark(group=setting.key),
            *(getattr(pytest.mark, sweep) for sweep in setting.sweeps),
        ],
    )
    for setting in CELLS.values()
    for method in PROFILE.planned(setting, METHODS)
]


@pytest.mark.parametrize(("workload", "network", "depth", "batch", "method"), CASES)
def test_step(
    workload: str,
    network: str,
    depth: int,
    batch: int,
    method: str,
    benchmark: BenchmarkFixture,
    pytestconfig: pytest.Config,
) -> None:
    """Times a method that has been shown to compute the right thing.

    The rounds are as long, and as many, as the options say. Each is one call, of as many passes
    over the batches as fill it: what runs all steps in one program cannot be called a step at a
    time, which is what pytest-benchmark would do.
    """
    del depth  # which follows from the network, and is there to group by
    setting, chosen = CELLS[f"{workload} {network} batch {batch}"], BY_NAME[method]
    if absence := chosen.not_installed():
        pytest.skip(absence.detail)
    trainer, batches = _checked(setting, chosen)
    steps, run = distinct_batches(setting), partial(trainer.run, batches)
    option = pytestconfig.getoption
    least, most = (float(option(f"benchmark_{name}_time")) for name in ("min", "max"))
    passes, seconds = 1, timeit(partial(run, 1), number=1)
    while benchmark.enabled and seconds < chosen.longer * least:
        passes *= 2
        seconds = timeit(partial(run, passes), number=1)

    def count_steps() -> None:
        if benchmark.stats is not None:  # it is None with --benchmark-disable
            benchmark.stats.iterations = passes * steps  # by which it divides

    rounds = max(option("benchmark_min_rounds"), round(most / seconds))
    # Threads that have slept are woken on one core: the first two rounds are not counted.
    result = benchmark.pedantic(run, (passes,), setup=count_steps, rounds=rounds, warmup_rounds=2)
    assert np.isfinite(trainer.losses(result)).all(), "the training diverged while it was timed"


def _checked(setting: Setting, method: Method) -> tuple[Trainer, Any]:
    """Returns a trainer whose first steps agree with float64 truth, and its batches."""
    workload, steps = workload_of(setting), distinct_batches(setting)
    initial, data = workload.initial(setting, SEED), workload.batches(setting, steps, SEED)
    trainer = method.build(workload, setting, initial)
    batches = trainer.place(*data)
    trainer.prepare(batches)
    losses = trainer.losses(trainer.run(batches, 1))
    reference = truth.reference(workload, initial, *data)
    wrong = truth.check(initial, trainer.parameters(), losses, reference)
    assert wrong is None, f"{method.name} is refused: {wrong}"
    return trainer, batches
