"""Compare a hand-written gradient with autodiff: find out which is wrong, where, and how to fix it.

`entry` and `rules` hold the public functions, `comparison` what these have in common, and `report`
what they return. They stand on four wings, each of which imports only from those before it:
`program` turns a function into a graph of operations, `evaluation` computes both gradients and
decides between them, `explanation` finds the mistakes that reproduce the hand-written gradient,
`candidate` reads the source of the hand-written gradient, says what each of its values is, and
repairs it.
"""

from jaxpercep.compare.annotation import annotate_gradients
from jaxpercep.compare.candidate.annotated import AnnotatedBackward
from jaxpercep.compare.candidate.repair import Repair
from jaxpercep.compare.entry import (
    assert_custom_vjp,
    assert_gradients,
    assert_model,
    assert_updates,
    assert_vjp,
    compare_custom_vjp,
    compare_gradients,
    compare_model,
    compare_updates,
    compare_vjp,
)
from jaxpercep.compare.evaluation.leaves import LeafReport
from jaxpercep.compare.explanation.diagnosis import Diagnosis
from jaxpercep.compare.report import GradientReport

__all__ = [
    "AnnotatedBackward",
    "Diagnosis",
    "GradientReport",
    "LeafReport",
    "Repair",
    "annotate_gradients",
    "assert_custom_vjp",
    "assert_gradients",
    "assert_model",
    "assert_updates",
    "assert_vjp",
    "compare_custom_vjp",
    "compare_gradients",
    "compare_model",
    "compare_updates",
    "compare_vjp",
]
