"""Says in a sentence what would not have shown, where, and why."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxpercep.compare.explanation.flow_causes import MISSING_DERIVATIVE
from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.messages import listed
from jaxpercep.compare.explanation.probe import Probed
from jaxpercep.compare.explanation.pullbacks import BILINEAR
from jaxpercep.compare.explanation.survey import LeafMistake, Mistake
from jaxpercep.compare.program.graph import Constant, Operation
from jaxpercep.compare.program.terminal import Summed
from jaxpercep.compare.program.values import Values

STOP = "stop_gradient"  # which is meant to
NOTHING = 1e-12  # relative: what changes less has not changed

WORDS = {  # the mistake, and the reason if nothing changes at its place
    "missing_derivative": ("the derivative of {operation} could be left out", "it is 1"),
    "derivative_at_output": (
        "the derivative of {operation} could be taken at its output",
        "it is the same there",
    ),
    "function_for_derivative": (
        "the value of {operation} could be used for its derivative",
        "the two are the same",
    ),
    "output_formula_at_input": (
        "the formula of the derivative of {operation} that takes its output could be given its "
        "input",
        "it gives the same",
    ),
    "wrong_orientation": (
        "in {operation}, the matrix could be used for its transpose",
        "it is symmetric",
    ),
    "dropped_path": ("what flows back through {operation} could be left out", "it is 0"),
    "tie_counted_twice": (
        "each of several equal numbers could get the whole gradient of {operation}",
        "no two are equal",
    ),
    "index_overwritten": (
        "what flows back through {quoted} could be set (=) instead of accumulated (+=)",
        "no index occurs twice",
    ),
}


class Hidden(NamedTuple):
    """A mistake that does not show.

    Attributes:
        mistake: which.
        size: of its effect elsewhere: relative, summed over the leaves.
        leaves: in which it shows elsewhere.
        by_sum: True if only other weights of the last sum show it.
    """

    mistake: Mistake
    size: float
    leaves: frozenset[int]
    by_sum: bool

    def leaf(self, cause: str) -> LeafMistake | None:
        """Returns its mistake if that is one of leaves, with this cause."""
        mistake = self.mistake
        return mistake if isinstance(mistake, LeafMistake) and mistake.cause == cause else None


@dataclass(frozen=True)
class Writer:
    """Writes sentences about one function.

    Attributes:
        summed: the function.
        reading: of its graph.
        probed: what flows through it.
        leaves: their names.
        compared: the leaves that are compared.
    """

    summed: Summed
    reading: Values
    probed: Probed
    leaves: Sequence[str]
    compared: Sequence[int]

    def sentences(self, found: Sequence[Hidden]) -> Iterator[str]:
        """Yields what is hidden by zeros, by the last sum, on each line, and in leaves."""
        by_sum = [one for one in found if one.by_sum]
        others = [one for one in found if not one.by_sum]
        zero = {m.leaf for one in others if (m := one.leaf("zero"))}
        yield from self.about_zeros(zero)
        if by_sum:
            yield self.about_sum(by_sum)
        behind = zero | {m.leaf for one in by_sum if (m := one.leaf("zero"))}
        yield from self.about_lines([one for one in others if not one.leaves <= behind])
        yield from self.about_leaves(others, behind)

    def about_zeros(self, zero: set[int]) -> Iterator[str]:
        """Yields where leaves become 0, which hides every mistake further on."""
        origins: dict[str, set[int]] = defaultdict(set)
        for leaf in sorted(zero):
            origins[self.origin(leaf)].add(leaf)
        for origin, leaves in origins.items():
            every = leaves == set(self.compared)
            what = "every gradient is 0" if every else f"{self.named(leaves)} 0"
            yield f"{origin}{what} here: any factor and any sign would pass."

    def origin(self, leaf: int) -> str:
        """Says at which operation nearest to the output a gradient becomes 0, if it does at one."""
        places = [
            (operation, i)
            for operation, flowing in self.probed.at.items()
            for i, size in flowing.operands.items()
            if operation.name != STOP
            and flowing.results
            and not size
            and self.reach(operation, i) >> leaf & 1
        ]
        if not places:
            return ""
        last = _place(places[-1][0])
        operation, i = next((o, i) for o, i in places if _place(o) == last)
        text = self.reading.described(operation) + self.cut(operation, i)
        return f"{last}: nothing flows back through {text}, so that "

    def reach(self, operation: Operation, operand: int) -> int:
        """Returns the leaves that an operand leads to, as a bit set."""
        graph = self.reading.home[operation]
        return self.reading.flow(graph, operation.operands[operand])

    def cut(self, operation: Operation, operand: int) -> str:
        """Says why nothing flows back along an operand."""
        values = self.probed.at[operation].values
        others = [size for i, size in values.items() if i != operand]
        if operation.name in BILINEAR:
            return " (the other factor is 0)" if not any(others) else ""
        return " (its input is 0)" if not values[operand] else " (its derivative is 0)"

    def about_sum(self, found: Sequence[Hidden]) -> str:
        """Says that all terms of the last sum have the same weight."""
        operation = self.summed.operation
        assert operation is not None
        zero = {m.leaf for one in found if (m := one.leaf("zero"))}
        hidden = "some mistakes before it do not show"
        if zero:
            hidden = (
                f"{self.named(zero)} 0 at any arguments, and any factor and any sign would pass"
            )
        return (
            f"{_place(operation)}: every number of the sum has the upstream gradient "
            f"{np.ravel(self.summed.weights)[0]:.3g}, so that {hidden}. Multiply the numbers by "
            "random ones before they are summed, or use compare_vjp."
        )

    def about_lines(self, found: Sequence[Hidden]) -> Iterator[str]:
        """Yields the largest mistake on each line."""
        lines = {
            _place(one.mistake.operation): one.mistake
            for one in reversed(found)
            if isinstance(one.mistake, Hypothesis)
        }
        for place, mistake in reversed(lines.items()):
            what, why = WORDS[mistake.cause.code]
            operation = mistake.operation
            quoted, described = self.reading.quoted(operation), self.reading.described(operation)
            text = what.format(operation=described, quoted=quoted)
            if mistake.cause is MISSING_DERIVATIVE and (factor := self.factor(mistake)):
                text = f"the factor {factor} in {quoted} could be left out"
            yield f"{place}: {text}: {self.why(mistake, why)}."

    def why(self, mistake: Hypothesis, usual: str) -> str:
        """Says why a mistake changes nothing."""
        flowing, change = self.probed.at.get(mistake.operation), self.probed.changes.get(mistake)
        if flowing is None or change is None:
            return "it makes no difference here"
        if not flowing.results:
            return "its upstream gradient is 0 here"
        own = flowing.operands[mistake.switches[0].operand]
        if change <= NOTHING * own or (change == 0 and own == 0):
            return f"{usual} here"
        return "what flows on from there is multiplied by 0 here"

    def about_leaves(self, found: Sequence[Hidden], zero: set[int]) -> Iterator[str]:
        """Yields what single leaves hide."""
        for one in found:
            if (m := one.leaf("transposed")) and m.leaf not in zero:
                yield f"{self.named({m.leaf})} symmetric here: its transpose would pass."
            if (m := one.leaf("swapped")) and not {m.leaf, m.other} <= zero:
                pair = listed([self.leaves[m.leaf], self.leaves[m.other]])
                yield f"{pair} are equal here: one could stand in the place of the other."
        if decayed := {m.leaf for one in found if (m := one.leaf("weight_decay"))}:
            weights = " and ".join(f"`{self.leaves[i]}`" for i in sorted(decayed))
            yield (
                f"{weights} {'is' if len(decayed) == 1 else 'are'} 0 here: the gradient of an L2 "
                "penalty could be missing or superfluous."
            )

    def factor(self, mistake: Hypothesis) -> str | None:
        """Names what an operand is multiplied by, if that is one thing."""
        operation, operand = mistake.switches[0]
        if operation.name != "mul" or operation.kind != "atom":
            return None
        other = operation.operands[1 - operand]
        if isinstance(other, Constant):
            return f"{float(np.ravel(other.value)[0]):g}"
        return self.reading.name(self.reading.of(self.reading.home[operation], other))

    def named(self, leaves: set[int]) -> str:
        """Names leaves, with the verb."""
        names = [self.leaves[i] for i in sorted(leaves)]
        return f"{listed(names)} {'is' if len(leaves) == 1 else 'are'}"


def _place(operation: Operation) -> str:
    return operation.source or operation.location or "in the function"
