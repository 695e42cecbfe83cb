"""Says in a sentence what is wrong with a leaf, and how to fix it; `flow_causes` has the others."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from jaxpercep.compare.program.words import cotangent

SHOWN = 4  # places or leaves that a sentence lists
LINEAR_IN = {"dy": ("upstream gradient", "pullback"), "t": ("tangent", "rule")}


class FactorNames:
    """Meanings of factors, given the arguments that are not differentiated: usually a batch."""

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
        """Returns the meaning of a factor, or None."""
        for known, name in self.known.items():
            if abs(factor / float(known) - 1) < 1e-8:
                return name
        return None


def listed(leaves: Sequence[str]) -> str:
    """Lists the gradients by leaves as part of a sentence."""
    names = [cotangent(leaf) for leaf in leaves]
    if len(names) > SHOWN:
        names = [*names[: SHOWN - 1], f"{len(names) - SHOWN + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def scaled(leaves: Sequence[str], others: Sequence[str], factor: float, names: FactorNames) -> str:
    """Says which factor a leaf has, and where it comes from if that is known."""
    subject, verb = _subject(leaves, others)
    name = names(factor)
    meant = f" = {name}" if name and name != _number(factor) else ""
    text = f"{subject} {verb} {_number(factor)}{meant} times what {_it(leaves, others)} should be"
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


def sign_flipped(leaves: Sequence[str], others: Sequence[str]) -> str:
    """Says that a sign is wrong."""
    subject, verb = _subject(leaves, others)
    has = "has" if verb == "is" else "have"
    return f"{subject} {has} the wrong sign: negate {'it' if verb == 'is' else 'them'}."


def weight_decay(leaves: Sequence[str], others: Sequence[str], coefficient: float) -> str:
    """Says that the gradient of an L2 penalty is missing, or does not belong there."""
    subject, verb = _subject(leaves, others)
    size = _number(abs(coefficient))
    if coefficient < 0:
        return (
            f"{subject} {'lacks' if verb == 'is' else 'lack'} the gradient of an L2 penalty: "
            f"add {size} times the weight."
        )
    return (
        f"{subject} {'includes' if verb == 'is' else 'include'} the gradient of an L2 penalty that "
        f"the function does not have: subtract {size} times the weight."
    )


def of_leaf(cause: str, name: str, note: str) -> str:
    """Says what is wrong with one leaf, for the causes without a number."""
    leaf = cotangent(name)
    if cause == "structure" and note == "missing":
        return f"{leaf} is missing from the gradient."
    texts = {
        "transposed": f"{leaf} is transposed: x.T @ dy is the gradient of w in x @ w.",
        "swapped": f"{leaf} and {cotangent(note)} have been swapped: swap them back.",
        "zero": f"{leaf} is zero {note or 'everywhere: it was never filled in'}.",
        "not_finite": f"{leaf} is not finite ({note} numbers), although the right gradient is.",
        "not_reduced": f"{leaf} {note}, since every sample uses the same parameter.",
        "wrong_axis": f"{leaf} {note}.",
        "structure": f"{leaf} has {note}.",
    }
    return texts[cause]


def cotangent_ignored(used: str, leaves: Sequence[str], name: str) -> str:
    """Says that a rule uses only a part of the upstream gradient, or nothing of it if `""`.

    The leaves are those that it concerns, if it is not all of them; `name` is that of the upstream
    gradient, `"dy"`, or of the tangents, `"t"`.
    """
    what, rule = LINEAR_IN[name]
    concerned = f" for {listed(leaves)}" if leaves else ""
    if not used:
        return (
            f"The {what} is ignored{concerned}: whatever {name} is, the {rule} returns the same. "
            f"Multiply by {name}."
        )
    return (
        f"Of the {what} only {used} is used{concerned}: whatever the rest of {name} is, the "
        f"{rule} returns the same. Every number of {name} counts."
    )


def not_linear(how: str, name: str) -> str:
    """Says that a rule is not linear in the upstream gradient, or in the tangents."""
    what, rule = LINEAR_IN[name]
    return (
        f"The {rule} is not linear in the {what} {name}: {how}. It must multiply {name} by "
        "derivatives and add up, nothing else: clip or normalize gradients after they have been "
        "computed."
    )


def unexplained(leaves: Sequence[str], places: Sequence[str]) -> str:
    """Says where a mistake without a name is."""
    text = f"{listed(leaves)} {_verb(leaves)} wrong, and no known mistake explains {_them(leaves)}."
    if not places:
        return text
    if len(places) > SHOWN:
        places = [*places[:SHOWN], f"{len(places) - SHOWN} more"]
    one_of = "one of: " if len(places) > 1 else ""
    return f"{text} The mistake is in the backward pass of {one_of}{'; '.join(places)}."


def _subject(leaves: Sequence[str], others: Sequence[str]) -> tuple[str, str]:
    if not others and len(leaves) > 1:
        return "Every leaf", "is"
    return listed(leaves), _verb(leaves)


def _verb(leaves: Sequence[str]) -> str:
    return "is" if len(leaves) == 1 else "are"


def _it(leaves: Sequence[str], others: Sequence[str]) -> str:
    return "it" if len(leaves) == 1 or not others else "they"


def _them(leaves: Sequence[str]) -> str:
    return "it" if len(leaves) == 1 else "them"


def _number(value: float) -> str:
    """Writes a number with nine digits, or as many as distinguish it from 1 and -1."""
    texts = (f"{value:.{digits}g}" for digits in range(9, 17))
    return next((text for text in texts if abs(float(text)) != 1), repr(value))
