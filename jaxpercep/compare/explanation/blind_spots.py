"""Says which mistakes the given arguments could not have revealed.

A mistake is hidden if its gradient equals the right one to within rounding at the arguments, but
not at others of the same kind. What is hidden everywhere is no mistake.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation.draws import Manner, draw
from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.explanation.blind_causes import BLIND_CAUSES, TIE_COUNTED_TWICE
from jaxpercep.compare.explanation.blind_data import repeated
from jaxpercep.compare.explanation.blind_words import Hidden, Writer
from jaxpercep.compare.explanation.hypotheses import Hypothesis, hypotheses
from jaxpercep.compare.explanation.probe import probe
from jaxpercep.compare.explanation.survey import Mistake, Seen, Survey
from jaxpercep.compare.program.flow import Flow, live
from jaxpercep.compare.program.graph import Graph, Value
from jaxpercep.compare.program.terminal import Summed, without_sum
from jaxpercep.compare.program.units import grouped
from jaxpercep.compare.program.values import Values

SHOWN = 5
DRAWS: tuple[tuple[Manner, int], ...] = (
    ("kind", 1),
    ("general", 2),
    ("kind", 3),
    ("general", 4),
    ("near", 5),
)


@dataclass(frozen=True)
class BlindSpots(Sequence[str]):
    """Mistakes that a comparison could not have revealed: sentences, the largest mistake first.

    Attributes:
        sentences: one for each line of the function.
        reason: why they could not be found, or None.
    """

    sentences: tuple[str, ...]
    reason: str | None = None

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self.sentences[index]

    def __len__(self) -> int:
        return len(self.sentences)

    def __str__(self) -> str:
        if self.reason is not None:
            return f"The blind spots are not known: {self.reason}."
        rest = len(self) - SHOWN
        return "\n".join([*self.sentences[:SHOWN], *([f"{rest} more"] if rest > 0 else [])])

    def demand_none(self, how: str) -> None:
        """Warns, or raises an `AssertionError`, if there are any or if they are not known."""
        if not self.sentences and self.reason is None:
            return
        message = f"the gradients match, but not every mistake would have shown\n{self}"
        if how == "error":
            raise AssertionError(message)
        warnings.warn(message, stacklevel=3)


@dataclass(frozen=True)
class Search:
    """The mistakes that may be hidden in a function, and the arguments that would show them.

    Attributes:
        summed: the function as a weighted sum.
        reading: of its graph.
        values: of all leaves of the arguments that others are drawn like.
        positions: of the leaves to differentiate by.
    """

    summed: Summed
    reading: Values
    values: Sequence[Value]
    positions: Sequence[int]

    @classmethod
    def of(
        cls,
        graph: Graph,
        values: Sequence[Value],
        positions: Sequence[int],
        names: Sequence[str],
    ) -> "Search":
        """Prepares the search in a graph with a scalar output, and inputs of these names."""
        graph = live(graph)
        graph = grouped(graph, Flow.of(graph, positions))
        summed = without_sum(graph, jnp.result_type(values[positions[0]]))
        reading = Values(summed.graph, Flow.of(summed.graph, positions), names)
        return cls(summed, reading, values, positions)

    @cached_property
    def hypotheses(self) -> list[Hypothesis]:
        """Every mistake in the flow, in all iterations of a loop and in one pass of a line."""
        every = hypotheses(self.summed.graph, self.reading, updates=False, more=BLIND_CAUSES)
        return [one for one in every if one.iteration is None and one.passes == 1]

    @cached_property
    def survey(self) -> Survey:
        """The program that tries them."""
        return Survey.of(self.summed.graph, self.positions, self.hypotheses)

    def at(self, values: Sequence[Value]) -> Seen:
        """Tries every mistake at these values."""
        return self.survey.at(values, self.summed.weights)

    @cached_property
    def showing(self) -> tuple[np.ndarray, np.ndarray]:
        """The largest relative effect of each mistake on each leaf, elsewhere.

        That at other arguments comes first, then that with another weight for each number of the
        last sum as well.
        """
        plain = weighted = np.zeros((len(self.survey.mistakes), len(self.positions)))
        ties = [_needs_ties(mistake) for mistake in self.survey.mistakes]
        rng = np.random.default_rng(1013)
        for manner, seed in DRAWS:
            values = draw(self.values, self.positions, manner, seed)
            if (seen := self.at(values)).is_finite:
                plain = np.maximum(plain, seen.sizes())
            if self.summed.operation is not None:
                weights = jnp.asarray(rng.normal(size=self.summed.weights.shape))
                if (seen := self.survey.at(values, weights)).is_finite:
                    weighted = np.maximum(weighted, seen.sizes())
            if any(ties) and manner == "kind":
                tied = self.at([_with_ties(v, i in self.positions) for i, v in enumerate(values)])
                sizes = tied.sizes() if tied.is_finite else np.zeros_like(plain)
                plain = np.maximum(plain, np.where(np.array(ties)[:, None], sizes, 0))
        return plain, weighted

    def hidden(
        self, seen: Seen, floor: Sequence[float] | None, compared: Sequence[int]
    ) -> list[Hidden]:
        """Lists the mistakes that do not show here, but elsewhere, largest first.

        Args:
            seen: here.
            floor: the largest error of each leaf that rounding explains; by default, a small one.
            compared: the leaves that are compared.
        """
        here = seen.sizes() > 0 if floor is None else ~(seen.effect <= np.asarray(floor))
        plain, weighted = self.showing
        found = []
        for j, mistake in enumerate(self.survey.mistakes):
            if here[j, compared].any():
                continue
            by_sum = not plain[j, compared].any()
            size = (weighted if by_sum else plain)[j, compared]
            if size.any():
                leaves = frozenset(i for i, s in zip(compared, size, strict=True) if s)
                found.append(Hidden(mistake, float(size.sum()), leaves, by_sum))
        return sorted(found, key=lambda one: -one.size)


def _needs_ties(mistake: Mistake) -> bool:
    return isinstance(mistake, Hypothesis) and mistake.cause is TIE_COUNTED_TWICE


def _with_ties(value: Any, differentiated: bool) -> Any:
    """Replaces numbers by the largest and the smallest of them, so that many are equal."""
    if not differentiated or not jnp.ndim(value) or not jnp.size(value):
        return value
    return jnp.where(value > jnp.median(value), jnp.max(value), jnp.min(value))


def blind_spots(evaluation: Evaluation, batch: Sequence[Any], names: Sequence[str]) -> BlindSpots:
    """Lists what the arguments of a comparison could not have revealed.

    Args:
        evaluation: of the function, in float64.
        batch: the arguments that are not differentiated.
        names: of all leaves of the arguments.
    """
    if evaluation.graph is None:
        return BlindSpots((), "the function cannot be traced with abstract arguments")
    positions = evaluation.leaves.positions
    search = Search.of(evaluation.graph, evaluation.values, positions, names)
    seen = search.at(search.values)
    if not seen.is_finite:
        return BlindSpots((), "the gradient is not finite at these arguments")
    leaves = enumerate(evaluation.candidate.leaves)
    compared = [i for i, leaf in leaves if i not in evaluation.candidate.frozen]
    found = search.hidden(seen, evaluation.floor, compared)
    told = _told(search, found, compared, names)
    return BlindSpots((*told, *repeated(search.values, positions, names), *_of_batch(batch)))


def _told(
    search: Search,
    found: Sequence[Hidden],
    compared: Sequence[int],
    names: Sequence[str],
) -> list[str]:
    """Puts hidden mistakes into words."""
    if not found:
        return []
    summed, tried = search.summed, [one.mistake for one in found]
    in_flow = [mistake for mistake in tried if isinstance(mistake, Hypothesis)]
    probed = probe(summed.graph, search.values, summed.weights, in_flow)
    weights = [names[i] for i in search.positions]
    writer = Writer(summed, search.reading, probed, weights, compared)
    return list(writer.sentences(found))


def _of_batch(batch: Sequence[Any]) -> list[str]:
    """Says that one sample does not tell a sum from a mean."""
    shapes = [np.shape(leaf) for leaf in batch if np.ndim(leaf) > 1]
    if not shapes or any(shape[0] > 1 for shape in shapes):
        return []
    return ["The batch is 1: a factor of 1 / batch, missing or superfluous, would not show."]
