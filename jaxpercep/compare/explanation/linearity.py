"""The mistakes that a pullback shows when the upstream gradient changes: it ignores it, or bends.

A pullback multiplies the upstream gradient by a matrix, which depends on the arguments alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import jax
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.cotangents import FACTOR, Cotangents
from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.evaluation.trees import distance, distances
from jaxpercep.compare.explanation import messages
from jaxpercep.compare.explanation.diagnosis import Diagnosis

LinearityCause: TypeAlias = Literal["cotangent_ignored", "not_linear"]

At: TypeAlias = Callable[[Any], list[Any]]
"""`cotangent -> all that the pullback returns for it`."""


def agrees(evaluation: Evaluation, cotangent: Any) -> bool:
    """Returns True if both sides surely agree at another cotangent, the last of the arguments."""
    if _is_fixed(evaluation):
        return False
    own, right = _candidate(evaluation)(cotangent), _autodiff(evaluation)(cotangent)
    if evaluation.formula == "float16" and not all(np.isfinite(leaf).all() for leaf in own):
        return True  # it ends at 65504
    apart = distances(own, right)
    sizes = zip(map(trees.largest, right), map(trees.largest, evaluation.autodiff), strict=True)
    stretch = (max(1.0, size / first) if first else 1.0 for size, first in sizes)
    limits = (floor * factor for floor, factor in zip(evaluation.floor, stretch, strict=True))
    return all(distance <= limit for distance, limit in zip(apart, limits, strict=True))


def diagnose_linearity(
    evaluation: Evaluation, cotangents: Cotangents, names: Sequence[str]
) -> Diagnosis | None:
    """Finds out whether a wrong pullback ignores the upstream gradient, or is not linear in it.

    The names are those of all leaves of the arguments.
    """
    if _is_fixed(evaluation):
        return None
    at, right, cotangents = _candidate(evaluation), _autodiff(evaluation), cotangents.wide
    first, floor = at(cotangents.first), evaluation.floor
    if not all(np.isfinite(leaf).all() for leaf in first if leaf is not None):
        return None
    expected = right(cotangents.first)
    wrong = [i for i, apart in enumerate(distances(first, expected)) if not apart <= floor[i]]
    some = wrong if len(wrong) < len(first) else []
    concerned = [names[evaluation.leaves.positions[i]] for i in some]
    for used, others in cotangents.partial():
        stays = [distances(at(other), first) for other in others]
        moves = distances(right(others[0]), expected)
        if wrong and all(not any(s[i] for s in stays) and moves[i] > floor[i] for i in wrong):
            return _diagnosis("cotangent_ignored", messages.cotangent_ignored(used, concerned))
    how = _bent(at, cotangents, floor)
    return None if how is None else _diagnosis("not_linear", messages.not_linear(how))


def _bent(at: At, cotangents: Cotangents, floor: Sequence[float]) -> str | None:
    """Says how a pullback is not linear, or returns None."""
    nothing = at(jax.tree.map(np.zeros_like, cotangents.first))
    if any(distance(leaf, 0 * leaf) for leaf in nothing if leaf is not None):
        return "at dy = 0 it does not return 0"
    first, second = at(cotangents.first), at(cotangents.second)
    multiple, total = at(cotangents.multiple), at(cotangents.sum)
    compared = [i for i, leaf in enumerate(first) if leaf is not None]
    for i in compared:
        if not np.isfinite(multiple[i]).all():
            return None  # float16 ends at 65504
        if not distance(multiple[i], FACTOR * first[i]) <= 2 * (1 + abs(FACTOR)) * floor[i]:
            return f"at {FACTOR} dy it does not return {FACTOR} times what it returns at dy"
    for i in compared:
        if not distance(total[i], first[i] + second[i]) <= 8 * floor[i]:
            return "at a sum of two it does not return the sum of what it returns at each"
    return None


def _is_fixed(evaluation: Evaluation) -> bool:
    """Returns True for a candidate that could not be run in float64: one answer stands for all."""
    return evaluation.candidate is evaluation.candidate_native


def _candidate(evaluation: Evaluation) -> At:
    wide = evaluation.wide

    def at(cotangent: Any) -> list[Any]:
        leaves = wide.candidate.at((*wide.args[:-1], trees.cast(cotangent, "float64"))).leaves
        return [None if leaf is None else np.asarray(leaf, np.float64) for leaf in leaves]

    return at


def _autodiff(evaluation: Evaluation) -> At:
    wide = evaluation.wide

    def at(cotangent: Any) -> list[Any]:
        values = jax.tree.leaves((*wide.args[:-1], trees.cast(cotangent, "float64")))
        return list(wide.function.value_and_gradient(values).leaves)

    return at


def _diagnosis(cause: LinearityCause, message: str) -> Diagnosis:
    return Diagnosis(cause, None, None, None, None, None, message, float("nan"))
