"""Says where an operation is: its source, the layer, the iteration, the call, the pass."""

from dataclasses import dataclass

from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.localization import Suspect
from jaxpercep.compare.program import words
from jaxpercep.compare.program.graph import Graph, Operation, Span


@dataclass(frozen=True)
class Locator:
    """Locates the operations of a graph."""

    graph: Graph

    def of_hypothesis(self, hypothesis: Hypothesis) -> str | None:
        """Names the layer, the iteration, and the pass through the line."""
        operation = hypothesis.operation
        parts = [operation.location] if operation.location else []
        if hypothesis.iteration is not None:
            loop = hypothesis.loops[hypothesis.iteration.depth].loop
            assert loop is not None
            parts.append(f"iteration {hypothesis.iteration.index + 1} of {loop.length}")
        if hypothesis.passes > 1:
            parts.append(f"all {hypothesis.passes} passes")
        else:
            parts += self.calls(operation)
        return ", ".join(parts) or None

    def calls(self, operation: Operation) -> list[str]:
        """Names the call of a helper, and the pass of a Python loop, if there are several."""
        alike = [other for other in self.graph.walk() if other.point == operation.point]
        here = [other for other in alike if other.frames == operation.frames]
        same = [other for other in here if other.spans == operation.spans]
        parts = []
        if len(operation.frames) > 1 and len(alike) > len(same):
            call = _quoted(operation.spans[-2]) if len(here) > len(same) else ""
            parts.append(f"called from {operation.frames[-2]}{call}")
        if operation.frames and len(same) > 1:
            parts.append(f"pass {same.index(operation) + 1} of {len(same)}")
        return parts

    def of_suspect(self, suspect: Suspect) -> str | None:
        """Names the layer, and the call and the pass."""
        operation, count = suspect.first, len(suspect.operations)
        parts = [operation.location] if operation.location else []
        parts += [f"all {count} passes"] if count > 1 else self.calls(operation)
        return ", ".join(parts) or None


def _quoted(span: Span | None) -> str:
    """Quotes a call, of several on one line."""
    expression = words.expression_around(span) if span else None
    return f" by `{expression.brief}`" if expression else ""


def place(operation: Operation, location: str | None) -> str:
    """Returns the line and the location as a part of a sentence."""
    parts = [f"at {operation.source}"] if operation.source else []
    if location:
        parts.append(f"({location})")
    return " ".join(parts) or "in the function"
