"""A matplotlib figure as a picture in the page, and the ticks of its logarithmic axes.

The ticks are few, round and readable, and never written as 10^n.
"""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

WIDTH = 350
"""CSS pixels of a picture: the width of a phone, and a third of a desktop page."""

STYLE = Path(__file__).with_name("pictures.mplstyle")
"""What all pictures have in common."""


class Drawing(NamedTuple):
    """A picture as wide as a phone.

    Attributes:
        figure: the picture.
        description: its contents in words, number by number, for readers who cannot see it.
        caption: shown above it.
        name: that of its file, if it becomes one as well.
    """

    figure: Figure
    description: str
    caption: str = ""
    name: str = ""

    def shown(self, caption: str, name: str = "") -> "Drawing":
        """Returns the same picture with a caption and a name."""
        return self._replace(caption=caption, name=name)

    def svg(self) -> bytes:
        """Returns the figure as an SVG file, the same bytes for the same figure."""
        buffer = io.BytesIO()
        with mpl.rc_context(fname=STYLE):
            self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()

    def uri(self) -> str:
        """Returns the SVG file as a data URI."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg()).decode()}"


def new_figure(height: float) -> Figure:
    """Returns an empty figure, `height` CSS pixels high, to be drawn on in the style `STYLE`."""
    return Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Chooses at most so many round numbers between two: evenly spaced if these are close."""
    ladders = (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)
    locators = [*(LogLocator(subs=digits, numticks=most) for digits in ladders), MaxNLocator(most)]
    every = [locator.tick_values(low, high) for locator in locators]
    found = [[float(tick) for tick in ticks if low <= tick <= high] for ticks in every]
    fitting = (ticks for ticks in found[:-1] if 2 <= len(ticks) <= most)
    return max(fitting, key=len, default=found[-1])


def spread_ticks(values: Sequence[float], room: float = 0.11) -> list[float]:
    """Chooses, of increasing values, those whose labels do not touch.

    Args:
        values: the candidates; the last one is kept in preference to its neighbours.
        room: the width of a label, as a fraction of the axis.
    """
    positions = np.log(values)
    length = (positions[-1] - positions[0]) or 1.0
    kept = [len(values) - 1]
    for i in reversed(range(len(values) - 1)):
        if positions[kept[-1]] - positions[i] >= room * length:
            kept.append(i)
    return [values[i] for i in reversed(kept)]


def set_ticks(axis: Axis, ticks: Sequence[float], text: Callable[[float], str]) -> None:
    """Sets these ticks and no others."""
    axis.set_ticks(ticks, [text(tick) for tick in ticks])
    axis.set_minor_locator(NullLocator())
