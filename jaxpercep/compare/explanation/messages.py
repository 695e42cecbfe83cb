"""What a mistake is called in a sentence, and how it is mended."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

SHOWN = 4  # places or leaves that a sentence lists


class FactorNames:
    """What a factor means, given the arguments that are not differentiated: a batch, mostly."""

    def __init__(self, batch: Sequence[Any]) -> None:
        shapes = [np.shape(leaf) for leaf in batch if np.ndim(leaf) > 0]
        self.batch = shapes[0][0] if shapes else 1
        outputs = shapes[-1][-1] if shapes and len(shapes[-1]) > 1 else 1
        self.known: dict[Fraction, str] = {}
        sizes = {
            "the batch size": self.batch,
            "the number of outputs": outputs,
            "the number of targets": self.batch * outputs,
        }
        for name, size in sizes.items():
            if size > 1:
                self.known.setdefault(Fraction(1, size), f"1 / {name.removeprefix('the ')}")
                self.known.setdefault(Fraction(size), name)
        for simple in (Fraction(2), Fraction(1, 2), Fraction(4), Fraction(1, 4)):
            self.known.setdefault(simple, str(simple))
        for factor, name in list(self.known.items()):
            self.known.setdefault(2 * factor, f"2 x {name}")
            self.known.setdefault(factor / 2, f"half of {name}")
            self.known.setdefault(-factor, f"minus {name}")
        self.known.pop(Fraction(1), None)  # half of 2, say

    def __call__(self, factor: float) -> str | None:
        """The meaning of a factor, or None."""
        for known, name in self.known.items():
            if abs(factor / float(known) - 1) < 1e-8:
                return name
        return None


def listed(paths: Sequence[str]) -> str:
    """The paths of leaves as a part of a sentence."""
    names = [f"grad{path}" for path in paths]
    if len(names) > SHOWN:
        names = [*names[: SHOWN - 1], f"{len(names) - SHOWN + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def scaled(paths: Sequence[str], others: Sequence[str], factor: float, names: FactorNames) -> str:
    """Says what factor a leaf has, and what it comes from where that can be told."""
    subject, verb = _subject(paths, others)
    name = names(factor)
    meant = f" = {name}" if name and name != _number(factor) else ""
    text = f"{subject} {verb} {_number(factor)}{meant} times what {_it(paths, others)} should be"
    if names.batch > 1 and abs(factor * names.batch - 1) < 1e-8:
        rest = f" while {listed(others)} {_verb(others)} summed" if others else ""
        return (
            f"{text}: averaged over the batch of {names.batch}{rest}. Sum over the batch instead, "
            f"or multiply by {names.batch}."
        )
    if names.batch > 1 and abs(factor / names.batch - 1) < 1e-8:
        rest = f" while {listed(others)} {_verb(others)} not" if others else ""
        return (
            f"{text}: summed over the batch where the loss averages{rest}. Divide by {names.batch}."
        )
    return f"{text}. Divide by {_number(factor)}."


def sign_flipped(paths: Sequence[str], others: Sequence[str]) -> str:
    """Says that a sign is wrong."""
    subject, verb = _subject(paths, others)
    return f"{subject} {verb} minus what {_it(paths, others)} should be. Flip the sign."


def weight_decay(paths: Sequence[str], others: Sequence[str], coefficient: float) -> str:
    """Says that the gradient of an L2 penalty is missing or too much."""
    subject, verb = _subject(paths, others)
    size = _number(abs(coefficient))
    if coefficient < 0:
        return (
            f"{subject} {'lacks' if verb == 'is' else 'lack'} the gradient of an L2 penalty: "
            f"add {size} times the weight."
        )
    return (
        f"{subject} {'has' if verb == 'is' else 'have'} the gradient of an L2 penalty that the "
        f"function does not have: take off {size} times the weight."
    )


def of_leaf(cause: str, path: str, note: str) -> str:
    """Says what is wrong with one leaf, for the causes that have no number."""
    leaf = f"grad{path}"
    texts = {
        "transposed": f"{leaf} is transposed: x.T @ dy is the gradient of w in x @ w.",
        "swapped": f"{leaf} and grad{note} have been exchanged: swap them.",
        "zero": f"{leaf} is zero throughout: it was never filled.",
        "not_finite": f"{leaf} is not finite ({note} numbers), while the right one is.",
        "not_reduced": (
            f"{leaf} still has the batch axis ({note}): sum over it, for every sample uses the "
            "same parameter."
        ),
        "structure": f"{leaf} has the wrong shape: {note}.",
    }
    if cause == "structure" and note == "missing":
        return f"{leaf} is missing from the gradient."
    return texts[cause]


def of_flow(cause: str, operation: str, place: str, *, only: str | None, in_loop: bool) -> str:
    """Says what is wrong with one pullback."""
    if cause == "missing_derivative":
        return (
            f"The derivative of {operation} {place} was left out: multiply what comes back by it."
        )
    if cause == "derivative_at_output":
        return (
            f"The derivative of {operation} {place} was evaluated at its output y, where its input "
            "z is due: f'(z), or its formula in y."
        )
    if cause == "wrong_orientation":
        return f"What comes back was multiplied by w {place}, where w^T is due: dy @ w.T."
    if cause == "stale_weights":
        return (
            f"What comes back was pulled through weights {place} that had already been updated: "
            "compute every gradient first, then update."
        )
    if only:
        return (
            f"Of all uses of one value, only that {only} contributes to its gradient: add up "
            "(+=) what comes back from each, do not overwrite (=)."
        )
    if in_loop:
        return f"What the loop hands on from step to step contributes nothing {place}: add it."
    return (
        f"One of several uses of a value contributes nothing to its gradient, that by {operation} "
        f"{place}: add it (+=)."
    )


def unexplained(paths: Sequence[str], places: Sequence[str]) -> str:
    """Says where a mistake is that has no name."""
    text = f"{listed(paths)} {_verb(paths)} wrong, and no known mistake makes {_them(paths)} so."
    if not places:
        return text
    if len(places) > SHOWN:
        places = [*places[:SHOWN], f"{len(places) - SHOWN} more"]
    one_of = "one of: " if len(places) > 1 else ""
    return f"{text} The mistake is in the backward pass of {one_of}{'; '.join(places)}."


def _subject(paths: Sequence[str], others: Sequence[str]) -> tuple[str, str]:
    if not others and len(paths) > 1:
        return "Every leaf", "is"
    return listed(paths), _verb(paths)


def _verb(paths: Sequence[str]) -> str:
    return "is" if len(paths) == 1 else "are"


def _it(paths: Sequence[str], others: Sequence[str]) -> str:
    return "it" if len(paths) == 1 or not others else "they"


def _them(paths: Sequence[str]) -> str:
    return "it" if len(paths) == 1 else "them"


def _number(value: float) -> str:
    """With nine digits, or as many as tell it from 1 and -1."""
    texts = (f"{value:.{digits}g}" for digits in range(9, 17))
    return next((text for text in texts if abs(float(text)) != 1), repr(value))
