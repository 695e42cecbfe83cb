"""Turns explanations into diagnoses: the mistake, its place, and how to fix it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.evaluation.trees import largest
from jaxpercep.compare.explanation import messages
from jaxpercep.compare.explanation.counterfactuals import Problem
from jaxpercep.compare.explanation.explanations import CLOSE, Explanation, Judge, explain
from jaxpercep.compare.explanation.hypotheses import Hypothesis, hypotheses
from jaxpercep.compare.explanation.leaf_causes import LeafFinding, mend
from jaxpercep.compare.explanation.localization import suspects, unused_branches
from jaxpercep.compare.explanation.messages import FactorNames
from jaxpercep.compare.explanation.pullbacks import is_linear
from jaxpercep.compare.program.flow import Flow, live, union
from jaxpercep.compare.program.graph import Graph, Operation
from jaxpercep.compare.program.units import grouped


@dataclass(frozen=True)
class Diagnosis:
    """One mistake in a hand-written gradient.

    Attributes:
        cause: its code; docs/comparing-gradients.md lists them.
        leaf: the path of the leaf, or None if it concerns several, or the flow between them.
        operation: the operation whose pullback is wrong, as `"tanh"` or `"dot_general"`, or None.
        source: `"file.py:12"`, the line of that operation in the forward pass, or None.
        location: `"layers[1]: sigmoid"`, `"iteration 3 of 4"`, or None.
        factor: candidate / right of `scaled`, the coefficient of `weight_decay`, or None.
        message: the mistake and how to fix it, in a sentence or two.
        residual: the relative mismatch that remains if this is the cause; nan if unexplained.
    """

    cause: str
    leaf: str | None
    operation: str | None
    source: str | None
    location: str | None
    factor: float | None
    message: str
    residual: float


def diagnose(
    evaluation: Evaluation, batch: Sequence[Any], rate: float | None = None
) -> tuple[tuple[Diagnosis, ...], ...]:
    """Returns the simplest explanations, each a set of mistakes that together make the candidate.

    Args:
        evaluation: both gradients, in float64.
        batch: the arguments that are not differentiated, whose sizes give factors a meaning.
        rate: the learning rate of the step that implies the candidate; the step may have used
            updated weights.
    """
    right, answer = evaluation.autodiff, evaluation.candidate
    mended = mend(right, answer.leaves, answer.frozen, evaluation.floor)
    names = FactorNames(batch)
    judge = Judge(
        mended=mended,
        floor=evaluation.floor,
        scale=[largest(leaf) for leaf in right],
        close=CLOSE if evaluation.formula == "float64" else 0.0,
        means=names,
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
    flow = Flow(0, {})
    if evaluation.graph is not None:
        positions, graph = evaluation.leaves.positions, live(evaluation.graph)
        graph = grouped(graph, Flow.of(graph, positions))
        flow = Flow.of(graph, positions)
        problem = problem._replace(graph=graph)
        every = hypotheses(graph, flow, updates=rate is not None)
    writer = _Writer(evaluation, problem.graph, flow, names)
    told = [writer(explanation) for explanation in explain(problem, compared, every, judge)]
    # An operation and the call that consists of it are the same place.
    places = {
        tuple((d.cause, d.leaf, d.source, d.location) for d in one): one for one in told[::-1]
    }
    return tuple(places.values())[::-1]


@dataclass(frozen=True)
class _Writer:
    """Turns explanations into diagnoses."""

    evaluation: Evaluation
    graph: Graph | None
    flow: Flow
    names: FactorNames

    def __call__(self, explanation: Explanation) -> tuple[Diagnosis, ...]:
        residual = float(f"{explanation.residual:.1e}")
        found = list(map(_extra, self.evaluation.candidate.extra))
        found += [self.of_flow(hypothesis, residual) for hypothesis in explanation.flow]
        found += self.of_leaves(explanation, residual)
        if explanation.unexplained:
            found.append(self.unexplained(explanation))
        return tuple(found)

    def of_leaves(self, explanation: Explanation, residual: float) -> Iterator[Diagnosis]:
        """Yields one diagnosis per leaf, or one for all leaves."""
        paths = self.evaluation.leaves.paths
        groups: dict[tuple[str, str], list[LeafFinding]] = defaultdict(list)
        for finding in explanation.leaves:
            key = "" if finding.factor is None else f"{finding.factor:.9g}"
            groups[finding.cause, key].append(finding)
        for (cause, _), findings in groups.items():
            mine = [finding.leaf for finding in findings]
            own, others = (
                [paths[i] for i in mine],
                [p for i, p in enumerate(paths) if i not in mine],
            )
            factor = findings[0].factor
            shared = self.shared(cause, own, others, factor)
            alike = shared is not None and not others and len(own) > 1
            for finding in findings[: 1 if alike else None]:
                path = paths[finding.leaf]
                note = finding.note
                if cause == "swapped":  # both get the same message
                    path_of_first, note = sorted((path, paths[int(note)]))
                    shared = messages.of_leaf(cause, path_of_first, note)
                yield Diagnosis(
                    cause=cause,
                    leaf=None if alike else path,
                    operation=None,
                    source=None if alike else self.use_of(finding.leaf),
                    location=None,
                    factor=finding.factor,
                    message=shared or messages.of_leaf(cause, path, note),
                    residual=residual,
                )

    def shared(
        self, cause: str, own: list[str], others: list[str], factor: float | None
    ) -> str | None:
        """Returns the message of a cause that several leaves may share."""
        if cause == "sign_flipped":
            return messages.sign_flipped(own, others)
        if factor is None:
            return None
        if cause == "weight_decay":
            return messages.weight_decay(own, others, factor)
        return messages.scaled(own, others, factor, self.names)

    def of_flow(self, hypothesis: Hypothesis, residual: float) -> Diagnosis:
        """Diagnoses one mistaken pullback."""
        operation, location = hypothesis.operation, self.location(hypothesis)
        sentence = hypothesis.variant or hypothesis.cause.sentence
        return Diagnosis(
            cause=hypothesis.cause.code,
            leaf=None,
            operation=operation.name,
            source=operation.source,
            location=location,
            factor=None,
            message=sentence.format(operation=operation.name, place=_place(operation, location)),
            residual=residual,
        )

    def location(self, hypothesis: Hypothesis) -> str | None:
        """Names the layer, the iteration, and the pass through the line."""
        operation = hypothesis.operation
        parts: list[str] = []
        if operation.location:
            parts.append(operation.location)
        if hypothesis.iteration is not None:
            loop = hypothesis.loops[hypothesis.iteration.depth].loop
            assert loop is not None
            parts.append(f"iteration {hypothesis.iteration.index + 1} of {loop.length}")
        if hypothesis.passes > 1:
            return ", ".join([*parts, f"all {hypothesis.passes} passes"])
        if len(operation.frames) > 1 and self.is_called_twice(operation):
            parts.append(f"called from {operation.frames[-2]}")
        parts += self.passes(operation)
        return ", ".join(parts) or None

    def is_called_twice(self, operation: Operation) -> bool:
        """Returns True if its line is reached from several others."""
        return len({other.frames for other in self.alike(operation)}) > 1

    def passes(self, operation: Operation) -> list[str]:
        """Names the pass of a Python loop, which runs one line several times."""
        again = [other for other in self.alike(operation) if other.frames == operation.frames]
        if not operation.frames or len(again) < 2 or operation.kind == "call":
            return []
        return [f"pass {again.index(operation) + 1} of {len(again)}"]

    def alike(self, operation: Operation) -> list[Operation]:
        """Lists the operations of the same name on the same line."""
        assert self.graph is not None
        return [
            other
            for other in self.graph.walk()
            if (other.name, other.kind, other.source)
            == (operation.name, operation.kind, operation.source)
        ]

    def use_of(self, leaf: int) -> str | None:
        """Returns the line that uses a leaf first."""
        if self.graph is None:
            return None
        variable = self.graph.inputs[self.evaluation.leaves.positions[leaf]]
        operations = self.graph.operations
        return next((o.source for o in operations if variable in o.operands), None)

    def unexplained(self, explanation: Explanation) -> Diagnosis:
        """Diagnoses a mistake without a name: where it must be."""
        leaves, wrong = self.evaluation.leaves, explanation.unexplained
        found = self.suspects(explanation)
        bent = [o for o in found if not all(is_linear(o, i) for i in range(len(o.operands)))]
        place = next(iter(bent or found), None)
        by_line = {(o.source, o.location): o for o in reversed(found)}
        places = [f"{o.name} {_place(o, o.location)}" for o in reversed(by_line.values())]
        paths = [leaves.paths[i] for i in wrong]
        return Diagnosis(
            cause="unexplained",
            leaf=paths[0] if len(paths) == 1 else None,
            operation=place.name if place else None,
            source=place.source if place else None,
            location=place.location if place else None,
            factor=None,
            message=messages.unexplained(paths, places),
            residual=float("nan"),
        )

    def suspects(self, explanation: Explanation) -> list[Operation]:
        """Lists places of a mistake that all unexplained leaves share, or else of each of them."""
        if self.graph is None:
            return []
        unused = unused_branches(self.graph, self.evaluation.values)
        wrong = [1 << i for i in explanation.unexplained]
        named = union(1 << finding.leaf for finding in explanation.leaves)
        right = union(1 << i for i, g in enumerate(self.evaluation.autodiff) if np.any(g))
        right &= ~(union(wrong) | named)
        found = suspects(self.graph, self.flow, union(wrong), right, unused)
        if not found:
            each = [suspects(self.graph, self.flow, one, right, unused) for one in wrong]
            found = list(dict.fromkeys(operation for several in each for operation in several))
        return [operation for operation in found if operation.source or operation.location]


def _extra(leaf: tuple[str, tuple[int, ...]]) -> Diagnosis:
    path, shape = leaf
    message = f"grad{path} of shape {list(shape)} belongs to no argument: remove it."
    return Diagnosis("structure", path, None, None, None, None, message, 0.0)


def _place(operation: Operation, location: str | None) -> str:
    parts = [f"at {operation.source}"] if operation.source else []
    if location:
        parts.append(f"({location})")
    return " ".join(parts) or "in the function"
