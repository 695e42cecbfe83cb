"""One comparison: evaluates both gradients, decides between them, and explains a difference.

The gradients are evaluated as the caller has them (`native`), then in float64 (`reference`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from jaxpercep.compare.candidate.backward import Backward, Candidate
from jaxpercep.compare.candidate.quiet import printing_once
from jaxpercep.compare.evaluation.arguments import check_finite, check_scalar
from jaxpercep.compare.evaluation.cotangents import Cotangents
from jaxpercep.compare.evaluation.leaves import LeafReport, compare_leaves
from jaxpercep.compare.evaluation.native import Native
from jaxpercep.compare.evaluation.reference import Evaluation, evaluate
from jaxpercep.compare.evaluation.verdict import decide
from jaxpercep.compare.explanation.diagnose import diagnose
from jaxpercep.compare.explanation.diagnosis import Explanations
from jaxpercep.compare.explanation.linearity import agrees, diagnose_linearity
from jaxpercep.compare.program.words import by_path, leaf_names
from jaxpercep.compare.report import GradientReport

Explain: TypeAlias = Callable[[Evaluation, Sequence[Any], Sequence[str]], Explanations]
"""`(evaluation, arguments not to differentiate by, names of all leaves) -> explanations`."""


class Judged(NamedTuple):
    """The candidate, to be read when asked for, the leaves, and what explains the wrong ones."""

    backward: Backward
    leaves: tuple[LeafReport, ...]
    explanations: Explanations

    def report(self) -> GradientReport:
        """Returns what the caller sees."""
        backward, evaluation = self.backward, self.backward.evaluation
        shared = _about(evaluation.shared) if evaluation.shared else None
        remark = shared or evaluation.miscompiled or evaluation.inexact
        return GradientReport(
            backward.verdict, self.leaves, self.explanations, evaluation.formula, backward, remark
        )


def judged(
    fun: Callable[..., Any],
    grad_fun: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | tuple[int, ...],
    candidate: Candidate,
    rate: float | None = None,
    *,
    explain: Explain | None = None,
) -> Judged:
    """Compares and decides; with a rate, the gradient implied by a step of it.

    The explanations are () unless they are asked for.
    """
    check_finite(args, argnums)
    check_scalar(fun, args)
    native = Native.of(fun, printing_once(grad_fun), args, argnums)
    chosen = {n % len(args) for n in ((argnums,) if isinstance(argnums, int) else argnums)}
    batch = jax.tree.leaves([arg for n, arg in enumerate(args) if n not in chosen])
    explanations: Explanations = ()
    with native.double_precision():
        names = leaf_names(candidate.names, args)
        evaluation = evaluate(native, names, rate)
        leaves = compare_leaves(evaluation, by_path(candidate.names, argnums))
        verdict = decide(evaluation, leaves)
        unexplained = verdict in ("manual_wrong", "both_wrong", "inconclusive")
        if explain is not None and unexplained and not evaluation.shared:
            with np.errstate(invalid="ignore"):  # derivatives may be infinite
                explanations = explain(evaluation, batch, names)
    return Judged(Backward(candidate, native, evaluation, batch, verdict), leaves, explanations)


def compared(
    fun: Callable[..., Any],
    grad_fun: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | tuple[int, ...],
    candidate: Candidate,
    rate: float | None = None,
) -> GradientReport:
    """Compares, decides and diagnoses."""
    explain = partial(diagnose, rate=rate)
    return judged(fun, grad_fun, args, argnums, candidate, rate, explain=explain).report()


def compared_as_linear(
    fun: Callable[..., Any],
    grad_fun: Callable[..., Any],
    args: tuple[Any, ...],
    cotangents: Cotangents,
    argnums: int | tuple[int, ...],
    candidate: Candidate,
) -> Judged:
    """Compares a pullback at cotangents, the last argument of both functions.

    If it is right at the first one, it must be so at the others, too. Where it seems not to be, a
    whole comparison decides, which measures the rounding there.
    """

    def explain(evaluation: Evaluation, batch: Sequence[Any], names: Sequence[str]) -> Explanations:
        found = diagnose_linearity(evaluation, cotangents, names)
        return ((found,),) if found else diagnose(evaluation, batch, names)

    def at(cotangent: Any) -> Judged:
        return judged(fun, grad_fun, (*args, cotangent), argnums, candidate, explain=explain)

    first = at(cotangents.first)
    if first.backward.verdict != "match":
        return first
    with first.backward.native.double_precision():
        evaluation = first.backward.evaluation
        suspicious = [dy for dy in cotangents.others if not agrees(evaluation, dy)]
    others = (other for other in map(at, suspicious) if other.backward.verdict != "match")
    return next(others, first)


def _about(shared: tuple[str, ...]) -> str:
    """Says that nothing has been compared with a rule that both sides run."""
    rule = f"the jax.custom_vjp {'rule' if len(shared) == 1 else 'rules'} of {', '.join(shared)}"
    return (
        f"Both sides run {rule}, so that nothing independent was compared with it. Compare it with "
        "autodiff of the function that it belongs to: compare_custom_vjp(fun, *args)."
    )
