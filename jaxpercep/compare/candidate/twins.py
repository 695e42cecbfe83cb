"""Instrumented twins of the user's functions: the same closures, globals and defaults."""

import __future__

import ast
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, TypeAlias

import jax

from jaxpercep.compare.candidate.instrument import CALLED, VALUE, Instrument
from jaxpercep.compare.candidate.source import (
    JITTED,
    Definition,
    Home,
    Source,
    UnreadableError,
    call_method,
    definition_of,
    nested,
    source_of,
    unwrapped,
)

FUTURE = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)

Hook: TypeAlias = Callable[[int, Any], Any]
"""`(number of the site, value) -> value to go on with`."""


@dataclass(eq=False)
class Twins:
    """Replaces the user's functions by instrumented ones.

    Attributes:
        home: decides which functions are the user's.
        instrument: rewrites them.
        hook: is told every value.
        unread: functions of the user's that could not be read, with the reason.
    """

    home: Home
    instrument: Instrument
    hook: Hook
    unread: dict[str, str] = field(default_factory=dict)
    made: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    codes: dict[CodeType, CodeType] = field(default_factory=dict)

    def root(self, function: Any) -> Any:
        """Returns the twin of the candidate itself.

        Raises:
            UnreadableError: It cannot be read.
        """
        twin = self.of(function, called=True)
        if twin is function:
            reasons = iter(self.unread.values())
            name = getattr(function, "__name__", type(function).__name__)
            raise UnreadableError(next(reasons, f"{name} is not written in Python"))
        return twin

    def of(self, value: Any, *, called: bool = False) -> Any:
        """Returns the twin of a function, or the value itself if it is not the user's."""
        if isinstance(value, FunctionType):
            return self.of_function(value)
        if isinstance(value, MethodType):
            return self.of_method(value)
        if isinstance(value, functools.partial):
            function = self.of(value.func, called=True)
            if function is value.func:
                return value
            return functools.partial(function, *value.args, **value.keywords)
        if isinstance(value, JITTED):
            wrapped = unwrapped(value)
            inner = self.of(wrapped)
            return value if inner is wrapped else inner
        if isinstance(value, jax.custom_vjp):
            return self.remembered(value, self.of_rule)
        if isinstance(value, jax.custom_jvp):
            return self.remembered(value, self.of_forward_rule)
        if called and (method := call_method(value)) is not None:
            twin = self.of_function(method)
            return value if twin is method else MethodType(twin, value)
        return value

    def of_method(self, value: MethodType) -> MethodType:
        """Returns the twin of a method, of the same object."""
        twin = self.of(value.__func__)
        return value if twin is value.__func__ else MethodType(twin, value.__self__)

    def of_function(self, function: FunctionType) -> FunctionType:
        """Returns the twin of a function, if it is the user's."""
        if not self.home.owns(function.__code__.co_filename):
            return function
        return self.remembered(function, self.instrumented)

    def of_rule(self, rule: Any) -> Any:
        """Returns a `jax.custom_vjp` whose forward and backward functions are twins."""
        if getattr(rule, "bwd", None) is None or getattr(rule, "symbolic_zeros", False):
            return rule
        twin = jax.custom_vjp(rule.fun, nondiff_argnums=rule.nondiff_argnums)
        twin.defvjp(self.of(rule.fwd, called=True), self.of(rule.bwd, called=True))
        return twin

    def of_forward_rule(self, rule: Any) -> Any:
        """Returns a `jax.custom_jvp` whose rule is a twin."""
        derivative = self.of(rule.jvp, called=True)
        if derivative is rule.jvp or rule.symbolic_zeros:
            return rule
        twin = jax.custom_jvp(rule.fun, nondiff_argnums=rule.nondiff_argnums)
        twin.defjvp(derivative)
        return twin

    def remembered(self, value: Any, make: Callable[[Any], Any]) -> Any:
        """Makes the twin of a value once."""
        if id(value) not in self.made:
            self.made[id(value)] = (value, make(value))
        return self.made[id(value)][1]

    def instrumented(self, function: FunctionType) -> FunctionType:
        """Returns the instrumented function, or the function itself if it cannot be read."""
        code = function.__code__
        if code in self.instrument_codes:
            return function
        if code not in self.codes:
            try:
                source = source_of(function)
                self.codes[code] = self.compiled(definition_of(function, source), source, code)
            except UnreadableError as error:
                self.unread[function.__name__] = str(error)
                return function
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        cells |= {VALUE: CellType(self.hook), CALLED: CellType(self.called)}
        new = self.codes[code]
        closure = tuple(cells[name] for name in new.co_freevars)
        twin = FunctionType(
            new, function.__globals__, function.__name__, function.__defaults__, closure
        )
        twin.__kwdefaults__ = function.__kwdefaults__
        twin.__dict__.update(function.__dict__)
        twin.__qualname__, twin.__module__ = function.__qualname__, function.__module__
        return twin

    @property
    def instrument_codes(self) -> set[CodeType]:
        """The code of twins, and of the functions that are defined inside them."""
        return {inner for code in self.codes.values() for inner in nested(code)}

    def called(self, number: int, value: Any) -> Any:
        """Replaces a function that is about to be called."""
        del number
        return self.of(value, called=True)

    def compiled(self, definition: Definition, source: Source, code: CodeType) -> CodeType:
        """Compiles an instrumented definition, its free variables those of the original."""
        new = self.instrument(definition, source)
        body: list[ast.stmt] = [ast.Expr(new) if isinstance(new, ast.Lambda) else new]
        if owner := source.class_around(definition):  # mangles the names that begin with __
            body = [ast.ClassDef(owner, [], [], body, [])]
        names = [*code.co_freevars, VALUE, CALLED]
        if not owner and code.co_name.isidentifier() and code.co_name not in names:
            body.insert(0, ast.Global([code.co_name]))  # a recursive function calls itself by it
        arguments = ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
        factory = ast.FunctionDef("_jaxpercep_factory", arguments, body, [])
        module = ast.fix_missing_locations(ast.Module([factory], []))
        flags = code.co_flags & FUTURE
        made = compile(module, source.file, "exec", flags=flags, dont_inherit=True)
        return next(inner for inner in nested(made) if inner.co_name == code.co_name)
