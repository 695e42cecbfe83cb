"""Compare a hand-written gradient with autodiff: find out which is wrong, where, and how to fix it.

`entry`, `rules`, `forward_mode` hold the public functions, `comparison` what they have in common,
`further` what else is asked of a rule, `report` what they return. They stand on four wings, each
of which imports only from those before it: `program` turns a function into a graph of operations,
`evaluation` computes both gradients and decides between them, `explanation` finds the mistakes that
reproduce the hand-written gradient, `candidate` reads the source of the hand-written gradient, says
what each of its values is, and repairs it.
"""

from jaxpercep.compare.annotation import annotate_gradients
from jaxpercep.compare.candidate.annotated import AnnotatedBackward
from jaxpercep.compare.candidate.repair import Repair
from jaxpercep.compare.entry import (
    assert_custom_jvp,
    assert_custom_vjp,
    assert_gradients,
    assert_jvp,
    assert_model,
    assert_updates,
    assert_vjp,
    compare_custom_jvp,
    compare_custom_vjp,
    compare_gradients,
    compare_jvp,
    compare_model,
    compare_updates,
    compare_vjp,
)
from jaxpercep.compare.evaluation.leaves import LeafReport
from jaxpercep.compare.explanation.blind_spots import BlindSpots
from jaxpercep.compare.explanation.diagnosis import Diagnosis
from jaxpercep.compare.explanation.suggestion import suggest_arguments
from jaxpercep.compare.report import GradientReport

__all__ = [
    "AnnotatedBackward",
    "BlindSpots",
    "Diagnosis",
    "GradientReport",
    "LeafReport",
    "Repair",
    "annotate_gradients",
    "assert_custom_jvp",
    "assert_custom_vjp",
    "assert_gradients",
    "assert_jvp",
    "assert_model",
    "assert_updates",
    "assert_vjp",
    "compare_custom_jvp",
    "compare_custom_vjp",
    "compare_gradients",
    "compare_jvp",
    "compare_model",
    "compare_updates",
    "compare_vjp",
    "suggest_arguments",
]
