"""`compare --against`: this checkout in turn with another side, sample by sample.

A first block compiles, checks each method against float64 truth, and finds how many passes make a
sample, the same for both sides. Each of the blocks that follow starts the processes anew, and in
each of its rounds every method, in balanced random order, is sampled on both sides in alternation;
what is judged are the blocks' medians of the paired ratios. In each cell a method that is not
jaxpercep's, and so the same on both sides, is judged with the others, as a control.
"""

import math
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.arguments import Compare, UsageError
from benchmarks.comparison import Comparison, Pair, Side, changes, program_changes, show
from benchmarks.measure.estimates import sampling_cost
from benchmarks.measure.messages import CallError
from benchmarks.measure.pool import Home, WorkerPool
from benchmarks.measure.progress import progress_bar
from benchmarks.measure.sampler import Sampler
from benchmarks.measure.sides import NEW, OLD, prepare
from benchmarks.measure.worker import Worker
from benchmarks.peers import METHODS, Method
from benchmarks.plan import CONTROLS, Profile, quick
from benchmarks.results import Setting
from benchmarks.significance import paired

BLOCKS, ROUNDS = 5, 6
BOTH = "both"

Show = Callable[[str], None]


def main(command: Compare) -> int:
    """Compares both sides, prints the result, and returns the exit code.

    Raises:
        UsageError: The old side cannot be run, or no cell is chosen.
        ValueError: No method could be timed on both sides.
    """
    profile = quick()
    chosen = [s for s in profile.settings if any(c in s.key for c in command.cells or [""])]
    if not chosen:
        keys = ", ".join(setting.key for setting in profile.settings)
        raise UsageError(f"--cells {' '.join(command.cells)}: expected parts of {keys}.")
    methods = [m for m in METHODS if m.ours and m.name in (command.methods or [m.name])]
    if not methods:
        names = ", ".join(method.name for method in METHODS if method.ours)
        raise UsageError(f"--methods {' '.join(command.methods)}: expected some of {names}.")
    profile = replace(profile, settings=tuple(chosen)).with_methods(methods)
    found = compare(str(command.against), profile, [(m, m) for m in methods], command.threshold)
    return show(found, command.threshold)


def compare(
    against: str,
    profile: Profile,
    methods: Sequence[tuple[Method, Method]],
    threshold: float,
    seed: int = 0,
) -> Comparison:
    """Runs both sides in turn, and compares them.

    Args:
        against: the old side, as `sides.prepare` takes it.
        profile: its cells, and limits.
        methods: those that are judged, as the old side runs each and as the new one does.
        threshold: how far from 1 a ratio must be to count.
        seed: of the data and the order.

    Raises:
        UsageError: The old side cannot be run.
        ValueError: No method could be timed on both sides.
    """
    ours = {new.name: (old, new) for old, new in methods}
    controls = {m.name: (m, m) for m in METHODS if m.name in CONTROLS}
    with tempfile.TemporaryDirectory() as folder:
        homes = prepare(against, Path(folder))
        with WorkerPool(machine.cores(), profile.patience, homes) as pool:
            old, new = _environments(pool, homes)
            session = Session(pool, profile, {**ours, **controls}, Path(folder) / "kept", seed)
            session.run()
    pairs, lacking = session.pairs, session.lacking
    every, _, left = changes(pairs, [], paired, threshold)
    judged = [change for change in every if change.pair.method in ours]
    others = [change for change in every if change.pair.method not in ours]
    only, left = (lacking[NEW], lacking[OLD]), [*left, *lacking[BOTH]]
    if not judged:
        why = "; ".join([*only[0], *only[1], *left][:3])
        raise ValueError(f"nothing was compared, for no method was timed on both sides. {why}")
    differ = machine.differences(old, new)
    differ += [
        f"{pair.setting}: {pair.method}, the same on both sides, came out {verdict}"
        for pair, _, verdict in others
        if verdict != "no difference"
    ]
    seen = [control.finding.ratio.median for control in others]
    return Comparison(judged, seen, program_changes(pairs, old, new), differ, *only, left)


@dataclass
class Session:
    """Both sides, measured in turn.

    Attributes:
        pool: with a process for each side.
        profile: its cells, and limits.
        methods: as the old side runs each, and as the new one does; of the same name.
        kept: a folder for what JAX compiles, shared by both sides.
        seed: of the data and the order.
        pairs: what both sides can run, and its times.
        passes: over the batches, that make a sample, by cell and name of the instance.
        lacking: the methods that a side, or both, cannot run, and why.
    """

    pool: WorkerPool
    profile: Profile
    methods: Mapping[str, tuple[Method, Method]]
    kept: Path
    seed: int
    pairs: list[Pair] = field(default_factory=list)
    passes: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    lacking: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def run(self) -> None:
        """Measures every cell once to begin with, and then in every block."""
        every = [method for two in self.methods.values() for method in two]
        costs = [sampling_cost(self.profile, one, every) for one in self.profile.settings]
        with progress_bar((1 + BLOCKS) * sum(costs), math.inf) as progress:
            for block in range(1 + BLOCKS):
                self.pool.restart(self.kept)
                for setting, cost in zip(self.profile.settings, costs, strict=True):
                    if block:
                        self._repeat(setting, block, progress.show)
                    else:
                        self._begin(setting, progress.show)
                    self.pool.drop()
                    progress.advance(cost, f"block {block} of {BLOCKS}: {setting.key}")

    def _begin(self, setting: Setting, show: Show) -> None:
        """Finds the methods that both sides can run, and how many passes make a sample."""
        methods = [new for _, new in self.methods.values()]
        names = [method.name for method in self.profile.planned(setting, methods)]
        sampler = self._sampler(setting, names, 0, show)
        found = {instance.name: instance for instance in sampler.calibrate()}
        whys = {absence.method: absence.detail for absence in sampler.absences}
        for name in names:
            old, new = (found.get(f"{side} {name}") for side in (OLD, NEW))
            if old and new:
                sides = [Side([], one.built.program, one.instructions) for one in (old, new)]
                self.pairs.append(Pair(setting.key, name, *sides))
                passes = max(old.passes, new.passes)
                self.passes[setting.key] |= {old.name: passes, new.name: passes}
            else:
                side = NEW if old else OLD if new else BOTH
                why = whys[f"{NEW if old else OLD} {name}"]
                self.lacking[side].append(f"{setting.key}: {name} ({why})")

    def _repeat(self, setting: Setting, block: int, show: Show) -> None:
        """Adds the times of a block, in which neither side lacks what the other has."""
        pairs = [pair for pair in self.pairs if pair.setting == setting.key]
        sampler = self._sampler(setting, [pair.method for pair in pairs], block, show)
        names = [(f"{OLD} {pair.method}", f"{NEW} {pair.method}") for pair in pairs]
        instances = sampler.repeat(self.passes[setting.key], ROUNDS, names)
        found = {instance.name: instance.times for instance in instances}
        for pair in pairs:
            pair.old.times.append(found.get(f"{OLD} {pair.method}", []))
            pair.new.times.append(found.get(f"{NEW} {pair.method}", []))

    def _sampler(self, setting: Setting, names: Sequence[str], block: int, show: Show) -> Sampler:
        """Returns the sampler of both sides, each with a process of its own."""
        seed = zlib.crc32(f"{self.seed} {setting.key} {block}".encode())
        sided = [
            replace(method, name=f"{side} {method.name}", process=side)
            for name in names
            for side, method in zip((OLD, NEW), self.methods[name], strict=True)
        ]
        sided = sided[:: -1 if block % 2 else 1]  # neither side is always the first to start
        pool, profile = self.pool, self.profile
        return Sampler(pool, profile, setting, sided, seed, math.inf, show, twice=False)


def _environments(pool: WorkerPool, homes: Mapping[str, Home]) -> list[dict[str, Any]]:
    """Returns what each side says of itself, once it has been seen to run what it should."""
    found = []
    for side, home in homes.items():
        try:
            environment = pool.call(side, Worker.environment)
        except CallError as failure:
            raise UsageError(
                f"--against: the {side} side cannot run the benchmarks: {failure.detail}. "
                "A Python environment needs jaxpercep[bench] in it."
            ) from failure
        expected, runs = Path(home.path[0], "jaxpercep"), Path(environment["jaxpercep"])
        if expected.exists() and not runs.samefile(expected):
            raise ValueError(f"the {side} side imports {runs}, and not {expected}.")
        found.append(environment)
    return found
