"""A run in a few sentences: whether it is complete, where jaxpercep leads, and how sure that is."""

from collections.abc import Sequence

from benchmarks.report import words
from benchmarks.report.groups import measured
from benchmarks.report.verdicts import Standing, fastest_standings, having, standings
from benchmarks.results import Results


def status(results: Results) -> str:
    """Says in one sentence whether the run is complete."""
    done, planned = len(measured(results)), words.count(len(results.planned), "planned cell")
    took = f"in {results.seconds / 60:.1f} minutes"
    if results.complete:
        return f"Complete: {done} of {planned} {took}."
    return f"Incomplete ({results.interrupted}): {done} of {planned} {took}."


def account(results: Results) -> list[str]:
    """Says where jaxpercep leads and where it is behind, of what that is true, and how sure."""
    found = fastest_standings(results)
    if not found:
        return ["No cell was measured beside a peer."]
    total, same = words.count(len(found), "cell"), having(found, "no difference")
    ahead, behind = having(found, "faster"), having(found, "slower")
    return [
        f"jaxpercep leads in {len(ahead)} of {total}{_range(ahead, 'fast')}. It is behind in "
        f"{len(behind)} of {total}{_range(behind, 'long')}. In {len(same)} of {total} there is no "
        "difference.",
        "This is the fastest of jaxpercep's methods against the fastest peer, by the time per step "
        f"once all is compiled.{_alone(results)}",
        "A difference counts if the 95 % interval of the ratio excludes 1, and the ratio is beyond "
        "the noise floor: how far a method timed against itself strays from 1, "
        f"{words.percent(results.floor)} or less in half of the cells.",
    ]


def _range(found: Sequence[Standing], quality: str) -> str:
    """Formats the smallest and the largest factor, and the cell of the largest, which is first."""
    if not found:
        return ""
    ratios = [one.ratio.median for one in (found[-1], found[0])]
    low, high = (words.number(max(ratio, 1 / ratio)) for ratio in ratios)
    span, most = (high, "") if low == high else (f"{low} to {high}", "most ")
    return f", {span} times as {quality} ({most}at {found[0].cell.setting.key})"


def _alone(results: Results) -> str:
    """Says how a single method can be behind where jaxpercep is not: another of its methods."""
    found = {method: standings(results, method) for method in results.ours}
    behind = {method: len(having(some, "slower")) for method, some in found.items()}
    worst = max(behind, key=lambda method: behind[method])
    if not behind[worst]:
        return ""
    return (
        f" A method by itself can be behind where another of them is not: {worst} is, in "
        f"{behind[worst]} of the {words.count(len(found[worst]), 'cell')} that it runs in."
    )
