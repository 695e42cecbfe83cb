"""A run in a few sentences: whether it is complete, and where jaxpercep leads."""

from collections.abc import Sequence

from benchmarks.report import words
from benchmarks.report.groups import measured
from benchmarks.report.verdicts import Standing, fastest_standings, having
from benchmarks.results import Results


def status(results: Results) -> str:
    """Says in one sentence whether the run is complete."""
    done, planned = len(measured(results)), words.count(len(results.planned), "planned cell")
    took = f"in {results.seconds / 60:.1f} minutes"
    if results.complete:
        return f"Complete: {done} of {planned} {took}."
    return f"Incomplete ({results.interrupted}): {done} of {planned} {took}."


def account(results: Results) -> list[str]:
    """Says where jaxpercep leads, where it is behind, and where there is no difference."""
    found = fastest_standings(results)
    if not found:
        return ["No cell was measured beside a peer."]
    total = words.count(len(found), "cell")
    same = len(having(found, "no difference"))
    return [
        "In each cell, the fastest of jaxpercep's methods is compared with the fastest peer, by "
        "the time per step at steady state. There is no difference where the interval of their "
        "ratio contains 1, or where the ratio is within the noise floor.",
        _leads(having(found, "faster"), total),
        _behind(having(found, "slower"), total),
        f"In {same} of {total} there is no difference.",
    ]


def _leads(found: Sequence[Standing], total: str) -> str:
    if not found:
        return f"jaxpercep leads in 0 of {total}."
    speeds = [1 / one.ratio.median for one in reversed(found)]
    return f"jaxpercep leads in {len(found)} of {total}, {_range(speeds, found[0], 'fast')}."


def _behind(found: Sequence[Standing], total: str) -> str:
    if not found:
        return f"It is behind in 0 of {total}."
    times = [one.ratio.median for one in reversed(found)]
    return f"It is behind in {len(found)} of {total}, taking {_range(times, found[0], 'long')}."


def _range(factors: Sequence[float], most: Standing, quality: str) -> str:
    """Formats the smallest and the largest factor, and the cell of the largest."""
    low, high, key = words.number(factors[0]), words.number(factors[-1]), most.cell.setting.key
    if low == high:
        return f"{low} times as {quality} (at {key})"
    return f"{low} to {high} times as {quality} (most at {key})"
