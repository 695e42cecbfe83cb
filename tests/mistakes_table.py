"""How the catalogue of mistakes fares: `python tests/mistakes_table.py` prints the table.

It exits with 1 unless every mistake is detected, and cause and place of 95 in 100 are right.

Beside what `compare_gradients` says stands whether the usual checkers notice anything at all.
"""

import argparse
import sys
from collections import defaultdict
from typing import NamedTuple

import jax
from mistakes import MISTAKES, Mistake, line_of
from peer_checkers import check_grads_detects, gradcheck_detects, gradient_of_update
from rich.progress import track

from jaxpercep.compare import Diagnosis, GradientReport, compare_gradients, compare_updates


class Outcome(NamedTuple):
    """What was said of one mistake.

    Attributes:
        detected: whether it was noticed, and the hand-written side found wrong.
        named: whether cause and place of the first explanation are right.
    """

    detected: bool
    named: bool


def report_of(mistake: Mistake) -> GradientReport:
    if mistake.kind == "updates":
        rate = mistake.learning_rate
        return compare_updates(mistake.fun, mistake.wrong, *mistake.args, learning_rate=rate)
    return compare_gradients(mistake.fun, mistake.wrong, *mistake.args)


def outcome(mistake: Mistake, report: GradientReport) -> Outcome:
    every = {leaf.path for leaf in report.leaves}
    first = report.explanations[:1]
    return Outcome(
        detected=report.verdict == "manual_wrong",
        named=bool(first) and is_right(mistake, first[0], every),
    )


def is_right(mistake: Mistake, explanation: tuple[Diagnosis, ...], every: set[str]) -> bool:
    """Whether an explanation gives the cause, the place and the factor, and nothing else."""
    if {diagnosis.cause for diagnosis in explanation} != {mistake.cause}:
        return False
    if mistake.cause == "unexplained":
        (diagnosis,) = explanation
        said = all(f"grad{path}" in diagnosis.message for path in mistake.leaves[:3])
        return said and is_at(mistake, diagnosis)
    leaves = {diagnosis.leaf for diagnosis in explanation}
    if leaves != set(mistake.leaves) if mistake.leaves else leaves not in ({None}, every):
        return False
    factors = {diagnosis.factor for diagnosis in explanation}
    if mistake.factor is not None and any(abs(f / mistake.factor - 1) > 1e-6 for f in factors):
        return False
    return all(is_at(mistake, diagnosis) for diagnosis in explanation)


def is_at(mistake: Mistake, diagnosis: Diagnosis) -> bool:
    """Whether the line, and the iteration, are right."""
    line = not mistake.lines or diagnosis.source in {line_of(tag) for tag in mistake.lines}
    return line and (mistake.location or "") in (diagnosis.location or "")


def peers(mistake: Mistake) -> tuple[bool, bool | None]:
    """Whether `check_grads` and `gradcheck` notice."""
    candidate = mistake.wrong
    if mistake.kind == "updates":
        candidate = gradient_of_update(mistake.wrong, mistake.learning_rate)
    return tuple(
        detects(mistake.fun, candidate, mistake.args)
        for detects in (check_grads_detects, gradcheck_detects)
    )


def table(mistakes: list[Mistake]) -> tuple[str, bool]:
    """By cause, then in all: how many are detected and named, and what the peers notice."""
    rows = defaultdict(list)
    for mistake in track(mistakes, "comparing"):
        found = outcome(mistake, report_of(mistake))
        rows[mistake.cause].append((True, found.detected, found.named, *peers(mistake)))
        if not (found.detected and found.named):
            print(f"not as expected: {mistake.name}, {found}", file=sys.stderr)
    lines = [
        "| cause | cases | detected | cause and place right | check_grads | gradcheck |",
        "|---|---|---|---|---|---|",
    ]
    everything = [row for several in rows.values() for row in several]
    for name, several in [*rows.items(), ("all", everything)]:
        counts = (
            "absent" if None in column else sum(column) for column in zip(*several, strict=True)
        )
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
    cases, detected, named = (sum(row[i] for row in everything) for i in range(3))
    return "\n".join(lines), detected == cases and named >= 0.95 * cases


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of mistakes; all without")
    names = set(parser.parse_args().names)
    jax.config.update("jax_platforms", "cpu")
    text, good = table([m for m in MISTAKES if not names or m.name in names])
    print(text)
    sys.exit(not good)
