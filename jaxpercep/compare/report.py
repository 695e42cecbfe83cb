"""The result of a comparison: as data, in a terminal, in a notebook."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from io import StringIO
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from jaxpercep.compare.candidate.annotated import AnnotatedBackward
from jaxpercep.compare.candidate.backward import Backward
from jaxpercep.compare.candidate.repair import Repair
from jaxpercep.compare.evaluation.arbitration import Verdict
from jaxpercep.compare.evaluation.leaves import LeafReport
from jaxpercep.compare.explanation.blind_spots import BlindSpots
from jaxpercep.compare.explanation.diagnosis import Diagnosis

WIDTH = 110
SHOWN = 12  # leaves in a table; of more, the worst

WHAT = {
    "match": "the gradients match",
    "manual_wrong": "the hand-written gradient is wrong; finite differences agree with autodiff",
    "autodiff_wrong": "autodiff is wrong; finite differences agree with the hand-written gradient",
    "both_wrong": "both gradients are wrong, according to finite differences",
    "kink": "the arguments are on a kink, and both gradients lie between its one-sided derivatives",
    "compiler_wrong": "compiled and uncompiled code disagree",
    "inconclusive": "the gradients differ, and finite differences cannot tell which is right",
}
FORWARD = "they are searched in gradients, not in derivatives in forward mode"
NOTHING_INDEPENDENT = "the gradients agree, but they are not independent of each other"
ADVICE = {
    "autodiff_wrong": (
        "Look for a wrong custom_jvp or custom_vjp rule, a stop_gradient, or a branch of where() "
        "that is not finite (guard its argument as well)."
    ),
    "kink": "Move the arguments off the kink, or follow the convention of jax.nn.",
    "compiler_wrong": "Try another version of jaxlib, and report the bug.",
}


@dataclass(frozen=True)
class GradientReport:
    """The result of a comparison.

    Attributes:
        verdict: `"match"`, `"manual_wrong"`, `"autodiff_wrong"`, `"both_wrong"`, `"kink"`,
            `"compiler_wrong"` or `"inconclusive"`.
        leaves: one `LeafReport` per leaf.
        explanations: the simplest ones, each a set of mistakes that together reproduce the
            candidate. If there are several, they fit equally well.
        formula: the dtype in which the two formulas were compared: float64, unless the candidate
            computes in a narrower one; then its rounding was measured and allowed for.
        backward: the candidate's own source, which is read when it is asked for.
        remark: a further remark, or None.
    """

    verdict: Verdict
    leaves: tuple[LeafReport, ...]
    explanations: tuple[tuple[Diagnosis, ...], ...]
    formula: str
    backward: Backward = field(repr=False, compare=False)
    remark: str | None = None

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """The wrong values of the hand-written gradient that together explain it, at most three.

        The candidate is read and run again with other values when this is first asked for.
        """
        return () if self.ok else self.annotated.repairs

    @property
    def repair(self) -> Repair | None:
        """The first of the `repairs`, or None."""
        return next(iter(self.repairs), None)

    @property
    def annotated(self) -> AnnotatedBackward:
        """The backward pass line by line, with what each value on it is."""
        return self.backward.annotated

    def blind_spots(self) -> BlindSpots:
        """Lists mistakes that these arguments could not have revealed.

        A mistake is hidden if the gradient that it leads to equals the right one to within rounding
        here, but not at other arguments of the same kind, which are drawn when this is called. What
        is hidden everywhere is no mistake. The verdict plays no part in it, nor does what is asked
        of a rule besides its gradient.

        Returns:
            Sentences, one for each line of the function, the largest mistake first: `str()` prints
            five of them. If they cannot be found, `reason` says why.
        """
        if self.backward.candidate.forward is not None:
            return BlindSpots((), FORWARD)
        return self.backward.blind_spots

    @property
    def ok(self) -> bool:
        """True if the gradients match."""
        return self.verdict == "match"

    @property
    def diagnoses(self) -> tuple[Diagnosis, ...]:
        """The mistakes of all explanations, those of the simplest first."""
        every = (diagnosis for explanation in self.explanations for diagnosis in explanation)
        return tuple(dict.fromkeys(every))

    @property
    def sensitivity(self) -> float:
        """The smallest relative error of a leaf that this comparison would have detected."""
        return max((leaf.tolerance for leaf in self.leaves if not leaf.note), default=0.0)

    @property
    def headline(self) -> str:
        """What the verdict means."""
        agree = all(leaf.ok for leaf in self.leaves)
        if self.verdict == "inconclusive" and agree:
            return NOTHING_INDEPENDENT
        return WHAT[self.verdict]

    def raise_if_wrong(self) -> None:
        """Raises an `AssertionError` whose message is the report, unless the gradients match."""
        if not self.ok:
            nothing = self.headline == NOTHING_INDEPENDENT
            opening = "nothing was checked" if nothing else "gradients do not match"
            raise AssertionError(f"{opening}\n{self}")

    def to_dict(self) -> dict[str, Any]:
        """Returns the report as JSON-ready data; numbers that are not finite become None."""
        data = {
            "verdict": self.verdict,
            "ok": self.ok,
            "sensitivity": self.sensitivity,
            "diagnoses": [asdict(diagnosis) for diagnosis in self.diagnoses],
            "repairs": [asdict(repair) for repair in self.repairs],
            "leaves": [asdict(leaf) for leaf in self.leaves],
            "explanations": [list(map(asdict, one)) for one in self.explanations],
            "formula": self.formula,
            "remark": self.remark,
        }
        return _finite(data)

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=WIDTH, color_system=None)
        with console.capture() as capture:
            console.print(self)
        return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())

    def _repr_html_(self) -> str:
        console = Console(file=StringIO(), width=WIDTH, record=True, force_jupyter=False)
        console.print(self)
        return console.export_html(
            inline_styles=True, code_format='<pre style="line-height:1.2">{code}</pre>'
        )

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        del console, options
        yield Text(f"{self.verdict}: {self.headline}", style="green" if self.ok else "bold red")
        yield from (Text(f"  {repair}", style="bold") for repair in self.repairs)
        yield from self._mistakes()
        yield from map(Text, filter(None, (ADVICE.get(self.verdict), self.remark)))
        yield Text(self._how(), style="dim")
        if self.leaves:
            yield _table(self.leaves)

    def _mistakes(self) -> Iterator[Text]:
        """Yields the messages, each once, grouped by explanation."""
        for number, explanation in enumerate(self.explanations):
            opening = "  or: " if number else "  "
            for message in dict.fromkeys(diagnosis.message for diagnosis in explanation):
                yield Text(f"{opening}{message}", style="bold" if not number else "")
                opening = "  and: "

    def _how(self) -> str:
        """Describes how the two were compared, and which errors would have been detected."""
        count = sum(not leaf.note for leaf in self.leaves)
        leaves = "1 leaf" if count == 1 else f"{count} leaves"
        if self.formula == "float64":
            how = "compared in float64"
        else:
            how = f"compared within the measured noise of {self.formula}, the type it computes in"
        return f"{leaves} {how}; relative errors above {self.sensitivity:.0e} are detected"


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _table(leaves: tuple[LeafReport, ...]) -> Table:
    """Tabulates the leaves in their order; of many, only the worst, and the number of others."""
    shown = leaves
    if len(leaves) > SHOWN:
        shown = tuple(sorted(leaves, key=_badness, reverse=True)[: SHOWN - 1])
    table = Table("leaf", "shape", "dtype")
    for name in ("max abs", "max rel", "ulps", "autodiff ulps", "cosine"):
        table.add_column(name, justify="right")
    table.add_column("")
    for leaf in shown:
        table.add_row(*_row(leaf))
    if rest := [leaf for leaf in leaves if leaf not in shown]:
        wrong = sum(not leaf.ok for leaf in rest)
        table.add_row(f"{len(rest)} more", *[""] * 7, f"{wrong} wrong" if wrong else "all ok")
    return table


def _badness(leaf: LeafReport) -> tuple[bool, float]:
    error = leaf.max_relative_error
    return not leaf.ok, math.inf if math.isnan(error) else error


def _row(leaf: LeafReport) -> list[str | Text]:
    others = {"grad": leaf.name, "tangent": f"tangent{leaf.path}"}
    own = others.get(leaf.of, f"{leaf.name}, {leaf.of}")
    name = Text(own)  # names are not markup
    shape = "x".join(map(str, leaf.shape)) or "scalar"
    if leaf.note:
        note = Text(leaf.note, style="" if leaf.ok else "red")
        return [name, shape, leaf.dtype, *[""] * 5, note]
    where = f" at {list(leaf.worst_index)}" if leaf.worst_index else ""
    return [
        name,
        shape,
        leaf.dtype,
        f"{leaf.max_absolute_error:.1e}",
        f"{leaf.max_relative_error:.1e}",
        _ulps(leaf.ulps),
        _ulps(leaf.autodiff_ulps),
        f"{leaf.cosine:.6f}",
        "ok" if leaf.ok else Text(f"WRONG{where}", style="red"),
    ]


def _ulps(ulps: float) -> str:
    return f"{ulps:.1f}" if ulps < 1e4 else f"{ulps:.0e}"
