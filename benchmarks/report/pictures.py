"""A few pictures of the page as files, for other documents to show."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.section import Section
from jaxpercep._files.writing import write_whole

SECTIONS = ("summary", "batch", "depth", "width", "grid")
"""Keys of the sections whose first picture is written."""


def write(sections: Sequence[Section], folder: Path) -> None:
    """Writes the first picture of each of `SECTIONS` that the page has as `folder/KEY.svg`."""
    for section in sections:
        panels = [panel for block in section.blocks for panel in block.panels]
        if section.key in SECTIONS and panels:
            write_whole(folder / f"{section.key}.svg", panels[0].drawing.svg())
