"""Puts explanations into words: the mistake, its place, and how to fix it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.explanation import messages
from jaxpercep.compare.explanation.counterfactuals import Problem
from jaxpercep.compare.explanation.diagnosis import Diagnosis
from jaxpercep.compare.explanation.explanations import Explanation
from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.leaf_causes import LeafFinding
from jaxpercep.compare.explanation.localization import Suspect
from jaxpercep.compare.explanation.location import Locator, place
from jaxpercep.compare.explanation.messages import FactorNames
from jaxpercep.compare.explanation.pullbacks import is_linear
from jaxpercep.compare.explanation.unexplained import suspects
from jaxpercep.compare.program.graph import Constant, Operation
from jaxpercep.compare.program.values import Values


@dataclass(frozen=True)
class Writer:
    """Turns explanations into diagnoses.

    Attributes:
        evaluation: both gradients.
        problem: what was to be explained.
        values: of the function, or None if it cannot be traced.
        names: of the leaves, as the function calls them.
        factors: the meanings of factors.
    """

    evaluation: Evaluation
    problem: Problem
    values: Values | None
    names: Sequence[str]
    factors: FactorNames

    def __call__(self, explanation: Explanation) -> tuple[Diagnosis, ...]:
        """Returns the diagnoses of one explanation."""
        residual = float(f"{explanation.residual:.1e}")
        found = list(map(_extra, self.evaluation.candidate.extra))
        found += [self.of_flow(hypothesis, residual) for hypothesis in explanation.flow]
        found += self.of_leaves(explanation, residual)
        if explanation.unexplained:
            found.append(self.unexplained(explanation))
        return tuple(found)

    @cached_property
    def locator(self) -> Locator:
        """Locates the operations."""
        assert self.problem.graph is not None
        return Locator(self.problem.graph)

    def of_leaves(self, explanation: Explanation, residual: float) -> Iterator[Diagnosis]:
        """Yields one diagnosis per leaf, or one for all leaves."""
        paths, names = self.evaluation.leaves.paths, self.names
        groups: dict[tuple[str, str], list[LeafFinding]] = defaultdict(list)
        for finding in explanation.leaves:
            key = "" if finding.factor is None else f"{finding.factor:.9g}"
            groups[finding.cause, key].append(finding)
        for (cause, _), findings in groups.items():
            mine = [finding.leaf for finding in findings]
            own = [names[i] for i in mine]
            others = [name for i, name in enumerate(names) if i not in mine]
            factor = findings[0].factor
            shared = self.shared(cause, own, others, factor)
            alike = shared is not None and not others and len(own) > 1
            for finding in findings[: 1 if alike else None]:
                name, note = names[finding.leaf], finding.note
                if cause == "swapped":  # both get the same message
                    first, note = sorted((name, names[int(note)]))
                    shared = messages.of_leaf(cause, first, note)
                yield Diagnosis(
                    cause=cause,
                    leaf=None if alike else paths[finding.leaf],
                    operation=None,
                    source=None if alike else self.use_of(finding.leaf),
                    location=None,
                    factor=finding.factor,
                    message=shared or messages.of_leaf(cause, name, note),
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
        return messages.scaled(own, others, factor, self.factors)

    def of_flow(self, hypothesis: Hypothesis, residual: float) -> Diagnosis:
        """Diagnoses one mistaken pullback."""
        operation, location = hypothesis.operation, self.locator.of_hypothesis(hypothesis)
        sentence = hypothesis.variant or hypothesis.cause.sentence
        message = sentence.format(place=place(operation, location), **self.words(hypothesis))
        return Diagnosis(
            cause=hypothesis.cause.code,
            leaf=None,
            operation=operation.name,
            source=operation.source,
            location=location,
            factor=None,
            message=message[0].upper() + message[1:],
            residual=residual,
        )

    def words(self, hypothesis: Hypothesis) -> dict[str, str]:
        """Names what a sentence on a mistaken pullback speaks of."""
        assert self.values is not None
        (operation, operand), *_ = hypothesis.switches
        place = hypothesis.operation
        words = {"what": self.values.described(place), "quoted": self.values.quoted(place)}
        if operand < 0:
            return words | {"value": "a value", "matrix": "the matrix"}
        graph = self.values.home[operation]
        value, *others = [
            self.values.of(graph, o)
            for i, o in sorted(enumerate(operation.operands), key=lambda pair: pair[0] != operand)
            if i == operand or not isinstance(o, Constant)
        ]
        matrix = self.values.name(others[0]) if others else None
        words["value"] = self.values.name(hypothesis.held or value) or "a value"
        return words | {"matrix": matrix or "the matrix"}

    def use_of(self, leaf: int) -> str | None:
        """Returns the line that uses a leaf first."""
        graph = self.problem.graph
        if graph is None:
            return None
        variable = graph.inputs[self.evaluation.leaves.positions[leaf]]
        return next((o.source for o in graph.operations if variable in o.operands), None)

    def unexplained(self, explanation: Explanation) -> Diagnosis:
        """Diagnoses a mistake without a name: where it must be."""
        found: list[Suspect] = []
        if self.values is not None:
            found = suspects(self.evaluation, self.problem, self.values.flow, explanation)
        bent = [s for s in found if not _is_linear(s.first)]
        first = next(reversed(bent or found), None)
        wrong, paths = explanation.unexplained, self.evaluation.leaves.paths
        return Diagnosis(
            cause="unexplained",
            leaf=paths[wrong[0]] if len(wrong) == 1 else None,
            operation=first.first.name if first else None,
            source=first.first.source if first else None,
            location=self.locator.of_suspect(first) if first else None,
            factor=None,
            message=messages.unexplained(
                [self.names[i] for i in wrong], list(dict.fromkeys(map(self.placed, found)))
            ),
            residual=float("nan"),
        )

    def placed(self, suspect: Suspect) -> str:
        """Quotes a place, and says where it is."""
        assert self.values is not None
        operation = suspect.first
        where = place(operation, self.locator.of_suspect(suspect))
        return f"{self.values.described(operation)} {where}"


def _is_linear(operation: Operation) -> bool:
    return all(is_linear(operation, i) for i in range(len(operation.operands)))


def _extra(leaf: tuple[str, tuple[int, ...]]) -> Diagnosis:
    path, shape = leaf
    message = f"grad{path} of shape {list(shape)} belongs to no argument: remove it."
    return Diagnosis("structure", path, None, None, None, None, message, 0.0)
