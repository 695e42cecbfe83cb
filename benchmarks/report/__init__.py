"""The report of a run: an HTML page, tables in Markdown, and the terminal's table."""

from pathlib import Path

from benchmarks.report import markdown, page, pictures, sections
from benchmarks.report.terminal import table
from benchmarks.results import Results
from jaxpercep._files.writing import write_whole

__all__ = ["table", "write"]


def write(results: Results, folder: Path) -> None:
    """Writes `report.html`, `report.md` and `pictures/`; both texts are rendered before."""
    contents = sections.contents(results)
    html, text = page.render(results, contents), markdown.render(results)
    write_whole(folder / "report.html", html)
    write_whole(folder / "report.md", text)
    pictures.write(contents, folder / "pictures")
