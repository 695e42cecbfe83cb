"""The report as one self-contained HTML page."""

from collections.abc import Sequence

import jinja2
from markupsafe import Markup

from benchmarks.report import palette
from benchmarks.report.section import Block, Section
from benchmarks.report.summary import status
from benchmarks.report.svg import inline
from benchmarks.results import Results


def render(results: Results, sections: Sequence[Section]) -> str:
    """Returns the page; pictures are inlined, nothing is fetched, nothing runs."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchmarks.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    return template.render(
        results=results,
        status=status(results),
        warnings=results.warnings,
        sections=sections,
        pictures=_pictures,
        light=Markup(palette.declarations("light")),
        dark=Markup(palette.declarations("dark")),
    )


def _pictures(section: Section, block: Block) -> list[tuple[str, Markup]]:
    """The captions and pictures of a block; the ids say which of the page it is."""
    prefix = f"{section.key}-{section.blocks.index(block) + 1}"
    return [
        (
            panel.caption,
            inline(panel.drawing, f"{prefix}-{number}", f"{block.title}: {panel.caption}"),
        )
        for number, panel in enumerate(block.panels, start=1)
    ]
