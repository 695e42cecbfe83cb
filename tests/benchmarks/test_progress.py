"""The bar and its estimate."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from benchmarks.measure.progress import ProgressBar, progress_bar


def left(limit: float, *done: tuple[float, float]) -> str:
    """Returns the time left of 100 seconds on the bar after `done`: (time, cost)."""
    now, text = [0.0], io.StringIO()
    console = Console(file=text, force_terminal=True, width=80)
    with Progress(
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[now]}"),
        console=console,
        auto_refresh=False,
    ) as bar:
        found = ProgressBar(bar, 100, limit, lambda: now[0])
        for moment, cost in done:
            now[0] = moment
            found.advance(cost, f"{cost} seconds")
        now[0] += 5
        found.show("round 3")
    assert all(f"{cost} seconds" in text.getvalue() for _, cost in done)
    return text.getvalue().rpartition("about ")[2].partition(" left round 3")[0]


@pytest.mark.parametrize(
    ("limit", "done", "expected"),
    [
        (1000, [], "1:35"),
        (1000, [(20, 20)], "1:15"),
        (1000, [(40, 20)], "2:35"),  # half as fast as estimated
        (150, [(40, 20)], "1:45"),  # there is not that much
        (1000, [(30, 20), (40, 20)], "0:55"),
        (1000, [(10, 0)], "1:25"),  # a warning
        (1000, [(300, 100)], "0:00"),
    ],
)
def test_the_time_left(limit: float, done: list[tuple[float, float]], expected: str) -> None:
    assert left(limit, *done) == expected


def test_there_is_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(10, 20) as found:
        found.show("building")
        found.advance(5, "1/2 a cell")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "1/2 a cell\n")
