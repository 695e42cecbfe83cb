"""Repairs every mistake of the catalogue, and prints how many are placed and mended, by cause.

A repair is placed if it names a statement that was edited or, for a term that was removed, one that
assigns the variable it was removed from. A suggestion mends a mistake if the file with the
suggestion written into it computes the right gradient, at these arguments and at random ones. A
mistake of structure, which no value mends, states why; it is counted apart, and must not be
repaired.

Reading may take 2 s of processor time for a candidate in NumPy, 5 s for one in JAX.
"""

import argparse
import inspect
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.progress import track

from catalogue.mistakes import MISTAKES
from catalogue.mistakes.mistake import FOLDER, Mistake, edited, imported
from catalogue.peers import cast
from catalogue.table import has_place, is_placed, report_of
from jaxpercep import Repair
from jaxpercep.compare.candidate.backward import Backward, Candidate
from jaxpercep.compare.candidate.runs import drawn
from jaxpercep.compare.comparison import judged


class Outcome(NamedTuple):
    """What reading a mistaken backward pass finds out.

    Attributes:
        repaired: values were found whose replacement makes every leaf right.
        placed: all of them on lines that were edited.
        suggested: code was suggested for all of them.
        mended: the file with this code in it is right.
        quick: it was read within the time that reading may take.
    """

    repaired: bool
    placed: bool
    suggested: bool
    mended: bool
    quick: bool


SECONDS = {True: 2.0, False: 5.0}  # of processor time, for candidates in NumPy, and in JAX


def found(mistake: Mistake) -> tuple[Outcome, tuple[Repair, ...]]:
    """Reads a mistaken backward pass."""
    backward = compared(mistake)
    started = time.process_time()
    repairs = backward.annotated.repairs
    in_numpy = backward.native.sides.candidate.traced is None
    quick = time.process_time() - started <= SECONDS[in_numpy]
    placed = is_placed(mistake, repairs)
    suggested = bool(repairs) and all(repair.suggestion for repair in repairs)
    mended = suggested and is_mended(mistake, repairs)
    return Outcome(bool(repairs), placed, suggested, mended, quick), repairs


def compared(mistake: Mistake) -> Backward:
    """Compares a mistake, without naming it."""
    if mistake.kind == "gradients":
        candidate = Candidate.of(mistake.fun, mistake.wrong, mistake.args)
        return judged(mistake.fun, mistake.wrong, mistake.args, 0, candidate).backward
    return report_of(mistake).backward


def is_mended(mistake: Mistake, repairs: Iterable[Repair]) -> bool:
    """Tells whether the file is right with every suggestion written into it, at any arguments."""
    path = Path(inspect.getsourcefile(mistake.wrong))
    lines = path.read_text().splitlines(keepends=True)
    for repair in repairs:
        n = int(repair.source.rpartition(":")[2]) - 1
        code = repair.code if repair.code in lines[n] else repair.expression
        if lines[n].count(code) != 1:
            return False
        new = repair.suggestion if repair.variable else f"({repair.suggestion})"
        lines[n] = lines[n].replace(code, new)
    mended = Path(FOLDER.name) / f"{mistake.name}_mended.py"
    mended.write_text("".join(lines))
    params = range(len(jax.tree.leaves(mistake.args[0])))
    with jax.enable_x64(True):
        wide = jax.tree.map(jax.numpy.asarray, cast(mistake.args, np.float64))
        try:
            function = getattr(imported(mended), mistake.wrong.__name__)
            return all(
                is_same(function(*args), mistake.right(*args))
                for args in (wide, *(drawn(wide, params, seed) for seed in (8, 9)))
            )
        except Exception:  # whatever it is, what was suggested cannot be run
            return False


def is_same(some: Any, others: Any) -> bool:
    """Tells whether two gradients are equal, whatever holds their leaves."""
    pairs = zip(leaves(some), leaves(others), strict=True)
    return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs)


def leaves(gradient: Any) -> list[np.ndarray]:
    """Returns the leaves of a gradient by their paths."""
    paths = jax.tree.leaves_with_path(gradient)
    return [np.asarray(leaf) for _, leaf in sorted(paths, key=lambda pair: str(pair[0]))]


def table(outcomes: Iterable[tuple[Mistake, Outcome]]) -> str:
    """Counts the outcomes, by cause and in all; of structural mistakes the number alone."""
    rows = defaultdict(list)
    for mistake, outcome in outcomes:
        is_structural = mistake.structural is not None
        counted = Outcome(*(False for _ in outcome)) if is_structural else outcome
        rows[mistake.cause].append((True, is_structural, *counted))
    rows["all"] = [row for several in rows.values() for row in several]
    lines = [
        "| cause | cases | structural | repaired | at the edited line | suggested | mended by it "
        "| in time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, several in rows.items():
        counts = (str(sum(column)) for column in zip(*several, strict=True))
        lines.append(f"| {name} | {' | '.join(counts)} |")
    return "\n".join(lines)


def surprise(mistake: Mistake, outcome: Outcome) -> str:
    """Says what is false, or not as the catalogue says."""
    if mistake.structural is not None and outcome.repaired:
        return "repaired, although it is structural"
    if outcome.suggested and not outcome.mended:
        return "what is suggested does not mend it"
    return "" if outcome.placed == has_place(mistake) else "not placed as the catalogue says"


def told(mistake: Mistake, outcome: Outcome) -> str:
    """Says in a line what was found out about a mistake."""
    lines = ", ".join(map(str, sorted(edited(mistake).lines)))
    flaws = ", ".join(name for name, value in outcome._asdict().items() if not value)
    if mistake.structural is not None:
        flaws = f"structural: {mistake.structural}"
    elif flaws:
        flaws = f"not {flaws}"
    found = "; ".join(filter(None, (flaws, surprise(mistake, outcome)))) or "all well"
    return f"{mistake.name}, edited at {lines}; {found}"


def main() -> int:
    """Prints the table of the mistakes named on the command line, or of all.

    Returns:
        1 if a suggestion does not mend, a structural mistake is repaired, or a mistake is placed
        otherwise than the catalogue says.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of mistakes or of causes; all without")
    names = set(parser.parse_args().names)
    jax.config.update("jax_platforms", "cpu")
    chosen = [m for m in MISTAKES if not names or names & {m.name, m.cause}]
    outcomes = []
    for mistake in track(chosen, "reading"):
        outcome, repairs = found(mistake)
        outcomes.append((mistake, outcome))
        print(told(mistake, outcome))
        print(*(f"  {repair}" for repair in repairs), sep="\n", flush=True)
    print(table(outcomes))
    return int(any(surprise(*pair) for pair in outcomes))


if __name__ == "__main__":
    sys.exit(main())
