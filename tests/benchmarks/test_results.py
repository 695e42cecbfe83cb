"""`results.json`, there and back."""

import json
from pathlib import Path
from typing import Any

import pytest
from example_results import example

from benchmarks.results import load, save


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    results = example()
    save(results, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == results
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "has schema 99, this version of the suite reads 1: repeat the run."),
        ({"seed": "x"}, "is damaged: results.seed: expected int, came 'x'."),
        ({"seconds": True}, "is damaged: results.seconds: expected float, came 'True'."),
        ({"cells": {}}, "results.cells: expected a list, came '{}'."),
        ({"cells": [3]}, r"results.cells\[0\]: expected the fields of a Cell, came '3'."),
        ({"methods": {"a": 1}}, r"results.methods\['a'\]: expected str, came '1'."),
        ({"methods": []}, r"results.methods: expected an object, came '\[\]'."),
        ({"colour": 1}, "results: unknown field 'colour'."),
        ({"planned": None}, "results.planned: expected a list, came 'None'."),
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
    [("{", "is damaged"), ("[]", "holds no benchmark results"), ("{}", "has no field 'schema'")],
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
    with pytest.raises(ValueError, match=r"results.cells\[0\].setting: field 'batch' is missing"):
        load(path)
