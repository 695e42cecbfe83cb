"""The result of a comparison, as data and as a table."""

import math
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class LeafReport:
    """One leaf of the two gradients.

    Attributes:
        path: where in the tree, as `jax.tree_util.keystr` writes it.
        shape: of the leaf.
        dtype: the caller's.
        max_absolute_error: max |candidate - autodiff|, evaluated in float64 where both can.
        max_relative_error: the same over max |autodiff|.
        ulps: error of the candidate in the caller's dtype against float64 autodiff, in units in
            the last place of the leaf's largest number.
        autodiff_ulps: the same of autodiff in the caller's dtype.
        cosine: of the angle between the two; 1 if both are zero, nan if one is.
        tolerance: the largest relative error that rounding explains, measured.
        worst_index: where the error is largest.
        ok: whether the error is within rounding.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    max_absolute_error: float
    max_relative_error: float
    ulps: float
    autodiff_ulps: float
    cosine: float
    tolerance: float
    worst_index: tuple[int, ...]
    ok: bool


@dataclass(frozen=True)
class GradientReport:
    """What `compare_gradients` found.

    Attributes:
        leaves: one `LeafReport` a leaf; empty where the structures differ.
        structure: which leaves are missing, extra or misshapen, or None.
        formula: the dtype in which the two formulas were compared: float64 unless one of them
            rounds to a narrower type inside, whose rounding is then to be expected.
    """

    leaves: tuple[LeafReport, ...]
    structure: str | None
    formula: str

    @property
    def ok(self) -> bool:
        """Whether structure and every leaf are right."""
        return self.structure is None and all(leaf.ok for leaf in self.leaves)

    @property
    def verdict(self) -> str:
        """`"match"`; `"manual_wrong"` where the structure is; else `"inconclusive"`.

        Two gradients that differ do not say which of them is wrong.
        """
        if self.ok:
            return "match"
        return "manual_wrong" if self.structure else "inconclusive"

    @property
    def sensitivity(self) -> float:
        """The smallest relative error of a leaf that this comparison would have seen."""
        return max((leaf.tolerance for leaf in self.leaves), default=0.0)

    def raise_if_wrong(self) -> None:
        """Raises an `AssertionError` whose message is the report, unless it is `ok`."""
        if not self.ok:
            raise AssertionError(f"gradients do not match\n{self}")

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready data; numbers that are not finite, which JSON lacks, as None."""
        fields = {"verdict": self.verdict, "ok": self.ok, "sensitivity": self.sensitivity}
        return _finite(fields | asdict(self))

    def __str__(self) -> str:
        if self.structure:
            return f"{self.verdict}: the gradient has the wrong structure\n{self.structure}"
        wrong = sum(not leaf.ok for leaf in self.leaves)
        leaves = "1 leaf" if len(self.leaves) == 1 else f"{len(self.leaves)} leaves"
        headline = f"{self.verdict}: {leaves} compared in {self.formula}"
        if wrong:
            headline += f", {wrong} beyond rounding (which side is wrong is not decided)"
        else:
            headline += f", an error above {self.sensitivity:.0e} of a leaf would have been seen"
        return f"{headline}\n{_table(self.leaves)}"


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _table(leaves: tuple[LeafReport, ...]) -> str:
    table = Table("leaf", "shape", "dtype")
    for name in ("max abs", "max rel", "ulps", "autodiff ulps", "cosine"):
        table.add_column(name, justify="right")
    table.add_column("")
    for leaf in leaves:
        table.add_row(
            f"grad{leaf.path}",
            "x".join(map(str, leaf.shape)) or "scalar",
            leaf.dtype,
            f"{leaf.max_absolute_error:.1e}",
            f"{leaf.max_relative_error:.1e}",
            f"{leaf.ulps:.1f}",
            f"{leaf.autodiff_ulps:.1f}",
            f"{leaf.cosine:.6f}",
            "ok" if leaf.ok else f"WRONG, worst at {leaf.worst_index}",
        )
    console = Console(file=StringIO(), width=120, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip()
