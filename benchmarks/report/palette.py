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
    "line-1": "#0072b2",
    "line-2": "#c85000",
    "line-3": "#00805d",
    "line-4": "#a8497f",
    "line-5": "#8a6500",
    "line-6": "#4a535d",
    "ratio-1": "#7fb8e6",
    "ratio-2": "#abd1f0",
    "ratio-3": "#d3e6f7",
    "ratio-4": "#eceef0",
    "ratio-5": "#fbe6d6",
    "ratio-6": "#f8c9a4",
    "ratio-7": "#f2a76d",
}

MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2)), (0, (3, 3)))
LINES = len(MARKERS)
"""The largest number of methods that one picture tells apart."""
