"""Suggests code for a due value, in the candidate's own variables; every suggestion was run."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import CodeType, ModuleType
from typing import Any

import jax
import numpy as np

from jaxpercep.compare.candidate.grammar import FUNCTIONS, edits, neighbours, tidy
from jaxpercep.compare.candidate.instrument import Site
from jaxpercep.compare.candidate.runs import Runs
from jaxpercep.compare.candidate.values import Substitution, Values
from jaxpercep.compare.candidate.variables import Key, Sighting

MOST = 30_000  # edits that are evaluated
TRIED = 8  # of those that give the due value are put into the source and run


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

    def suggestion(self, fault: Substitution) -> str | None:
        """Returns the simplest edit that, put into the source, makes every leaf right."""
        site = self.runs.sites[fault.keys[0].site]
        others = [other for other in self.faults if other is not fault]
        given = [{k: v for one in others for k, v in one.at(w).items()} for w in (0, 1)]
        node = site.node.value if isinstance(site.node, ast.AugAssign) else site.node
        text = site.source.quotes.segment(node)
        cases = [case for w in (0, 1) for case in self.cases(fault, text, given[w], w)]
        if not cases or any(due is None for _, due in cases):
            return None
        for new in islice(self.matching(site, text, cases), TRIED):
            tidied = tidy(new)
            edit: dict[ast.AST, ast.expr] = {node: ast.parse(f"({tidied}\n)", mode="eval").body}
            if all(self.is_repaired(edit, given[w], w) for w in (0, 1)):
                return _statement(site, node, tidied)
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
        old = _evaluated(text, sighting)
        if old is None or not isinstance(node.op, (ast.Add, ast.Sub)):
            return None
        change = due - sighting.value
        return old + change if isinstance(node.op, ast.Add) else old - change

    def matching(
        self, site: Site, text: str, cases: Sequence[tuple[Sighting, Any]]
    ) -> Iterator[str]:
        """Yields the edits that have the due value in every pass, at both sets of arguments."""
        own = [other for other in self.runs.sites if other.function == site.function]
        atoms = self.atoms(own, cases[0][0])
        functions = self.functions(own, cases[0][0])
        for new in edits(text, atoms, functions)[:MOST]:
            code = _compiled(new)
            if all(self.equals(code, sighting, due) for sighting, due in cases):
                yield new

    def equals(self, code: CodeType, sighting: Sighting, due: Any) -> bool:
        """Returns True if an expression has the due value in a pass."""
        value = _evaluated(code, sighting)
        if not isinstance(value, (np.ndarray, np.generic, float, jax.Array)):
            return False
        if np.shape(value) != np.shape(due):
            return False
        scale = np.max(np.abs(due), initial=0.0)
        return bool(np.max(np.abs(value - due), initial=0.0) <= self.tolerance * scale)

    def atoms(self, own: Sequence[Site], sighting: Sighting) -> list[str]:
        """Lists the variables of the function, with their indices, that hold arrays here."""
        texts = [
            site.text
            for site in own
            if isinstance(site.node, (ast.Name, ast.Subscript, ast.Attribute))
            and not site.text.endswith(".T")
        ]
        found: list[str] = []
        near = [other for text in texts for other in neighbours(text)]
        for text in dict.fromkeys([*texts, *near]):
            value = _evaluated(text, sighting)
            if isinstance(value, (np.ndarray, np.floating, float)):
                found.append(text)
        return found

    def functions(self, own: Sequence[Site], sighting: Sighting) -> list[str]:
        """Lists the functions of one argument that the code calls, and those of its numpy."""
        told = (s.node for s in own if s.number in self.values.turns)  # not print(x)
        calls = [node for node in told if isinstance(node, ast.Call)]
        unary = [call for call in calls if len(call.args) == 1 and not call.keywords]
        plain = [call for call in unary if isinstance(call.func, (ast.Name, ast.Attribute))]
        called = [ast.unparse(call.func) for call in plain]
        modules = [
            name
            for name, value in sighting.scope.items()
            if isinstance(value, ModuleType) and value.__name__ in ("numpy", "jax.numpy")
        ]
        modules.sort(key=lambda name: -sum(site.text.startswith(f"{name}.") for site in own))
        known = [f"{module}.{function}" for module in modules[:1] for function in FUNCTIONS]
        return list(dict.fromkeys([*known, *called]))

    def is_repaired(self, edit: dict[ast.AST, ast.expr], given: Any, where: int) -> bool:
        """Returns True if every leaf is right after an edit."""
        leaves = self.runs.edited(edit, given, where)
        return leaves is not None and all(self.runs.target.is_right(leaves, where))


def _compiled(text: str) -> CodeType:
    return compile(f"({text}\n)", "<suggestion>", "eval")


def _evaluated(code: str | CodeType, sighting: Sighting) -> Any:
    """Evaluates an expression among the variables of a pass; None if it cannot be evaluated."""
    try:
        compiled = _compiled(code) if isinstance(code, str) else code
        return eval(compiled, sighting.scope, sighting.variables)
    except Exception:  # whatever it is: this is no code for the value
        return None


def _statement(site: Site, node: ast.expr, text: str) -> str:
    """Returns the statement with the expression edited, or the expression of a long one."""
    if site.variable is None:
        return text
    if isinstance(site.node, ast.AugAssign):
        whole = site.text
        old = site.source.segment(node)
        return f"{whole.removesuffix(old)}{text}" if whole.endswith(old) else text
    return f"{site.variable} = {text}"
