"""Finds the mistakes that explain a candidate, and puts them into words."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.evaluation.trees import largest
from jaxpercep.compare.explanation.counterfactuals import Problem
from jaxpercep.compare.explanation.diagnosis import Diagnosis, Explanations
from jaxpercep.compare.explanation.explanations import CLOSE, Explanation, Judge
from jaxpercep.compare.explanation.hypotheses import Hypothesis, hypotheses
from jaxpercep.compare.explanation.leaf_causes import mend
from jaxpercep.compare.explanation.messages import FactorNames
from jaxpercep.compare.explanation.search import explain
from jaxpercep.compare.explanation.unreduced import Unreduced
from jaxpercep.compare.explanation.writer import Writer
from jaxpercep.compare.program.flow import Flow, live
from jaxpercep.compare.program.graph import Graph
from jaxpercep.compare.program.units import grouped
from jaxpercep.compare.program.values import Values


def diagnose(
    evaluation: Evaluation,
    batch: Sequence[Any],
    names: Sequence[str],
    rate: float | None = None,
) -> Explanations:
    """Returns the simplest explanations, each a set of mistakes that together make the candidate.

    If they are not simple, and the data satisfy some identity only to rounding, that rounding is
    allowed for as well.

    Args:
        evaluation: both gradients, in float64.
        batch: the arguments that are not differentiated, whose sizes give factors a meaning.
        names: of all leaves of the arguments, as the function calls them.
        rate: the learning rate of the step that implies the candidate; the step may have used
            updated weights.
    """
    forward = _Forward.of(evaluation, names, updates=rate is not None)
    factors = FactorNames(batch)
    found = _explained(forward, evaluation, names, factors, rate)
    if evaluation.identities and _complexity(found) > (False, 1):
        again = _explained(forward, evaluation.allowing_for_data(), names, factors, rate)
        return min(found, again, key=_complexity)
    return found


class _Forward(NamedTuple):
    """The function, with everything that may be wrong with its gradient.

    Attributes:
        graph: None if it cannot be traced.
        values: likewise.
        hypotheses: then there are none.
        programs: of the graph, by what they are for.
    """

    graph: Graph | None
    values: Values | None
    hypotheses: Sequence[Hypothesis]
    programs: dict[Any, Any]

    @classmethod
    def of(cls, evaluation: Evaluation, names: Sequence[str], *, updates: bool) -> "_Forward":
        """Reads the function; with `updates`, its weights may have been updated too early."""
        if evaluation.graph is None:
            return cls(None, None, (), {})
        positions, graph = evaluation.leaves.positions, live(evaluation.graph)
        graph = grouped(graph, Flow.of(graph, positions))
        values = Values(graph, Flow.of(graph, positions), names)
        return cls(graph, values, hypotheses(graph, values, updates=updates), {})


def _explained(
    forward: _Forward,
    evaluation: Evaluation,
    names: Sequence[str],
    factors: FactorNames,
    rate: float | None,
) -> Explanations:
    """Searches for the explanations, and puts them into words."""
    right, answer = evaluation.autodiff, evaluation.candidate

    def copies(leaf: int) -> Unreduced | None:
        graph, position = forward.graph, evaluation.leaves.positions[leaf]
        return None if graph is None else Unreduced.of(graph, evaluation.values, position)

    mended = mend(right, answer.leaves, answer.frozen, evaluation.floor, copies)
    judge = Judge(
        mended=mended,
        floor=evaluation.floor,
        scale=[largest(leaf) for leaf in right],
        close=CLOSE if evaluation.formula == "float64" else 0.0,
        means=factors,
    )
    compared = [i for i, leaf in enumerate(mended.leaves) if leaf is not None]
    problem = Problem(
        graph=forward.graph,
        values=evaluation.values,
        differentiated=[evaluation.leaves.positions[i] for i in compared],
        right=[jnp.asarray(right[i]) for i in compared],
        candidate=[jnp.asarray(mended.leaves[i], jnp.float64) for i in compared],
        programs=forward.programs,
    )
    if rate is not None:
        pairs = zip(problem.differentiated, problem.candidate, strict=True)
        problem = problem._replace(updated=[evaluation.values[i] - rate * g for i, g in pairs])
    own = [names[i] for i in evaluation.leaves.positions]
    writer = Writer(evaluation, problem, forward.values, own, factors)
    found = explain(problem, compared, forward.hypotheses, judge)
    told = {_places(one, diagnoses := writer(one)): diagnoses for one in found[::-1]}
    return tuple(told.values())[::-1]


def _places(explanation: Explanation, diagnoses: Sequence[Diagnosis]) -> tuple[object, ...]:
    """Returns what tells explanations apart: the cause, and the value or the place.

    An operation and the call that consists of it are the same place.
    """
    held = {one.held for one in explanation.flow}
    places = ((d.cause, d.leaf, d.source, d.location) for d in diagnoses)
    return tuple(held) if held and None not in held else tuple(places)


def _complexity(explanations: Explanations) -> tuple[bool, int]:
    """Returns whether something is left unexplained, and the number of mistakes it takes."""
    causes = [[diagnosis.cause for diagnosis in one] for one in explanations]
    return any("unexplained" in one for one in causes), min(map(len, causes), default=0)
