"""Decides which gradient is wrong: by the leaves, and where they differ by finite differences."""

from collections.abc import Sequence

from jaxpercep.compare.evaluation.arbitration import Verdict, arbitrate
from jaxpercep.compare.evaluation.leaves import LeafReport
from jaxpercep.compare.evaluation.reference import Evaluation


def decide(evaluation: Evaluation, leaves: Sequence[LeafReport]) -> Verdict:
    """Returns the verdict on two gradients whose leaves have been compared."""
    if evaluation.miscompiled:
        return "compiler_wrong"
    measured = [i for i in range(len(evaluation.leaves.paths)) if not leaves[i].note]
    wrong = [i for i in measured if not leaves[i].ok]
    malformed = bool(evaluation.candidate.extra) or any(not leaf.ok for leaf in leaves if leaf.note)
    if not wrong:
        return "manual_wrong" if malformed else "inconclusive" if evaluation.shared else "match"
    wrong.sort(key=lambda i: -leaves[i].max_relative_error)
    verdict = arbitrate(
        evaluation.function,
        evaluation.values,
        evaluation.leaves.positions,
        evaluation.autodiff,
        evaluation.candidate.leaves,
        wrong,
        compiled=evaluation.graph is not None,
    )
    if malformed:
        return "both_wrong" if verdict == "autodiff_wrong" else "manual_wrong"
    return verdict
