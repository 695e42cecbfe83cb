"""Compares every mistake of the catalogue, and prints a table by cause.

Beside what `compare_gradients` finds stands whether the usual checkers notice anything at all. The
command exits with 1 unless every mistake is found as the catalogue says.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import jax
from rich.progress import track

from catalogue.mistakes import MISTAKES
from catalogue.mistakes.mistake import Mistake, edited_lines
from catalogue.networks.network import line_of
from catalogue.peers import check_grads_detects, gradcheck_detects, gradient_of_update
from jaxpercep import Diagnosis, GradientReport, compare_gradients, compare_updates


class Outcome(NamedTuple):
    """The findings on one mistake.

    Attributes:
        detected: the hand-written side was found wrong.
        named: cause and place of the first explanation are right.
        answered: there is such a cause, or the repair was verified and is on the edited lines.
        check_grads: `jax.test_util.check_grads` noticed.
        gradcheck: `torch.autograd.gradcheck` noticed; None without torch.
    """

    detected: bool
    named: bool
    answered: bool
    check_grads: bool
    gradcheck: bool | None


def expected(mistake: Mistake) -> Outcome:
    """Returns what the catalogue says of a mistake."""
    return Outcome(True, mistake.named, mistake.answered, mistake.check_grads, mistake.gradcheck)


def found(mistake: Mistake) -> Outcome:
    """Compares a mistake, and calls the usual checkers."""
    report = report_of(mistake)
    named, answered = is_named(mistake, report), is_answered(mistake, report)
    return Outcome(is_detected(report), named, answered, *peers(mistake))


def report_of(mistake: Mistake) -> GradientReport:
    """Compares a mistake with autodiff."""
    if mistake.kind == "updates":
        rate = mistake.learning_rate
        return compare_updates(mistake.fun, mistake.wrong, *mistake.args, learning_rate=rate)
    return compare_gradients(mistake.fun, mistake.wrong, *mistake.args)


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


def is_answered(mistake: Mistake, report: GradientReport) -> bool:
    """Tells whether the report says what to change: by cause and place, or by the repair."""
    known = mistake.cause != "unexplained" and is_named(mistake, report)
    return known or is_repaired(mistake, report)


def is_repaired(mistake: Mistake, report: GradientReport) -> bool:
    """Tells whether the repair was verified, and is on the edited lines."""
    lines = edited_lines(mistake)
    return bool(report.repairs) and all(
        repair.verified and int(repair.source.rpartition(":")[2]) in lines
        for repair in report.repairs
    )


def is_misnamed(mistake: Mistake, report: GradientReport) -> bool:
    """Tells whether a cause is given, and in no explanation the right one."""
    causes = [{diagnosis.cause for diagnosis in e} for e in report.explanations]
    return bool(causes) and not any(c in ({mistake.cause}, {"unexplained"}) for c in causes)


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
    """Counts the outcomes, by cause and in all."""
    rows = defaultdict(list)
    for mistake, outcome in outcomes:
        rows[mistake.cause].append((True, *outcome))
    rows["all"] = [row for several in rows.values() for row in several]
    lines = [
        "| cause | cases | detected | cause and place right | or repair right "
        "| check_grads | gradcheck |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, several in rows.items():
        columns = zip(*several, strict=True)
        counts = ("absent" if None in column else str(sum(column)) for column in columns)
        lines.append(f"| {name} | {' | '.join(counts)} |")
    return "\n".join(lines)


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
