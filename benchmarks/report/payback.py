"""What compiling costs and when it pays: break-even, and the time to a goal."""

from collections.abc import Sequence

from benchmarks.derived import BreakEven, break_even
from benchmarks.report import words
from benchmarks.report.tables import Table
from benchmarks.results import Goal, Results

SOON = 1000  # steps


def break_even_summary(results: Results) -> Table:
    """How many cells and peers each of jaxpercep's methods wins against, and when."""
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
    return Table("Cells and peers, by when the compile time is won back", header, rows)


def break_even_tables(results: Results) -> dict[str, Table]:
    """For each of jaxpercep's methods: a row a cell, a column a peer."""
    found: dict[str, list[BreakEven]] = {}
    for pair in break_even(results):
        found.setdefault(pair.method, []).append(pair)
    return {method: _by_peer(pairs) for method, pairs in found.items()}


def _by_peer(pairs: Sequence[BreakEven]) -> Table:
    peers = list(dict.fromkeys(pair.peer for pair in pairs))
    steps = {(pair.setting, pair.peer): _steps(pair) for pair in pairs}
    rows = [
        [setting, *(steps.get((setting, peer), words.NOTHING) for peer in peers)]
        for setting in dict.fromkeys(pair.setting for pair in pairs)
    ]
    return Table("Steps until it is ahead", ["cell", *peers], rows)


def _steps(pair: BreakEven) -> str:
    return "never" if pair.steps is None else words.whole(pair.steps)


def goal_tables(results: Results) -> list[Table]:
    """For each target and batch: who got there, the fastest first."""
    found: dict[str, list[Goal]] = {}
    for goal in results.goals:
        caption = f"{goal.target}, batch {goal.batch}, learning rate {goal.learning_rate:g}"
        found.setdefault(caption, []).append(goal)
    return [_goals(results, caption, goals) for caption, goals in found.items()]


def _goals(results: Results, caption: str, goals: Sequence[Goal]) -> Table:
    ordered = sorted(goals, key=lambda goal: (goal.seconds is None, goal.seconds or 0.0))
    rows = [
        [
            goal.method,
            "not reached" if goal.steps is None else words.whole(goal.steps),
            words.seconds(goal.seconds),
            words.seconds(goal.with_compile),
            words.number(goal.reached),
        ]
        for goal in ordered
    ]
    header = ["method", "steps", "time", "with compiling", "reached"]
    marked = [i for i, goal in enumerate(ordered) if goal.method in results.ours]
    return Table(caption, header, rows, marked=marked)
