"""The report of a run: an HTML page, tables in Markdown, and the terminal's table."""

from pathlib import Path

from benchmarks.report import markdown, page, sections
from benchmarks.report.terminal import table
from benchmarks.results import Results
from jaxpercep._files import write_whole

__all__ = ["table", "write"]


def write(results: Results, folder: Path) -> None:
    """Writes `report.html` and `report.md`; both are rendered before either is written."""
    html, text = page.render(results, sections.contents(results)), markdown.render(results)
    write_whole(folder / "report.html", html)
    write_whole(folder / "report.md", text)
