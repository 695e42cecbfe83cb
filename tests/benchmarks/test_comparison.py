"""Comparing two runs: silent where nothing changed, loud where something did, and where."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from example_results import example

from benchmarks import results as contract
from benchmarks import statistics
from benchmarks.__main__ import main
from benchmarks.comparison import Change, compare
from benchmarks.report import words
from benchmarks.results import Absence, Interval, Reason, Results, save

CELL, METHOD = 1, "jaxpercep manual"
THRESHOLD = 0.05


def run(seed: int, noise: float = 0.02, cells: int = 3) -> Results:
    """A run of a few cells and three methods."""
    results = example(seed, cells=cells, noise=noise)
    for cell in results.cells:
        cell.measurements = [m for m in cell.measurements if m.method in (METHOD, "optax", "numpy")]
    return results


def with_floor(results: Results, *floors: float) -> Results:
    for cell, floor in zip(results.cells, floors, strict=True):
        cell.null = Interval(1.0, 1 - floor / 2, 1 + floor)
    return results


def slowed(results: Results, factor: float, noise: float | None = None) -> Results:
    """The same with one method slower in one cell; with other samples if there is noise."""
    measurement = results.cells[CELL].of(METHOD)
    assert measurement is not None
    times = np.array(measurement.times)
    if noise is not None:
        rng = np.random.default_rng(results.seed)
        times = np.median(times) * rng.lognormal(0, noise, len(times))
    measurement.times = (factor * times).tolist()
    median = float(np.median(measurement.times))
    measurement.seconds = Interval(median, 0.99 * median, 1.01 * median)
    return results


def planted(old: Results, new: Results, threshold: float = THRESHOLD) -> Change:
    changes = compare(old, new, threshold).changes
    key = new.cells[CELL].setting.key
    return next(c for c in changes if (c.setting, c.method) == (key, METHOD))


# Changes that count.


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "threshold"), [(0.02, 0.0), (0.1, THRESHOLD)])
def test_two_runs_of_the_same_code_are_silent(
    noise: float, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 600 times in 200 pairs of runs few differ by chance, though 1 interval in 20 does."""
    monkeypatch.setattr(statistics, "RESAMPLES", 300)
    loud: list[Change] = []
    outside = 0
    for seed in range(200):
        found = compare(run(2 * seed, noise, 1), run(2 * seed + 1, noise, 1), threshold)
        assert len(found.changes) == 3
        loud += [change for change in found.changes if change.verdict != "no difference"]
        outside += sum(change.ratio.excludes(1) for change in found.changes)
    assert outside > 6
    assert len(loud) <= 6


def test_a_slowdown_of_15_percent_is_found_where_it_is() -> None:
    found = compare(run(0), slowed(run(1), 1.15), THRESHOLD)
    (change,) = found.having("slower")
    assert (change.setting, change.method) == (run(0).cells[CELL].setting.key, METHOD)
    assert 1.1 < change.ratio.low < change.ratio.median < change.ratio.high < 1.2
    assert found.having("faster") == []
    assert change.new / change.old == pytest.approx(change.ratio.median, rel=0.05)


def test_it_is_found_in_a_whole_run() -> None:
    old, new = example(0, cells=12), slowed(example(1, cells=12), 1.15)
    (change,) = compare(old, new, THRESHOLD).having("slower")
    assert (change.setting, change.method) == (new.cells[CELL].setting.key, METHOD)


def test_a_gain_is_found_too() -> None:
    found = compare(run(0), slowed(run(1), 1 / 1.15), THRESHOLD)
    assert found.having("slower") == []
    assert [change.method for change in found.having("faster")] == [METHOD]


Pair = tuple[Results, Results]


TINY = (0.001, 0.001, 0.001)
QUIET = (0.01, 0.01, 0.01)
NOISY_CELL = (0.01, 0.8, 0.01)  # a run's floor is the median of its cells'
NOISY_RUN = (0.8, 0.01, 0.8)


def cell_of_the_old() -> Pair:
    return with_floor(run(0), *NOISY_CELL), with_floor(slowed(run(1), 1.5), *QUIET)


def cell_of_the_new() -> Pair:
    return with_floor(run(0), *QUIET), with_floor(slowed(run(1), 1.5), *NOISY_CELL)


def run_of_the_old() -> Pair:
    return with_floor(run(0), *NOISY_RUN), with_floor(slowed(run(1), 1.5), *QUIET)


def run_of_the_new() -> Pair:
    return with_floor(run(0), *QUIET), with_floor(slowed(run(1), 1.5), *NOISY_RUN)


@pytest.mark.parametrize("pair", [cell_of_the_old, cell_of_the_new, run_of_the_old, run_of_the_new])
def test_a_large_slowdown_inside_one_large_floor_is_silent(pair: Callable[[], Pair]) -> None:
    old, new = pair()
    change = planted(old, new)
    assert change.ratio.low > 1.4
    assert (change.verdict, change.limit) == ("no difference", 0.8)
    quiet = planted(with_floor(old, *QUIET), with_floor(new, *QUIET))
    assert (quiet.verdict, quiet.limit) == ("slower", THRESHOLD)


def test_a_sure_change_below_the_threshold_is_silent() -> None:
    old, new = with_floor(run(0), *TINY), with_floor(slowed(run(0), 1.04), *TINY)
    change = planted(old, new)
    assert change.ratio.low > 1.0
    assert change.verdict == "no difference"
    assert planted(old, new, threshold=0.03).verdict == "slower"


def test_a_large_change_that_is_not_sure_is_silent() -> None:
    old, new = with_floor(run(0), *TINY), with_floor(run(1), *TINY)
    change = planted(slowed(old, 1.0, noise=1.0), slowed(new, 1.3, noise=1.0))
    assert not change.ratio.excludes(1)
    assert abs(change.ratio.median - 1) > change.limit
    assert change.verdict == "no difference"


# The machines, and cells of only one run.


def test_the_same_machine_goes_without_saying() -> None:
    new = run(1)
    new.environment["load_before"] = [7.0, 7.0, 7.0]
    new.peak_gflops *= 0.95
    assert compare(run(0), new, THRESHOLD).machine == []


def test_another_machine_is_described() -> None:
    new = run(1)
    new.environment |= {"cpu": "Other CPU", "versions": {"jax": "0.12.0", "torch": "2.13.0"}}
    new.peak_gflops = 350.0
    new.copy_bandwidth *= 2
    said = compare(run(0), new, THRESHOLD).machine
    assert said == [
        "cpu was Example CPU @ 2.60GHz, now Other CPU",
        "flax was 0.12.9, now None",
        "jax was 0.10.1, now 0.12.0",
        "jaxlib was 0.10.1, now None",
        "matrix-product peak, GFLOP/s, was 412, now 350",
        "copy bandwidth, GB/s, was 18.4, now 36.8",
    ]


def test_what_only_one_run_has_is_listed_with_the_reason() -> None:
    old, new = run(0), run(1)
    alone = new.cells.pop(0)
    cell = new.cells[0]
    cell.measurements = [m for m in cell.measurements if m.method != METHOD]
    cell.absences.append(Absence(METHOD, Reason.WRONG, "a wrong gradient"))
    old.cells[1].measurements.pop()
    found = compare(old, new, THRESHOLD)
    assert found.only_old == [
        alone.setting.key,
        f"{cell.setting.key}: {METHOD} (refused: a wrong gradient)",
    ]
    assert found.only_new == [f"{cell.setting.key}: optax"]
    assert [c.method for c in found.changes if c.setting == cell.setting.key] == ["numpy"]


# The command.


def command(old: Path, new: Path) -> int:
    return main(["compare", str(old), str(new)])


def saved(results: Results, path: Path) -> Path:
    save(results, path)
    return path


def test_runs_of_the_same_code_exit_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = saved(run(0), tmp_path / "old"), saved(run(1), tmp_path / "new")
    assert command(old, new) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out == (
        "0 slower, 0 faster, 9 without a difference, of 9 times compared; "
        "a change counts above 5.0 % and above the noise of both runs."
    )


def test_a_slowdown_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = slowed(run(1), 1.15)
    new.peak_gflops = 100.0
    new.cells[0].measurements.pop()
    old, new_ = saved(run(0), tmp_path / "old"), saved(new, tmp_path / "new")
    assert command(old, new_) == 1
    out = capsys.readouterr().out
    (change,) = compare(run(0), new, THRESHOLD).having("slower")
    assert words.ratio(change.ratio) in out
    assert max(map(len, out.splitlines())) <= 80
    assert "1 slower, 0 faster, 7 without a difference" in out
    assert "The machines differ, and times with them:\n  matrix-product peak" in out
    assert f"Only in the old run:\n  {new.cells[0].setting.key}: optax\n" in out


def only(results: Results, *, cells: list[int] | None = None, methods: str = "") -> Results:
    """The same run, with fewer cells, or with the methods of one name in each."""
    results.cells = [results.cells[i] for i in (range(3) if cells is None else cells)]
    for cell in results.cells:
        cell.measurements = [m for m in cell.measurements if methods in m.method]
    return results


APART = {
    "cells": (
        only(run(0), cells=[0]),
        only(run(1), cells=[1, 2]),
        "have no cell in common: the old one timed {old[0]}; the new one timed {new[0]}, {new[1]}.",
    ),
    "many cells": (
        example(0, cells=7),
        only(example(1), cells=[11]),
        "timed {old[0]}, {old[1]}, {old[2]} and 4 more; the new one timed {new[0]}.",
    ),
    "methods": (
        only(run(0), methods="numpy"),
        only(run(1), methods="optax"),
        "have no method in common: the old one timed numpy; the new one timed optax.",
    ),
    "nothing timed": (
        only(run(0), cells=[]),
        only(run(1), cells=[0], methods="of no name"),
        "have no cell in common: the old one timed nothing; the new one timed nothing.",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), APART.values(), ids=APART)
def test_runs_with_nothing_in_common_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: Results, new: Results, message: str
) -> None:
    assert command(saved(old, tmp_path / "old"), saved(new, tmp_path / "new")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    keys = {"old": old, "new": new}
    keys = {name: [c.setting.key for c in run.cells] for name, run in keys.items()}
    assert message.format(**keys) in err
    assert "Repeat one of them so that both time the same methods in the same cells" in err
    assert repr(old.command) in err


def test_a_gain_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = saved(slowed(run(0), 1.15), tmp_path / "old")
    assert command(old, saved(run(1), tmp_path / "new")) == 0
    assert "0 slower, 1 faster" in capsys.readouterr().out


@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "'{}': there is no such file or folder.\n"),
        (b"no JSON", "{} is damaged: JSON is malformed: "),
        (b"\xff\xfe", "{} is damaged: "),
        (
            b'{"a": 1}',
            "{} is not a benchmark run: Object missing required field ",
        ),
        (b'{"schema": 99}', "{} has schema 99, this version of the suite reads "),
        (b'{"schema": %d}' % contract.SCHEMA, "{} is not a benchmark run: "),
    ],
)
def test_a_file_that_cannot_be_used_exits_with_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    side: str,
    content: bytes | None,
    message: str,
) -> None:
    files = {name: saved(run(0), tmp_path / name) for name in ("old", "new")}
    if content is None:
        files[side].unlink()
    else:
        files[side].write_bytes(content)
    assert command(files["old"], files["new"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("python -m benchmarks compare: error: ")
    assert message.format(files[side]) in err


def test_the_same_files_give_the_same_answer() -> None:
    assert compare(run(0), run(1), THRESHOLD) == compare(run(0), run(1), THRESHOLD)
