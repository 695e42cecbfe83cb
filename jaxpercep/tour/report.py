"""The tour as one self-contained HTML page."""

import base64
import re
from collections.abc import Sequence

import jinja2
from markupsafe import Markup, escape

from jaxpercep.tour.mathml import mathml
from jaxpercep.tour.section import Picture, Section

NUMBER = re.compile(r"(?<![\w#])-?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?(?:[x-]\d+)*(?: %)?")
FORMULA = re.compile(r"`([^`]*)`([^\s`]*)")


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
    parts = FORMULA.split(text)  # prose, a formula, what follows it at once, prose, ...
    for i in range(0, len(parts), 3):
        parts[i] = NUMBER.sub(r'<span class="nowrap">\g<0></span>', str(escape(parts[i])))
    for i in range(1, len(parts), 3):
        parts[i] = f'<span class="nowrap">{mathml(parts[i])}'
        parts[i + 1] = f"{escape(parts[i + 1])}</span>"
    return Markup("".join(parts))


def _data_uri(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
