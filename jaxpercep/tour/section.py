"""The content of one part of the tour, the same in the terminal and in the HTML report."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """Rows of text under a header."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A figure, the stem of the file it is saved to, and its caption."""

    name: str
    caption: str
    figure: Figure

    @cached_property
    def png(self) -> bytes:
        """The figure as a PNG file, the same bytes for the same figure."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
        return buffer.getvalue()


@dataclass(frozen=True)
class Section:
    """One part of the tour.

    Attributes:
        key: its key in results.json.
        title: its heading.
        result: the outcome, in a sentence.
        account: paragraphs, with formulas in backticks, as in the result and the tables.
        results: its figures, JSON-ready.
        tables: shown after the account.
        pictures: shown after the tables.
    """

    key: str
    title: str
    result: str
    account: Sequence[str]
    results: Mapping[str, Any]
    tables: Sequence[Table] = field(default=())
    pictures: Sequence[Picture] = field(default=())


def agree(error: float) -> str:
    """Says how well two methods agree."""
    return f"agree to {error:.0e}" if error else "agree exactly"
