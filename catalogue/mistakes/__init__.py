"""Wrong hand-written backward passes, each with the cause that a comparison has to name.

A mistake is one edit of a right backward pass of `catalogue.networks`, as it would be seen in a
diff: `{text that was there: text with the mistake}`.
"""

from catalogue.mistakes.algebra import OF_ALGEBRA
from catalogue.mistakes.contractions import OF_CONTRACTIONS
from catalogue.mistakes.criteria import OF_CRITERIA
from catalogue.mistakes.derivative_at_output import DERIVATIVE_AT_OUTPUT
from catalogue.mistakes.dropped_path import DROPPED_PATH
from catalogue.mistakes.embeddings import OF_EMBEDDINGS
from catalogue.mistakes.field import FROM_THE_FIELD
from catalogue.mistakes.images import OF_IMAGES
from catalogue.mistakes.leaves import SEEN_FROM_A_LEAF
from catalogue.mistakes.missing_derivative import MISSING_DERIVATIVE
from catalogue.mistakes.mistake import Mistake
from catalogue.mistakes.norms import OF_NORMS
from catalogue.mistakes.scales import OF_SCALES
from catalogue.mistakes.sequences import OF_SEQUENCES
from catalogue.mistakes.slopes import OTHER_SLOPES
from catalogue.mistakes.unexplained import UNEXPLAINED
from catalogue.mistakes.weights import STALE_WEIGHTS, WRONG_ORIENTATION

MISTAKES: tuple[Mistake, ...] = (
    *SEEN_FROM_A_LEAF,
    *MISSING_DERIVATIVE,
    *DERIVATIVE_AT_OUTPUT,
    *OTHER_SLOPES,
    *WRONG_ORIENTATION,
    *DROPPED_PATH,
    *STALE_WEIGHTS,
    *UNEXPLAINED,
    *FROM_THE_FIELD,
    *OF_NORMS,
    *OF_IMAGES,
    *OF_SEQUENCES,
    *OF_EMBEDDINGS,
    *OF_CRITERIA,
    *OF_ALGEBRA,
    *OF_SCALES,
    *OF_CONTRACTIONS,
)
