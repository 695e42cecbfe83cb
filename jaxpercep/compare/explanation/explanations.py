"""Explanations: mistakes in leaves, in the gradient's flow, or in both, and what they explain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np

from jaxpercep.compare.evaluation.trees import largest
from jaxpercep.compare.explanation.flow_causes import FLOW_CAUSES
from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.leaf_causes import FEW, LeafCause, LeafFinding, Mended
from jaxpercep.compare.explanation.mismatch import Mismatch

CLOSE = 1e-10  # relative: in float64 a right explanation is far closer, a wrong one far worse
ORDER: tuple[str, ...] = (
    *get_args(LeafCause),
    "held_constant",  # simpler to say than which derivative has no effect then
    *(cause.code for cause in FLOW_CAUSES),
)


@dataclass(frozen=True)
class Explanation:
    """Mistakes that together reproduce the candidate.

    Attributes:
        flow: mistakes in the flow of the gradient.
        leaves: mistakes in single leaves.
        residual: the largest relative mismatch that is left in what is explained.
        unexplained: leaves that still differ.
    """

    flow: tuple[Hypothesis, ...]
    leaves: tuple[LeafFinding, ...]
    residual: float
    unexplained: tuple[int, ...]

    @property
    def parts(self) -> int:
        """Counts the mistakes; leaves with the same cause and factor count once."""
        return len(self.flow) + len({_kind(finding) for finding in self.leaves})

    @property
    def rank(self) -> tuple[int, ...]:
        """Ranks explanations: the simpler, the smaller."""
        flow = ["held_constant" if one.held else one.cause.code for one in self.flow]
        causes = [*flow, *(one.cause for one in self.leaves)]
        return (self.parts, *sorted(ORDER.index(cause) for cause in set(causes)))


def _kind(finding: LeafFinding) -> tuple[str, str]:
    factor = finding.factor
    return finding.cause, "" if factor is None else f"{factor:.9g}"


class Judge(NamedTuple):
    """Decides which leaves of the candidate are explained by given mistakes in the flow.

    Attributes:
        mended: the candidate, its leaves in the expected shapes.
        floor: the largest error that rounding explains, absolute, by leaf.
        scale: the largest number of each leaf of the right gradient.
        close: the largest relative difference between leaves that count as equal.
        means: `means(factor)`, the meaning of a factor such as 1/batch, or None.
    """

    mended: Mended
    floor: Sequence[float]
    scale: Sequence[float]
    close: float
    means: Callable[[float], str | None]

    def explanation(
        self, flow: tuple[Hypothesis, ...], mismatch: Sequence[Mismatch], compared: Sequence[int]
    ) -> Explanation:
        """Explains the leaves that these mistakes in the flow leave wrong, as far as possible."""
        found = list(self.mended.findings)
        residual = 0.0
        unexplained: list[int] = []
        for i, m in zip(compared, mismatch, strict=True):
            finding, left = self.leaf(i, m)
            residual = max(residual, left)
            if finding is not None:
                found.append(finding)
            elif not np.isfinite(left):
                unexplained.append(i)
        found, unexplained = self._fitting(found, unexplained)
        finite = residual if np.isfinite(residual) else 0.0
        return Explanation(flow, tuple(found), finite, tuple(unexplained))

    def tolerance(self, i: int, m: Mismatch) -> float:
        """Returns the largest difference between leaves that count as equal."""
        stretch = float(m.scale) / self.scale[i] if self.scale[i] else 1.0
        return max(self.floor[i] * max(1.0, stretch), self.close * float(m.scale))

    def leaf(self, i: int, m: Mismatch) -> tuple[LeafFinding | None, float]:
        """Returns the simplest mistake that reproduces a leaf, and the relative mismatch left."""
        tolerance, scale = self.tolerance(i, m), float(m.scale) or 1.0
        candidate = self.mended.leaves[i]
        assert candidate is not None
        if float(m.direct) <= tolerance:
            return None, float(m.direct) / scale
        nothing = max(self.floor[i], self.close * self.scale[i])  # beside the right gradient
        if (size := largest(candidate)) <= nothing:
            note = "to within rounding: its terms cancel each other" if size else ""
            return LeafFinding(i, "zero", note=note), size / scale
        factor, coefficient = float(m.factor), float(m.coefficient)
        if factor and float(m.scaled) <= max(self.floor[i], tolerance * min(1.0, abs(factor))):
            flipped = abs(factor + 1) < 1e-9
            cause: LeafCause = "sign_flipped" if flipped else "scaled"
            return LeafFinding(i, cause, None if flipped else factor), float(m.scaled) / scale
        if float(m.transposed) <= tolerance:
            return LeafFinding(i, "transposed"), float(m.transposed) / scale
        if float(m.decayed) <= tolerance and coefficient:
            return LeafFinding(i, "weight_decay", coefficient), float(m.decayed) / scale
        return None, float("inf")

    def _fitting(
        self, found: list[LeafFinding], unexplained: list[int]
    ) -> tuple[list[LeafFinding], list[int]]:
        """Discards factors that fit a leaf of few numbers but have no meaning."""
        large = {_kind(f) for f in found if self._size(f.leaf) >= FEW}
        kept = []
        for finding in found:
            invented = (
                finding.factor is not None
                and self._size(finding.leaf) < FEW
                and _kind(finding) not in large
                and not (finding.cause == "scaled" and self.means(finding.factor))
            )
            if invented:
                unexplained.append(finding.leaf)
            else:
                kept.append(finding)
        return kept, sorted(unexplained)

    def _size(self, leaf: int) -> int:
        mended = self.mended.leaves[leaf]
        return 0 if mended is None else mended.size
