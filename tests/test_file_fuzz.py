"""Damaged files: whatever is in them, a command ends as documented, and never with a traceback.

Each file starts from one that works and is then cut, doubled, overwritten, or, if it is JSON, given
values of other kinds. `pytest tests/test_file_fuzz.py --hypothesis-profile=thorough` draws
thousands, `make test` a sample.
"""

import copy
import gzip
import hashlib
import importlib.util
import io
import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Result, call, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 2)).round(3)
CSV = b"a,b,kind\n" + b"".join(b"%f,%f,%s\n" % (*row, b"no" if row[0] < 0 else b"yes") for row in X)
MIXED = b"id,a,colour,kind\n" + b"".join(
    b"%d,%f,%s,%s\n" % (i, row[0], (b"red", b"?", b"blue")[i % 3], b"no" if row[0] < 0 else b"yes")
    for i, row in enumerate(X)
)


def draws(share: float) -> settings:
    """The share of the draws that the profile asks for; the default one has 100."""
    return settings(
        deadline=None,
        max_examples=max(1, round(share * settings().max_examples)),
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


# Mutations.


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """Overwrites, inserts, removes, doubles or cuts a few pieces."""
    words = [*b'0 - 1e999 nan , " [ PK'.split(), b"\n", b"\0", b"\xff" * 4]
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 8) | st.integers(0, len(content))))
        piece = content[start:end]
        new = draw(
            st.sampled_from([b"", piece + piece, *words])
            | st.binary(min_size=len(piece), max_size=len(piece))
            | st.binary(max_size=4)
        )
        content = content[:start] + new + content[end:]
    return content


OTHER = st.sampled_from(
    [None, True, -1, 0, 1, 10**30, 1e308, -0.0, "", "x", "/", [], {}, [[]], [1, 2], {"a": 1}]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in items:
        found.append((*path, key))
        if isinstance(inner, (dict, list)):
            found += places(inner, (*path, key))
    return found


@st.composite
def distorted(draw, document: Any) -> Any:
    """Removes values of a JSON document, or replaces them by others, of other kinds mostly."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 2))):
        *path, last = draw(st.sampled_from(places(document) or [("new",)]))
        parent = document
        for key in path:
            parent = parent[key]
        match draw(st.sampled_from(["replace", "replace", "scale", "remove", "double"])):
            case "remove":
                parent.pop(last, None) if isinstance(parent, dict) else parent.pop(last)
            case "double" if isinstance(parent, list):
                parent.insert(last, copy.deepcopy(parent[last]))
            case "scale" if isinstance(parent, dict) and type(parent.get(last)) in (int, float):
                parent[last] *= draw(st.sampled_from([-1, 0, 1e-9, 1e300, 10**20]))
            case _:
                parent[last] = copy.deepcopy(draw(OTHER))  # which may be changed in turn
    return document


# What has to hold.


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def answered(folder: Path, named: Path, *words: object) -> Result:
    """Runs a command: it works, or a line names the file or the option, and nothing changes."""
    before = contents(folder)
    result = run(*words)
    assert contents(folder) == before
    assert_answered(result, named)
    return result


def assert_answered(result: Result, named: Path, codes: tuple[int, ...] = (0, 2)) -> None:
    assert result.code in codes, result
    assert "Traceback" not in result.err
    if result.code == 2:
        assert result.out == ""
        assert str(named) in result.err or ": error: --" in result.err
        assert re.search(r": error: .*[^.][.?]\n\Z", result.err), result.err


# Data.


def idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)
    )


def npz(save: Any, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def parquet(**columns: Any) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models, of numbers, of a table with text and of images, and their data."""
    folder = tmp_path_factory.mktemp("files")
    options = ("--hidden", "--epochs", 1, "--test-fraction", 0, "--out")
    (folder / "data.csv").write_bytes(CSV)
    assert run("train", folder / "data.csv", *options, folder / "model").code == 0
    (folder / "mixed.csv").write_bytes(MIXED)
    words = ("train", folder / "mixed.csv", *MIXED_OPTIONS, *options, folder / "mixed")
    assert run(*words).code == 0
    (folder / "images").mkdir()
    for i, part in enumerate(("train", "t10k")):
        pixels = RNG.integers(0, 255, (8, 2, 3)).astype(np.uint8)
        zipped = (bytes, gzip.compress)[i]
        (folder / "images" / f"{part}-images-idx3-ubyte").write_bytes(zipped(idx(pixels)))
        labels = np.arange(8, dtype=np.uint8) % 2
        (folder / "images" / f"{part}-labels-idx1-ubyte").write_bytes(zipped(idx(labels)))
    assert run("train", folder / "images", *options, folder / "reader").code == 0
    return folder


MIXED_OPTIONS = ("--drop", "id", "--missing", "mean")
TABLES = {
    "csv": CSV,
    "mixed.csv": MIXED,
    "semicolons.csv": MIXED.replace(b",", b";").replace(b".", b","),
    "bare.csv": b"".join(b"%f,%f\n" % tuple(row) for row in X),
    "npy": npy(np.column_stack([X, np.arange(8) % 2])),
    "npz": npz(np.savez, x=X, y=np.arange(8) % 2),
    "zipped.npz": npz(np.savez_compressed, x=X.astype(np.float32), y=["no", "yes"] * 4),
}
if importlib.util.find_spec("pyarrow"):  # of the extra data
    TABLES["parquet"] = parquet(a=X[:, 0], b=X[:, 1], kind=["no", "yes"] * 4)


@draws(0.08)
@given(name=st.sampled_from(list(TABLES)), data=st.data())
def test_predictions_of_damaged_tables(folder: Path, name: str, data: Any) -> None:
    path = folder / f"damaged.{name}"
    path.write_bytes(data.draw(damaged(TABLES[name])))
    answered(folder, path, "predict", folder / ("model", "mixed")[TABLES[name][:2] == b"id"], path)


@draws(0.01)
@given(name=st.sampled_from(sorted({*TABLES} - {"bare.csv", "semicolons.csv"})), data=st.data())
def test_training_on_damaged_tables(folder: Path, name: str, data: Any) -> None:
    path, out = folder / f"damaged.{name}", folder.parent / "out"
    path.write_bytes(data.draw(damaged(TABLES[name])))
    options = ("--hidden", "--epochs", 1, "--test-fraction", 0, "--out", out)
    options = (*(MIXED_OPTIONS if name == "mixed.csv" else ()), *options)
    shutil.rmtree(out, ignore_errors=True)
    result = answered(folder, path, "train", path, *options)
    assert out.exists() == (result.code == 0)


@draws(0.04)
@given(part=st.sampled_from(["images-idx3", "labels-idx1"]), data=st.data())
def test_predictions_of_damaged_images(folder: Path, part: str, data: Any) -> None:
    images = folder / "damaged"
    shutil.rmtree(images, ignore_errors=True)
    shutil.copytree(folder / "images", images)
    path = images / f"{data.draw(st.sampled_from(['train', 't10k']))}-{part}-ubyte"
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    answered(folder, images, "predict", folder / "reader", images)


# Models.


@pytest.fixture(scope="module")
def model(folder: Path) -> tuple[Path, str]:
    """A copy of a model to damage, and the predictions of the sound one."""
    return folder / "hurt", run("predict", folder / "mixed", folder / "mixed.csv").out


def hurt(folder: Path) -> Path:
    shutil.rmtree(folder / "hurt", ignore_errors=True)
    return Path(shutil.copytree(folder / "mixed", folder / "hurt"))


def sealed(fields: dict[str, Any]) -> dict[str, Any]:
    """Gives a description the checksum of what it now holds."""
    model = json.dumps(fields.get("model"), separators=(",", ":"), ensure_ascii=False)
    return fields | {"sha256": hashlib.sha256(model.encode()).hexdigest()}


@draws(0.04)
@given(data=st.data())
def test_a_damaged_model_predicts_the_same_or_nothing(
    folder: Path, model: tuple[Path, str], data: Any
) -> None:
    copied = hurt(folder)
    path = data.draw(st.sampled_from(sorted(contents(copied))))
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    result = answered(folder, copied, "predict", copied, folder / "mixed.csv")
    assert result.out in ("", model[1])


@draws(0.08)
@given(data=st.data(), seal=st.booleans())
def test_a_model_of_other_values_predicts_the_same_or_nothing_unless_it_is_sealed(
    folder: Path, model: tuple[Path, str], data: Any, seal: bool
) -> None:
    copied = hurt(folder)
    fields = data.draw(distorted(json.loads((copied / "model.json").read_text("utf-8"))))
    text = json.dumps(sealed(fields) if seal else fields, separators=(",", ":"))
    (copied / "model.json").write_text(text, "utf-8")
    named = folder if seal else copied  # a sealed model may be one of other columns than the data
    result = answered(folder, named, "predict", copied, folder / "mixed.csv")
    assert seal or result.out in ("", model[1])


@draws(0.02)
@given(data=st.data())
def test_sealed_parameters_that_are_damaged(folder: Path, data: Any) -> None:
    copied = hurt(folder)
    (path,) = copied.glob("params-*")
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    fields = json.loads((copied / "model.json").read_text("utf-8"))
    fields["model"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copied / "model.json").write_text(json.dumps(sealed(fields), separators=(",", ":")), "utf-8")
    answered(folder, copied, "predict", copied, folder / "mixed.csv")


# Results of the benchmarks.


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchmarks.results import load, save

    path = tmp_path_factory.mktemp("results") / "results.json"
    kept = load(ROOT / "benchmarks" / "results" / "default" / "results.json")
    kept.cells = kept.cells[:2]
    save(kept, path)
    return path


@draws(0.08)
@given(data=st.data(), bytewise=st.booleans())
def test_damaged_results_of_the_benchmarks(results: Path, data: Any, bytewise: bool) -> None:
    from benchmarks.__main__ import main

    path, content = results.with_name("damaged.json"), results.read_bytes()
    if bytewise:
        path.write_bytes(data.draw(damaged(content)))
    else:
        path.write_text(json.dumps(data.draw(distorted(json.loads(content)))), "utf-8")
    before = contents(results.parent)
    words = data.draw(st.permutations([results, path]))
    assert_answered(call(main, "compare", *words), path, codes=(0, 1, 2))
    assert contents(results.parent) == before


# Files that are compared: no mutation can make them do more than compute.


@st.composite
def rearranged(draw, source: str) -> str:
    """Removes, doubles or swaps lines or tokens, renames one, or cuts the file."""
    split = draw(st.sampled_from([r"(?<=\n)", r"(\W)", r"(\s+)"]))
    parts = re.split(split, source)
    for _ in range(draw(st.integers(1, 2))):
        i, j = (draw(st.integers(0, len(parts) - 1)) for _ in range(2))
        match draw(st.sampled_from(["remove", "double", "swap", "copy", "cut"])):
            case "remove":
                parts[i] = ""
            case "double":
                parts[i] *= 2
            case "swap":
                parts[i], parts[j] = parts[j], parts[i]
            case "copy":
                parts[i] = parts[j]
            case "cut":
                parts[i:] = [parts[i][: j % (len(parts[i]) + 1)]]
    return "".join(parts)


SMALL = """\
import jax.numpy as jnp


def loss(params, x):
    return jnp.sum(jnp.tanh(x @ params) ** 2)


def grads(params, x):
    h = jnp.tanh(x @ params)
    return x.T @ (2 * h * (1 - h**2))


def example():
    return jnp.ones(2), jnp.array([[1.0, 2.0], [3.0, 4.0]])
"""


@draws(0.02)
@given(data=st.data(), bytewise=st.integers(0, 3))
def test_rearranged_files_to_compare(folder: Path, data: Any, bytewise: int) -> None:
    path = folder / "net.py"
    if bytewise:
        path.write_text(data.draw(rearranged(SMALL)), "utf-8")
    else:  # with an end that no source may have: what is before it is never run
        ends = [b"\0", b"\xff", *(b"\n" + 10**5 * piece for piece in (b"(", b"-", b"f()."))]
        end = data.draw(st.sampled_from(ends))
        path.write_bytes(data.draw(damaged(SMALL.encode())) + end)
    before = contents(folder)
    result = run("compare", path)
    assert contents(folder) == before
    assert result.code in (0, 1, 2)
    assert "Traceback" not in result.err
    assert (result.out == "") == ("jaxpercep compare: error: " in result.err)
