"""Finds the source of a function, and makes sure that it is the source of what runs."""

import ast
import linecache
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeAlias

import jax

from jaxpercep.compare.program.places import is_library
from jaxpercep.compare.program.text import Text

JITTED: type = type(jax.jit(lambda: None))

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class UnreadableError(Exception):
    """A candidate cannot be read; the message is the reason, as part of a sentence."""


@dataclass(frozen=True, eq=False)
class Source:
    """The text of one file, or of one cell of a notebook.

    Attributes:
        file: its name, as in the code objects.
        text: of the whole file.
        tree: of the text.
        codes: what the text compiles to: every function in it.
    """

    file: str
    text: str
    tree: ast.Module
    codes: frozenset[CodeType]

    @cached_property
    def quotes(self) -> Text:
        """The text, to quote from."""
        return Text(self.text)

    @cached_property
    def nodes(self) -> dict[int, list[ast.AST]]:
        """The functions, lambdas and classes by their first lines, decorators included."""
        found: dict[int, list[ast.AST]] = defaultdict(list)
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
                lines = (n.lineno for n in (node, *getattr(node, "decorator_list", ())))
                found[min(lines)].append(node)
        return found

    @cached_property
    def statements(self) -> list[ast.stmt]:
        """All statements; they are looked through for each value, and the tree is larger."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.stmt)]

    def segment(self, node: ast.AST) -> str:
        """Returns the text of a node, on one line."""
        return " ".join(self.quotes.segment(node).split())

    def class_around(self, node: ast.AST) -> str | None:
        """Returns the name of the innermost class that a function stands in."""
        line, column = node.lineno, node.col_offset  # pyrefly: ignore[missing-attribute]
        around = [
            other
            for first in sorted(self.nodes)
            for other in self.nodes[first]
            if isinstance(other, ast.ClassDef)
            and first <= line <= (other.end_lineno or 0)
            and column > other.col_offset
        ]
        return around[-1].name if around else None


@dataclass(frozen=True)
class Home:
    """Decides which files are the user's: the candidate's own, its neighbours, and no library's.

    Attributes:
        file: the candidate's own.
        more: files that are read although they are a library's.
    """

    file: str
    more: frozenset[str] = frozenset()

    def owns(self, file: str) -> bool:
        """Returns True for a file whose functions are read."""
        if file == self.file or file in self.more:
            return True
        if file.startswith("<"):  # other cells of a notebook have a source, frozen modules do not
            return self.file.startswith("<") and bool(linecache.getlines(file))
        beside = Path(file).parent == Path(self.file).parent and not self.more
        return not is_library(file) or beside


def file_of(function: Any) -> str:
    """Returns the file that a function is written in.

    Raises:
        UnreadableError: It is not written in Python.
    """
    match function:
        case FunctionType():
            return function.__code__.co_filename
        case MethodType():
            return file_of(function.__func__)
        case partial():
            return file_of(function.func)
        case jax.custom_vjp():
            return file_of(getattr(function, "bwd", None) or function.fun)
        case _ if isinstance(function, JITTED):
            return file_of(unwrapped(function))
    if (method := call_method(function)) is None:
        raise UnreadableError(f"{function!r} is not written in Python")
    return file_of(method)


def unwrapped(jitted: Any) -> Any:
    """Returns the function that `jax.jit` was given."""
    return jitted.__wrapped__


def call_method(value: Any) -> FunctionType | None:
    """Returns the `__call__` of an object, if it is written in Python."""
    found = next((vars(c)["__call__"] for c in type(value).__mro__ if "__call__" in vars(c)), None)
    return found if isinstance(found, FunctionType) else None


def source_of(function: FunctionType) -> Source:
    """Returns the source that a function was compiled from.

    Raises:
        UnreadableError: There is no source, or it has changed since it was imported.
    """
    code = function.__code__
    name, file = function.__name__, code.co_filename
    linecache.checkcache(file)
    text = "".join(linecache.getlines(file, function.__globals__))
    source = _parsed(file, text)
    rewritten = "@pytest_ar" in function.__globals__  # by pytest, which extends asserts
    if text and source is not None and (code in source.codes or rewritten):
        return source
    if text and file != "<string>":  # as whatever is given to `exec` or `python -c` is called
        raise UnreadableError(f"{file} has changed since {name} was imported")
    raise UnreadableError(f"the source of {name} is not available ({file})")


def definition_of(function: FunctionType, source: Source) -> Definition:
    """Returns the node of a function in its source."""
    code = function.__code__
    found = [node for node in source.nodes[code.co_firstlineno] if _defines(node, code)]
    if len(found) > 1:  # lambdas on one line
        found = [node for node in found if _spans(node, code)] or found
    if not found:
        raise UnreadableError(f"{function.__name__} is not defined in {source.file}")
    node = found[0]
    assert isinstance(node, Definition)
    return node


@cache
def _parsed(file: str, text: str) -> Source | None:
    try:
        tree = ast.parse(text)
        codes = frozenset(nested(compile(text, file, "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return None
    return Source(file, text, tree, codes)


def nested(code: CodeType) -> Iterator[CodeType]:
    """Yields a code object and those of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def _defines(node: ast.AST, code: CodeType) -> bool:
    """Returns True if a node, which begins on the line of a function's code, is its definition."""
    if isinstance(node, ast.Lambda):
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        return code.co_name == "<lambda>" and list(code.co_varnames[: code.co_argcount]) == names
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name


def _spans(node: ast.AST, code: CodeType) -> bool:
    """Returns True if all instructions of a lambda stand inside the node."""
    assert isinstance(node, ast.Lambda)
    begin = node.lineno, node.col_offset
    end = node.end_lineno or 0, node.end_col_offset or 0
    places = [
        (line, column)
        for line, _, column, last in code.co_positions()
        if line is not None and column is not None and last
    ]
    return all(begin <= place <= end for place in places)
