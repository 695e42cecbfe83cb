"""A matplotlib figure as a picture in the page."""

import base64
import io
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.report.palette import COLOURS

WIDTH = 350
"""CSS pixels of a panel: the width of a phone, and a third of a desktop page."""

STYLE: dict[str, Any] = {
    "figure.dpi": 72,  # a point is a CSS pixel
    "font.size": 11,
    "text.color": COLOURS["ink"],
    "text.parse_math": False,  # a name may hold a dollar sign
    "svg.fonttype": "none",  # half the size of text as paths
    "svg.hashsalt": "jaxpercep",
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["dim"],
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 1,
    "xtick.color": COLOURS["line"],
    "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["dim"],
    "ytick.labelcolor": COLOURS["dim"],
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "legend.handlelength": 3.2,
}


class Drawing(NamedTuple):
    """A figure, and its contents in words, number by number, for readers who cannot see it."""

    figure: Figure
    description: str

    def svg(self) -> bytes:
        """Returns the figure as an SVG file, the same bytes for the same figure."""
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()

    def uri(self) -> str:
        """Returns the SVG file as a data URI."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg()).decode()}"


def new_figure(height: float) -> Figure:
    """Returns an empty figure, `height` CSS pixels high; draw on it within `rc_context(STYLE)`."""
    return Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
