"""The folder of a run's results: its content, and when a new run may take its place.

A run that is not complete is kept beside it, as `NAME.unfinished`.
"""

from pathlib import Path

from benchmarks import results
from jaxpercep._files import writing

RESULTS = "results.json"
CONTENT = {RESULTS, "report.html", "report.md", "pictures"}


def unfinished(folder: Path) -> Path:
    """Returns where a run is kept until every planned cell is measured."""
    return folder.with_name(folder.name + ".unfinished")


def check_replaceable(folder: Path) -> None:
    """Raises a `ValueError` unless a run's results may be written to `folder`.

    They may where nothing is there, an empty folder, or the results of a run with no other files
    beside them; in a folder that can be written to.
    """
    writing.check_replaceable(folder, "benchmark run", RESULTS, CONTENT)
    if (folder / RESULTS).exists():
        results.load(folder / RESULTS)
