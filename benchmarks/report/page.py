"""The report as one self-contained HTML page."""

from collections.abc import Sequence

import jinja2

from benchmarks.report.contents import Section
from benchmarks.report.summary import status
from benchmarks.results import Results


def render(results: Results, sections: Sequence[Section]) -> str:
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
