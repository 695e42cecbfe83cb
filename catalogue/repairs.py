"""Repairs every mistake of the catalogue, and prints how many are placed and mended, by cause.

A repair is placed if it names a statement that was edited or, for a term that was removed, one that
assigns the variable it was removed from. A suggestion mends a mistake if the file with
the suggestion written into it computes the right gradient.
"""

import argparse
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.progress import track

from catalogue.mistakes import MISTAKES
from catalogue.mistakes.mistake import FOLDER, Mistake, imported
from catalogue.peers import cast
from catalogue.table import is_repaired, report_of
from jaxpercep import Repair


class Outcome(NamedTuple):
    """What reading a mistaken backward pass finds out.

    Attributes:
        repaired: values were found whose replacement makes every leaf right.
        placed: all of them on lines that were edited.
        mended: code was suggested for all of them, and the file with it is right.
    """

    repaired: bool
    placed: bool
    mended: bool


def found(mistake: Mistake) -> Outcome:
    """Reads a mistaken backward pass."""
    report = report_of(mistake)
    placed = is_repaired(mistake, report)
    return Outcome(bool(report.repairs), placed, is_mended(mistake, report.repairs))


def is_mended(mistake: Mistake, repairs: Iterable[Repair]) -> bool:
    """Tells whether the file is right with every suggestion written into it."""
    repairs = list(repairs)
    if not repairs or not all(repair.suggestion for repair in repairs):
        return False
    path = Path(inspect.getsourcefile(mistake.wrong))
    lines = path.read_text().splitlines(keepends=True)
    for repair in repairs:
        n = int(repair.source.rpartition(":")[2]) - 1
        code = repair.code if repair.code in lines[n] else repair.expression
        if lines[n].count(code) != 1:
            return False
        lines[n] = lines[n].replace(code, repair.suggestion)
    mended = Path(FOLDER.name) / f"{mistake.name}_mended.py"
    mended.write_text("".join(lines))
    function = getattr(imported(mended), mistake.wrong.__name__)
    with jax.enable_x64(True):
        pairs = zip(leaves(function, mistake), leaves(mistake.right, mistake), strict=True)
        return all(
            a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs
        )


def leaves(function: Any, mistake: Mistake) -> list[np.ndarray]:
    """Returns what a backward pass returns, in float64."""
    args = jax.tree.map(jax.numpy.asarray, cast(mistake.args, np.float64))
    paths = jax.tree.leaves_with_path(function(*args))
    return [np.asarray(leaf) for _, leaf in sorted(paths, key=lambda pair: str(pair[0]))]


def table(outcomes: Iterable[tuple[Mistake, Outcome]]) -> str:
    """Counts the outcomes, by cause and in all."""
    rows = defaultdict(list)
    for mistake, outcome in outcomes:
        rows[mistake.cause].append((True, *outcome))
    rows["all"] = [row for several in rows.values() for row in several]
    lines = [
        "| cause | cases | repaired | at the edited line | mended by the suggested code |",
        "|---|---|---|---|---|",
    ]
    for name, several in rows.items():
        counts = (str(sum(column)) for column in zip(*several, strict=True))
        lines.append(f"| {name} | {' | '.join(counts)} |")
    return "\n".join(lines)


def main() -> int:
    """Prints the table of the mistakes named on the command line, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of mistakes or of causes; all without")
    names = set(parser.parse_args().names)
    jax.config.update("jax_platforms", "cpu")
    chosen = [m for m in MISTAKES if not names or names & {m.name, m.cause}]
    outcomes = [(mistake, found(mistake)) for mistake in track(chosen, "reading")]
    print(table(outcomes))
    for mistake, outcome in outcomes:
        if not all(outcome):
            print(f"{mistake.name}: {outcome}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
