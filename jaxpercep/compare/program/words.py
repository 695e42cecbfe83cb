"""Names the values of a function by the expressions in its source that compute them."""

import ast
import inspect
import linecache
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import jax

from jaxpercep.compare.program.graph import Span

SHORT = 48  # characters of an expression that a name quotes
PART = 16  # characters of a part of a longer one


class Expression(NamedTuple):
    """An expression in the source of the function.

    Attributes:
        text: of the expression, on one line.
        variable: that its statement assigns it to, or None.
        statement: the lines of the statement: values of one statement share it.
        brief: the text, with long parts left out.
        is_call: True for a call of a function.
    """

    text: str
    variable: str | None
    statement: tuple[str, int]
    brief: str
    is_call: bool


Ends: TypeAlias = tuple[int, int, int, int]
"""First line and column, last line and column."""


def expression_at(span: Span) -> Expression | None:
    """Returns the expression of a span, or None without a source."""
    nodes = _expressions(span.file, "".join(linecache.getlines(span.file)))
    return nodes.get(span[1:])


def expression_around(span: Span) -> Expression | None:
    """Returns the smallest expression that covers a span, or None if no single one does."""
    nodes = _expressions(span.file, "".join(linecache.getlines(span.file)))
    begin, end = span[1:3], span[3:]
    around = [ends for ends in nodes if ends[:2] <= begin and end <= ends[2:]]
    return nodes[max(around, key=lambda ends: (ends[:2], -ends[2], -ends[3]))] if around else None


@cache
def _expressions(file: str, text: str) -> dict[Ends, Expression]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}
    source = _Source([line.encode() for line in text.splitlines(keepends=True)])
    found: dict[Ends, Expression] = {}
    for statement in ast.walk(tree):
        if not isinstance(statement, ast.stmt):
            continue
        for node in _own_expressions(statement):
            found[_ends(node)] = Expression(
                source.segment(node),
                _assigned(statement, node),
                (file, statement.lineno),
                source.brief(node),
                isinstance(node, ast.Call),
            )
    return found


def _ends(node: ast.expr) -> Ends:
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


class _Source(NamedTuple):
    """The text of a file, by line, encoded: the columns of nodes count bytes."""

    lines: Sequence[bytes]

    def segment(self, node: ast.expr) -> str:
        """Returns the text of a node, on one line."""
        ends = _ends(node)
        return _on_one_line(self.between(ends[:2], ends[2:]))

    def between(self, begin: tuple[int, int], end: tuple[int, int]) -> str:
        """Returns the text between two places."""
        lines = list(self.lines[begin[0] - 1 : end[0]])
        lines[-1] = lines[-1][: end[1]]
        lines[0] = lines[0][begin[1] :]
        return b"".join(lines).decode(errors="replace")

    def brief(self, node: ast.expr) -> str:
        """Returns the text of a node; if it is long, with `...` in place of its long parts."""
        text = self.segment(node)
        if len(text) <= SHORT:
            return text
        parts = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
        pieces: list[str] = []
        at = _ends(node)[:2]
        for part in sorted((p for p in parts if isinstance(p, ast.expr)), key=_ends):
            short = len(inner := self.segment(part)) <= PART
            pieces += [self.between(at, _ends(part)[:2]), inner if short else "..."]
            at = _ends(part)[2:]
        text = _on_one_line("".join([*pieces, self.between(at, _ends(node)[2:])]))
        return text if len(text) <= SHORT else f"{text[: SHORT - 4]} ..."


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _own_expressions(statement: ast.stmt) -> list[ast.expr]:
    """Lists the expressions of a statement, not those of the statements inside it."""
    waiting: list[ast.AST] = [statement]
    found: list[ast.expr] = []
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, ast.expr):
                found.append(child)
            if not isinstance(child, ast.stmt):
                waiting.append(child)
    return found


def _assigned(statement: ast.stmt, node: ast.expr) -> str | None:
    if isinstance(statement, ast.Assign) and statement.value is node:
        target = statement.targets[0]
        return target.id if isinstance(target, ast.Name) else None
    return None


def cotangent(text: str) -> str:
    """`dL/dh`, or `dL/d(h @ w)`."""
    plain = text.replace("_", "a").isalnum() or _is_path(text)
    return f"dL/d{text}" if plain else f"dL/d({text})"


def _is_path(text: str) -> bool:
    """Returns True for a name with indices and attributes alone: `p["w1"]`, `p.w1`, `p[0][1]`."""
    try:
        node: Any = ast.parse(text, mode="eval").body
    except SyntaxError:
        return False
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return isinstance(node, ast.Name)


def quoted(expression: Expression) -> str:
    """Returns the text of an expression, or its variable where it is long."""
    text, variable, *_ = expression
    if len(text) <= SHORT:
        return text
    return variable or f"{text[: SHORT - 4]} ..."


def line(span: Span, home: str) -> str:
    """`line 5`, or `mlp.py:5` in another file than the candidate."""
    name = span.file.replace(chr(92), "/").rpartition("/")[2]
    return f"line {span.line}" if span.file == home else f"{name}:{span.line}"


def parameters(fun: Callable[..., Any], count: int) -> tuple[str, ...]:
    """Returns the names of the first `count` arguments of a function."""
    try:
        found = inspect.signature(fun).parameters.values()
    except (TypeError, ValueError):  # a function that is not written in Python
        found = ()
    names = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names += [f"args[{n}]" for n in range(len(names), count)]
    return tuple(names[:count])


def leaf_names(names: Sequence[str], args: Sequence[Any]) -> list[str]:
    """Returns the name of every leaf of the arguments: `params['w1']`."""
    return [
        f"{name}{jax.tree_util.keystr(path)}"
        for name, arg in zip(names, args, strict=True)
        for path, _ in jax.tree.leaves_with_path(arg)
    ]


def by_path(names: Sequence[str], argnums: int | tuple[int, ...]) -> Callable[[str], str]:
    """Returns `path of a leaf in the gradient -> its name`, given the names of the arguments."""
    if isinstance(argnums, int):
        return names[argnums].__add__

    def name(path: str) -> str:
        place, _, rest = path[1:].partition("]")
        return names[argnums[int(place)]] + rest

    return name


def joined(names: Sequence[str]) -> str:
    """`a = b`, of the names of one value."""
    return " = ".join(names)
