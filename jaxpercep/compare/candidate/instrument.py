"""Rewrites a function so that it reports the value of each of its expressions.

`d = dh * (1 - h)` becomes `d = value(3, value(1, dh) * value(2, 1 - value(0, h)))`: whoever is told
a value may return another in its place.
"""

import ast
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jaxpercep.compare.candidate.source import Definition, Source

VALUE = "_jaxpercep_value"
CALLED = "_jaxpercep_called"


@dataclass(frozen=True, eq=False)
class Site:
    """An expression in the source of a candidate.

    Attributes:
        number: its position among all sites.
        source: the file it stands in.
        function: the name of the function it stands in.
        node: the expression; an augmented assignment stands for the value it leaves.
        statement: that it is a part of.
        parents: the numbers of the sites around it, the innermost first.
    """

    number: int
    source: Source
    function: str
    node: ast.expr | ast.AugAssign
    statement: ast.stmt | ast.Lambda
    parents: tuple[int, ...]

    @cached_property
    def text(self) -> str:
        """The source text of the expression."""
        return self.source.segment(self.node)

    @property
    def place(self) -> str:
        """`file.py:12`."""
        return f"{self.source.file.replace(chr(92), '/').rpartition('/')[2]}:{self.node.lineno}"

    @property
    def variable(self) -> str | None:
        """The variable that the statement assigns this very value to, or None."""
        statement = self.statement
        if isinstance(self.node, ast.AugAssign):
            targets = [self.node.target]
        elif isinstance(statement, ast.Assign) and statement.value is self.node:
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is self.node:
            targets = [statement.target]
        else:
            return None
        return self.source.segment(targets[0])

    @property
    def is_variable(self) -> bool:
        """True for a variable, its element or its attribute: nothing is computed here."""
        return isinstance(self.node, (ast.Name, ast.Subscript, ast.Attribute))

    @property
    def is_read(self) -> bool:
        """True for a variable that is read in the middle of a statement."""
        return self.is_variable and self.variable is None


@dataclass(eq=False)
class Instrument:
    """Instruments functions, and numbers their expressions.

    Attributes:
        edits: other expressions to put in the place of some sites.
        sites: all that were numbered so far.
    """

    edits: Mapping[ast.AST, ast.expr] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)
    known: dict[ast.AST, int] = field(default_factory=dict)

    def __call__(self, definition: Definition, source: Source) -> Definition:
        """Returns an instrumented copy of a definition, without decorators and defaults."""
        name = getattr(definition, "name", "lambda")
        walker = _Walker(self, source, name)
        if isinstance(definition, ast.Lambda):
            walker.statement = definition
            body: Any = walker.visit(definition.body)
            return ast.copy_location(ast.Lambda(_bare(definition.args), body), definition)
        body = walker.statements(definition.body)
        return walker.defined(definition, body, _bare(definition.args))

    def number(self, walker: "_Walker", node: ast.expr | ast.AugAssign) -> int:
        """Numbers a site, the same node always alike."""
        if node not in self.known:
            self.known[node] = len(self.sites)
            assert walker.statement is not None
            self.sites.append(
                Site(
                    self.known[node],
                    walker.source,
                    walker.function,
                    node,
                    walker.statement,
                    tuple(reversed(walker.around)),
                )
            )
        return self.known[node]


def _bare(arguments: ast.arguments) -> ast.arguments:
    """Returns arguments without annotations, and with placeholders for defaults."""
    bare = copy.deepcopy(arguments)
    for argument in ast.walk(bare):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    bare.defaults = [ast.copy_location(ast.Constant(None), d) for d in bare.defaults]
    bare.kw_defaults = [d and ast.copy_location(ast.Constant(None), d) for d in bare.kw_defaults]
    return bare


class _Walker(ast.NodeVisitor):
    """Copies a tree, with a call of `VALUE` around every expression; the tree stays as it is."""

    def __init__(self, instrument: Instrument, source: Source, function: str) -> None:
        self.instrument, self.source, self.function = instrument, source, function
        self.statement: ast.stmt | ast.Lambda | None = None
        self.around: list[int] = []

    def statements(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [new for statement in body for new in self.of_statement(statement)]

    def of_statement(self, statement: ast.stmt) -> Iterator[ast.stmt]:
        outer, self.statement = self.statement, statement
        if isinstance(statement, ast.AugAssign):
            yield from self.augmented(statement)
        else:
            yield self.visit(statement)
        self.statement = outer

    def generic_visit(self, node: ast.AST) -> Any:
        """Copies a node with what is inside it."""
        new = copy.copy(node)
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                if value and isinstance(value[0], ast.stmt):
                    setattr(new, name, self.statements(value))
                else:
                    setattr(new, name, [self.part(item) for item in value])
            else:
                setattr(new, name, self.part(value))
        return new

    def part(self, value: Any) -> Any:
        return self.visit(value) if isinstance(value, ast.AST) else value

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.expr):
            return self.expression(node)
        return super().visit(node)

    def expression(self, node: ast.expr) -> ast.expr:
        """Copies an expression, with a call around it where it has a value of interest."""
        if node in self.instrument.edits:
            return self.told(node, self.plain(self.instrument.edits[node]))
        if isinstance(node, (ast.Constant, ast.JoinedStr, ast.Slice)) or _has_slice(node):
            return self.generic_visit(node) if not isinstance(node, ast.JoinedStr) else node
        if isinstance(node, (ast.Starred, ast.Tuple, ast.List, ast.Dict, ast.Set)):
            return self.generic_visit(node)
        if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)) or not _is_loaded(node):
            return self.generic_visit(node)
        number = self.instrument.number(self, node)
        self.around.append(number)
        new = self.call(node) if isinstance(node, ast.Call) else self.inner(node)
        self.around.pop()
        return _call(VALUE, number, new)

    def inner(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Lambda):
            outer, self.statement = self.statement, node
            new = ast.Lambda(self.arguments(node.args), self.visit(node.body))
            self.statement = outer
            return ast.copy_location(new, node)
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            return self.generic_visit(node)
        return self.generic_visit(node)

    def call(self, node: ast.Call) -> ast.expr:
        """Copies a call; the function may be replaced by its instrumented twin."""
        new = self.generic_visit(node)
        told = new.func  # by a call of VALUE, unless it is a constant
        if getattr(getattr(told, "func", None), "id", "") == VALUE:
            told.func.id = CALLED
        return new

    def told(self, node: ast.expr, new: ast.expr) -> ast.expr:
        return _call(VALUE, self.instrument.number(self, node), new)

    def plain(self, node: ast.expr) -> ast.expr:
        return copy.deepcopy(node)

    def augmented(self, node: ast.AugAssign) -> Iterator[ast.stmt]:
        """`a[i] += v` becomes `c = a; k = i; c[k] += v; c[k] = value(n, c[k])`."""
        target: Any = node.target
        temporary: list[tuple[str, ast.expr]] = []
        number = self.instrument.number(self, node)
        self.around.append(number)
        value = self.visit(node.value)
        self.around.pop()
        if isinstance(target, ast.Attribute):
            temporary = [("_jaxpercep_object", self.visit(target.value))]
            target = ast.Attribute(_load("_jaxpercep_object"), target.attr, ast.Store())
        elif isinstance(target, ast.Subscript):
            index = self.visit(target.slice)
            if isinstance(target.slice, ast.Slice) or _has_slice(target.slice):
                index = _as_slices(index)
            temporary = [
                ("_jaxpercep_object", self.visit(target.value)),
                ("_jaxpercep_index", index),
            ]
            names = [_load(name) for name, _ in temporary]
            target = ast.Subscript(names[0], names[1], ast.Store())
        loaded: Any = copy.deepcopy(target)
        loaded.ctx = ast.Load()
        made: list[ast.stmt] = [
            ast.Assign([ast.Name(name, ast.Store())], value) for name, value in temporary
        ]
        made.append(ast.AugAssign(target, node.op, value))
        made.append(ast.Assign([copy.deepcopy(target)], _call(VALUE, number, loaded)))
        for statement in made:
            for part in ast.walk(statement):
                if isinstance(part, (ast.expr, ast.stmt)) and not hasattr(part, "lineno"):
                    ast.copy_location(part, node)
            yield statement

    def visit_FunctionDef(self, node: Any) -> Any:
        outer, self.function = self.function, node.name
        around, self.around = self.around, list[int]()
        new = self.defined(node, self.statements(node.body), self.arguments(node.args))
        new.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        self.function, self.around = outer, around
        return new

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """Copies a class, of which the methods have values of interest."""
        new = copy.copy(node)
        methods = (ast.FunctionDef, ast.AsyncFunctionDef)
        new.body = [self.visit(part) if isinstance(part, methods) else part for part in node.body]
        return new

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        new = copy.copy(node)
        new.value = node.value and self.visit(node.value)
        return new

    def visit_match_case(self, node: ast.match_case) -> ast.match_case:
        guard = node.guard and self.visit(node.guard)
        return ast.match_case(node.pattern, guard, self.statements(node.body))

    def arguments(self, arguments: ast.arguments) -> ast.arguments:
        """Returns arguments without annotations, their defaults instrumented."""
        new = _bare(arguments)
        new.defaults = [self.visit(default) for default in arguments.defaults]
        new.kw_defaults = [default and self.visit(default) for default in arguments.kw_defaults]
        return new

    def defined(self, node: Any, body: list[ast.stmt], arguments: ast.arguments) -> Any:
        new = copy.copy(node)
        new.body, new.args, new.returns = body, arguments, None
        new.decorator_list = list[ast.expr]()
        if hasattr(new, "type_params"):
            new.type_params = list[ast.AST]()
        return new


def _is_loaded(node: ast.expr) -> bool:
    return isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


def _has_slice(node: ast.expr) -> bool:
    return isinstance(node, ast.Tuple) and any(isinstance(e, ast.Slice) for e in node.elts)


def _as_slices(index: ast.expr) -> ast.expr:
    """Writes `a:b` as `slice(a, b)`, which may stand outside of brackets."""
    if isinstance(index, ast.Tuple):
        return ast.copy_location(ast.Tuple([_as_slices(e) for e in index.elts], ast.Load()), index)
    if not isinstance(index, ast.Slice):
        return index
    parts = [part or ast.Constant(None) for part in (index.lower, index.upper, index.step)]
    return ast.copy_location(ast.Call(_load("slice"), parts, []), index)


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _call(name: str, number: int, node: ast.expr) -> ast.expr:
    call = ast.Call(_load(name), [ast.Constant(number), node], [])
    for part in (call, call.func, call.args[0]):
        ast.copy_location(part, node)
    return call
