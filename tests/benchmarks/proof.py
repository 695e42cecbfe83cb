"""Shows what `compare` is worth by real runs, of the same code and with a planted slowdown.

    PYTHONPATH=. python tests/benchmarks/proof.py against
    PYTHONPATH=. python tests/benchmarks/proof.py against --slowdown 0.1
    PYTHONPATH=. python tests/benchmarks/proof.py runs
    PYTHONPATH=. python tests/benchmarks/proof.py runs --slowdown 0.1

Prints a line for each of 20 comparisons, with the seconds of its last run, and then how many were
right; exits with 1 if that is fewer than 19 of 20. `against` compares this checkout with itself, in
turn; `runs` compares each run of a series with the one before. A slowdown is planted in one method,
which does a share of its work twice; it is seen if that method is called slower in every cell.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import against, comparison, machine
from benchmarks.arguments import Run
from benchmarks.comparison import Comparison
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.progress import progress_bar
from benchmarks.measure.runner import Runner
from benchmarks.measure.sides import ROOT
from benchmarks.peers import METHODS, Method, Trainer
from benchmarks.plan import Profile, quick
from benchmarks.results import Results, Setting
from benchmarks.run import started
from benchmarks.workloads import Parameters, Workload

CELLS = (
    Setting("xor", (2, 10, 10, 10, 1), 4),
    Setting("classification", (64, 128, 10), 64),
)
PLANTED = "jaxpercep manual, one program"
JUDGED = PLANTED, "jaxpercep autodiff, one program"  # in turn, in at most 90 s
PEERS = "c++", "numpy", "optax", "optax, one program", "flax linen"
SECONDS, THRESHOLD, ENOUGH = 600, 0.05, 0.95  # a limit that no run comes near


class Slowed(Trainer):
    """A trainer that repeats a share of its passes: work like the rest of it."""

    def __init__(self, trainer: Trainer, share: float) -> None:
        self._trainer, self._share = trainer, share
        self.place, self.prepare = trainer.place, trainer.prepare
        self.losses, self.parameters = trainer.losses, trainer.parameters

    def run(self, batches: Any, passes: int) -> Any:
        result = self._trainer.run(batches, passes)
        if passes > 1:  # the first pass is checked against float64 truth
            self._trainer.run(batches, max(1, round(passes * self._share)))
        return result


def build(
    workload: Workload, setting: Setting, initial: Parameters, of: str, share: float
) -> Slowed:
    method = next(method for method in METHODS if method.name == of)
    return Slowed(method.build(workload, setting, initial), share)


def slowed(method: Method, share: float) -> Method:
    """Returns the same method with more work, if it is the one in which that is planted."""
    if method.name != PLANTED or not share:
        return method
    options = (("of", method.name), ("share", share))
    return replace(method, module="proof", function="build", options=options)


def profile() -> Profile:
    cells = replace(quick(), settings=CELLS, compiling=frozenset(), goals=(), seconds=SECONDS)
    return replace(cells, rounds=4, blocks=3)


def in_turn(count: int, share: float) -> Iterator[tuple[float, Comparison]]:
    """Compares this checkout with itself; yields how long it took, and what it found."""
    methods = [(m, slowed(m, share)) for m in METHODS if m.name in JUDGED]
    for seed in range(count):
        start = time.monotonic()
        found = against.compare(str(ROOT), profile(), methods, THRESHOLD, seed)
        yield time.monotonic() - start, found


def in_a_row(count: int, share: float) -> Iterator[tuple[float, Comparison]]:
    """Compares stored runs: each with the one before, or each slowed one with that before it."""
    methods = [m for m in METHODS if m.ours or (m.name in PEERS and not m.missing())]
    old: Results | None = None
    for number in range(2 * count if share else count + 1):
        start = time.monotonic()
        new = stored([slowed(m, share * (number % 2)) for m in methods], number)
        if old is not None and (number % 2 or not share):
            yield time.monotonic() - start, comparison.compare(old, new, THRESHOLD)
        old = new


def stored(methods: Sequence[Method], seed: int) -> Results:
    """Makes a run of a few cells."""
    cells = profile().with_methods(methods)
    results = started(Run(quick=True, seed=seed), cells)
    with (
        tempfile.TemporaryDirectory() as programs,
        WorkerPool(machine.cores(), cells.patience) as pool,
    ):
        runner = Runner(results, cells, methods, pool, SECONDS, Path(programs), lambda: None)
        with progress_bar(runner.total(), SECONDS) as progress:
            runner.run(progress)
    return results


def right(found: Comparison, share: float) -> bool:
    """Returns whether nothing is called slower but what was planted, and that in every cell."""
    slower = {(change.pair.setting, change.pair.method) for change in found.having("slower")}
    return slower == ({(cell.key, PLANTED) for cell in CELLS} if share else set())


def line(found: Comparison, seconds: float, share: float) -> str:
    """Describes a comparison."""
    calls = [
        f"{c.pair.method} in {c.pair.setting} {v}"
        for v in ("slower", "faster")
        for c in found.having(v)
    ]
    floors = sorted(max(THRESHOLD, change.finding.floor) for change in found.changes)
    planted = [f"{c.finding.ratio.median:.3f}" for c in found.changes if c.pair.method == PLANTED]
    return (
        f"{'right' if right(found, share) else 'WRONG'} in {seconds:.0f} s: "
        f"{'; '.join(calls) or 'no difference'} ({len(found.changes)} times, smallest slowdown "
        f"in sight {floors[len(floors) // 2]:.1%}, {PLANTED} {' and '.join(planted)})"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("way", choices=("against", "runs"))
    parser.add_argument("--slowdown", type=float, default=0.0, help="share of the work done twice")
    parser.add_argument("--count", type=int, default=20, help="comparisons")
    options = parser.parse_args()
    way, share, good = in_turn if options.way == "against" else in_a_row, options.slowdown, 0
    for seconds, found in way(options.count, share):
        good += right(found, share)
        print(line(found, seconds, share), flush=True)
    what = f"with {share:.0%} more work in {PLANTED}" if share else "of the same code"
    print(f"{good} of {options.count} comparisons {what} are right")
    return int(good < ENOUGH * options.count)


if __name__ == "__main__":
    sys.exit(main())
