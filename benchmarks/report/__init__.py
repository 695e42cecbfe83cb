"""The report of a run: an HTML page, its text and tables in Markdown, and the terminal's table."""

from pathlib import Path

from benchmarks.report import documents
from benchmarks.report.contents import contents
from benchmarks.report.terminal import table
from benchmarks.results import Results
from jaxpercep._files.writing import write_whole

__all__ = ["table", "write"]


def write(results: Results, folder: Path) -> None:
    """Writes `report.html`, `report.md` and the pictures of the answer, as `pictures/NAME.svg`."""
    sections = contents(results)
    html, text = documents.page(results, sections), documents.markdown(results, sections)
    write_whole(folder / "report.html", html)
    write_whole(folder / "report.md", text)
    for panel in sections[0].panels:
        write_whole(folder / "pictures" / f"{panel.name}.svg", panel.svg())
