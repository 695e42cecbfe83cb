"""A diagnosis: one mistake in a hand-written gradient, its place, and how to fix it."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Diagnosis:
    """One mistake in a hand-written gradient.

    Attributes:
        cause: its code; docs/comparing-gradients.md lists them.
        leaf: the path of the leaf, or None if it concerns several, or the flow between them.
        operation: the operation whose pullback is wrong, as `"tanh"` or `"dot_general"`, or None.
        source: `"file.py:12"`, the line of that operation in the forward pass, or None.
        location: `"layers[1]: sigmoid"`, `"iteration 3 of 4"`, or None.
        factor: candidate / right of `scaled`, the coefficient of `weight_decay`, or None.
        message: the mistake and how to fix it, in a sentence or two.
        residual: the relative mismatch that remains if this is the cause; nan if unexplained.
    """

    cause: str
    leaf: str | None
    operation: str | None
    source: str | None
    location: str | None
    factor: float | None
    message: str
    residual: float


Explanations: TypeAlias = tuple[tuple[Diagnosis, ...], ...]
"""The explanations of a wrong gradient, simplest first, each the mistakes that it takes."""
