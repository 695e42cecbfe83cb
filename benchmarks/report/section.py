"""The content of one part of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.report.drawing import Drawing
from benchmarks.report.tables import Table


@dataclass(frozen=True)
class Panel:
    """A picture as wide as a phone, and its caption."""

    caption: str
    drawing: Drawing


@dataclass(frozen=True)
class Block:
    """Paragraphs, tables, and pictures side by side, under one title.

    Attributes:
        title: its heading.
        account: plain paragraphs.
        panels: shown last.
        tables: shown after the paragraphs.
        key: the meaning of the pictures' colours: palette name -> text.
        folded: True for a block that the reader opens; it has no heading.
    """

    title: str
    account: Sequence[str] = ()
    panels: Sequence[Panel] = ()
    tables: Sequence[Table] = ()
    key: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Attributes:
        key: its id in the page.
        title: its heading.
        account: plain paragraphs.
        blocks: shown after them; a section whose blocks are all empty is left out.
    """

    key: str
    title: str
    account: Sequence[str]
    blocks: Sequence[Block]
