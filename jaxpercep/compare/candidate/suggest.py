"""Suggests code for a due value, in the candidate's own variables; every suggestion was run."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import CodeType
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from jaxpercep.compare.candidate.grammar import tidy
from jaxpercep.compare.candidate.instrument import Site
from jaxpercep.compare.candidate.runs import Runs
from jaxpercep.compare.candidate.values import Substitution, Values
from jaxpercep.compare.candidate.variables import Key, Sighting
from jaxpercep.compare.candidate.vocabulary import NUMBERS, WHOLE, Vocabulary, code, evaluated

MOST = 20_000  # edits that are evaluated
TRIED = 8  # of those that give the due value are put into the source and run


Edit: TypeAlias = dict[ast.AST, ast.expr]


class Suggestion(NamedTuple):
    """Code to put into the source: its text, and by node."""

    text: str
    edit: Edit


@dataclass(frozen=True, eq=False)
class Suggester:
    """Looks for the code of due values.

    Attributes:
        runs: of the candidate.
        faults: all that repair it.
        values: that it computes.
        tolerance: the largest relative difference of equal values.
    """

    runs: Runs
    faults: Sequence[Substitution]
    values: Values
    tolerance: float

    def suggestions(self) -> list[Suggestion | None]:
        """Returns the simplest edits that, put into the source, make every leaf right."""
        found = [self.suggestion(fault) for fault in self.faults]
        if len(found) > 1 and all(found):
            together = {node: new for one in found if one for node, new in one.edit.items()}
            if not self.runs.mends(together, [{} for _ in self.runs.args]):
                return [None for _ in found]
        return found

    def suggestion(self, fault: Substitution) -> Suggestion | None:
        """Returns the simplest edit for one fault, while the others are replaced.

        Where the passes of a loop are summed, their order is not known from the sum.
        """
        found = self.in_order(fault)
        if found is None and len(fault.keys) > 1:
            found = self.in_order(fault._replace(due=fault.due[::-1]))
        return found or self.accumulated(fault)

    def accumulated(self, fault: Substitution) -> Suggestion | None:
        """Returns `dw += x` for `dw = x` in a loop, if that makes every leaf right."""
        site = self.runs.sites[fault.keys[0].site]
        in_loop = len(self.values.turns.get(site.number, ())) > 1
        if not in_loop or site.variable is None or isinstance(site.node, ast.AugAssign):
            return None
        edit: Edit = {site.node: parsed(f"{site.variable} + ({site.text})")}
        if self.runs.mends(edit, self.given(fault)):
            return Suggestion(f"{site.variable} += {site.text}", edit)
        return None

    def given(self, fault: Substitution) -> list[dict[Key, np.ndarray]]:
        """Returns what the other faults replace: they can at two sets of arguments alone."""
        others = [other for other in self.faults if other.keys != fault.keys]
        if not others:
            return [{} for _ in self.runs.args]
        return [{k: v for one in others for k, v in one.at(w).items()} for w in (0, 1)]

    def in_order(self, fault: Substitution) -> Suggestion | None:
        """Returns the simplest edit that gives every pass the value that is due at it."""
        site, given = self.runs.sites[fault.keys[0].site], self.given(fault)
        node = edited_node(site)
        text = site.source.quotes.segment(node)
        cases = [case for w in (0, 1) for case in self.cases(fault, text, given[w], w)]
        if not cases or any(due is None for _, due in cases):
            return None
        for new in islice(self.matching(site, text, cases), TRIED):
            tidied = tidy(new)
            edit: Edit = {node: parsed(tidied)}
            if self.runs.mends(edit, given):
                return Suggestion(statement(site, node, tidied), edit)
        return None

    def cases(
        self, fault: Substitution, text: str, given: dict[Key, np.ndarray], where: int
    ) -> list[tuple[Sighting, Any]]:
        """Lists the passes that an edit must mend, the later ones with what is due before.

        Beside each stands the value that the edited expression must have.
        """
        site = self.runs.sites[fault.keys[0].site]
        replaced = fault.at(where)
        found = []
        for sighting in self.runs.sightings(site.number, given | replaced, where):
            if len(fault.keys) > 1 and sighting.key not in fault.keys:
                continue
            new = replaced.get(sighting.key)
            due = sighting.value if new is None else new[sighting.sample]
            if isinstance(site.node, ast.AugAssign):
                due = self.term(site.node, due, sighting, text)
            found.append((sighting, due))
        return found

    def term(self, node: ast.AugAssign, due: Any, sighting: Sighting, text: str) -> Any:
        """Returns the term to add, given the sum that is due."""
        old = evaluated(text, sighting)
        if old is None or not isinstance(node.op, (ast.Add, ast.Sub)):
            return None
        change = due - sighting.value
        return old + change if isinstance(node.op, ast.Add) else old - change

    def matching(
        self, site: Site, text: str, cases: Sequence[tuple[Sighting, Any]]
    ) -> Iterator[str]:
        """Yields the edits that have the due value in every pass, at both sets of arguments."""
        own = [other for other in self.runs.sites if other.function == site.function]
        told = [other for other in own if other.number in self.values.turns]  # not print(x)
        words = Vocabulary(told, cases[0][0])
        cases = [(words.named(sighting, text), due) for sighting, due in cases]
        solved = _solved(text, [*words.atoms, *words.slopes], *cases[0])
        for new in [*words.edits(text)[:MOST], *solved]:
            compiled = code(new.replace(f"({text})", WHOLE))
            if all(self.equals(compiled, sighting, due) for sighting, due in cases):
                yield words.told(new)

    def equals(self, compiled: CodeType, sighting: Sighting, due: Any) -> bool:
        """Returns True if an expression has the due value in a pass."""
        return self.is_due(evaluated(compiled, sighting), due)

    def is_due(self, value: Any, due: Any) -> bool:
        """Returns True for the due value."""
        if not isinstance(value, NUMBERS) or np.shape(value) != np.shape(due):
            return False
        scale = np.max(np.abs(due), initial=0.0)
        return bool(np.max(np.abs(value - due), initial=0.0) <= self.tolerance * scale)


def edited_node(site: Site) -> ast.expr:
    """Returns the expression that code may be suggested for."""
    return site.node.value if isinstance(site.node, ast.AugAssign) else site.node


def parsed(text: str) -> ast.expr:
    """Parses the text of an expression."""
    return ast.parse(f"({text}\n)", mode="eval").body


def _solved(text: str, atoms: Sequence[str], sighting: Sighting, due: Any) -> Iterator[str]:
    """Yields edits by a constant that the code does not hold: of a scale, or of a term."""
    old = evaluated(text, sighting)
    if np.shape(old) != np.shape(due):
        return
    for target, part, form in [
        (due, text, "{c} * ({e})"),
        *((due - old, v, "({e}) + {c} * {v}") for v in atoms),
    ]:
        value = evaluated(part, sighting)
        if np.shape(value) == np.shape(due) and np.any(value):
            constant = float(np.vdot(value, target) / np.vdot(value, value))
            short = float(f"{constant:.3g}")
            if short and abs(constant - short) <= 1e-7 * abs(short):
                yield form.format(c=f"{short:g}", e=text, v=part)


def statement(site: Site, node: ast.expr, text: str) -> str:
    """Returns the statement with the expression edited, or the expression of a long one."""
    if site.variable is None:
        return text
    if isinstance(site.node, ast.AugAssign):
        whole = site.text
        old = site.source.segment(node)
        return f"{whole.removesuffix(old)}{text}" if whole.endswith(old) else text
    return f"{site.variable} = {text}"
