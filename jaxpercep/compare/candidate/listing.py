"""The candidate's source, line by line, with what each value on it is."""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from jaxpercep.compare.candidate.identify import Meaning
from jaxpercep.compare.candidate.instrument import Site
from jaxpercep.compare.candidate.source import Source
from jaxpercep.compare.candidate.values import Substitution, Values

Status: TypeAlias = Literal["known", "constant", "unknown", "wrong"]
PASSES = 8  # of a loop that are listed one by one


@dataclass(frozen=True)
class Annotation:
    """One value on a line.

    Attributes:
        expression: its text; the variable, where the line assigns it to one.
        status: `"known"`; `"constant"`, if it does not depend on the arguments; `"unknown"`; or
            `"wrong"`, if it must be replaced.
        meaning: what it is, in words, or None.
        due: what it should be if it is wrong, or None.
    """

    expression: str
    status: Status
    meaning: str | None
    due: str | None = None


@dataclass(frozen=True)
class Line:
    """One line of source."""

    number: int
    text: str
    values: tuple[Annotation, ...]


@dataclass(frozen=True)
class Listing:
    """One function of the candidate's."""

    name: str
    file: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class Lister:
    """Lists the functions that were run, in the order of their first value.

    Attributes:
        sites: the expressions.
        values: what was recorded there.
        faults: what repairs the candidate.
        names: of constant factors.
    """

    sites: Sequence[Site]
    values: Values
    faults: Sequence[Substitution]
    names: Callable[[float], str | None]

    def listings(self) -> tuple[Listing, ...]:
        """Returns one listing per function."""
        notes: dict[tuple[Source, int], list[Annotation]] = defaultdict(list)
        ranges: dict[tuple[Source, int, int], str] = {}
        for number in self.values.turns:
            site = self.sites[number]
            first, last, name = _around(site)
            ranges.setdefault((site.source, first, last), name)
            note, place = self.annotation(site), (site.source, site.node.lineno)
            if note and note not in notes[place]:
                notes[place].append(note)
        return tuple(
            Listing(name, source.file, tuple(self.lines(source, first, last, notes)))
            for (source, first, last), name in ranges.items()
        )

    def lines(
        self,
        source: Source,
        first: int,
        last: int,
        notes: dict[tuple[Source, int], list[Annotation]],
    ) -> Iterator[Line]:
        """Yields the lines of a function with what was noted on each."""
        for number, text in enumerate(source.text.splitlines()[first - 1 : last], start=first):
            yield Line(number, text, tuple(notes.get((source, number), ())))

    def annotation(self, site: Site) -> Annotation | None:
        """Describes the value of a site that stands for itself, or None for a part of another."""
        keys = self.values.turns[site.number]
        due = {k: m for one in self.faults for k, m in zip(one.keys, one.due, strict=True)}
        wrong = [key for key in keys if key in due]
        inside = any(parent in self.values.turns for parent in site.parents)
        if not wrong and (inside or _is_read_only(site)):
            return None
        expression = site.variable or site.text
        meaning = self.meaning([self.values.meanings[key] for key in keys])
        if wrong:
            expected = self.meaning([[due[key]] for key in wrong])
            return Annotation(expression, "wrong", meaning, expected)
        if meaning is None and all(map(self.values.is_settled, keys)):
            return Annotation(expression, "constant", None)
        return Annotation(expression, "known" if meaning else "unknown", meaning)

    def meaning(self, turns: Sequence[Sequence[Meaning]]) -> str | None:
        """Says what a value is in every pass."""
        return over_passes([found[0].words(self.names) if found else None for found in turns])


def over_passes(texts: Sequence[str | None]) -> str | None:
    """Says what a value is in every pass, given what it is in each; None if nothing is known."""
    if len(set(texts)) == 1:
        return texts[0]
    if not any(texts):
        return None
    split = [_pass_of(text) for text in texts]
    if len({base for base, _ in split}) == 1 and all(number for _, number in split):
        shown = [number or "" for _, number in split][:PASSES]
        more = f" and {len(split) - PASSES} more" if len(split) > PASSES else ""
        return f"{split[0][0]}, passes {', '.join(shown)}{more}"
    each = [f"pass {i + 1}: {text or 'not known'}" for i, text in enumerate(texts[:PASSES])]
    if len(texts) > PASSES:
        each.append(f"{len(texts) - PASSES} more")
    return "; ".join(each)


def _pass_of(text: str | None) -> tuple[str, str | None]:
    """Splits `dL/dz, pass 2 of 4`."""
    base, found, rest = (text or "").partition(", pass ")
    return base, rest.partition(" of ")[0] if found else None


def _is_read_only(site: Site) -> bool:
    """Returns True for a name that is merely read, as an argument for example."""
    plain = isinstance(site.node, (ast.Name, ast.Subscript, ast.Attribute))
    return plain and site.variable is None and not isinstance(site.statement, ast.Return)


def _around(site: Site) -> tuple[int, int, str]:
    """Returns the lines and the name of the outermost function that a site stands in."""
    line = site.node.lineno
    waiting: list[ast.AST] = list(site.source.tree.body)
    while waiting:
        node = waiting.pop(0)
        end = getattr(node, "end_lineno", None)
        if end is None or not node.lineno <= line <= end:  # pyrefly: ignore[missing-attribute]
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return node.lineno, end, node.name
        waiting = list(ast.iter_child_nodes(node))
        if not any(isinstance(child, (ast.stmt, ast.ExceptHandler)) for child in waiting):
            return getattr(node, "lineno", line), end, site.function
    return line, line, site.function
