"""Times in which compiling has a part: the first call, and the time to a goal."""

from collections import defaultdict
from collections.abc import Sequence

from benchmarks.report import words
from benchmarks.report.groups import Curve, curves
from benchmarks.report.tables import Table, ours
from benchmarks.results import Goal, Results


def first_calls(results: Results) -> list[Table]:
    """Shows, by depth, the time from the built model to the end of its first step."""
    return [_first_calls(results, curve) for curve in curves(results, "depth")]


def _first_calls(results: Results, curve: Curve) -> Table:
    found = {method: [cell.of(method) for cell in curve.cells] for method in results.methods}
    rows = [
        [method, *(words.seconds(m.first_call if m else None) for m in measured)]
        for method, measured in found.items()
        if any(measured)
    ]
    caption = f"First call, compiling included, by the number of hidden layers: {curve.title}"
    header = ["method", *(str(cell.setting.depth) for cell in curve.cells)]
    return Table(caption, header, rows, marked=ours(results, rows))


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
            "not reached" if goal.steps is None else words.whole(goal.steps),
            words.seconds(goal.seconds),
            words.seconds(goal.with_compile),
            words.number(goal.reached),
        ]
        for goal in sorted(goals, key=lambda goal: (goal.seconds is None, goal.seconds or 0.0))
    ]
    header = ["method", "steps", "time", "with compiling", "reached"]
    return Table(caption, header, rows, marked=ours(results, rows))
