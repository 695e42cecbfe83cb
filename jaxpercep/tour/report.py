"""The tour as one self-contained HTML page."""

import base64
import re
from collections.abc import Sequence

import jinja2
from markupsafe import Markup, escape

from jaxpercep.tour.mathml import mathml
from jaxpercep.tour.section import Picture, Section

NUMBER = re.compile(r"(?<![\w#])-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?(?:[x-]\d+)*(?: %)?")


def render(sections: Sequence[Section]) -> str:
    """Returns the page; pictures are part of it, and nothing is fetched."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxpercep.tour", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = typeset
    return environment.get_template("report.html.j2").render(sections=sections, data_uri=_data_uri)


def typeset(text: str) -> Markup:
    """Returns text as HTML: what stands in backticks as a formula, and no number broken."""
    prose = text.split("`")
    for i in range(0, len(prose), 2):
        prose[i] = NUMBER.sub(r'<span class="number">\g<0></span>', str(escape(prose[i])))
    for i in range(1, len(prose), 2):
        prose[i] = mathml(prose[i])
    return Markup("".join(prose))


def _data_uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
