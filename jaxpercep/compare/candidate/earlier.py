"""Moves a fault that no code mends to the statement before it in which an edit mends every leaf.

The first wrong value whose due value has a name may come after the mistake: if `d = (p - t) / s` is
wrong, but has no name, `d * mask` is what should be known. Only the edit proves that it was `d`.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from jaxpercep.compare.candidate.grammar import tidy
from jaxpercep.compare.candidate.identify import Meaning
from jaxpercep.compare.candidate.instrument import Site
from jaxpercep.compare.candidate.known import Known, Pair
from jaxpercep.compare.candidate.suggest import (
    TRIED,
    Edit,
    Suggester,
    Suggestion,
    edited_node,
    parsed,
    statement,
)
from jaxpercep.compare.candidate.values import Substitution
from jaxpercep.compare.candidate.variables import Key, Sighting
from jaxpercep.compare.candidate.vocabulary import WHOLE, Vocabulary, code, evaluated

MOST = 4000  # edits of one statement that are evaluated
LONGEST = 2  # statements between that one and the fault, which counts


class Moved(NamedTuple):
    """A fault at another place, and the code that mends it."""

    fault: Substitution
    suggestion: Suggestion


class Pass(NamedTuple):
    """One pass through a statement, and through those that compute the fault from its value.

    Attributes:
        sightings: one of each.
        due: the value that is due at the fault.
    """

    sightings: tuple[Sighting, ...]
    due: Any


@dataclass(frozen=True, eq=False)
class Earlier:
    """Looks for the statement that computes what a fault is computed from."""

    suggester: Suggester

    def moved(self, fault: Substitution) -> Moved | None:
        """Returns the fault at the nearest such statement, or None."""
        runs = self.suggester.runs
        for path in self.paths((runs.sites[fault.keys[0].site],), fault.keys[0]):
            other, node = path[0], edited_node(path[0])
            for text in islice(self.edits(path, fault), TRIED):
                tidied = tidy(text)
                edit: Edit = {node: parsed(tidied)}
                if runs.mends(edit, [{} for _ in runs.args]):
                    suggestion = Suggestion(statement(other, node, tidied), edit)
                    return Moved(self.fault(other, tidied), suggestion)
        return None

    def paths(self, path: tuple[Site, ...], key: Key) -> Iterator[tuple[Site, ...]]:
        """Yields statements that lead to the fault, each of a value that is not known."""
        values, sites = self.suggester.values, self.suggester.runs.sites
        read = {node.id for node in ast.walk(path[0].node) if isinstance(node, ast.Name)}
        before = sorted(
            (values.order[turns[0]], number)
            for number, turns in values.turns.items()
            if sites[number].variable in read
            and sites[number].function == path[0].function
            and values.order[turns[0]] < values.order[key]
            and len(turns) in (1, len(values.turns[key.site]))
            and not any(map(values.is_settled, turns))
        )
        longer = [(sites[number], *path) for _, number in before[::-1]]
        yield from longer
        if len(path) < LONGEST:
            for one in longer:
                yield from self.paths(one, values.turns[one[0].number][0])

    def edits(self, path: Sequence[Site], fault: Substitution) -> Iterator[str]:
        """Yields the edits of a statement with which the fault gets the value that is due."""
        passes = [one for where in (0, 1) for one in self.passes(path, fault, where)]
        if not passes or any(one.due is None for one in passes):
            return
        suggester, text = self.suggester, path[0].source.segment(edited_node(path[0]))
        own = [site for site in suggester.runs.sites if site.function == path[0].function]
        told = [site for site in own if site.number in suggester.values.turns]
        words = Vocabulary(told, passes[0].sightings[0])
        passes = [
            one._replace(sightings=(words.named(one.sightings[0], text), *one.sightings[1:]))
            for one in passes
        ]
        later = [code(site.source.segment(edited_node(site))) for site in path[1:]]
        for new in words.edits(text)[:MOST]:
            compiled = [code(new.replace(f"({text})", WHOLE)), *later]
            if all(self.gives(compiled, path, one) for one in passes):
                yield words.told(new)

    def passes(self, path: Sequence[Site], fault: Substitution, where: int) -> list[Pass]:
        """Pairs the passes through all statements, at one of the two sets of arguments."""
        runs = self.suggester.runs
        text = path[-1].source.segment(edited_node(path[-1]))
        cases = self.suggester.cases(fault, text, {}, where)
        earlier = [runs.sightings(site.number, {}, where) for site in path[:-1]]
        earlier = [one * len(cases) if len(one) == 1 else one for one in earlier]
        if any(len(one) != len(cases) for one in earlier):
            return []
        return [
            Pass((*firsts, last), due) for *firsts, (last, due) in zip(*earlier, cases, strict=True)
        ]

    def gives(self, compiled: Sequence[CodeType], path: Sequence[Site], one: Pass) -> bool:
        """Returns True if an edit of the first statement gives the fault its due value."""
        value: Any = None
        changed: dict[str, Any] = {}
        for text, site, sighting in zip(compiled, path, one.sightings, strict=True):
            seen = sighting._replace(variables=sighting.variables | changed)
            value = evaluated(text, seen) if site is path[-1] else self.assigned(text, site, seen)
            if value is None:
                return False
            changed[str(site.variable)] = value
        try:  # an axis may be missing, or of size 1, as far as the run allows it
            return self.suggester.is_due(np.broadcast_to(value, np.shape(one.due)), one.due)
        except ValueError:
            return False

    def assigned(self, compiled: CodeType, other: Site, sighting: Sighting) -> Any:
        """Evaluates an edited statement: the value that it then assigns."""
        value = evaluated(compiled, sighting)
        if value is None or not isinstance(other.node, ast.AugAssign):
            return value
        old = evaluated(other.source.segment(other.node.target), sighting)
        if old is None or not isinstance(other.node.op, (ast.Add, ast.Sub)):
            return None
        return old + value if isinstance(other.node.op, ast.Add) else old - value

    def fault(self, other: Site, text: str) -> Substitution:
        """Returns the fault at a statement, whose due value is that of other code."""
        keys = tuple(self.suggester.values.turns[other.number])
        compiled = code(text)
        here, there = (self.due(other, compiled, where) for where in (0, 1))
        pairs = (Pair(*pair) for pair in zip(here, there, strict=True))
        due = (Meaning(Known("inside", (f"`{text}`",), pair)) for pair in pairs)
        return Substitution(keys, tuple(due))

    def due(self, other: Site, compiled: CodeType, where: int) -> Sequence[np.ndarray]:
        """Evaluates other code in each pass through a statement."""
        sightings = self.suggester.runs.sightings(other.number, {}, where)
        values = (self.assigned(compiled, other, sighting) for sighting in sightings)
        return [np.asarray(value, np.float64) for value in values]
