"""Prepares the search for the place of a mistake that has no name."""

from collections.abc import Iterator, Sequence

import numpy as np

from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.evaluation.trees import largest
from jaxpercep.compare.explanation.attribution import Attribution, Errors
from jaxpercep.compare.explanation.counterfactuals import Problem
from jaxpercep.compare.explanation.explanations import Explanation
from jaxpercep.compare.explanation.localization import Localizer, Suspect, unused_branches
from jaxpercep.compare.program.flow import Flow, union
from jaxpercep.compare.program.graph import Graph, Operation


def suspects(
    evaluation: Evaluation, problem: Problem, flow: Flow, explanation: Explanation
) -> list[Suspect]:
    """Lists the places that can make the unexplained leaves wrong, in the order of the program."""
    graph, wrong = problem.graph, explanation.unexplained
    assert graph is not None
    named = {finding.leaf for finding in explanation.leaves}
    every = range(len(evaluation.autodiff))
    right = [i for i in every if i not in wrong and i not in named]
    explains = _anything
    # A mistake in the flow that explains some leaves has changed the gradient of the others.
    if not explanation.flow:
        errors = _errors(evaluation, problem, wrong, right)
        places, programs = dict(_places(graph, flow)), problem.programs
        explains = Attribution(graph, problem.values, errors, places, programs).explains
    localizer = Localizer(
        graph=graph,
        flow=flow,
        right=union(1 << i for i in right if largest(evaluation.autodiff[i]) > evaluation.floor[i]),
        unused=unused_branches(graph, evaluation.values),
        explains=explains,
    )
    return [
        s for s in localizer.suspects([1 << i for i in wrong]) if s.first.source or s.first.location
    ]


def _anything(operations: Sequence[Operation], leaves: int) -> bool:
    del operations, leaves
    return True


def _errors(
    evaluation: Evaluation, problem: Problem, wrong: Sequence[int], right: Sequence[int]
) -> Errors:
    """Returns the errors of wrong leaves, none of right ones."""
    positions = evaluation.leaves.positions
    compared = [positions.index(position) for position in problem.differentiated]
    used = [n for n, i in enumerate(compared) if i in {*wrong, *right}]
    numbers = [compared[n] for n in used]
    apart = [np.asarray(problem.candidate[n]) - np.asarray(problem.right[n]) for n in used]
    return Errors(
        leaves=numbers,
        positions=[positions[i] for i in numbers],
        errors=[d if i in wrong else np.zeros_like(d) for i, d in zip(numbers, apart, strict=True)],
        scale=[
            max(largest(d), largest(evaluation.autodiff[i]))
            for i, d in zip(numbers, apart, strict=True)
        ],
        floor=[evaluation.floor[i] for i in numbers],
    )


def _places(graph: Graph, flow: Flow) -> Iterator[tuple[Operation, list[int]]]:
    """Yields the operations and their operands that a gradient flows to."""
    for operation in graph.operations:
        if operands := [i for i, o in enumerate(operation.operands) if flow(graph, o)]:
            yield operation, operands
        for body in operation.bodies if operation.kind != "cond" else ():
            yield from _places(body, flow)
