"""Parquet and NPY files are read as CSV files are, and refused with place and fix."""

import datetime
import decimal
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import run

from jaxpercep._files import table
from jaxpercep._files.layout import Layout
from jaxpercep.tables import load_features, read_examples, read_rows

X = np.array([[1, 2.5, -3], [4, 0.5, 6], [7, 8, 9.25], [-1, 0, 1]], np.float32)
LABELS = np.array([0, 1, 1, 0])
MATRIX = np.column_stack([X, LABELS])
TEXTS = ["red", "blue", "red", "dark, grey"]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a table of four columns read a row at a time."""
    monkeypatch.setattr(table, "CELLS", 4)


def write_parquet(path: Path, columns: Any) -> Path:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is in the extra data")
    from pyarrow import parquet

    parquet.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path)
    return path


def write_npy(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


def write_csv(path: Path, columns: dict[str, Any]) -> Path:
    rows = zip(*columns.values(), strict=True)
    cells = [
        [f'"{c}"' if isinstance(c, str) else "" if c is None else str(c) for c in r] for r in rows
    ]
    path.write_text("\n".join(map(",".join, [list(columns), *cells])) + "\n")
    return path


def assert_alike(first: Any, second: Any) -> None:
    """Examples and layouts are the same."""
    for a, b in zip(first[0], second[0], strict=True):
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b
    assert first[1] == second[1]


# The same table in every format.


@pytest.mark.parametrize("target", [None, 0, "t", -2])
def test_a_table_is_the_same_in_parquet_and_csv(tmp_path: Path, target: Any) -> None:
    columns = {"a": [1.5, 2.0, -3.25, 0.0], "t": [3, 1, 3, 2], "y": ["no", "yes", "no", "yes"]}
    files = write_csv(tmp_path / "a.csv", columns), write_parquet(tmp_path / "a.parquet", columns)
    assert_alike(*(read_examples(path, target) for path in files))


@pytest.mark.usefixtures("small_blocks")
def test_text_and_missing_cells_are_the_same_in_parquet_and_csv(tmp_path: Path) -> None:
    columns = {"id": [1, 2, 3, 4], "colour": [*TEXTS[:3], None], "a": [1.5, None, 2.0, 4.0]}
    columns |= {"y": [0.5, 1.0, 2.0, -1.0]}
    files = write_csv(tmp_path / "a.csv", columns), write_parquet(tmp_path / "a.parquet", columns)
    read = [read_examples(path, drop=["id"], missing=True) for path in files]
    assert_alike(*read)
    assert read[0][1].categories == (("blue", "red"), ())
    rows = [[r.x for r in read_rows(path, read[0][1], missing=True)] for path in files]
    np.testing.assert_array_equal(*map(np.concatenate, rows))
    assert len(rows[0]) == 4


def test_a_matrix_is_a_table_without_names(tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    bare.write_text("".join(",".join(map(str, row)) + "\n" for row in MATRIX.tolist()))
    for target in (None, 0, -2):
        for matrix in (MATRIX, np.asfortranarray(MATRIX), MATRIX.astype(">f4")):
            path = write_npy(tmp_path / "m.npy", matrix)
            assert_alike(read_examples(path, target), read_examples(bare, target))
            assert_alike(read_examples(path, target, [1]), read_examples(bare, target, [1]))


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i8", "f2", "f4", ">f8", "g"])
@pytest.mark.parametrize("order", "CF")
def test_a_matrix_may_hold_any_real_numbers(tmp_path: Path, dtype: str, order: Any) -> None:
    numbers = np.arange(24).reshape(6, 4) % 2
    path = write_npy(tmp_path / "m.npy", np.asarray(numbers, dtype, order=order))
    data, layout = read_examples(path)
    np.testing.assert_array_equal(data.x, numbers[:, :3])
    assert (data.classes, layout) == (("1",), Layout((3,), None, 3))


@pytest.mark.usefixtures("small_blocks")
def test_parquet_columns_of_all_kinds(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is in the extra data")
    half = pa.array(np.array([1, 2, 0.5, -1], np.float16))
    columns = {
        "bool": pa.array([True, False, None, True]),
        "whole": pa.array([1, None, 3, 4], pa.uint64()),
        "half": half,
        "money": pa.array([decimal.Decimal("1.50"), decimal.Decimal("-2.25"), None, None]),
        "none": pa.nulls(4),
        "text": pa.array(["u", "v", None, "u"], pa.large_string()),
        "coded": pa.array(["u", None, "v", "w"]).dictionary_encode(),
        "numbers": pa.array([1.5, 2.5, 1.5, None]).dictionary_encode(),
        "y": pa.array([0, 1, 0, 1], pa.int8()),
    }
    data, layout = read_examples(write_parquet(tmp_path / "a.parquet", columns), missing=True)
    nan = np.nan
    expected = [
        [1, 1, 1, 1.5, nan, 1, 0, 1, 0, 0, 1.5],
        [0, nan, 2, -2.25, nan, 0, 1, nan, nan, nan, 2.5],
        [nan, 3, 0.5, nan, nan, nan, nan, 0, 1, 0, 1.5],
        [1, 4, -1, nan, nan, 1, 0, 0, 0, 1, nan],
    ]
    np.testing.assert_array_equal(data.x, np.array(expected, np.float32))
    assert layout.categories[5:7] == (("u", "v"), ("u", "v", "w"))
    assert data.classes == ("0", "1")


def test_text_of_digits_in_parquet_is_text(tmp_path: Path) -> None:
    columns = {"code": ["1", "2", "1", "10"], "y": ["0", "1", "0", "1"]}
    data, layout = read_examples(write_parquet(tmp_path / "a.parquet", columns))
    assert layout.categories == (("1", "10", "2"),)
    assert (data.classes, data.y.tolist()) == (("0", "1"), [0, 1, 0, 1])


def test_columns_that_are_left_out_may_hold_anything(tmp_path: Path) -> None:
    columns = {"nested": [[1], [2], [3], []], "when": [datetime.date(2000, 1, 1)] * 4}
    path = write_parquet(tmp_path / "a.parquet", columns | {"a": [1, 2, 3, 4], "y": [0, 1, 0, 1]})
    data, layout = read_examples(path, drop=["nested", "when"])
    assert data.x.tolist() == [[1], [2], [3], [4]]
    assert (layout.dropped, layout.named_features) == ((0, 1), ("a",))


def test_a_name_may_have_a_dot_and_begin_another(tmp_path: Path) -> None:
    columns = {"a": [1, 2], "a.b": [3, 4], "y": [0, 1]}
    data, _ = read_examples(write_parquet(tmp_path / "a.parquet", columns))
    assert data.x.tolist() == [[1, 3], [2, 4]]
    assert read_examples(tmp_path / "a.parquet", drop=["a.b"])[0].x.tolist() == [[1], [2]]


def test_row_groups_and_blocks_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is in the extra data")
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    columns = {
        "a": rng.normal(size=100).astype(np.float32),
        "text": rng.choice(["u", "v", "w"], 100),
        "y": rng.integers(0, 3, 100),
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=7)
    whole = read_examples(tmp_path / "a.parquet")
    for cells in (1, 10, 100):
        monkeypatch.setattr(table, "CELLS", cells)
        assert_alike(read_examples(tmp_path / "a.parquet"), whole)
    np.testing.assert_array_equal(whole[0].x[:, 0], columns["a"])


def test_a_format_is_told_by_its_content_too(tmp_path: Path) -> None:
    path = tmp_path / "data"
    write_npy(tmp_path / "m.npy", MATRIX).rename(path)
    np.testing.assert_array_equal(load_features(path, 3), X)
    write_parquet(tmp_path / "m.parquet", {"a": [1, 2], "y": [0, 1]}).rename(path)
    assert load_features(path, 1).tolist() == [[1], [2]]
    path.write_text("PAR1,PAR2,y\n1,2,no\n3,4,yes\n")
    assert load_features(path, 2).tolist() == [[1, 2], [3, 4]]


# Training and predicting.

OPTIONS = ("--hidden", 4, "--epochs", 5, "--batch-size", 16, "--learning-rate", 0.1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table in three formats, and a model trained on each."""
    folder = tmp_path_factory.mktemp("formats")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2)).astype(np.float32)
    columns = {
        "a": x[:, 0].tolist(),
        "b": x[:, 1].tolist(),
        "y": (x[:, 0] > 0).astype(int).tolist(),
    }
    write_csv(folder / "data.csv", columns)
    write_parquet(folder / "data.parquet", columns)
    write_npy(folder / "data.npy", np.column_stack(list(columns.values())))
    for path in list(folder.glob("data.*")):
        assert run("train", path, *OPTIONS, "--out", folder / path.suffix[1:]).code == 0
    return folder


@pytest.mark.parametrize("trained", ["csv", "parquet", "npy"])
def test_a_model_predicts_from_every_format_the_same(models: Path, trained: str) -> None:
    found = {run("predict", models / trained, path).out for path in models.glob("data.*")}
    assert len(found) == 1
    assert found.pop() == run("predict", models / "csv", models / "data.csv").out


def test_help_names_the_formats() -> None:
    assert "Parquet" in run("train", "--help").out


# Refusals.


def huge(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """The head of an NPY file that announces more than is there."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


BAD_MATRICES = [
    (
        np.zeros(3),
        "FILE holds an array of shape (3,) and type float64, expected real numbers [rows",
    ),
    (np.zeros((2, 2, 2)), "for anything else use np.savez(path, x=x, y=y)."),
    (np.float32(3), "FILE holds an array of shape () and type float32"),
    (np.zeros((0, 3)), "FILE holds an array of shape (0, 3) and type float64, expected real numb"),
    (np.zeros((3, 0)), "FILE holds an array of shape (3, 0)"),
    (np.zeros((3, 2), complex), "FILE holds an array of shape (3, 2) and type complex128"),
    (np.full((3, 2), "u"), "FILE holds an array of shape (3, 2) and type <U1"),
    (np.zeros((3, 2), "M8[s]"), "FILE holds an array of shape (3, 2) and type datetime64[s]"),
    (np.zeros(3, [("a", "f4"), ("y", "i4")]), "FILE holds an array of shape (3,) and type [("),
    (
        np.array([[{}]]),
        "FILE cannot be read as an NPY file: it holds Python objects, which are nev",
    ),
    (b"", "FILE cannot be read as an NPY file: EOF: reading magic string, expected 8 bytes got 0"),
    (b"1,2\n3,4\n", "FILE cannot be read as an NPY file: "),
    (b"\x93NUMPY\x03\x00" + b"\0" * 20, "version (3, 0) of NPY is not one of plain arrays"),
    (b"\x93NUMPY\x01\x00\xff\xff{", "write one with np.save(path, array)."),
    (
        huge((10**9, 100)),
        "FILE is damaged: its header announces shape (1000000000, 100) of float32",
    ),
    (huge((3, 2)) + bytes(23), "that is 24 bytes of data, but 23 are there; write it again."),
    (huge((3, -2)), "FILE cannot be read as an NPY file: its header announces the shape (3, -2)"),
    (np.ones((3, 1)), "FILE has 1 column, but features and a target need at least two."),
    (
        np.array([[1, 0], [np.nan, 1]]),
        "FILE, row 2, column 1: the cell is missing ('nan'); fill it",
    ),
    (
        np.array([[1, 0], [np.inf, 1]]),
        "FILE, row 2, column 1: 'inf' is not a finite float32 number",
    ),
    (np.array([[1, 0], [1e39, 1]]), "FILE, row 2, column 1: '1e+39' is not a finite float32 numbe"),
    (np.array([[1, 0], [1, np.nan]]), "FILE, row 2, column 2: the target is missing ('nan')"),
    (np.array([[1, 0], [1, -np.inf]]), "FILE, row 2, column 2: '-inf' is neither a label nor a fi"),
    (np.array([[1, 0.5], [1, 1e39]]), "FILE: the target, as float32, holds 1 value that is NaN or"),
    (np.array([[1.0, 0], [1, 0]]), "FILE: every target is '0'; add rows with another one."),
]

Y = {"y": [0, 1]}
BAD_PARQUET = [
    (b"", "", "FILE is not a Parquet file; write one with pyarrow.parquet.write_table, or"),
    (b"a,y\n1,0\n", "", "FILE is not a Parquet file"),
    (b"PAR1" + bytes(40), "", "FILE cannot be read as a Parquet file: "),
    (
        b"PAR1" + bytes(40) + b"\xff\xff\xff\x7fPAR1",
        "",
        "Write it again, or restore it from a copy.",
    ),
    ({"a": [[1], [2]], **Y}, "", "FILE: the column 'a' is of the type list<"),
    ({"a": [{"b": 1}, {"b": 2}], **Y}, "", "FILE: the column 'a' is of the type struct<b: int64>"),
    ({"a": [b"u", b"v"], **Y}, "", "the type binary, expected numbers, booleans or text; leave it"),
    (
        {"a": [datetime.datetime(2000, 1, 1)] * 2, **Y},
        "",
        "the column 'a' is of the type timestamp[",
    ),
    ({"a": [datetime.date(2000, 1, 1)] * 2, **Y}, "", "FILE: the column 'a' is of the type date32"),
    ({"a": [1, 2], "y": [[1], [2]]}, "", "FILE: the column 'y' is of the type list<"),
    ({"a": [1, None], **Y}, "", "FILE, row 2, column 1 ('a'): the cell is empty; fill it in, or"),
    (
        {"a": [1.0, float("nan")], **Y},
        "",
        "row 2, column 1 ('a'): the cell is missing ('nan'); fil",
    ),
    ({"a": [1.0, float("inf")], **Y}, "", "row 2, column 1 ('a'): 'inf' is not a finite float32"),
    ({"a": [10.0**39, 1.0], **Y}, "", "row 1, column 1 ('a'): '1e+39' is not a finite float32"),
    ({"a": ["u", None], **Y}, "", "row 2, column 1 ('a'): the cell is empty; fill it in, or leave"),
    (
        {"a": [None] * 4, "y": [0, 1, 0, 1]},
        "--missing mean",
        "FILE: 'a' is missing in every row to train on",
    ),
    ({"a": [1, 2], "y": [0, None]}, "", "row 2, column 2 ('y'): the target is missing; fill it in"),
    ({"a": [1, 2], "y": ["u", None]}, "", "row 2, column 2 ('y'): the target is missing; fill it"),
    ({"a": [1, 2], "y": [float("inf"), 1.0]}, "", "'inf' is neither a label nor a finite number."),
    ({"a": [1, 2], "y": ["u", "u"]}, "", "FILE: every target is 'u'; add rows with another one."),
    ({"y": [0, 1]}, "", "FILE has 1 column, but features and a target need at least two."),
    ({"": [1, 2], **Y}, "", "FILE, column 1 (''): the header gives this column no name, as"),
    (
        {"a": [1, 2], **Y},
        "--target z",
        "target='z' is not a column of FILE. Its column names: a, y.",
    ),
    ({"a": [1, 2], **Y}, "--drop b", "drop='b' is not a column of FILE. Its column names: a, y."),
    (
        {"a": [1, 2], "b": [1, 2], **Y},
        "--drop y --target y",
        "target='y' of FILE is left out by drop; keep it.",
    ),
    (
        {"n": [f"u{i}" for i in range(20)], "y": [0, 1] * 10},
        "",
        "20 different texts in 20 rows, so",
    ),
    ({"a": [], "y": []}, "", "FILE has a header and no rows."),
    ({"a": [1, 2], "y": ["u", "v"]}, "--loss squared", "--loss squared: the targets are text"),
]


def refused(folder: Path, path: Path, words: str = "") -> str:
    out = folder / "model"
    for stream in ((), ("--stream",)):
        options = ("--test-fraction", 0, "--epochs", 1, "--hidden", "--out", out, *stream)
        result = run("train", path, *words.split(), *options)
        assert (result.code, result.out) == (2, "")
        last = result.err.splitlines()[-1]
        assert last.startswith("jaxpercep train: error: ")
    assert sorted(folder.iterdir()) == [path]
    return result.err.replace(str(path), "FILE")


@pytest.mark.parametrize(("content", "message"), BAD_MATRICES)
def test_bad_matrices_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "bad.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    assert message in refused(tmp_path, path)


@pytest.mark.parametrize(("content", "words", "message"), BAD_PARQUET)
def test_bad_parquet_files_are_refused(
    tmp_path: Path, content: Any, words: str, message: str
) -> None:
    path = tmp_path / "bad.parquet"
    pytest.importorskip("pyarrow", reason="pyarrow is in the extra data")
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write_parquet(path, content)
    assert message in refused(tmp_path, path, words)


def test_a_name_of_two_columns_is_refused(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is in the extra data")
    columns = pa.table([pa.array([1, 2])] * 3, names=["a", "a", "y"])
    path = write_parquet(tmp_path / "bad.parquet", columns)
    assert "FILE, column 2 ('a'): the header has this name twice; give" in refused(tmp_path, path)


def test_a_parquet_file_that_is_cut_or_overwritten_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=500), "y": rng.integers(0, 2, 500)}
    path = write_parquet(tmp_path / "bad.parquet", columns)
    content = path.read_bytes()
    for damaged in (content[:-1], content[: len(content) // 2], content[:8] + content[9:]):
        path.write_bytes(damaged)
        assert "FILE cannot be read as a Parquet file: " in refused(tmp_path, path)


def test_parquet_may_not_announce_far_more_than_it_holds(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is in the extra data")
    rows = 2**25
    same = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), pa.array(["u"]))
    path = write_parquet(tmp_path / "bomb.parquet", pa.table({"a": same, "y": same}))
    assert path.stat().st_size < 10**6
    message = refused(tmp_path, path)
    assert (
        "as a decompression bomb does; if it is none, write it with compression='none'" in message
    )


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        (
            "x.npy",
            MATRIX[:, :2],
            "FILE has 2 columns: expected 3 features, or 4 columns with the tar",
        ),
        ("x.npy", MATRIX + 0.5, "no metrics: the targets are values, the model predicts classes."),
        (
            "x.npy",
            MATRIX + 1,
            "FILE, row 2, column 4: the model does not know the class '2'. It kn",
        ),
        ("x.parquet", {"a": [1], "c": [1]}, "FILE lacks 'b': the model takes the columns a, b, c"),
        (
            "x.parquet",
            {"a": ["u"], "b": [1], "c": [1]},
            "row 1, column 1 ('a'): 'u' is text; featu",
        ),
        ("x.parquet", {"a": [1], "b": [1], "c": [[1]]}, "the column 'c' is of the type list<"),
        ("x.parquet", {"a": [1], "b": [1], "c": [1], "y": [3]}, "does not know the class '3'. It"),
    ],
)
def test_rows_that_do_not_fit_the_model(
    tmp_path: Path, name: str, columns: Any, message: str
) -> None:
    data = write_csv(
        tmp_path / "data.csv", {n: c.tolist() for n, c in zip("abcy", MATRIX.T, strict=True)}
    )
    options = ("--hidden", "--epochs", 1, "--test-fraction", 0, "--out", tmp_path / "m")
    assert run("train", data, *options).code == 0
    write = write_npy if name.endswith("npy") else write_parquet
    result = run("predict", tmp_path / "m", write(tmp_path / name, columns))
    assert result.code == (0 if "no metrics" in message else 2)
    assert message in result.err.replace(str(tmp_path / name), "FILE")


def test_a_matrix_beyond_memory_is_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jaxpercep import tables

    monkeypatch.setattr(tables, "memory", lambda: 40)
    result = run("train", write_npy(tmp_path / "m.npy", MATRIX), "--out", tmp_path / "out")
    assert result.code == 2
    assert "4 rows of 3 features take 0.0 GB, this machine has 0.0 GB" in result.err
    assert "`jaxpercep train --stream` trains on them from disk." in result.err


def test_there_are_fifty_refusals() -> None:
    assert len(BAD_MATRICES) + len(BAD_PARQUET) >= 50
