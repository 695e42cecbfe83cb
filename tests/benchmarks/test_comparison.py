"""Comparing two runs: silent where nothing changed, loud where something did, and where."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from example_results import example
from msgspec import structs

from benchmarks import results as contract
from benchmarks.__main__ import main
from benchmarks.comparison import Change, Comparison, compare
from benchmarks.report import words
from benchmarks.results import Absence, Program, Reason, Results, save

CELL, METHOD = 1, "jaxpercep manual"
METHODS = (METHOD, "jaxpercep autodiff", "optax", "numpy")
THRESHOLD = 0.05


def run(seed: int, noise: float = 0.02, cells: int = 3) -> Results:
    """A run of a few cells and four methods, two of them jaxpercep's."""
    results = example(seed, cells=cells, noise=noise)
    for cell in results.cells:
        cell.measurements = [m for m in cell.measurements if m.method in METHODS]
    return results


def slowed(
    results: Results, factor: float, methods: Sequence[str] = (METHOD,), cells: int | None = CELL
) -> Results:
    """The same with methods slower in one cell, or in all."""
    for cell in results.cells if cells is None else [results.cells[cells]]:
        for measurement in cell.measurements:
            if measurement.method in methods:
                measurement.times = (factor * np.array(measurement.times)).tolist()
    return results


def planted(old: Results, new: Results, threshold: float = THRESHOLD) -> Change:
    changes = compare(old, new, threshold).changes
    key = new.cells[CELL].setting.key
    return next(c for c in changes if (c.pair.setting, c.pair.method) == (key, METHOD))


# Changes that count.


def test_two_runs_of_the_same_code_are_silent() -> None:
    for seed in range(10):
        found = compare(run(2 * seed), run(2 * seed + 1), 0.0)
        assert len(found.changes) == 6
        assert len(found.having("no difference")) == 6


def test_a_slowdown_of_15_percent_is_found_where_it_is() -> None:
    found = compare(run(0), slowed(run(1), 1.15), THRESHOLD)
    (change,) = found.having("slower")
    assert (change.pair.setting, change.pair.method) == (run(0).cells[CELL].setting.key, METHOD)
    assert change.finding.ratio.low < 1.15 < change.finding.ratio.high
    assert change.finding.p < 0.01
    assert found.having("faster") == []
    old, new = (np.median(side.times) for side in (change.pair.old, change.pair.new))
    assert new / old == pytest.approx(change.finding.ratio.median, rel=0.05)


def test_it_is_found_in_a_whole_run() -> None:
    old, new = example(0, cells=12), slowed(example(1, cells=12), 1.2)
    (change,) = compare(old, new, THRESHOLD).having("slower")
    assert (change.pair.setting, change.pair.method) == (new.cells[CELL].setting.key, METHOD)


def test_a_gain_is_found_too() -> None:
    found = compare(run(0), slowed(run(1), 1 / 1.2), THRESHOLD)
    assert found.having("slower") == []
    assert [change.pair.method for change in found.having("faster")] == [METHOD]


def test_rounds_of_one_block_are_no_repeats() -> None:
    """Each block is steady within, and another from block to block: that is the noise."""
    old, new = run(0), run(1)
    for results, levels in ((old, [1, 1.2, 1.1]), (new, [1.1, 1.3, 1.2])):
        for cell in results.cells:
            for m in (m for m in cell.measurements if m.method.startswith("jaxpercep")):
                m.times = [[level * 1e-3] * 5 for level in levels]
    assert planted(old, new).verdict == "no difference"


def test_a_machine_that_has_become_slower_is_no_change_of_ours() -> None:
    drifted = slowed(run(1), 1.15, METHODS, cells=None)
    found = compare(run(0), drifted, THRESHOLD)
    assert len(found.having("no difference")) == 6
    assert min(change.finding.floor for change in found.changes) > 0.3
    assert found.controls == pytest.approx([1.15] * 6, rel=0.05)


def test_a_sure_change_below_the_threshold_is_silent() -> None:
    old, new = run(0, 0.001), slowed(run(0, 0.001), 1.04)
    change = planted(old, new)
    assert change.finding.ratio.low > 1.0
    assert change.finding.p < 1e-3
    assert change.verdict == "no difference"
    assert planted(old, new, threshold=0.03).verdict == "slower"


def test_a_large_change_that_is_not_sure_is_silent() -> None:
    change = planted(run(0, 0.3), slowed(run(1, 0.3), 1.3))
    assert abs(change.finding.ratio.median - 1) > THRESHOLD
    assert change.finding.floor > abs(change.finding.ratio.median - 1)
    assert change.verdict == "no difference"


def test_methods_of_one_block_are_not_judged() -> None:
    new = run(1)
    measurement = new.cells[CELL].of(METHOD)
    assert measurement is not None
    measurement.times[1:] = [[], []]
    found = compare(run(0), new, THRESHOLD)
    assert found.unjudged == [f"{new.cells[CELL].setting.key}: {METHOD}"]
    assert len(found.changes) == 5


# What was compiled.


def counted(results: Results, program: Program, instructions: float | None = None) -> Results:
    measurement = results.cells[CELL].of(METHOD)
    assert measurement is not None
    measurement.program, measurement.instructions = program, instructions
    return results


PROGRAM = Program(14, 30, 1_500_000, 2_000_000)


def compiled(new: Program, instructions: float = 1000, jaxlib: str = "0.10.1") -> Comparison:
    later = counted(run(1), new, instructions)
    later.environment["versions"]["jaxlib"] = jaxlib
    return compare(counted(run(0), PROGRAM, 1000), later, THRESHOLD)


def test_programs_that_differ_are_listed_whatever_the_noise() -> None:
    assert compiled(PROGRAM).programs == []
    other = structs.replace(PROGRAM, looped=31, flops=1_500_001)
    key = run(0).cells[CELL].setting.key
    assert compiled(other).programs == [
        f"{key}: {METHOD}: looped 30, now 31, flops 1,500,000, now 1,500,001"
    ]
    assert compiled(PROGRAM, 1020).programs == [
        f"{key}: {METHOD}: instructions 1e+03, now 1.02e+03"
    ]
    assert compiled(PROGRAM, 1005).programs == []  # threads that wait


def test_programs_of_two_versions_of_xla_are_not_compared() -> None:
    (said,) = compiled(structs.replace(PROGRAM, looped=99), jaxlib="0.12.0").programs
    assert said == "not compared: jaxlib was 0.10.1, now 0.12.0, and each counts in its own way"


# The machines, and cells of only one run.


def test_the_same_machine_goes_without_saying() -> None:
    new = run(1)
    new.environment["load_before"] = [7.0, 7.0, 7.0]
    assert compare(run(0), new, THRESHOLD).machine == []


def test_another_machine_is_described() -> None:
    new = run(1)
    new.environment |= {"cpu": "Other CPU", "versions": {"jax": "0.12.0", "torch": "2.13.0"}}
    said = compare(run(0), new, THRESHOLD).machine
    assert said == [
        "cpu was Example CPU @ 2.60GHz, now Other CPU",
        "flax was 0.12.9, now None",
        "jax was 0.10.1, now 0.12.0",
        "jaxlib was 0.10.1, now None",
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
    judged = [c.pair.method for c in found.changes if c.pair.setting == cell.setting.key]
    assert judged == ["jaxpercep autodiff"]


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
    assert out.startswith(
        "0 slower, 0 faster, 6 without a difference, of 6 times compared; a change counts above "
        "5.0 % if p, corrected for their number, is at most 5%. The smallest slowdown that could "
        "have been seen: "
    )
    limits = [max(THRESHOLD, c.finding.floor) for c in compare(run(0), run(1), THRESHOLD).changes]
    assert f"{words.percent(float(np.median(limits)))} in half of the times" in out
    assert "Of 6 times of methods that cannot have changed, new / old is 0.9" in out


def test_a_slowdown_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = counted(slowed(run(1), 1.2), structs.replace(PROGRAM, operations=15))
    new.environment["cores"] = 4
    new.cells[0].measurements.pop()
    before = counted(run(0), PROGRAM)
    old, new_ = saved(before, tmp_path / "old"), saved(new, tmp_path / "new")
    assert command(old, new_) == 1
    out = capsys.readouterr().out
    (change,) = compare(before, new, THRESHOLD).having("slower")
    assert words.ratio(change.finding.ratio) in out
    assert max(map(len, out.splitlines())) <= 80
    assert "1 slower, 0 faster, 5 without a difference" in out
    assert "What was compiled:\n  " in out
    assert "operations 14, now 15" in " ".join(out.split())
    assert "The machines differ, and times with them:\n  cores was 2, now 4" in out
    assert f"Only on the old side:\n  {new.cells[0].setting.key}: optax\n" in out


def only(results: Results, *, cells: list[int] | None = None, methods: str = "") -> Results:
    """The same run, with fewer cells, or with the methods of one name in each."""
    results.cells = [results.cells[i] for i in (range(3) if cells is None else cells)]
    for cell in results.cells:
        cell.measurements = [m for m in cell.measurements if methods in m.method]
    return results


def of_one_block(results: Results) -> Results:
    for cell in results.cells:
        for measurement in cell.measurements:
            del measurement.times[1:]
    return results


OURS, OTHER = (
    "takes a method of jaxpercep's in two",
    "takes a method that is not jaxpercep's in two",
)
APART = {
    "cells": (only(run(0), cells=[0]), only(run(1), cells=[1, 2]), OURS),
    "methods": (only(run(0), methods="numpy"), only(run(1), methods="optax"), OURS),
    "nothing timed": (only(run(0), cells=[]), only(run(1), methods="of no name"), OURS),
    "none of ours": (only(run(0), methods="numpy"), run(1), OURS),
    "nothing else": (only(run(0), methods="jaxpercep"), run(1), OTHER),
    "one block": (of_one_block(run(0)), run(1), OURS),
}


@pytest.mark.parametrize(("old", "new", "message"), APART.values(), ids=APART)
def test_runs_with_nothing_to_compare_exit_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: Results, new: Results, message: str
) -> None:
    assert command(saved(old, tmp_path / "old"), saved(new, tmp_path / "new")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"error: nothing was compared, for that {message} blocks of the same cell" in err
    assert repr(old.command) in err
    assert "compare --against needs no stored run" in err


def test_a_gain_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = saved(slowed(run(0), 1.2), tmp_path / "old")
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
        (b'{"schema": 3}', "{} has schema 3, this version of the suite reads "),
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
