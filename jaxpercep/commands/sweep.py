"""`jaxpercep sweep`: how often a network learns, over hidden width and learning rate."""

import itertools
import os
import shutil
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from jaxpercep._checks import counted
from jaxpercep._files.writing import replace_folder, writing
from jaxpercep._interactive import deferred_interrupt, progress_bar
from jaxpercep.commands import pictures, sources
from jaxpercep.commands.arguments import SWEEP, Sweep, UsageError, inputs
from jaxpercep.commands.experiment import Experiment, Outcome
from jaxpercep.commands.heads import Bits, Classes, choose_loss, fit_head, in_terms_of
from jaxpercep.commands.learned import Cell, as_csv, as_table
from jaxpercep.commands.levels import Level, levels, occupied
from jaxpercep.commands.networks import check_memory
from jaxpercep.commands.sources import Scale
from jaxpercep.population import LANES

ROWS = 2**15  # samples times networks that are trained at a time: their activations fit the cache


def sweep(arguments: Sweep) -> int:
    """Trains the networks, prints and saves how many learned; returns the exit code.

    Raises:
        UsageError: The data cannot be read or used, or `--out` holds something else.
        OSError: A file cannot be written.
        KeyboardInterrupt: Before any network was done.
    """
    with inputs():
        experiment = _prepare(arguments)
    (samples, features), combinations = experiment.x.shape, len(list(_combinations(arguments)))
    total = combinations * arguments.networks
    print(f"{arguments.data}: {counted(samples, 'sample')}, {counted(features, 'feature')}")
    print(f"{total:,} networks of {counted(combinations, 'kind')}, {arguments.steps:,} steps each")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* diverged: a loss or a parameter")  # it is reported
        cells = _train(experiment, total)
        if not cells:
            raise KeyboardInterrupt
        _conclude(experiment, cells)
    print(f"saved: {arguments.out}")
    if (done := sum(cell.networks for cell in cells)) == total:
        return 0
    print(f"jaxpercep sweep: interrupted; the {done:,} networks done are saved", file=sys.stderr)
    return 130


def _prepare(arguments: Sweep) -> Experiment:
    """Reads the data; a `ValueError` or an `OSError` if it cannot be used."""
    source = sources.load(arguments.data, arguments.target, arguments.seed, arguments.drop)
    loss = choose_loss("auto", source.data)
    data = in_terms_of(loss, source).data
    head = fit_head(loss, data, [data.y])
    if not isinstance(head, Classes) and not (isinstance(head, Bits) and head.outputs == 1):
        raise UsageError(
            f"DATA={arguments.data!r}: its targets are values, or several labels a sample; sweep "
            "counts samples that are right, so expected classes, or one column of zeros and ones."
        )
    if len(np.unique(data.y)) < 2:
        raise UsageError(f"DATA={arguments.data!r}: every target is the same; add others.")
    x = data.x if source.scaled else Scale.fit([data.x], source.layout.numbers).apply(data.x)
    keys = jax.random.split(jax.random.key(arguments.seed), arguments.networks)
    size = max(1, min(arguments.networks, LANES, ROWS // len(x)))
    experiment = Experiment(arguments, x, head.encode(data), head, keys, size)
    check_memory(experiment.sizes(max(arguments.hidden)), size)
    return experiment


def _combinations(arguments: Sweep) -> Iterator[tuple[float, int]]:
    return itertools.product(sorted(set(arguments.learning_rates)), sorted(set(arguments.hidden)))


def _train(experiment: Experiment, total: int) -> list[Cell]:
    """Returns what became of the networks; of those that are done, if it is interrupted.

    The groups that open each combination come first, then the second ones: an interrupt leaves
    the whole map, of fewer networks. They are trained in threads, so that it is heard at once.
    """
    starts = range(0, experiment.arguments.networks, experiment.size)
    groups = list(itertools.product(starts, _combinations(experiment.arguments)))
    found: defaultdict[tuple[float, int], list[Outcome]] = defaultdict(list)
    pool = ThreadPoolExecutor(os.cpu_count())
    futures = [pool.submit(experiment.train, start, *kind) for start, kind in groups]
    try:
        with progress_bar(total) as advance, deferred_interrupt() as interrupted:
            for (_, kind), future in zip(groups, futures, strict=True):
                if not _is_done(future, interrupted):
                    break
                found[kind].append(future.result())
                advance(len(found[kind][-1].losses), "")
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [
        Cell(width, rate, *map(np.concatenate, zip(*outcomes, strict=True)))
        for (rate, width), outcomes in found.items()
    ]


def _is_done(future: Future[Outcome], interrupted: Any) -> bool:
    """Waits until it is, or there is an interrupt."""
    while not interrupted():
        if wait([future], timeout=0.1).done:
            return True
    return False


def _conclude(experiment: Experiment, cells: Sequence[Cell]) -> None:
    """Prints and saves what became of the networks."""
    arguments, counts = experiment.arguments, experiment.counts()
    width = min(cell.hidden for cell in cells)
    smallest = [cell for cell in cells if cell.hidden == width]
    name = "-".join(map(str, experiment.sizes(width)))
    stuck = occupied(np.concatenate([cell.losses for cell in smallest]), counts)
    right = f"{arguments.data}: networks that got {100 * arguments.accuracy:g} % right"
    how = f"{arguments.optimizer}, {counted(arguments.steps, 'step')}"
    top, title = 1.2 * max(levels(counts)), f"{arguments.data}: final losses of {name}"
    figures = (
        pictures.learned_map(cells, f"{right} ({how})"),
        pictures.final_losses(smallest, stuck, top, title),
    )
    _report(cells, name, stuck)
    _save(arguments.out, cells, figures)


def _report(cells: Sequence[Cell], smallest: str, stuck: Sequence[Level]) -> None:
    """Prints the table of what learned, how many diverged, and where the smallest got stuck."""
    print("networks that learned, and 95 % intervals, by hidden width and learning rate:")
    Console(width=None if sys.stdout.isatty() else 500).print(as_table(cells))
    if diverged := sum(int(cell.diverged.sum()) for cell in cells):
        print(
            f"{counted(diverged, 'network')} diverged, to a loss or a parameter that is NaN or "
            f"infinite, and did not learn: {SWEEP[0]} and {SWEEP[1]} say where."
        )
    for level in stuck:
        print(f"{smallest}: {counted(level.networks, 'network')} about the loss {level}")


def _save(folder: Path, cells: Sequence[Cell], figures: Sequence[Figure]) -> None:
    """Writes the folder, wholly or not at all; one of an earlier sweep is replaced."""
    Sweep.check_replaceable(folder)
    folder = folder.resolve()
    new = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        with writing(folder, "the sweep"):
            (new / SWEEP[0]).write_text(as_csv(cells))
            for file, figure in zip(SWEEP[1:], figures, strict=True):
                figure.savefig(new / file)
            replace_folder(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
