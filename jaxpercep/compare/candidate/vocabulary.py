"""What code for a due value may be made of: live variables, and derivatives at them."""

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import CodeType, FunctionType
from typing import Any

import jax
import numpy as np

from jaxpercep.compare.candidate.grammar import FUNCTIONS, derivatives, edits, neighbours
from jaxpercep.compare.candidate.instrument import Site
from jaxpercep.compare.candidate.variables import NumpyForJax, Sighting, calls_jax
from jaxpercep.compare.program.graph import RUN_ONCE

NUMBERS = (np.ndarray, np.generic, float, jax.Array)
SHORT = 8  # elements that are looked at
WHOLE = "_whole_"  # of an expression, before it is edited
NAME = "_slope_{}_"  # of a derivative that many edits use


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Live variables of a function, and derivatives at them, which have names of their own.

    Attributes:
        sites: the expressions of the function, of those that have values.
        sighting: a pass through one of them.
    """

    sites: Sequence[Site]
    sighting: Sighting

    @cached_property
    def atoms(self) -> list[str]:
        """The variables, with their indices, that hold arrays here."""
        texts = [
            site.text
            for site in self.sites
            if isinstance(site.node, (ast.Name, ast.Subscript, ast.Attribute))
            and not site.text.endswith(".T")
        ]
        near = [other for text in texts for other in neighbours(text)]
        every = dict.fromkeys([*texts, *near, *self.sighting.variables, *self.elements])
        return [text for text in every if _is_number(evaluated(text, self.sighting))]

    @cached_property
    def elements(self) -> list[str]:
        """The elements of short tuples, lists and dicts."""
        found: list[str] = []
        for name, value in self.sighting.variables.items():
            keys: Iterable[Any] = value if isinstance(value, dict) else ()
            if isinstance(value, (tuple, list)):
                keys = range(len(value))
            found += [f"{name}[{key!r}]" for key in keys][:SHORT]
        return found

    @cached_property
    def functions(self) -> list[str]:
        """The functions of one argument that the code calls or may call."""
        calls = [site.node for site in self.sites if isinstance(site.node, ast.Call)]
        unary = [call.func for call in calls if len(call.args) == 1 and not call.keywords]
        called = [ast.unparse(f) for f in unary if isinstance(f, (ast.Name, ast.Attribute))]
        scope = self.sighting.scope
        known = [f"{self.module}.{function}" for function in FUNCTIONS if self.module]
        if scope.get("jax") is jax:
            known.append("jax.nn.sigmoid")
        return list(dict.fromkeys([*called, *known, *filter(self.may_be_derivative, scope)]))

    @cached_property
    def module(self) -> str | None:
        """What the code calls `numpy` or `jax.numpy`, whichever it uses more."""
        scope = self.sighting.scope
        modules = [n for n, v in scope.items() if v is np or isinstance(v, NumpyForJax)]
        modules.sort(key=lambda name: -sum(s.text.startswith(f"{name}.") for s in self.sites))
        return next(iter(modules), None)

    @cached_property
    def constants(self) -> list[str]:
        """The numbers in the code that are not whole."""
        nodes = (node for site in self.sites for node in ast.walk(site.node))
        numbers = (n.value for n in nodes if isinstance(n, ast.Constant))
        return list(dict.fromkeys(repr(n) for n in numbers if isinstance(n, float) and n % 1))

    def may_be_derivative(self, name: str) -> bool:
        """Returns True for the user's functions of one argument that are named as derivatives."""
        function, site = self.sighting.scope[name], self.sites[0]
        if not isinstance(function, FunctionType) or function.__code__.co_argcount != 1:
            return False
        if function.__code__.co_filename != site.source.file or name == site.function:
            return False
        of_another = name.startswith("d") and name[1:].removeprefix("_") in self.sighting.scope
        return of_another or bool(re.search("slope|prime|deriv|grad", name))

    @cached_property
    def compiled(self) -> dict[str, Callable[..., Any]]:
        """Those of the functions that JAX compiles."""
        found = {text: evaluated(text, self.sighting) for text in self.functions}
        return {f: v for f, v in found.items() if _is_of_jax(v)}

    @cached_property
    def slopes(self) -> dict[str, str]:
        """The derivatives, by names that stand for them."""
        plain = [function for function in self.functions if function not in self.compiled]
        functions = [*plain, *self.compiled]
        every = derivatives(self.atoms, functions, self.module, self.constants)
        return {NAME.format(i): text for i, text in enumerate(every)}

    def edits(self, text: str) -> list[str]:
        """Lists the edits of an expression, with names for the derivatives."""
        return edits(text, self.atoms, list(self.slopes), self.module, self.constants)

    def told(self, text: str) -> str:
        """Returns the text of an expression with the derivatives in the place of their names."""
        return re.sub(NAME.format("[0-9]+"), lambda found: self.slopes[found[0]], text)

    def named(self, sighting: Sighting, whole: str) -> Sighting:
        """Returns a pass with named values among the variables, each of them evaluated once.

        They are the derivatives, and the whole of the expression as it was.
        """
        atoms = {text: evaluated(text, sighting) for text in self.atoms}
        values = {text: np.asarray(v, np.float64) for text, v in atoms.items() if _is_number(v)}
        computed = self.by_jax(values) if self.compiled else {}
        found = {
            name: computed[text] if text in computed else evaluated(text, sighting)
            for name, text in self.slopes.items()
            if text in computed or text.partition("(")[0] not in self.compiled
        }
        found[WHOLE] = evaluated(whole, sighting)
        known = {name: np.asarray(v) for name, v in found.items() if _is_number(v)}
        return sighting._replace(variables=sighting.variables | known)

    @cached_property
    def by_jax(self) -> Callable[[dict[str, np.ndarray]], dict[str, Any]]:
        """Evaluates all that JAX compiles in one program."""

        def program(values: dict[str, Any]) -> dict[str, Any]:
            return {
                f"{text}({v})": _attempt(function, value)
                for text, function in self.compiled.items()
                for v, value in values.items()
            }

        return RUN_ONCE(program)


def code(text: str) -> CodeType:
    """Compiles an expression."""
    return compile(f"({text}\n)", "<suggestion>", "eval")


def evaluated(text: str | CodeType, sighting: Sighting) -> Any:
    """Evaluates an expression among the variables of a pass; None if it cannot be evaluated."""
    try:
        compiled = code(text) if isinstance(text, str) else text
        return eval(compiled, sighting.scope, sighting.variables)
    except Exception:  # whatever it is: this is no code for a value
        return None


def _attempt(function: Callable[..., Any], value: Any) -> Any:
    try:
        result = function(value)
    except Exception:  # whatever it is: the function is not for this value
        return None
    return result if isinstance(result, jax.Array) else None


def _is_of_jax(function: Any) -> bool:
    own = isinstance(function, FunctionType) and calls_jax(function)
    of_jax = callable(function) and str(getattr(function, "__module__", "")).startswith("jax.")
    return own or of_jax


def _is_number(value: Any) -> bool:
    return isinstance(value, NUMBERS) and np.asarray(value).dtype.kind == "f"
