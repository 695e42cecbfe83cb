"""Runs the command line end to end: output, files, refusals and exit codes."""

import csv
import gzip
import json
import re
import runpy
import signal
import struct
import sys
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
import pytest
from helpers import python, run, without_jax

from jaxpercep import activations, gradients, tour
from jaxpercep.commands import actions, arguments, checkpoint, heads, schedules, sources
from jaxpercep.datasets import Dataset, parity
from jaxpercep.validation import History

QUICK = ("--hidden", "8", "--learning-rate", "0.1", "--epochs", "60")


def metrics(folder: Path) -> dict[str, dict[str, float]]:
    return json.loads((folder / "model.json").read_text("utf-8"))["model"]["about"]["metrics"]


def write_csv(path: Path, *rows: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture(scope="module")
def moons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moons") / "new" / "model"
    assert run("train", "moons", *QUICK, "--batch-size", 100, "--out", folder).code == 0
    return folder


# Answered without JAX.

COMMANDS = [
    ("--help", 0, "{tour,train,predict,sweep,compare}"),
    ("--version", 0, "jaxpercep "),
    ("train --activation rellu xor", 2, "invalid choice 'rellu'"),
    ("predict model mons", 2, "Did you mean 'moons'?"),
    ("predict nowhere moons", 2, "MODEL='nowhere': there is no such folder."),
    ("train xor --epochs 0", 2, "jaxpercep train: error: --epochs 0: expected at least 1."),
    ("train xor --out .", 2, "--out . is not a saved model: it has no model.json."),
    ("sweep xor --networks 0", 2, "--networks 0: expected at least 1 and at most 1000000."),
    ("train parity-99", 2, "DATA='parity-99': expected parity-1 to parity-20."),
]


def test_help_and_wrong_arguments_are_answered_without_jax() -> None:
    results = without_jax("jaxpercep.cli", *(words for words, *_ in COMMANDS))
    for (_, code, expected), result in zip(COMMANDS, results, strict=True):
        assert result.code == code
        assert expected in (result.err if code else result.out)
        assert not (result.out if code else result.err)


def test_the_refusal_above_works() -> None:
    with pytest.raises(RuntimeError, match="AssertionError: imports jax"):
        without_jax("jaxpercep.cli", "train xor")


def test_the_module_is_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["jaxpercep", "--version"])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as exit_:
            runpy.run_module("jaxpercep", run_name="__main__")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("jaxpercep 0")


def test_names_are_those_of_the_library() -> None:
    layers = {
        name for name, f in vars(activations).items() if isinstance(f, activations.Activation)
    }
    assert set(get_args(arguments.ActivationName)) == layers
    assert set(get_args(arguments.OptimizerName)) == set(actions.OPTIMIZERS)
    assert set(get_args(arguments.ScheduleName)) == set(schedules.SCHEDULES)
    assert get_args(arguments.MethodName) == get_args(gradients.Method)
    parity(arguments.MAX_PARITY_BITS)
    with pytest.raises(ValueError, match=f"must be at most {arguments.MAX_PARITY_BITS}"):
        parity(arguments.MAX_PARITY_BITS + 1)
    kinds = (heads.Classes, heads.Bits, heads.Values)
    assert get_args(arguments.LossName) == ("auto", *(kind.loss_name for kind in kinds))


@pytest.mark.parametrize("name", [*arguments.DATASETS, "parity-3", "XOR"])
def test_every_dataset_is_there(name: str) -> None:
    data = sources.load(name, None, seed=3).data
    assert len(data.x) == len(data.y) >= 4
    assert (data.classes is None) == (data.y.dtype == np.float32)


# The tour.


@pytest.mark.parametrize(
    ("words", "out"), [((), "out/tour"), (("tour",), "out/tour"), (("tour", "--out", "x"), "x")]
)
def test_tour_is_the_default(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], out: str
) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(tour, "run", seen.append)
    assert run(*words).code == 0
    assert seen == [Path(out)]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("bad value"), 1, "jaxpercep tour: error: bad value\n"),
        (FileNotFoundError(2, "No such file", "a.txt"), 1, "error: a.txt: No such file\n"),
        (OSError("no number"), 1, "error: no number\n"),
        (KeyboardInterrupt(), 130, "jaxpercep tour: interrupted\n"),
        (RuntimeError("a fault of ours"), None, ""),
    ],
)
def test_only_expected_errors_lose_their_traceback(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int | None, text: str
) -> None:
    def fail(_: Path) -> None:
        raise error

    monkeypatch.setattr(tour, "run", fail)
    if code is None:
        with pytest.raises(type(error)):
            run("tour")
    else:
        result = run("tour")
        assert result.code == code
        assert result.err.endswith(text)


# Training and predicting.


def test_moons_are_learnt_and_saved(moons: Path) -> None:
    assert metrics(moons)["train"]["accuracy"] > 0.95
    assert metrics(moons)["test"]["accuracy"] > 0.95
    assert (moons / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in moons.parent.iterdir()} == {"model"}


def test_a_dataset_is_predicted_on_the_part_held_out(moons: Path) -> None:
    result = run("predict", moons, "moons")
    assert result.code == 0
    rows = result.rows()
    assert len(rows) == 200
    assert {row["prediction"] for row in rows} == {"0", "1"}
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    test = metrics(moons)["test"]
    assert f"{test['loss']:.5g}" in result.err
    assert f"{test['accuracy']:.5g}" in result.err


def test_equal_seeds_give_equal_models(tmp_path: Path) -> None:
    leaves = []
    for run_, seed in enumerate((5, 5, 6)):
        options = ("--hidden", 3, "--optimizer", "sgd", "--batch-size", 2, "--epochs", 5)
        out = tmp_path / str(run_)
        assert run("train", "xor", *options, "--seed", seed, "--out", out).code == 0
        leaves.append(jax.tree.leaves(checkpoint.load(out).params))
    assert all((a == b).all() for a, b in zip(leaves[0], leaves[1], strict=True))
    assert not any((a == b).all() for a, b in zip(leaves[0], leaves[2], strict=True))
    assert metrics(tmp_path / "0") == metrics(tmp_path / "1")


def test_xor_is_learnt_as_a_whole_by_either_method(tmp_path: Path) -> None:
    found = {}
    for method in ("autodiff", "manual"):
        out = tmp_path / method
        result = run("train", "xor", *QUICK, "--method", method, "--out", out)
        assert result.code == 0
        assert result.err == "no test part: a truth table is learnt as a whole\n"
        assert "xor: 4 samples to train on, 2 features" in result.out
        found[method] = metrics(out)["train"]
        assert set(metrics(out)) == {"train"}
        assert found[method]["accuracy"] == 1
    assert found["manual"]["loss"] == pytest.approx(found["autodiff"]["loss"], rel=1e-3)
    result = run("predict", tmp_path / "manual", "xor")
    assert [row["prediction"] for row in result.rows()] == ["0", "1", "1", "0"]
    assert all(float(row["probability"]) > 0.9 for row in result.rows())
    assert "           1\n" in result.err


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[Any]]]:
    """Writes a table with a column of text classes in the middle and features of unlike size."""
    rng = np.random.default_rng(0)
    rows = [
        [1e6 + 1e3 * (kind + rng.normal(0, 0.1)), ("rose", "lily, white")[kind], 7, rng.normal()]
        for kind in rng.integers(0, 2, 60)
    ]
    path = tmp_path_factory.mktemp("flowers") / "flowers.csv"
    write_csv(path, ["size", "kind", "constant", "noise"], *rows)
    options = ("--target", "kind", "--hidden", "--epochs", 100, "--learning-rate", 0.1)
    assert run("train", path, *options, "--out", path.parent / "model").code == 0
    return path, rows


def test_text_classes_of_a_csv_file(flowers: tuple[Path, list[list[Any]]]) -> None:
    path, rows = flowers
    result = run("predict", path.parent / "model", path)
    assert result.code == 0
    predicted = [row["prediction"] for row in result.rows()]
    assert np.mean([a == row[1] for a, row in zip(predicted, rows, strict=True)]) > 0.95
    assert result.err.startswith(f"{path}: 60 samples\n")
    assert metrics(path.parent / "model")["test"]["accuracy"] > 0.9
    assert "Serial(Dense(3, 2))" in repr(checkpoint.load(path.parent / "model").model)


def test_features_alone_are_predicted_as_with_their_targets(
    flowers: tuple[Path, list[list[Any]]], tmp_path: Path
) -> None:
    path, rows = flowers
    model, labelled = path.parent / "model", run("predict", path.parent / "model", path)
    features = [[row[0], *row[2:]] for row in rows]
    bare = write_csv(tmp_path / "bare.csv", ["size", "constant", "noise"], *features)
    result = run("predict", model, bare)
    assert result.out == labelled.out
    assert result.err == f"{bare}: 60 samples\n"
    last = write_csv(tmp_path / "last.csv", *([*x, row[1]] for x, row in zip(features, rows)))  # noqa: B905
    assert run("predict", model, last, "--target", "-1").out == labelled.out


def test_classes_go_by_name(flowers: tuple[Path, list[list[Any]]], tmp_path: Path) -> None:
    path, rows = flowers
    model, header = path.parent / "model", ["size", "kind", "constant", "noise"]
    roses = write_csv(tmp_path / "roses.csv", header, *(row for row in rows if row[1] == "rose"))
    assert re.search(r" 1\n$", run("predict", model, roses).err)
    tulips = write_csv(tmp_path / "tulips.csv", header, *([r[0], "tulip", *r[2:]] for r in rows))
    result = run("predict", model, tulips)
    assert (result.code, result.out) == (2, "")
    place = f"{tulips}, line 2, column 2 ('kind')"
    assert f"{place}: the model does not know the class 'tulip'. It knows" in result.err


def test_values_of_an_npz_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(50, 9, size=(200, 3))
    y = np.stack([1e4 * x[:, 0] + 3e5, x[:, 1] - x[:, 2]], axis=1)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    np.savez(tmp_path / "bare.npz", x=x)
    options = ("--hidden", "--epochs", 200, "--learning-rate", 0.05)
    result = run("train", tmp_path / "data.npz", *options, "--out", tmp_path / "model")
    assert result.code == 0
    assert "RMSE" in result.out
    assert metrics(tmp_path / "model")["test"]["R^2"] > 0.99
    result = run("predict", tmp_path / "model", tmp_path / "data.npz")
    rows = result.rows()
    predicted = np.array([[float(row[f"prediction_{i}"]) for i in (1, 2)] for row in rows])
    np.testing.assert_allclose(predicted, y, atol=0.1 * y.std(axis=0).max())
    assert np.corrcoef(predicted[:, 1], y[:, 1])[0, 1] > 0.99
    named = dict(zip(*(line.split() for line in result.err.splitlines()[-2:]), strict=True))
    assert float(named["RMSE"]) == pytest.approx(np.sqrt(np.mean((predicted - y) ** 2)), rel=1e-3)
    assert run("predict", tmp_path / "model", tmp_path / "bare.npz").out == result.out


# Columns by name, one-hot targets, images.


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trains on the columns a, y and b, of which only a tells the class."""
    folder = tmp_path_factory.mktemp("named")
    rows = [[i - 20, "high" if i > 20 else "low", 100 * ((7 * i) % 40)] for i in range(40)]
    write_csv(folder / "ayb.csv", ["a", "y", "b"], *rows)
    write_csv(folder / "ba.csv", ["b", "a"], *([b, a] for a, _, b in rows))
    write_csv(folder / "bya.csv", ["b", "y", "a"], *([b, y, a] for a, y, b in rows))
    write_csv(folder / "bare.csv", *([a, b] for a, _, b in rows))
    write_csv(folder / "bare3.csv", *rows)
    options = ("--target", "y", *QUICK, "--out", folder / "model")
    assert run("train", folder / "ayb.csv", *options).code == 0
    return folder


@pytest.mark.parametrize("file", ["ba.csv", "bya.csv", "bare.csv", "bare3.csv"])
def test_columns_go_by_name_and_without_names_by_position(named: Path, file: str) -> None:
    whole = run("predict", named / "model", named / "ayb.csv")
    result = run("predict", named / "model", named / file)
    assert (result.code, result.out) == (0, whole.out)
    assert ("accuracy" in result.err) == (file in ("bya.csv", "bare3.csv"))


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        (
            "a,c",
            "",
            "lacks 'b' and has 'c' besides: the model takes the columns a, b, in any order",
        ),
        ("A,b,y", "", "lacks 'a' and has 'A' besides"),
        ("a,y", "", "lacks 'b': the model takes the columns a, b, in any order, with or without"),
        ("a,b,c", "", "has 'c' besides: the model takes the columns a, b, in any order, with or"),
        ("a,b,c,y", "", "has 'c' besides: the model takes"),
        ("a,b,b", "", "line 1, column 3 ('b'): the header has this name twice; give"),
        ("a,b", "--target b", "is the column 'b', a feature of the model."),
        ("a,b,y", "--target 1", "is the column 'b', a feature of the model."),
        ("a,b,y", "--target z", "target='z' is not a column of"),
    ],
)
def test_other_columns_are_refused_by_name(
    named: Path, tmp_path: Path, header: str, options: str, message: str
) -> None:
    names = header.split(",")
    path = write_csv(tmp_path / "rows.csv", names, [1] * len(names))
    result = run("predict", named / "model", path, *options.split())
    assert (result.code, result.out) == (2, "")
    assert str(path) in result.err
    assert message in result.err


def test_a_target_of_another_name_is_said_on_request(named: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", ["t", "b", "a"], ["high", 0, 19], ["low", 0, -19])
    result = run("predict", named / "model", path, "--target", "t")
    assert [row["prediction"] for row in result.rows()] == ["high", "low"]
    assert result.err.endswith(" 1\n")


def test_a_target_that_cannot_be_read_leaves_the_predictions(named: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", ["a", "b", "y"], [19, 0, "high"], [-19, 0, ""])
    result = run("predict", named / "model", path)
    assert [row["prediction"] for row in result.rows()] == ["high", "low"]
    assert "no metrics: " in result.err
    assert "line 3, column 3 ('y'): the target is missing" in result.err


def test_one_hot_rows_are_classes_and_images_are_flattened(tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(60, 2, 3))
    labels = images[:, 0].argmax(axis=1)
    np.savez(tmp_path / "data.npz", x=images, y=np.eye(3, dtype=int)[labels])
    np.savez(tmp_path / "flat.npz", x=images.reshape(60, 6), y=labels)
    np.savez(tmp_path / "turned.npz", x=images.transpose(0, 2, 1))
    out = tmp_path / "model"
    result = run("train", tmp_path / "data.npz", "--epochs", 60, "--hidden", "--out", out)
    assert "one-hot targets: 3 classes, by column; --loss binary takes each" in result.err
    assert result.err.count("images of 2 x 3, flattened to 6 features\n") == 1
    assert set(metrics(out)["test"]) == {"loss", "accuracy"}
    result = run("predict", out, tmp_path / "data.npz")
    assert {row["prediction"] for row in result.rows()} == {"0", "1", "2"}
    assert result.err.count("images of 2 x 3, flattened to 6 features\n") == 1
    flat = run("predict", out, tmp_path / "flat.npz")
    assert flat.out == result.out
    assert flat.err.splitlines()[1:] == result.err.splitlines()[2:]  # the metrics
    result = run("predict", out, tmp_path / "turned.npz")
    assert result.code == 2
    assert "x has images of 3 x 2, the model takes images of 2 x 3." in result.err


def test_several_labels_have_accuracies_of_their_own(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    np.savez(tmp_path / "data.npz", x=x, y=x > 0)
    result = run("train", tmp_path / "data.npz", "--epochs", 30, "--out", tmp_path / "model")
    assert "one-hot" not in result.err
    assert re.search(r"loss  accuracy per label  all labels right\ntrain ", result.out)
    np.savez(tmp_path / "hot.npz", x=x[:2], y=np.eye(2))  # one-hot by chance
    result = run("predict", tmp_path / "model", tmp_path / "hot.npz")
    assert "accuracy per label" in result.err


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def write_idx_folder(folder: Path, classes: dict[str, int]) -> dict[str, np.ndarray]:
    """Writes images of 3 x 4 pixels, of which one is bright and tells the class; returns labels."""
    rng = np.random.default_rng(2)
    labels = {part: rng.permutation(np.arange(30 * n) % n) for part, n in classes.items()}
    for part, y in labels.items():
        images = rng.integers(0, 60, size=(len(y), 3, 4))
        images[np.arange(len(y)), 0, y] += 150
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", y)
    return labels


def test_a_folder_of_idx_files(tmp_path: Path) -> None:
    labels = write_idx_folder(tmp_path, {"train": 3, "t10k": 3})
    options = ("--hidden", "--optimizer", "momentum", "--learning-rate", 0.5, "--epochs", 100)
    result = run("train", tmp_path, *options, "--out", tmp_path / "m")
    assert result.code == 0
    assert "90 samples to train on, 90 samples to test on, 12 features" in result.out
    assert metrics(tmp_path / "m")["test"]["accuracy"] == 1
    result = run("predict", tmp_path / "m", tmp_path)
    assert [int(row["prediction"]) for row in result.rows()] == labels["t10k"].tolist()


def test_an_image_of_an_unknown_class_is_named(tmp_path: Path) -> None:
    known, other = tmp_path / "known", tmp_path / "other"
    for folder, classes in ((known, 3), (other, 4)):
        folder.mkdir()
        labels = write_idx_folder(folder, {"train": classes, "t10k": classes})["t10k"]
    assert run("train", known, "--hidden", "--epochs", 1, "--out", tmp_path / "m").code == 0
    result = run("predict", tmp_path / "m", other)
    assert (result.code, result.out) == (2, "")
    place = f"{other}: sample {labels.tolist().index(3)}"
    assert f"error: {place}: the model does not know the class '3'." in result.err


def test_a_class_may_be_in_the_test_part_only(tmp_path: Path) -> None:
    write_idx_folder(tmp_path, {"train": 3, "t10k": 4})
    source = sources.load(str(tmp_path), None, seed=0)
    assert source.test is not None
    assert source.data.classes == source.test.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("targets", "code", "message"),
    [
        ([i % 25 for i in range(200)], 2, "25 different whole numbers in 200 samples. Use --loss"),
        ([i % 25 for i in range(250)], 0, ""),  # ten of each
        ([i % 4 * 100 for i in range(40)], 0, "4 different whole numbers, are taken as classes"),
        ([i % 4 + 1 for i in range(40)], 0, ""),
        ([i % 2 * 2 - 1 for i in range(40)], 0, ""),
        ([f"t{i}" for i in range(40)], 2, "40 different texts in 40 samples. Use another --target"),
    ],
)
def test_targets_that_may_be_classes_or_values(tmp_path, targets, code, message) -> None:
    data = write_csv(tmp_path / "rows.csv", *([i / 10, y] for i, y in enumerate(targets)))
    options = ("--hidden", 2, "--epochs", 1, "--out", tmp_path / "model")
    result = run("train", data, *options)
    assert result.code == code
    assert message in result.err
    assert bool(message) == ("whole numbers" in result.err or "texts" in result.err)


def test_whole_numbers_are_classes_unless_asked_otherwise(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "lengths.csv", *([i / 10, 3 * i] for i in range(40)))
    options = ("--hidden", "--optimizer", "sgd", "--epochs", 50, "--out", tmp_path / "model")
    result = run("train", data, *options)
    assert (result.code, result.out) == (2, "")
    assert "40 different whole numbers in 40 samples. Use --loss squared if they" in result.err
    assert not (tmp_path / "model").exists()
    result = run("train", data, *options, "--loss", "softmax")
    assert result.code == 0
    assert (
        "no test part: test_fraction=0.2 cannot split 40 rows: class '0' has only one" in result.err
    )
    result = run("train", data, *options, "--loss", "squared", "--learning-rate", "0.3")
    assert (result.code, result.err) == (0, "")
    assert metrics(tmp_path / "model")["test"]["R^2"] > 0.99
    rows = run("predict", tmp_path / "model", data).rows()
    np.testing.assert_allclose([float(row["prediction"]) for row in rows], range(0, 120, 3), atol=1)


# Refused.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "mons",
            r"DATA='mons' is not a dataset, and there is no file or folder /.*/mons\. Did you",
        ),
        ("parity-99", "DATA='parity-99': expected parity-1 to parity-20"),
        ("moons --target label", "--target label: DATA='moons' is not a table"),
        ("moons --batch-size 801", "--batch-size 801: training has 800 samples."),
        ("moons --batch-size 0", "--batch-size 0: expected at least 1"),
        ("moons --hidden 3 0", "--hidden 3 0: expected sizes of at least 1"),
        ("moons --learning-rate nan", "--learning-rate nan: expected a float32 number above 0"),
        ("moons --learning-rate inf", "--learning-rate inf: expected a float32 number above 0"),
        ("moons --learning-rate 1e300", r"--learning-rate 1e\+300: expected a float32 number ab"),
        ("moons --learning-rate 1e-300", "--learning-rate 1e-300: expected a float32 number abo"),
        (f"moons --seed {10**30}", "--seed 1000000000000000000000000000000: expected at least 0"),
        (f"xor --batch-size {10**30}", "--batch-size 1000000000000000000000000000000: training"),
        (f"xor --epochs {10**30}", "--epochs 1000000000000000000000000000000: expected at most 21"),
        (f"parity-{10**30}", "DATA='parity-1000000000000000000000000000000' is not a dataset"),
        (f"text.csv --target {10**30}", "target=1000000000000000000000000000000 is not a column"),
        ("moons --test-fraction nan", "--test-fraction nan: expected at least 0 and below 1"),
        ("moons --seed -1", "--seed -1: expected at least 0"),
        ("moons --test-fraction 1", "--test-fraction 1.0: expected at least 0 and below 1"),
        ("xor --loss softmax", "--loss softmax needs class labels, these are values: use binary"),
        ("digits --loss binary", "these are 10 classes: use softmax"),
        ("values.npz --loss binary", "these are values: use squared"),
        ("text.csv --loss squared", "--loss squared: the targets are text, not numbers"),
        ("xor --out .", r"--out \. is not a saved model"),
    ],
)
def test_arguments_that_cannot_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("values.npz", x=np.eye(3), y=np.array([0.5, 1.5, 2.5]))
    write_csv(Path("text.csv"), [1, "a"], [2, "b"], [3, "a"], [4, "b"])
    result = run("train", *words.split())
    assert result.code == 2
    assert re.search(message, result.err)
    assert result.err.splitlines()[-1].startswith("jaxpercep train: error: ")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2,a\n3,b,a\n", "line 2, column 2"),
        ("1,a\n2,a\n3,a\n", "every target is 'a'"),
    ],
)
def test_data_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "data.csv").write_text(content)
    result = run("train", tmp_path / "data.csv", "--out", tmp_path / "model")
    assert result.code == 2
    assert f"error: {tmp_path / 'data.csv'}" in result.err
    assert message in result.err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("epochs", [1, 500])  # in the last step, and before it
def test_diverged_training_saves_nothing(tmp_path: Path, epochs: int) -> None:
    np.savez(tmp_path / "line.npz", x=np.arange(9.0)[:, None], y=np.arange(9.0))
    options = ("--hidden", "--optimizer", "sgd", "--learning-rate", "1e30", "--epochs", epochs)
    result = run("train", tmp_path / "line.npz", *options, "--out", tmp_path / "model")
    assert result.code == 1
    assert "training diverged within" in result.err
    assert "Lower --learning-rate (it was 1e+30)." in result.err
    assert not (tmp_path / "model").exists()


def test_predictions_that_cannot_be_made(moons: Path, tmp_path: Path) -> None:
    for words, code, message in (
        ((moons, "digits"), 2, "DATA='digits' has 64 features, the model takes 2"),
        ((moons, "moons", "--out", tmp_path), 2, "exists and is not a regular file"),
        ((moons, write_csv(tmp_path / "x.csv", [1] * 5)), 2, "has 5 columns: expected 2 features"),
        ((tmp_path, "moons"), 2, "is not a saved model: it has no model.json"),
    ):
        result = run("predict", *words)
        assert (result.code, result.out) == (code, "")
        assert result.err.startswith("jaxpercep predict: error: ")
        assert message in result.err


def test_predictions_go_to_a_file(moons: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "moons.csv"
    for _ in range(2):
        result = run("predict", moons, "moons", "--out", out)
        assert (result.code, result.out) == (0, "")
    assert out.read_text() == run("predict", moons, "moons").out
    assert [path.name for path in out.parent.iterdir()] == ["moons.csv"]


# Ctrl-C, and a reader that goes away.

INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from jaxpercep.commands import actions
from jaxpercep.cli import main
check = actions._check_finite
def announce(*arguments):
    check(*arguments)
    print("under way", flush=True)
actions._check_finite = announce
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_saves_the_state_reached(tmp_path: Path) -> None:
    options = ("--hidden", "3", "--epochs", 10**9, "--out", tmp_path / "model")
    with python(INTERRUPTIBLE, "train", "xor", *options) as process:
        try:
            assert process.stdout is not None
            while "under way" not in process.stdout.readline():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "the state reached is saved\n" in err
    assert len(err.splitlines()) == 2  # that, and that there is no test part: no library's noise
    assert "saved: " in out
    assert run("predict", tmp_path / "model", "xor").code == 0


def test_ctrl_c_before_the_first_step_saves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: dict[str, Any] = {}

    def interrupted(*arguments: Any, **options: Any) -> tuple[Any, History]:
        passed.update(options)
        return arguments[3], History(np.empty(0), interrupted=True)

    monkeypatch.setattr(actions, "fit", interrupted)
    options = ("--method", "manual", "--batch-size", 3, "--epochs", 9)
    result = run("train", "xor", *options, "--out", tmp_path / "model")
    assert result.code == 130
    assert result.err.endswith("jaxpercep train: interrupted\n")
    assert not (tmp_path / "model").exists()
    assert (passed["method"], passed["batch_size"], passed["epochs"]) == ("manual", 3, 9)


def test_a_closed_pipe_ends_the_predictions_and_is_no_error(moons: Path) -> None:
    np.savez(moons.parent / "many.npz", x=np.zeros((20000, 2)))
    program = "import sys; from jaxpercep.__main__ import main; sys.exit(main())"
    with python(program, "predict", moons, moons.parent / "many.npz") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 0


# The parts, where the whole would be too slow a test of them.


def test_zeros_and_ones_in_several_columns() -> None:
    y = np.array([[0, 1], [1, 1]], np.float32)
    data = Dataset(np.zeros((2, 1), np.float32), y)
    assert heads.choose_loss("auto", data) == "binary"
    head = heads.fit_head("binary", data, [])
    np.testing.assert_array_equal(head.encode(data), y)
    columns = head.columns(np.array([[-1.0, 2.0], [3.0, -40.0]], np.float32))
    assert columns["prediction_1"] == ["0", "1"]
    assert columns["prediction_2"] == ["1", "0"]
    assert columns["probability_1"] == ["0.731058598", "0.952574134"]
    found = head.metrics([(np.array([[-1.0, 2.0], [3.0, -4.0]], np.float32), y)])
    assert (found["accuracy per label"], found["all labels right"]) == (0.75, 0.5)
    assert "accuracy" not in found


def test_targets_that_a_head_cannot_take() -> None:
    x = np.zeros((2, 1), np.float32)
    values = Dataset(x, np.array([[0.5], [2.0]], np.float32))
    for head, data, message in (
        (heads.Classes(("a", "b")), values, "targets are values, the model predicts classes"),
        (heads.Bits(("a", "b"), 1), values, "targets are not 1 column of zeros and ones"),
        (heads.Values((0, 0), (1, 1)), values, "the data has 1 target column, the model has 2"),
    ):
        with pytest.raises(ValueError, match=message):
            head.encode(data)


def test_two_classes_may_share_one_output() -> None:
    data = Dataset(np.zeros((3, 1), np.float32), np.array([1, 0, 1]), ("cat", "dog"))
    assert heads.choose_loss("binary", data) == "binary"
    head = heads.fit_head("binary", data, [])
    np.testing.assert_array_equal(head.encode(data), [[1], [0], [1]])
    assert head.columns(np.array([[5.0]], np.float32))["prediction"] == ["dog"]


def test_constant_values_have_no_r2() -> None:
    data = Dataset(np.zeros((3, 1), np.float32), np.full((3, 1), 7, np.float32))
    head = heads.fit_head("squared", data, [data.y])
    found = head.metrics([(np.full((3, 1), 2, np.float32), head.encode(data))])
    assert found == {"loss": 4, "RMSE": 2}


def test_nothing_is_held_out_on_request() -> None:
    source = sources.load("circles", None, seed=0)
    train, test, remark = sources.hold_out(source, 0, seed=0)
    assert (train, test, remark) == (source.data, None, "no test part: --test-fraction 0")


ONE_HOT = [
    (np.eye(3), True),
    (np.eye(3)[:, :2], False),  # a row without a 1
    (np.array([[1.0, 1.0], [0.0, 1.0]]), False),
    (np.array([[2.0, -1.0]]), False),
    (np.array([[0.5, 0.5]]), False),
    (np.array([[1.0], [1.0]]), False),
    (np.array([[-0.0, 1.0]]), True),
]


@pytest.mark.parametrize(("y", "expected"), ONE_HOT)
def test_one_hot_is_one_1_in_each_row_of_several_columns(y: np.ndarray, expected: bool) -> None:
    data = Dataset(np.zeros((len(y), 1), np.float32), y.astype(np.float32))
    assert heads.is_one_hot(data) == expected
    assert (heads.choose_loss("auto", data) == "softmax") == expected
    if expected:
        assert heads.as_classes(data).y.tolist() == y.argmax(axis=1).tolist()
        assert heads.as_classes(data).classes == tuple(map(str, range(y.shape[1])))


def test_labels_do_not_fit_several_outputs() -> None:
    data = Dataset(np.zeros((2, 1), np.float32), np.array([0, 1]), ("0", "1"))
    with pytest.raises(ValueError, match="the targets are not 2 columns of zeros and ones"):
        heads.Bits(("0", "1"), 2).encode(data)


def test_minus_zero_is_never_shown() -> None:
    head = heads.Values((-0.0,), (1.0,))
    assert head.columns(np.array([[-0.0]], np.float32)) == {"prediction": ["0"]}
    found = heads.Classes(("a", "b")).metrics([(np.array([[200.0, -200.0]]), np.array([0]))])
    assert f"{found['loss']:.5g}" == "0"
