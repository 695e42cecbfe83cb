"""What one part of the report has to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.report.svg import Drawing
from benchmarks.report.tables import Table


@dataclass(frozen=True)
class Panel:
    """A picture as wide as a phone, and its caption."""

    caption: str
    drawing: Drawing


@dataclass(frozen=True)
class Block:
    """Paragraphs, pictures side by side, and tables, under one title.

    Attributes:
        title: its heading.
        account: plain paragraphs.
        panels: shown after them.
        tables: shown last.
        key: what the colours of the pictures mean: palette name -> text.
        folded: whether it opens only when it is asked to; then it has no heading.
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
        blocks: shown after them; a section that has nothing in them is left out.
    """

    key: str
    title: str
    account: Sequence[str]
    blocks: Sequence[Block]
