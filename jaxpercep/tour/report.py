"""The tour as one self-contained HTML page."""

import base64
from collections.abc import Sequence

import jinja2

from jaxpercep.tour.section import Picture, Section


def render(sections: Sequence[Section]) -> str:
    """Returns the page; pictures are part of it, and nothing is fetched."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxpercep.tour", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(sections=sections, data_uri=_data_uri)


def _data_uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
