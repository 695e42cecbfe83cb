"""A matplotlib figure as SVG that is part of a page, in its colours, with ids of its own."""

import io
import re
from typing import Any, NamedTuple

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from benchmarks.report.palette import drawn, with_variables

WIDTH = 350
"""Of a panel, in CSS pixels: what a phone shows at once, and a third of a desktop page."""

STYLE: dict[str, Any] = {
    "figure.dpi": 72,  # a point is a CSS pixel
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "font.size": 11,
    "text.color": drawn("ink"),
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxpercep",
    "axes.facecolor": "none",
    "axes.edgecolor": drawn("line"),
    "axes.labelcolor": drawn("dim"),
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": drawn("grid"),
    "grid.linewidth": 1,
    "xtick.color": drawn("line"),
    "ytick.color": drawn("line"),
    "xtick.labelcolor": drawn("dim"),
    "ytick.labelcolor": drawn("dim"),
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "legend.handlelength": 3.2,
}


class Drawing(NamedTuple):
    """A figure, and what it shows in words, number by number, for who cannot see it."""

    figure: Figure
    description: str


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of this size in CSS pixels; draw on it within `rc_context(STYLE)`."""
    return Figure(figsize=(width / 72, height / 72), layout="constrained")


def inline(drawing: Drawing, key: str, title: str) -> Markup:
    """The drawing as an SVG element.

    Args:
        drawing: in colours of the palette.
        key: unique in the page: it starts every id.
        title: what it is.
    """
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        drawing.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{key}-", svg)
    root, rest = svg.split(">", 1)
    root = re.sub(r' (width|height)="[^"]*"', "", root)  # the page sets them
    return Markup(
        f'{root} role="img" aria-labelledby="{key}-title {key}-desc">'
        f'<title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-desc">{escape(drawing.description)}</desc>{with_variables(rest)}'
    )
