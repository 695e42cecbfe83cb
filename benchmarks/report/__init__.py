"""The report of a run: an HTML page, the README's part of it, and the terminal's table."""

from pathlib import Path

from benchmarks.report import markdown, page, sections
from benchmarks.report.terminal import table
from benchmarks.results import Results

__all__ = ["table", "write"]


def write(results: Results, folder: Path) -> None:
    """Writes `report.html` and `report.md`; what was there stays whole until the new one is."""
    folder.mkdir(parents=True, exist_ok=True)
    html = page.render(results, sections.contents(results))
    for name, text in {"report.html": html, "report.md": markdown.render(results)}.items():
        unfinished = folder / f"{name}.unfinished"
        unfinished.write_text(text, "utf-8")
        unfinished.replace(folder / name)
