"""`results.json`, there and back; the runs that are kept; the document."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_results import example

from benchmarks import machine
from benchmarks import results as contract
from benchmarks.report import documents
from benchmarks.report.contents import contents
from benchmarks.results import SCHEMA, load, save

KEPT = Path(contract.__file__).parent / "results"
kept_runs = pytest.mark.parametrize("name", ["default", "full"])


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    """To five digits: the file of what is read is the same to the byte."""
    results, paths = example(), [tmp_path / "results.json", tmp_path / "again.json"]
    save(results, paths[0])
    found = load(paths[0])
    assert found.cells[3].measurements[0].times != results.cells[3].measurements[0].times
    for cell, expected in zip(found.cells, results.cells, strict=True):
        for m, wanted in zip(cell.measurements, expected.measurements, strict=True):
            assert np.array(m.times) == pytest.approx(np.array(wanted.times), rel=5e-5)
        cell.measurements, expected.measurements, cell.null = [], [], expected.null
    assert found.cells == results.cells
    save(load(paths[0]), paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "again.json"}


def test_a_cell_is_one_line(tmp_path: Path) -> None:
    results = example()
    save(results, tmp_path / "results.json")
    lines = (tmp_path / "results.json").read_text("utf-8").splitlines()
    found = [json.loads(line.rstrip(",")) for line in lines if line.startswith('{"setting":')]
    sizes = [tuple(cell["setting"]["sizes"]) for cell in found]
    assert sizes == [cell.setting.sizes for cell in results.cells]


def test_a_number_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    results = example(cells=1)
    results.cells[0].measurements[0].error = math.nan
    with pytest.raises(ValueError, match="a result is nan: expected a finite number"):
        save(results, tmp_path / "results.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 1}, "has schema 1, this version of the suite reads 4: repeat the run."),
        ({"seed": "x"}, r"Expected `int`, got `str` - at `\$.seed`."),
        ({"seconds": True}, r"Expected `float`, got `bool` - at `\$.seconds`."),
        ({"cells": {}}, r"Expected `array`, got `object` - at `\$.cells`."),
        ({"cells": [3]}, r"Expected `object`, got `int` - at `\$.cells\[0\]`."),
        ({"methods": {"a": 1}}, r"Expected `str`, got `int` - at `\$.methods\[...\]`."),
        ({"interrupted": "fire"}, r"Invalid enum value 'fire' - at `\$.interrupted`."),
        ({"colour": 1}, "Object contains unknown field `colour`."),
        ({"planned": None}, r"Expected `array`, got `null` - at `\$.planned`."),
    ],
)
def test_a_file_that_is_not_what_it_should_be(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "results.json"
    save(example(cells=1), path)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), "utf-8")
    with pytest.raises(ValueError, match=message):
        load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged: Input data was truncated"),
        ("[]", "is not a benchmark run: Expected `object`, got `array`"),
        ("{}", "missing required field `schema`"),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "x.json")


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save(example(cells=1), path)
    document = json.loads(path.read_text("utf-8"))
    del document["cells"][0]["setting"]["batch"]
    path.write_text(json.dumps(document), "utf-8")
    with pytest.raises(ValueError, match=r"field `batch` - at `\$.cells\[0\].setting`"):
        load(path)


# The runs that are kept.


@kept_runs
def test_the_report_that_is_kept_is_that_of_the_results_that_are_kept(name: str) -> None:
    kept = load(KEPT / name / "results.json")
    assert (kept.profile, kept.complete) == (name, True)
    assert {cell.blocks for cell in kept.cells} == {3}
    assert kept.environment["background"] < 0.05
    sections = contents(kept)
    assert documents.markdown(kept, sections) == (KEPT / name / "report.md").read_text("utf-8")
    names = {panel.name for panel in sections[0].panels}
    assert {path.stem for path in (KEPT / name / "pictures").iterdir()} == names


@kept_runs
def test_the_run_that_is_kept_is_small(name: str) -> None:
    file = KEPT / name / "results.json"
    assert file.stat().st_size < 9_000 * len(load(file).cells)  # each with samples of three blocks
    assert sum(path.stat().st_size for path in (KEPT / name / "pictures").iterdir()) < 200_000


# The document.


def test_every_field_of_the_results_is_documented() -> None:
    text = Path(contract.__file__).with_name("RESULTS.md").read_text("utf-8")
    documented = set(re.findall(r"`(\w+)`", text))
    classes = contract.Record.__subclasses__()
    assert len(classes) == 8
    for kind in classes:
        assert set(kind.__struct_fields__) - documented == set(), kind
    assert {reason.value for reason in contract.Reason} <= set(re.findall(r"`([\w ]+)`", text))
    assert f"schema version {SCHEMA};" in text
    assert set(machine.describe()) - documented == set()
