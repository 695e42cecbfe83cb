"""The backward pass read line by line: as text, in a notebook, as data."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from jaxpercep.compare.candidate.listing import Annotation, Line, Listing
from jaxpercep.compare.candidate.repair import Repair

WIDTH = 110


@dataclass(frozen=True)
class AnnotatedBackward:
    """A backward pass with what each of its values is.

    Attributes:
        ok: True if the gradients match.
        listings: the functions that it runs, line by line; () if it could not be read.
        repairs: what makes every gradient right, in the order of execution.
        reason: why it could not be read, or None.
        unread: functions that it calls and that could not be read, with the reason.
        remark: that no repair was found, or None.
    """

    ok: bool
    listings: tuple[Listing, ...]
    repairs: tuple[Repair, ...]
    reason: str | None = None
    unread: tuple[tuple[str, str], ...] = ()
    remark: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the listing as JSON-ready data."""
        return asdict(self)

    def __str__(self) -> str:
        return _printed(self)

    def _repr_html_(self) -> str:
        console = Console(file=StringIO(), width=WIDTH, record=True, force_jupyter=False)
        console.print(self)
        return console.export_html(
            inline_styles=True, code_format='<pre style="line-height:1.2">{code}</pre>'
        )

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        del console, options
        for repair in self.repairs:
            yield Text(str(repair), style="bold")
        yield self._listing()

    def listing(self) -> str:
        """Returns the text without the repairs."""
        return _printed(self._listing())

    def _listing(self) -> RenderableType:
        """Returns the source line by line, or the reason why it cannot be read."""
        if self.reason is not None:
            return Text(f"There is no listing of the backward pass: {self.reason}.")
        parts: list[RenderableType] = []
        if self.remark is not None:
            parts.append(Text(self.remark))
        for listing in self.listings:
            name = listing.file.replace(chr(92), "/").rpartition("/")[2]
            parts += [Text(f"{name}: {listing.name}", style="bold"), _table(listing)]
        parts += [Text(f"{name} is not listed: {reason}.") for name, reason in self.unread]
        return Group(*parts)


def _printed(what: RenderableType) -> str:
    console = Console(file=StringIO(), width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def _table(listing: Listing) -> Table:
    """Lays out source and values side by side."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True, width=1)
    table.add_column(max_width=WIDTH // 2)
    table.add_column()
    indents = [len(x.text) - len(x.text.lstrip()) for x in listing.lines if x.text.strip()]
    for line in listing.lines:
        if line.text.strip():
            table.add_row(*_row(line, min(indents, default=0)))
    return table


def _row(line: Line, indent: int) -> tuple[str | Text, ...]:
    wrong = any(value.status == "wrong" for value in line.values)
    words = Text("\n").join(map(_words, line.values))
    source = Text(line.text[indent:], style="bold red" if wrong else "")
    return str(line.number), ">" if wrong else "", source, words


def _words(value: Annotation) -> Text:
    """Says what one value is."""
    if value.status == "wrong":
        found = f"is {value.meaning}, and " if value.meaning else ""
        return Text(f"{value.expression}: {found}should be {value.due}", style="red")
    if value.status == "constant":
        return Text(f"{value.expression}: a constant", style="dim")
    if value.status == "unknown":
        return Text(f"{value.expression}: not known", style="dim")
    return Text(f"{value.expression}: {value.meaning}", style="green")
