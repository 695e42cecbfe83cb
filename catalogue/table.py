"""Compares every mistake of the catalogue, and prints a table by cause.

Beside what `compare_gradients` finds stands whether the usual checkers notice anything at all. The
command exits with 1 unless every mistake is found as the catalogue says.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
from rich.progress import track

from catalogue.mistakes import MISTAKES
from catalogue.mistakes.mistake import Mistake, edited
from catalogue.networks.network import line_of
from catalogue.peers import check_grads_detects, gradcheck_detects, gradient_of_update
from jaxpercep import (
    Diagnosis,
    GradientReport,
    Repair,
    compare_gradients,
    compare_updates,
    compare_vjp,
)


class Outcome(NamedTuple):
    """The findings on one mistake.

    Attributes:
        detected: the hand-written side was found wrong.
        named: cause and place of the first explanation are right.
        repaired: the repair was verified, and is where the mistake was made; None if a cause was
            named, for then the backward pass is not read.
        check_grads: `jax.test_util.check_grads` noticed.
        gradcheck: `torch.autograd.gradcheck` noticed; None without torch.
    """

    detected: bool
    named: bool
    repaired: bool | None
    check_grads: bool
    gradcheck: bool | None


def expected(mistake: Mistake) -> Outcome:
    """Returns what the catalogue says of a mistake."""
    repaired = None if is_explained(mistake, mistake.named) else has_place(mistake)
    return Outcome(True, mistake.named, repaired, mistake.check_grads, mistake.gradcheck)


def has_place(mistake: Mistake) -> bool:
    """Tells whether the catalogue says that a repair is verified, and where the mistake is."""
    return mistake.repaired and mistake.structural is None


def found(mistake: Mistake) -> Outcome:
    """Compares a mistake, and calls the usual checkers."""
    return Outcome(*findings(mistake, report_of(mistake)), *peers(mistake))


def findings(mistake: Mistake, report: GradientReport) -> tuple[bool, bool, bool | None]:
    """Returns whether the report detects, names and repairs a mistake."""
    named = is_named(mistake, report)
    repaired = None if is_explained(mistake, named) else is_placed(mistake, report.repairs)
    return is_detected(report), named, repaired


def is_answered(mistake: Mistake) -> bool:
    """Tells whether the catalogue holds that a cause is named in place, or a repair in place."""
    _, named, repaired, *_ = expected(mistake)
    return is_explained(mistake, bool(named)) or bool(repaired)


def is_explained(mistake: Mistake, named: bool) -> bool:
    """Tells whether a cause was named, not only the lines that hold the mistake."""
    return named and mistake.cause != "unexplained"


def report_of(mistake: Mistake) -> GradientReport:
    """Compares a mistake with autodiff."""
    if mistake.kind == "updates":
        rate = mistake.learning_rate
        return compare_updates(mistake.fun, mistake.wrong, *mistake.args, learning_rate=rate)
    if mistake.kind == "second order":
        params, *batch = mistake.args
        return compare_vjp(*as_rule(mistake, batch), *params, order=2)
    return compare_gradients(mistake.fun, mistake.wrong, *mistake.args)


def as_rule(mistake: Mistake, batch: Sequence[Any]) -> tuple[Callable[..., Any], ...]:
    """Returns the loss, its forward and its backward pass, as functions of each parameter."""

    def fun(*params: Any) -> jax.Array:
        return mistake.fun(params, *batch)

    def forward(*params: Any) -> tuple[jax.Array, Any]:
        return fun(*params), params

    def backward(params: Any, dy: jax.Array) -> tuple[Any, ...]:
        return jax.tree.map(lambda leaf: dy * leaf, mistake.wrong(params, *batch))

    return fun, forward, backward


def is_detected(report: GradientReport) -> bool:
    """Tells whether the hand-written side was found wrong."""
    return report.verdict == "manual_wrong"


def is_named(mistake: Mistake, report: GradientReport) -> bool:
    """Tells whether the first explanation gives cause, place and factor, and nothing else."""
    if not report.explanations:
        return False
    explanation = report.explanations[0]
    if {diagnosis.cause for diagnosis in explanation} != {mistake.cause}:
        return False
    if mistake.cause == "unexplained":
        (diagnosis,) = explanation
        said = all(path in diagnosis.message for path in mistake.leaves[:3])
        return said and is_at(mistake, diagnosis)
    every = {leaf.path for leaf in report.leaves}
    leaves = {diagnosis.leaf for diagnosis in explanation}
    if leaves != set(mistake.leaves) if mistake.leaves else leaves not in ({None}, every):
        return False
    factors = {diagnosis.factor for diagnosis in explanation}
    if mistake.factor is not None and any(abs(f / mistake.factor - 1) > 1e-6 for f in factors):
        return False
    return all(is_at(mistake, diagnosis) for diagnosis in explanation)


def is_placed(mistake: Mistake, repairs: Sequence[Repair]) -> bool:
    """Tells whether the repairs were verified, and are where the mistake was made."""
    where = edited(mistake)
    lines = where.lines | where.removed
    return bool(repairs) and all(
        repair.verified
        and int(repair.source.rpartition(":")[2])
        in (lines | where.changed if repair.missing else lines)
        for repair in repairs
    )


def is_misnamed(mistake: Mistake, report: GradientReport) -> bool:
    """Tells whether causes are given, and the right one is not among them."""
    causes = {diagnosis.cause for diagnosis in report.diagnoses}
    return bool(causes) and not causes & {mistake.cause, "unexplained"}


def is_at(mistake: Mistake, diagnosis: Diagnosis) -> bool:
    """Tells whether the line, and the iteration, are right."""
    line = not mistake.lines or diagnosis.source in {line_of(tag) for tag in mistake.lines}
    return line and (mistake.location or "") in (diagnosis.location or "")


def peers(mistake: Mistake) -> tuple[bool, bool | None]:
    """Tells whether `check_grads` and `gradcheck` notice."""
    candidate = mistake.wrong
    if mistake.kind == "updates":
        candidate = gradient_of_update(mistake.wrong, mistake.learning_rate)
    return (
        check_grads_detects(mistake.fun, candidate, mistake.args),
        gradcheck_detects(mistake.fun, candidate, mistake.args),
    )


def table(outcomes: Iterable[tuple[Mistake, Outcome]]) -> str:
    """Counts the outcomes, by cause and in all; no cause is named of what is `unexplained`."""
    rows = defaultdict(list)
    for mistake, outcome in outcomes:
        if mistake.cause == "unexplained":
            outcome = outcome._replace(named=None)
        rows[mistake.cause].append((True, *outcome))
    rows["all"] = [row for several in rows.values() for row in several]
    lines = [
        "| cause | cases | detected | cause and place right | else repaired "
        "| check_grads | gradcheck |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, several in rows.items():
        lines.append(f"| {name} | {' | '.join(map(counted, zip(*several, strict=True)))} |")
    return "\n".join(lines)


def counted(column: tuple[bool | None, ...]) -> str:
    """Counts what is true, of what was looked at."""
    known = [value for value in column if value is not None]
    if not known:
        return "-"
    return str(sum(known)) if len(known) == len(column) else f"{sum(known)} of {len(known)}"


def main() -> int:
    """Prints the table of the mistakes named on the command line, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of mistakes; all without")
    names = set(parser.parse_args().names)
    jax.config.update("jax_platforms", "cpu")
    mistakes = [mistake for mistake in MISTAKES if not names or mistake.name in names]
    outcomes = [(mistake, found(mistake)) for mistake in track(mistakes, "comparing")]
    print(table(outcomes))
    surprises = [
        (mistake.name, outcome)
        for mistake, outcome in outcomes
        if outcome not in (expected(mistake), expected(mistake)._replace(gradcheck=None))
    ]
    for name, outcome in surprises:
        print(f"not as the catalogue says: {name}, {outcome}", file=sys.stderr)
    return int(bool(surprises))


if __name__ == "__main__":
    sys.exit(main())
