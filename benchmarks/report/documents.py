"""The report as one self-contained HTML page, and its paragraphs and tables in Markdown."""

import re
from collections.abc import Sequence

import jinja2

from benchmarks.report.contents import Section
from benchmarks.report.summary import status
from benchmarks.report.tables import Entry, Table
from benchmarks.results import Results


def page(results: Results, sections: Sequence[Section]) -> str:
    """Returns the page; pictures are part of it, nothing is fetched, and no script runs."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchmarks.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(results=results, status=status(results), sections=sections)


def markdown(results: Results, sections: Sequence[Section]) -> str:
    """Returns the text, the same for the same results; pictures and folds are left to the page."""
    first, *others = sections
    warned = [f"Warning: {text}." for text in results.warnings]
    parts = [
        f"```bash\n{results.command}\n```",
        _escaped(" ".join([status(results), *warned])),
        *_section(first),
        *(part for section in others if section.filled for part in _section(section)),
    ]
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    texts = map(_escaped, section.account)
    return [f"### {section.title}", *texts, *map(_table, section.filled)]


def _table(table: Table) -> str:
    rule = ["---" if i in (*table.texts, *table.long) else "---:" for i in range(len(table.header))]
    lines = [list(map(_escaped, table.header)), rule]
    for i, row in enumerate(table.rows):
        texts = [_escaped(e.text if isinstance(e, Entry) else e) for e in row]
        lines.append([f"**{text}**" for text in texts] if i in table.marked else texts)
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{_escaped(table.caption)}:\n\n{rows}"


def _escaped(text: str) -> str:
    """Joins lines, and escapes what Markdown and HTML would interpret."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(text.split()))
