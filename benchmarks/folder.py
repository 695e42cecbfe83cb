"""The folder of a run's results: what is in it, and when a new run may take its place.

A run that is not complete is kept beside it, as `NAME.unfinished`.
"""

import os
import shutil
from pathlib import Path

from benchmarks.results import load

RESULTS = "results.json"
CONTENT = {RESULTS, "report.html", "report.md"}


def unfinished(folder: Path) -> Path:
    """Where a run is kept until every planned cell is measured."""
    return folder.with_name(folder.name + ".unfinished")


def check_replaceable(folder: Path) -> None:
    """Raises a `ValueError` unless a run's results may be written to `folder`.

    They may if nothing is there, an empty folder, or the results of a run with no other files
    beside them; in a folder that can be written.
    """
    parent = next(path for path in folder.absolute().parents if path.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise ValueError(f"{folder} cannot be made: {parent} is no folder to write in.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; move it away, or choose another --name.")
    names = {path.name for path in folder.iterdir()}
    if names and RESULTS not in names:
        raise ValueError(
            f"{folder} holds no results of a run: it has no {RESULTS}. Choose another --name."
        )
    if strangers := {name for name in names if name.removesuffix(".unfinished") not in CONTENT}:
        raise ValueError(
            f"{folder} holds results and also {min(strangers)!r}, which would be lost; move it "
            "away, or choose another --name."
        )
    if names:
        load(folder / RESULTS)


def publish(folder: Path) -> None:
    """Puts the finished run into its place, where the old one stays whole until then."""
    old = folder.with_name(folder.name + ".replaced")
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)  # of a run that ended between these two lines
        folder.replace(old)
    unfinished(folder).replace(folder)
    shutil.rmtree(old, ignore_errors=True)
