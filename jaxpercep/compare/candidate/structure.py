"""Mistakes that no value can mend: a gradient that is not returned, a loop with too few passes."""

import ast
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from jaxpercep.compare.candidate.identify import Dictionary
from jaxpercep.compare.candidate.instrument import Site
from jaxpercep.compare.candidate.runs import Runs
from jaxpercep.compare.candidate.values import Substitution, Values

UNREPAIRED = (
    "No value was found whose replacement by a known one makes every gradient right: look for a "
    "mistake in the order or the structure of the computation."
)
NOT_RETURNED = "No value can be put right: a gradient is not returned."
RETURNED_TOO = "No value is to be put right: more is returned than the gradients."


def structural(
    runs: Runs, values: Values, dictionary: Dictionary, faults: Sequence[Substitution]
) -> str | None:
    """Says what is wrong with the structure of a wrong candidate, or None if one value mends it.

    That a gradient as a whole is replaced is no sign that the values before it are complete.
    """
    if len(faults) == 1 and faults[0].due[0].known.kind != "leaf":
        return None
    leaves = runs.answer({}, 0) or []
    if any(leaf is None and i not in runs.target.frozen for i, leaf in enumerate(leaves)):
        return NOT_RETURNED
    if leaves and all(runs.target.is_right(leaves, 0)):
        return RETURNED_TOO
    return short_loop(runs.sites, values, dictionary) or (None if faults else UNREPAIRED)


def short_loop(sites: Sequence[Site], values: Values, dictionary: Dictionary) -> str | None:
    """Says which loop has fewer passes than the one of the function whose gradients it computes."""
    due: dict[object, int] = defaultdict(int)
    for known in dictionary.known:
        due[known.family] += known.kind == "cotangent"
    exact = [m.known for found in values.meanings.values() for m in found if m.is_exact]
    seen = {(known.family, known.index) for known in exact if known.kind == "cotangent"}
    computed = Counter(family for family, _ in seen)
    for number, turns in values.turns.items():
        first = {m.known.family for m in values.meanings[turns[0]] if m.is_exact}
        for family in first & computed.keys():
            few = len(turns) == computed[family] < due[family]
            if few and (loop := loop_around(sites[number])):
                place = f"{sites[number].place.rpartition(':')[0]}:{loop.lineno}"
                times = "once" if len(turns) == 1 else f"{len(turns)} times"
                whole = f"that of the function {due[family]} times"
                return f"{place}: the loop is run {times}, {whole}."
    return None


def loop_around(site: Site) -> ast.For | ast.While | None:
    """Returns the innermost loop around a site."""
    line = site.node.lineno
    loops = [
        node
        for node in site.source.statements
        if isinstance(node, (ast.For, ast.While)) and node.lineno < line <= (node.end_lineno or 0)
    ]
    return max(loops, key=lambda node: node.lineno, default=None)


def filling(site: Site) -> ast.Assign | ast.AugAssign | None:
    """Returns the statement that last wrote into elements of the array that a site reads."""
    name = _array(site.node)
    first = _start(site)
    found = [
        node
        for node in site.source.statements
        if isinstance(node, (ast.Assign, ast.AugAssign))
        and first < node.lineno < site.node.lineno
        and any(isinstance(t, ast.Subscript) and _array(t) == name for t in _targets(node))
    ]
    return max(found, key=lambda node: node.lineno, default=None) if name else None


def holds(array: np.ndarray, part: np.ndarray) -> bool:
    """Returns True if an array has a block of these numbers somewhere."""
    if array.ndim != part.ndim or any(a < b for a, b in zip(array.shape, part.shape, strict=True)):
        return False
    blocks = np.lib.stride_tricks.sliding_window_view(array, part.shape)
    axes = tuple(range(array.ndim, 2 * array.ndim))
    return bool(np.isclose(blocks, part, rtol=1e-9, atol=0).all(axes).any())


def _start(site: Site) -> int:
    """Returns the first line of the function that a site stands in."""
    functions = (node for node in site.source.statements if isinstance(node, ast.FunctionDef))
    lines = (node.lineno for node in functions if node.name == site.function)
    return max((line for line in lines if line < site.node.lineno), default=0)


def _targets(statement: ast.Assign | ast.AugAssign) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def _array(node: ast.AST) -> str | None:
    """Returns the name of the array of `name` or `name[...]`."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
