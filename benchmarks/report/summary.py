"""A run in a few sentences: whether it is complete, and where jaxpercep leads."""

from collections.abc import Sequence

from benchmarks.report import words
from benchmarks.report.verdicts import Standing, fastest_standings, having
from benchmarks.results import Results


def status(results: Results) -> str:
    """Whether the run is complete, in one sentence."""
    done, planned = len(results.cells), words.count(len(results.planned), "planned cell")
    took = f"in {results.seconds / 60:.1f} minutes"
    if results.complete:
        return f"Complete: {done} of {planned} {took}."
    return f"Incomplete ({results.interrupted}): {done} of {planned} {took}."


def account(results: Results) -> list[str]:
    """Where jaxpercep leads, where it does not, and where there is no difference."""
    found = fastest_standings(results)
    if not found:
        return ["No cell was measured beside a peer."]
    total = words.count(len(found), "cell")
    same = len(having(found, "no difference"))
    return [
        "In each cell, the fastest of jaxpercep's methods is set beside the fastest peer, by the "
        "time of a step at steady state. A ratio whose interval holds 1, or that is inside the "
        "noise floor, is no difference.",
        _leads(having(found, "faster"), total),
        _behind(having(found, "slower"), total),
        f"In {same} of {total} there is no difference.",
    ]


def _leads(found: Sequence[Standing], total: str) -> str:
    if not found:
        return f"jaxpercep leads in 0 of {total}."
    most, least = (words.number(1 / one.ratio.median) for one in (found[0], found[-1]))
    return (
        f"jaxpercep leads in {len(found)} of {total}, {least} to {most} times as fast "
        f"(most at {found[0].cell.setting.key})."
    )


def _behind(found: Sequence[Standing], total: str) -> str:
    if not found:
        return f"It is behind in 0 of {total}."
    least, most = (words.number(one.ratio.median) for one in (found[-1], found[0]))
    return (
        f"It is behind in {len(found)} of {total}, taking {least} to {most} times as long "
        f"(most at {found[0].cell.setting.key})."
    )
