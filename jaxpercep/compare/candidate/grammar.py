"""The edits of one expression that a suggestion may consist of.

Another axis, another live variable or its transpose, in one place or all, the derivative of a
common function at a live variable, a constant made of shapes, a sign, a term added or removed, an
operand removed, a sum over the batch.
"""

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

SLOPES = ("1 - {v}**2", "{v} * (1 - {v})", "({v} > 0)", "2 * {v}", "{v}**2", "1 / {v}", "1 - {v}")
SLOPES += ("({v} < 1)", "0.5 / {v}")
SLOPES_BY_MODULE = (
    "1 / (1 + {np}.exp(-{v}))",
    "{np}.where({v} > 0, 1, {np}.exp({v}))",
    "{np}.where({v} > 0, 1, {v} + 1)",
)
FUNCTIONS = ("exp", "cos", "sin", "sign", "tanh")  # of a module such as numpy
SIZES = ("len({v})", "{v}.size", "{v}.shape[-1]")
NUMBERS = ("2", "0.5", "1")
AXES = ("0", "1", "-1")
SUMS = ("{e}.sum(0)", "{e}.sum()", "{e}.sum(-1)", "{e}.sum(0, keepdims=True)", "{e}.T")
SUMS += ("{e}.sum(-1, keepdims=True)", "{e}.mean(0)", "{e}.mean(-1, keepdims=True)", "{e}[::-1]")


class Piece(NamedTuple):
    """A part of an expression: where it stands in the text, and its node."""

    start: int
    end: int
    node: ast.expr


def derivatives(
    atoms: Sequence[str],
    functions: Sequence[str],
    module: str | None = None,
    constants: Sequence[str] = (),
) -> list[str]:
    """Lists what may be the derivative of a common function.

    Args:
        atoms: live variables, with their indices.
        functions: of one argument, which the code calls or may call.
        module: what the code calls numpy.
        constants: numbers in the code.
    """
    forms: list[str] = list(SLOPES)
    if module is not None:
        forms += [form.replace("{np}", module) for form in SLOPES_BY_MODULE]
        forms += [f"{module}.where({{v}} > 0, 1, {constant})" for constant in constants]
    slopes = [form.format(v=v) for v in atoms for form in forms]
    return slopes + [f"{function}({v})" for function in functions for v in atoms]


def edits(
    text: str,
    atoms: Sequence[str],
    slopes: Sequence[str],
    module: str | None = None,
    constants: Sequence[str] = (),
) -> list[str]:
    """Lists the texts of edited expressions, the smallest edit first.

    Args:
        text: of the expression.
        atoms: live variables, with their indices.
        slopes: `derivatives`, or names for them.
        module: what the code calls numpy.
        constants: numbers in the code.
    """
    sizes = [size.format(v=v) for v in atoms for size in SIZES]
    found = [
        *_operands_removed(text),
        *_methods(text),
        *_axes(text),
        *_variables(text, atoms),
        *_variables_everywhere(text, atoms),
        *_constants(text, (*NUMBERS, *sizes)),
        *_signs(text),
        *(form.format(e=f"({text})") for form in SUMS),
        *(f"({text}) * {number}" for number in NUMBERS[:2]),
        *(f"({text}) {op} {size}" for size in sizes for op in "/*"),
        *(f"({text}) {op} {v}" for op in "*+-/" for v in atoms),
        *(f"({text}) * ({slope})" for slope in slopes),
        *(f"({text}) {op} {v}{t} @ {w}{u}" for op in "+-" for v, t, w, u in _products(atoms)),
        *_parts_replaced(text, slopes),
        *_parts_multiplied(text, atoms),
        *_parts_scaled(text, constants),
        *(f"({text}) {op} {form.format(e=v)}" for op in "+-" for v in atoms for form in SUMS),
        *(form.format(e=v) for v in atoms for form in SUMS),
        *(f"{v}{t} @ {w}{u}" for v, t, w, u in _products(atoms)),
        *([f"{module}.maximum({text}, 1)"] if module else []),
        *(f"{v} * (({text}) - (({text}) * {v}).sum(-1, keepdims=True))" for v in atoms),
        *(f"({text}) * {v} * (1 + {w} * (1 - {v}))" for v in atoms for w in atoms),
        *(f"({text}) * (1 + {w} * (1 - {v}))" for v in atoms for w in atoms),
        *(f"({text}) / ({slope})" for slope in slopes),
        *(f"{v} * ({w} - ({w} * {v}).sum(-1, keepdims=True))" for v in atoms for w in atoms),
        *(f"({text}) {op} {v}[..., None] * {w}" for op in "+-" for v in atoms for w in atoms),
        *(f"({text}) * ({v} * {w} < 1)" for v in atoms for w in atoms),
        *(f"({text}) {op} {a} * {b}" for op in "+-" for a in atoms for b in atoms),
        *(f"{v} * ({slope})" for v in atoms for slope in slopes),
    ]
    return list(dict.fromkeys(found))


def neighbours(text: str) -> list[str]:
    """Lists the elements beside one that a loop visits: `h[t]` and `h[t - 1]` for `h[t + 1]`."""
    node = ast.parse(text, mode="eval").body
    if not isinstance(node, ast.Subscript) or isinstance(node.slice, ast.Constant):
        return []
    names = [n.id for n in ast.walk(node.slice) if isinstance(n, ast.Name)]
    if len(names) != 1 or not isinstance(node.slice, (ast.Name, ast.BinOp)):
        return []
    owner = ast.unparse(node.value)
    return [f"{owner}[{names[0]}{shift}]" for shift in ("", " + 1", " - 1")]


def _products(atoms: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    for v in atoms:
        for w in atoms:
            yield from ((v, "", w, ".T"), (v, ".T", w, ""), (v, "", w, ""))


def pieces(text: str) -> list[Piece]:
    """Lists the parts of an expression, itself included."""
    whole = f"({text}\n)"
    starts = [0]
    for line in whole.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    found = []
    for node in ast.walk(ast.parse(whole, mode="eval")):
        if isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            start = starts[node.lineno - 1] + node.col_offset - 1
            end = starts[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0) - 1
            found.append(Piece(start, end, node))
    return found


def replaced(text: str, piece: Piece, new: str) -> str:
    """Returns the text with another part."""
    raw = text.encode()
    return (raw[: piece.start] + f"({new})".encode() + raw[piece.end :]).decode()


def _part(text: str, piece: Piece) -> str:
    return text.encode()[piece.start : piece.end].decode()


def _variables(text: str, atoms: Sequence[str]) -> Iterator[str]:
    for piece in pieces(text):
        if isinstance(piece.node, (ast.Name, ast.Subscript, ast.Attribute)):
            own = _part(text, piece)
            if own.endswith(".T"):
                yield replaced(text, piece, own.removesuffix(".T"))
            for atom in (*atoms, *(f"{atom}.T" for atom in atoms)):
                if atom != own:
                    yield replaced(text, piece, atom)


def _variables_everywhere(text: str, atoms: Sequence[str]) -> Iterator[str]:
    """Yields the text with all uses of one variable, if there are several, replaced."""
    for variable in atoms:
        used = [piece for piece in pieces(text) if _part(text, piece) == variable]
        for atom in atoms if len(used) > 1 else ():
            new = text
            for piece in sorted(used, reverse=True):  # from the end, where nothing moves
                new = replaced(new, piece, atom)
            yield new


def _axes(text: str) -> Iterator[str]:
    """Yields the text with another axis in a call, as in `x.sum(0)` or `np.mean(x, axis=0)`."""
    found = {piece.node: piece for piece in pieces(text)}
    for call in found:
        if isinstance(call, ast.Call):
            named = [keyword.value for keyword in call.keywords if keyword.arg == "axis"]
            for node in (*call.args, *named):
                own = ast.unparse(node)
                if own.removeprefix("-").isdigit():
                    yield from (replaced(text, found[node], axis) for axis in AXES if axis != own)


def _methods(text: str) -> Iterator[str]:
    for piece in pieces(text):
        if isinstance(piece.node, ast.Attribute) and piece.node.attr in ("sum", "mean"):
            owner = _part(text, piece).rpartition(".")[0]
            other = {"sum": "mean", "mean": "sum"}[piece.node.attr]
            yield replaced(text, piece, f"{owner}.{other}")


def _operands_removed(text: str) -> Iterator[str]:
    for piece in pieces(text):
        if isinstance(piece.node, ast.BinOp):
            inside = {(p.node.lineno, p.node.col_offset, p.end): p for p in pieces(text)}
            for operand in (piece.node.left, piece.node.right):
                part = next(p for p in inside.values() if ast.dump(p.node) == ast.dump(operand))
                yield replaced(text, piece, _part(text, part))
        if isinstance(piece.node, ast.Call) and piece.node.args:
            yield replaced(text, piece, ast.unparse(piece.node.args[0]))


def _signs(text: str) -> Iterator[str]:
    for piece in pieces(text):
        if isinstance(piece.node, ast.UnaryOp) and isinstance(piece.node.op, ast.USub):
            yield replaced(text, piece, _part(text, piece)[1:])
    yield f"-({text})"
    for piece in pieces(text):
        if isinstance(piece.node, ast.BinOp) and isinstance(piece.node.op, (ast.Add, ast.Sub)):
            by_dump = {ast.dump(p.node): _part(text, p) for p in pieces(text)}
            left, right = by_dump[ast.dump(piece.node.left)], by_dump[ast.dump(piece.node.right)]
            sign = "-" if isinstance(piece.node.op, ast.Add) else "+"
            yield replaced(text, piece, f"({left}) {sign} ({right})")


def _constants(text: str, constants: Sequence[str]) -> Iterator[str]:
    for piece in pieces(text):
        own = _part(text, piece)
        if isinstance(piece.node, (ast.Constant, ast.Call)) or own.endswith((".size", "]")):
            for constant in constants:
                if constant != own:
                    yield replaced(text, piece, constant)


def _parts_replaced(text: str, slopes: Sequence[str]) -> Iterator[str]:
    for piece in pieces(text):
        if isinstance(piece.node, (ast.BinOp, ast.Call, ast.IfExp, ast.Name, ast.Subscript)):
            for slope in slopes:
                yield replaced(text, piece, slope)


def _parts_multiplied(text: str, atoms: Sequence[str]) -> Iterator[str]:
    for piece in pieces(text):
        if isinstance(piece.node, (ast.Name, ast.Subscript, ast.Call)):
            own = _part(text, piece)
            yield from (replaced(text, piece, f"{own} {op} {v}") for v in atoms for op in "*/")


def _parts_scaled(text: str, constants: Sequence[str]) -> Iterator[str]:
    for piece in pieces(text):
        if isinstance(piece.node, ast.BinOp):
            own = _part(text, piece)
            yield from (
                replaced(text, piece, f"({own}) {op} {c}") for c in constants for op in "/*"
            )


def tidy(text: str) -> str:
    """Returns an expression without the parentheses that it does not need."""
    same = ast.dump(ast.parse(f"({text}\n)", mode="eval"))
    text, start = " ".join(text.split()), 0
    while (start := text.find("(", start)) >= 0:
        depth = 0
        for end in range(start, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if not depth:
                break
        shorter = text[:start] + text[start + 1 : end] + text[end + 1 :]
        try:
            equal = ast.dump(ast.parse(f"({shorter}\n)", mode="eval")) == same
        except SyntaxError:
            equal = False
        if equal:
            text = shorter
        else:
            start += 1
    return text
