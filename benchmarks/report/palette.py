"""Colours of the pictures, and how the methods of a picture are told apart.

Pictures are drawn for a white page; a dark one inverts them in its style sheet. Lines are Okabe and
Ito's hues, which colour-blind readers can tell apart, with a contrast of at least 3 to the page;
they differ in marker and dash as well. Tiles are blue where jaxpercep is faster, and orange where
it is slower; ink on a tile has a contrast of at least 4.5, inverted as well.
"""

from collections.abc import Mapping

COLOURS: Mapping[str, str] = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "dim": "#57606a",
    "line": "#d0d7de",
    "grid": "#e7ebef",
    "muted": "#c3cad1",
}

SCALE: Mapping[str, str] = {
    "under 1/2": "#7fb8e6",
    "1/2 to 4/5": "#abd1f0",
    "4/5 to 1": "#d3e6f7",
    "no difference": "#eceef0",
    "1 to 5/4": "#fbe6d6",
    "5/4 to 2": "#f8c9a4",
    "over 2": "#f2a76d",
}
"""The ratios that a tile may show, and its colour for each."""

HUES = ("#0072b2", "#c85000", "#00805d", "#a8497f", "#8a6500", "#4a535d")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)), (0, (3, 3)))
LINES = len(MARKERS)
"""The largest number of methods that one picture tells apart."""
