"""Finds the mistakes that explain a candidate, and puts them into words."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.evaluation.trees import largest
from jaxpercep.compare.explanation.counterfactuals import Problem
from jaxpercep.compare.explanation.diagnosis import Diagnosis
from jaxpercep.compare.explanation.explanations import CLOSE, Explanation, Judge, explain
from jaxpercep.compare.explanation.hypotheses import Hypothesis, hypotheses
from jaxpercep.compare.explanation.leaf_causes import mend
from jaxpercep.compare.explanation.messages import FactorNames
from jaxpercep.compare.explanation.writer import Writer
from jaxpercep.compare.program.flow import Flow, live
from jaxpercep.compare.program.units import grouped
from jaxpercep.compare.program.values import Values


def diagnose(
    evaluation: Evaluation,
    batch: Sequence[Any],
    names: Sequence[str],
    rate: float | None = None,
) -> tuple[tuple[Diagnosis, ...], ...]:
    """Returns the simplest explanations, each a set of mistakes that together make the candidate.

    Args:
        evaluation: both gradients, in float64.
        batch: the arguments that are not differentiated, whose sizes give factors a meaning.
        names: of all leaves of the arguments, as the function calls them.
        rate: the learning rate of the step that implies the candidate; the step may have used
            updated weights.
    """
    right, answer = evaluation.autodiff, evaluation.candidate
    mended = mend(right, answer.leaves, answer.frozen, evaluation.floor)
    factors = FactorNames(batch)
    judge = Judge(
        mended=mended,
        floor=evaluation.floor,
        scale=[largest(leaf) for leaf in right],
        close=CLOSE if evaluation.formula == "float64" else 0.0,
        means=factors,
    )
    compared = [i for i, leaf in enumerate(mended.leaves) if leaf is not None]
    problem = Problem(
        graph=None,
        values=evaluation.values,
        differentiated=[evaluation.leaves.positions[i] for i in compared],
        right=[jnp.asarray(right[i]) for i in compared],
        candidate=[jnp.asarray(mended.leaves[i], jnp.float64) for i in compared],
    )
    if rate is not None:
        pairs = zip(problem.differentiated, problem.candidate, strict=True)
        problem = problem._replace(updated=[evaluation.values[i] - rate * g for i, g in pairs])
    every: list[Hypothesis] = []
    values = None
    if evaluation.graph is not None:
        positions, graph = evaluation.leaves.positions, live(evaluation.graph)
        graph = grouped(graph, Flow.of(graph, positions))
        problem = problem._replace(graph=graph)
        values = Values(graph, Flow.of(graph, positions), names)
        every = hypotheses(graph, values, updates=rate is not None)
    own = [names[i] for i in evaluation.leaves.positions]
    writer = Writer(evaluation, problem, values, own, factors)
    found = explain(problem, compared, every, judge)
    told = {_places(one, diagnoses := writer(one)): diagnoses for one in found[::-1]}
    return tuple(told.values())[::-1]


def _places(explanation: Explanation, diagnoses: Sequence[Diagnosis]) -> tuple[object, ...]:
    """Returns what tells explanations apart: the cause, and the value or the place.

    An operation and the call that consists of it are the same place.
    """
    held = {one.held for one in explanation.flow}
    places = ((d.cause, d.leaf, d.source, d.location) for d in diagnoses)
    return tuple(held) if held and None not in held else tuple(places)
