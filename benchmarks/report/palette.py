"""Colours for light and dark pages, and how the methods of a picture are told apart.

A picture is drawn in the light colours; in the page each of them is a CSS variable. Lines are Okabe
and Ito's hues, which stay apart for colour-blind readers, at a contrast of 3 or more to the page;
they differ in marker and dash as well. Tiles are blue where jaxpercep is faster, and orange where
it is slower; ink on a tile has a contrast of 4.5 or more.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Colour(NamedTuple):
    """One colour, as hexadecimal digits, on a light and on a dark page."""

    light: str
    dark: str


COLOURS: Mapping[str, Colour] = {
    "paper": Colour("#fffffe", "#11151a"),
    "panel": Colour("#f6f8fa", "#191f26"),
    "ink": Colour("#1b1f24", "#e6edf3"),
    "dim": Colour("#57606a", "#9aa4af"),
    "line": Colour("#d0d7de", "#323a44"),
    "grid": Colour("#e7ebef", "#232a32"),
    "muted": Colour("#c3cad1", "#454e59"),
    "band": Colour("#e1e6eb", "#2a323c"),
    "faster": Colour("#0067a8", "#56b4f0"),
    "slower": Colour("#b84a00", "#f5924d"),
    "line-1": Colour("#0072b2", "#4fb0f0"),
    "line-2": Colour("#c85000", "#ff8d4a"),
    "line-3": Colour("#00805d", "#2fc79a"),
    "line-4": Colour("#a8497f", "#e58fc0"),
    "line-5": Colour("#8a6500", "#e0b13a"),
    "ratio-1": Colour("#7fb8e6", "#165f96"),
    "ratio-2": Colour("#abd1f0", "#124a73"),
    "ratio-3": Colour("#d3e6f7", "#12344f"),
    "ratio-4": Colour("#eceef0", "#262c33"),
    "ratio-5": Colour("#fbe6d6", "#422a18"),
    "ratio-6": Colour("#f8c9a4", "#633a1a"),
    "ratio-7": Colour("#f2a76d", "#864a17"),
    "time-1": Colour("#edf4f1", "#16241f"),
    "time-2": Colour("#d5e8e1", "#173029"),
    "time-3": Colour("#bbdbd0", "#183e34"),
    "time-4": Colour("#9fcdbd", "#194d41"),
    "time-5": Colour("#83beaa", "#1a5d4e"),
    "time-6": Colour("#67af97", "#1b6d5c"),
}

MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)))
LINES = len(MARKERS)
"""The most methods that one panel tells apart."""


def drawn(name: str) -> str:
    """The colour to draw with."""
    return COLOURS[name].light


def line(index: int) -> str:
    """The colour of the line at this index in its panel."""
    return drawn(f"line-{index + 1}")


def declarations(theme: str) -> str:
    """The CSS variables of a theme, `"light"` or `"dark"`."""
    return " ".join(f"--{name}: {getattr(c, theme)};" for name, c in COLOURS.items())


def with_variables(svg: str) -> str:
    """The SVG with each drawn colour replaced by its CSS variable."""
    for name, colour in COLOURS.items():
        svg = svg.replace(colour.light, f"var(--{name})")
    return svg
