"""Prints docs/from-the-field.md: what a comparison says of mistakes of the public record."""

import difflib
import inspect
import sys
import textwrap
from collections.abc import Iterable
from typing import NamedTuple

import jax
from rich.console import Console
from rich.progress import track

from catalogue.mistakes import MISTAKES
from catalogue.mistakes.mistake import Mistake
from catalogue.table import report_of
from jaxpercep import GradientReport

HEADER = """# From the field

Wrong backward passes of the public record, written anew from their formulas, and what a comparison
says of each. Its first sentence is about the backward pass, the last about the forward pass. The
files that it names are the edited backward passes; the right ones are in `catalogue/networks/`.
`python -m catalogue.field` prints this page.
"""


class Report(NamedTuple):
    """A public report of a wrong backward pass.

    Attributes:
        mistake: its name in the catalogue.
        where: the project, and the number of the report there.
        what: was wrong, in a sentence.
    """

    mistake: str
    where: str
    what: str


REPORTS = (
    Report(
        "mean_over_samples_for_samples_and_outputs",
        "scikit-learn #8349",
        "The loss of `MLPRegressor` is half the mean over samples and outputs, its gradient that "
        "over samples. `jaxpercep compare examples/scikit_learn_regressor.py` asks the installed "
        "scikit-learn itself.",
    ),
    Report(
        "weight_counted_twice_in_rms_norm",
        "Megatron-LM #6859",
        "In the second term of the gradient of RMS norm the weight is counted twice.",
    ),
    Report(
        "mean_subtracted_twice_in_layer_norm",
        "tt-metal #53204",
        "The gradient of layer norm subtracts the mean of the upstream gradient twice. A test with "
        "an absolute tolerance of 0.5 had passed it.",
    ),
    Report(
        "softplus_slope_of_the_upstream_gradient",
        "tiny-cuda-nn #130",
        "The derivative of softplus is taken at the upstream gradient instead of at its input.",
    ),
    Report(
        "parentheses_of_the_tanh_slope_missing",
        "TVM #7340",
        "The derivative of tanh lacks its parentheses.",
    ),
    Report(
        "gelu_slope_of_the_tanh_form",
        "TinyTorch #1399",
        "GELU is x sigmoid(1.702 x) forward, and the tanh form backward.",
    ),
    Report(
        "gradient_rotated_before_it_meets_the_sines",
        "Paddle #74716",
        "In rotary embeddings, the upstream gradient is rotated before it is multiplied by the "
        "sines. The test had both halves of the sines equal.",
    ),
    Report(
        "penalty_without_the_upstream_gradient",
        "flash-linear-attention #963",
        "The gradient of a penalty on the logits is not multiplied by the upstream gradient, which "
        "was 1 in the test.",
    ),
    Report(
        "diagonal_of_the_softmax_in_attention",
        "libnd4j #440",
        "The gradient of softmax is that of its diagonal alone, p (1 - p).",
    ),
    Report(
        "mask_of_dropout_not_applied",
        "numpy-ml #94",
        "The gradient of dropout is divided by the share that is kept, and not masked.",
    ),
    Report(
        "squared_error_without_the_sigmoid",
        "Bot-Academy #3",
        "With a squared error behind a sigmoid, its derivative is left out.",
    ),
    Report(
        "hidden_bias_before_the_slope",
        "deepcourse #9",
        "The gradient of the hidden bias is taken above the tanh instead of below it.",
    ),
    Report(
        "two_of_three_uses_in_a_cube_dropped",
        "TensorFlow.NET #303",
        "Of three uses of one value in a product, the gradient counts one.",
    ),
    Report(
        "assigned_instead_of_accumulated",
        "nn-zero-to-hero, notebook of micrograd",
        "Where a value is used more than once, its gradient is overwritten instead of added to.",
    ),
    Report(
        "probabilities_held_constant_in_their_gradient",
        "TensorFlow #7403",
        "The gradient of softmax with cross entropy is right, and its own gradient is 0. A "
        "comparison finds it with `order=2`.",
    ),
    Report(
        "nothing_returned_for_the_residuals_of_a_pullback",
        "JAX #21220",
        "The rule of a pullback returns nothing for what it depends on besides the upstream "
        "gradient. A comparison finds it with `order=2`.",
    ),
)


def page(reports: Iterable[Report] = REPORTS) -> str:
    """Returns the page, or some of its sections."""
    by_name = {mistake.name: mistake for mistake in MISTAKES}
    pairs = ((one, by_name[one.mistake]) for one in reports)
    return "\n".join([HEADER, *(section(*pair, report_of(pair[1])) for pair in pairs)])


def section(public: Report, mistake: Mistake, report: GradientReport) -> str:
    """Returns what was reported, the edit, and what a comparison says of it."""
    said = str(report).partition(" compared in float64")[0].rpartition("\n")[0]
    what = textwrap.fill(public.what, 100)
    return f"## {public.where}\n\n{what}\n\n```diff\n{edit(mistake)}\n```\n\n```text\n{said}\n```\n"


def edit(mistake: Mistake) -> str:
    """Returns the lines of the right backward pass that the mistake changes, and its own."""
    sides = (inspect.getsourcelines(side)[0] for side in (mistake.right, mistake.wrong))
    lines = [line.rstrip("\n") for line in difflib.ndiff(*map(list, sides))]
    return "\n".join(line for line in lines if line[:2] in ("- ", "+ "))


def main() -> int:
    """Prints the page."""
    jax.config.update("jax_platforms", "cpu")
    print(page(track(REPORTS, "comparing", console=Console(stderr=True))), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
