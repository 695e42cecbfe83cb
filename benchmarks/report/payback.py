"""The cost of compiling, and when it pays: break-even, and the time to a goal."""

from collections import defaultdict
from collections.abc import Sequence

from benchmarks.derived import BreakEven, break_even
from benchmarks.report import words
from benchmarks.report.tables import Table, ours
from benchmarks.results import Goal, Results

SOON = 1000  # steps


def break_even_summary(results: Results) -> Table:
    """Counts the cells and peers that each of jaxpercep's methods overtakes, by when it does."""
    pairs = break_even(results)
    rows = []
    for method in results.ours:
        steps = [pair.steps for pair in pairs if pair.method == method]
        known = [n for n in steps if n is not None]
        at_once, soon = known.count(0), sum(0 < n <= SOON for n in known)
        later, never = len(known) - at_once - soon, len(steps) - len(known)
        if steps:
            rows.append([method, *map(str, (at_once, soon, later, never))])
    header = ["method", "from the first call", f"within {SOON} steps", "later", "never"]
    return Table("Cells and peers, by when the compile time is recovered", header, rows)


def break_even_tables(results: Results) -> dict[str, Table]:
    """Makes a table for each of jaxpercep's methods: a row per cell, a column per peer."""
    found: dict[str, list[BreakEven]] = defaultdict(list)
    for pair in break_even(results):
        found[pair.method].append(pair)
    return {method: _by_peer(found[method]) for method in results.ours if method in found}


def _by_peer(pairs: Sequence[BreakEven]) -> Table:
    peers = list(dict.fromkeys(pair.peer for pair in pairs))
    steps = {(pair.setting, pair.peer): _steps(pair.steps, "never") for pair in pairs}
    rows = [
        [setting, *(steps.get((setting, peer), words.NOTHING) for peer in peers)]
        for setting in dict.fromkeys(pair.setting for pair in pairs)
    ]
    return Table("Steps until it is ahead", ["cell", *peers], rows)


def _steps(steps: int | None, missing: str) -> str:
    return missing if steps is None else words.whole(steps)


def goal_tables(results: Results) -> list[Table]:
    """Makes a table for each target and batch, the fastest method first."""
    found: dict[str, list[Goal]] = defaultdict(list)
    for goal in results.goals:
        caption = f"{goal.target}, batch {goal.batch}, learning rate {goal.learning_rate:g}"
        found[caption].append(goal)
    return [_goals(results, caption, goals) for caption, goals in found.items()]


def _goals(results: Results, caption: str, goals: Sequence[Goal]) -> Table:
    rows = [
        [
            goal.method,
            _steps(goal.steps, "not reached"),
            words.seconds(goal.seconds),
            words.seconds(goal.with_compile),
            words.number(goal.reached),
        ]
        for goal in sorted(goals, key=lambda goal: (goal.seconds is None, goal.seconds or 0.0))
    ]
    header = ["method", "steps", "time", "with compiling", "reached"]
    return Table(caption, header, rows, marked=ours(results, rows))
