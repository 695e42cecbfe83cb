"""What else can be asked of a pullback that is right: its own gradient, and `jax.vmap` of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxpercep.compare.candidate.backward import Candidate
from jaxpercep.compare.comparison import Explain, Judged, compared_as_linear, judged
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.cotangents import Cotangents
from jaxpercep.compare.evaluation.projection import along, inner
from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.explanation.diagnose import diagnose
from jaxpercep.compare.explanation.diagnosis import Explanations
from jaxpercep.compare.report import GradientReport

HELD = (
    "The gradient is right, its own gradient is not: where the pullback itself is differentiated, "
    "a value counts as constant or its derivative is wrong. Look for stop_gradient, numbers "
    "computed outside of JAX, and rules of custom_vjp functions among the residuals."
)
UNDER_VMAP = (
    "Called for one example at a time the pullback is right, under jax.vmap it is not. Look for "
    "custom_vmap rules, callbacks, and sums over an axis of the whole batch."
)


@dataclass(frozen=True)
class Pullback:
    """A pullback and the function it belongs to.

    Attributes:
        fun: of the arguments, without rules.
        grad_fun: of the arguments and of the upstream gradient; one cotangent for each of `chosen`.
        args: of the function.
        cotangents: for its results.
        chosen: the arguments that have a gradient.
        candidate: the same as the caller has it.
    """

    fun: Callable[..., Any]
    grad_fun: Callable[..., Any]
    args: tuple[Any, ...]
    cotangents: Cotangents
    chosen: tuple[int, ...]
    candidate: Candidate

    def report(self, order: int, *, batched: bool) -> GradientReport:
        """Compares the pullback; if it is right, also what else is asked for."""
        first = compared_as_linear(
            self.objective, self.grad_fun, self.args, self.cotangents, self.chosen, self.candidate
        )
        report = first.report()
        if report.ok and order == 2:
            frozen = first.backward.evaluation.candidate.frozen
            report = _joined(report, self.second_order(frozen), "second order", HELD)
        if report.ok and batched:
            report = _joined(report, self.batched(), "batched", UNDER_VMAP)
        return report

    def objective(self, *args_and_dy: Any) -> Any:
        """The scalar whose gradient the pullback is."""
        *args, dy = args_and_dy
        return inner(self.fun(*args), dy)

    def second_order(self, frozen: frozenset[int]) -> Judged:
        """Compares the gradient of <pullback, v> with that of <derivative of fun along v, dy>.

        Args:
            frozen: the leaves that the pullback returns as None; v is 0 there.
        """
        flat, structure = jax.tree.flatten(Cotangents.of(self.args, "v").second)
        numbers = enumerate(flat)
        v = jax.tree.unflatten(structure, [0 * t if i in frozen else t for i, t in numbers])

        def objective(*given: Any) -> Any:
            *args, dy, v = given
            return inner(along(self.fun, tuple(args), v), dy)

        def projected(*given: Any) -> Any:
            *args, dy, v = given
            cotangents = trees.laid_out(self.grad_fun(*args, dy), self.args, self.chosen)
            return inner(cotangents, tuple(v[n] for n in self.chosen))

        args = (*self.args, self.cotangents.first, v)
        chosen = (*self.chosen, len(self.args))
        gradient = jax.grad(projected, chosen, allow_int=True)
        return self.judged("order=2", objective, gradient, args, chosen, _by_leaves)

    def batched(self) -> Judged:
        """Compares `jax.vmap` of the pullback with autodiff of one example after the other."""
        examples = (self.args, trees.nudged(self.args, 0.1, 0))
        args = jax.tree.map(_stacked, *examples)
        dy = jax.tree.map(_stacked, self.cotangents.first, self.cotangents.second)
        axes = jax.tree.map(_axis, self.args)

        def objective(*given: Any) -> Any:
            each = jax.vmap(self.objective, in_axes=(*axes, 0))
            return jnp.sum(each(*given))

        def pulled_back(*given: Any) -> Any:
            return trees.laid_out(self.grad_fun(*given), self.args, self.chosen)

        gradient = jax.vmap(pulled_back, in_axes=(*axes, 0))
        return self.judged("batched=True", objective, gradient, (*args, dy), self.chosen, diagnose)

    def judged(
        self,
        asked: str,
        objective: Callable[..., Any],
        gradient: Callable[..., Any],
        args: tuple[Any, ...],
        chosen: tuple[int, ...],
        explain: Explain,
    ) -> Judged:
        """Compares and diagnoses.

        Raises:
            TypeError: JAX cannot transform the pullback as is asked for.
        """
        names = (*self.candidate.names, "v")[: len(args)]
        candidate = replace(self.candidate, build=lambda _: gradient, names=names)
        try:
            gradient(*args)
        except Exception as error:  # whatever it is: the pullback has run without this
            raise TypeError(
                f"{asked} takes a pullback that JAX can transform, but it then raises "
                f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            ) from error
        return judged(objective, gradient, args, chosen, candidate, explain=explain)


def _by_leaves(evaluation: Evaluation, batch: Sequence[Any], names: Sequence[str]) -> Explanations:
    """Diagnoses by the leaves alone: the lines of the forward pass are not those of its second."""
    return diagnose(replace(evaluation, graph=None), batch, names)


def _joined(report: GradientReport, other: Judged, name: str, advice: str) -> GradientReport:
    """Adds a further comparison to a report on a right pullback."""
    found = other.report()
    leaves = tuple(replace(leaf, of=name) for leaf in found.leaves)
    where = "At second order: " if name.startswith("second") else "Under jax.vmap: "
    explanations = tuple(
        tuple(replace(d, message=where + d.message) for d in several)
        for several in found.explanations
    )
    narrow = found.formula if report.formula == "float64" else report.formula
    remark = found.remark or (report.remark if found.ok else advice)
    return replace(
        report,
        verdict=found.verdict,
        leaves=report.leaves + leaves,
        explanations=explanations,
        formula=narrow,
        remark=remark,
    )


def _stacked(one: Any, other: Any) -> Any:
    """Returns two examples as a batch; integers are the same for both."""
    if not trees.is_floating(one):
        return one
    return jnp.stack([jnp.asarray(one), jnp.asarray(other).astype(jnp.result_type(one))])


def _axis(leaf: Any) -> int | None:
    return 0 if trees.is_floating(leaf) else None
