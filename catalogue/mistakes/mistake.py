"""A mistake: one edit of a right backward pass, and what a comparison should say of it."""

import ast
import difflib
import importlib.util
import inspect
import linecache
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Literal, NamedTuple

from catalogue.networks.network import Network


class Mistake(NamedTuple):
    """A wrong backward pass, and what a comparison should find out about it.

    Attributes:
        name: a unique name.
        fun: the loss, `fun(params, *batch)`.
        wrong: the mistaken gradient, or SGD step.
        right: the same without the mistake.
        args: float32 arrays.
        cause: the first of the causes that reproduces `wrong` exactly.
        leaves: paths of the wrong leaves, for causes seen from a leaf and for `unexplained`; ()
            means every leaf.
        lines: tags of the lines accepted as the place, for the other causes. For `unexplained`,
            those between the last right gradient and the first wrong one.
        location: the iteration, counted from 1, where the mistake sits in one alone.
        factor: the candidate's for `scaled`; c for `weight_decay`, where wrong = right + c w.
        kind: whether `wrong` returns gradients, or parameters after a step, or gradients that are
            right and whose own gradient is not.
        learning_rate: of that step.
        forward: for causes in the flow, edits of `fun` whose gradient by autodiff is `wrong`; they
            may use the functions of `forward.py`.
        hidden: arguments at which the mistake cannot be seen, or None.
        named: whether a comparison finds cause and place; it detects every mistake.
        structural: why no value that is computed is to be put right, or None.
        repaired: whether the repair of any other is verified, and where the mistake is.
        check_grads: whether `jax.test_util.check_grads` notices it.
        gradcheck: whether `torch.autograd.gradcheck` notices it.
    """

    name: str
    fun: Callable[..., Any]
    wrong: Callable[..., Any]
    right: Callable[..., Any]
    args: tuple[Any, ...]
    cause: str
    leaves: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    location: str | None = None
    factor: float | None = None
    kind: Literal["gradients", "updates", "second order"] = "gradients"
    learning_rate: float | None = None
    forward: dict[str, str] | None = None
    hidden: tuple[Any, ...] | None = None
    named: bool = True
    structural: str | None = None
    repaired: bool = True
    check_grads: bool = True
    gradcheck: bool = True


FOLDER = TemporaryDirectory(prefix="catalogue-")
"""Where the files with mistakes are written, so that a mistaken function has a source."""


def rewritten(
    function: Callable[..., Any], edits: dict[str, str], file: str = "rewritten", **names: Any
) -> Callable[..., Any]:
    """Returns the function after edits of its source, each of a text that occurs once.

    The module of the function is written anew with the edits, and imported.

    Args:
        function: of a module.
        edits: `{text that was there: text with the mistake}`.
        file: the name of the new file.
        **names: additional globals.

    Raises:
        ValueError: A text does not occur exactly once.
    """
    source = edited = inspect.getsource(function)
    for old, new in edits.items():
        if edited.count(old) != 1:
            raise ValueError(f"{old!r} occurs {edited.count(old)} times in {function.__name__}.")
        edited = edited.replace(old, new)
    path = Path(FOLDER.name) / f"{file}.py"
    path.write_text(inspect.getsource(inspect.getmodule(function)).replace(source, edited))
    return getattr(imported(path, **names), function.__name__)


def imported(path: Path, **names: Any) -> ModuleType:
    """Imports a file as a module with additional globals, anew if it was imported before."""
    spec = importlib.util.spec_from_file_location(f"catalogue.rewritten.{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    vars(module).update(names)
    linecache.checkcache(str(path))
    exec(compile(path.read_text(), path, "exec", dont_inherit=True), vars(module))
    return module


def mistake(
    network: Network, name: str, cause: str, edits: dict[str, str], **claims: Any
) -> Mistake:
    """Returns the mistake that these edits of the network's right backward pass make."""
    wrong = rewritten(network.right, edits, name)
    return Mistake(name, network.fun, wrong, network.right, network.args, cause, **claims)


class Edited(NamedTuple):
    """The lines of a file at which a mistake was made.

    Attributes:
        lines: of the statements that were edited.
        removed: where statements or terms were removed, those that assign the same variable; where
            a statement was moved, those as well that it was moved past and that read what it
            assigns.
        changed: where statements were edited otherwise, those that assign the same variable.
    """

    lines: set[int]
    removed: set[int]
    changed: set[int]


def edited(mistake: Mistake) -> Edited:
    """Compares the source of the wrong backward pass with the right one."""
    old, _ = inspect.getsourcelines(mistake.right)
    new, first = inspect.getsourcelines(mistake.wrong)
    found = Edited(set(), set(), set())
    codes = difflib.SequenceMatcher(None, old, new).get_opcodes()
    changes = [code for code in codes if code[0] != "equal"]
    inserted = {new[n]: n for _, _, _, k, end in changes for n in range(k, end)}
    for _, i, j, k, end in changes:
        found.lines.update(range(first + k, first + end))
        shorter = j - i > end - k or is_part(new[k:end], old[i:j])
        others = found.removed if shorter else found.changed
        for line in old[i:j]:
            others.update(first + n for n in assigning(line, new))
            if line in inserted:
                begin, last = sorted((k, inserted[line]))
                found.removed.update(first + n for n in reading(line, new) if begin <= n <= last)
    return found._replace(lines=whole_statements("".join(new), first, found.lines))


def is_part(some: list[str], others: list[str]) -> bool:
    """Tells whether lines are others from which words were removed."""
    words = iter(re.findall(r"\w+|[^\w\s]", "".join(others)))
    return all(word in words for word in re.findall(r"\w+|[^\w\s]", "".join(some)))


def assigning(line: str, lines: list[str]) -> list[int]:
    """Returns the positions of the lines that assign the variable that one assigns."""
    name = assigned(line)
    return [n for n, text in enumerate(lines) if name and re.match(rf"\s*{name}\b.*=", text)]


def reading(line: str, lines: list[str]) -> list[int]:
    """Returns the positions of the lines that hold the variable that one assigns."""
    name = assigned(line)
    return [n for n, text in enumerate(lines) if name and re.search(rf"\b{name}\b", text)]


def assigned(line: str) -> str | None:
    """Returns a pattern for the names that a line assigns to, or None."""
    line = re.sub(r"np\.add\.at\((\w+),", r"\1 +=", line)
    target = re.match(r"\s*([^=]+?)\s*[-+*/]?=[^=]", line)
    names = target[1].partition("[")[0].split(", ") if target else ()
    return f"(?:{'|'.join(map(re.escape, names))})" if names else None


def whole_statements(source: str, first: int, lines: set[int]) -> set[int]:
    """Returns all lines of the simple statements that some lines belong to."""
    found = set(lines)
    for node in ast.walk(ast.parse(textwrap.dedent(source))):
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            extent = range(node.lineno + first - 1, node.end_lineno + first)
            found.update(extent if found & set(extent) else ())
    return found
