"""`jaxpercep train` and `predict` on tables as users have them: text, holes, few of one class."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest
from helpers import run

import jaxpercep as jp
from jaxpercep.commands import actions, checkpoint, samples, schedules, sources
from jaxpercep.commands.arguments import Train
from jaxpercep.datasets import logic_gate
from jaxpercep.validation import History

HEADER = ["id", "age", "colour", "size", "ill"]
OPTIONS = ("--drop", "id", "--missing", "mean", "--hidden", "--learning-rate", "0.1")


def rows_of(n: int = 60) -> list[list[Any]]:
    """Rows of which the ill are red, and one in six; sizes, and an age that is missing twice."""
    rng = np.random.default_rng(0)
    rows = [
        [
            f"p{i}",
            round(float(rng.normal(40, 9)), 1),
            "red" if i % 6 == 0 else ("blue", "green, dark")[i % 2],
            ("s", "m")[i // 2 % 2],
            "yes" if i % 6 == 0 else "no",
        ]
        for i in range(n)
    ]
    rows[7][1], rows[11][1], rows[9][3] = "", "NA", "?"
    return rows


def write_csv(path: Path, *rows: Any, **options: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **options).writerows(rows)
    return path


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and the model trained on it."""
    folder = tmp_path_factory.mktemp("ill")
    data = write_csv(folder / "ill.csv", HEADER, *rows_of())
    result = run("train", data, *OPTIONS, "--epochs", 80, "--out", folder / "model")
    assert result.code == 0, result.err
    assert result.err == "'colour' is text: 3 categories\n'size' is text: 2 categories\n"
    assert "48 samples to train on, 12 samples to test on, 6 features\n" in result.out
    return folder


def about(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model.json").read_text("utf-8"))["model"]["about"]


# Text and missing cells, from training to predictions.


def test_text_is_learnt_and_its_categories_are_saved(ill: Path) -> None:
    said = about(ill / "model")
    assert said["layout"] == {
        "shape": [3],
        "columns": HEADER,
        "target": 4,
        "dropped": [0],
        "categories": [[], ["blue", "green, dark", "red"], ["m", "s"]],
    }
    assert said["metrics"]["test"]["accuracy"] == 1
    result = run("predict", ill / "model", ill / "ill.csv")
    assert [row["prediction"] for row in result.rows()] == [row[4] for row in rows_of()]
    assert result.err.startswith(f"{ill / 'ill.csv'}: 60 samples\n")


def test_what_fills_a_cell_is_the_mean_of_the_rows_trained_on(ill: Path) -> None:
    arguments = Train(str(ill / "ill.csv"), drop=("id",), missing="mean", out=ill / "new")
    found = samples.prepare(arguments)
    source = sources.load(arguments.data, None, 0, ("id",), missing=True)
    held, tested, _ = sources.hold_out(source, arguments.test_fraction, arguments.seed)
    means = np.nanmean(held.x.astype(np.float64), axis=0)
    assert about(ill / "model")["fill"]["mean"] == pytest.approx(means.tolist(), rel=1e-12)
    assert not np.isclose(means[0], np.nanmean(source.data.x[:, 0]))
    for part, data in (("train", held), ("test", tested)):
        assert data is not None
        filled = np.where(np.isnan(data.x), means, data.x)
        assert found.scale is not None
        expected = (filled - np.array(found.scale.mean)) / np.array(found.scale.std)
        np.testing.assert_allclose(found.parts[part].x, expected, rtol=1e-5, atol=1e-5)
    assert np.mean(found.parts["train"].x[:, 0]) == pytest.approx(0, abs=1e-5)


def test_a_missing_number_is_predicted_as_its_mean(ill: Path, tmp_path: Path) -> None:
    mean = about(ill / "model")["fill"]["mean"][0]
    header = ["size", "age", "colour"]
    holes = write_csv(tmp_path / "holes.csv", header, ["m", "", "red"], ["s", "nan", "blue"])
    means = write_csv(tmp_path / "means.csv", header, ["m", mean, "red"], ["s", mean, "blue"])
    results = [run("predict", ill / "model", path) for path in (holes, means)]
    assert results[0].out == results[1].out
    probabilities = [[float(row["probability"]) for row in result.rows()] for result in results]
    assert probabilities[0] == probabilities[1]


def test_a_missing_category_counts_as_its_shares(ill: Path, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "holes.csv", ["age", "colour", "size"], [40, "?", "m"])
    found = run("predict", ill / "model", path).rows()[0]
    model, params, description = checkpoint.load(ill / "model")
    assert description.fill is not None
    assert description.scale is not None
    shares = description.fill.mean[1:4]
    assert sum(shares) == pytest.approx(1)
    x = description.scale.apply(np.array([[40, *shares, 1, 0]], np.float32))
    p = float(jax.nn.softmax(model.apply(params, x)).max())
    assert float(found["probability"]) == pytest.approx(p, rel=1e-6)


def test_dropped_columns_may_be_there_or_not(ill: Path, tmp_path: Path) -> None:
    rows = rows_of()
    whole = run("predict", ill / "model", ill / "ill.csv").out
    bare = write_csv(tmp_path / "bare.csv", HEADER[1:4], *(row[1:4] for row in rows))
    unnamed = write_csv(tmp_path / "unnamed.csv", *(row[:4] for row in rows))
    for path in (bare, unnamed):
        result = run("predict", ill / "model", path)
        assert (result.code, result.out) == (0, whole)


@pytest.mark.parametrize(
    "options", [{"delimiter": ";"}, pytest.param({"delimiter": "\t"}, marks=pytest.mark.slow)]
)
def test_a_table_with_another_separator_gives_the_same_model(
    ill: Path, tmp_path: Path, options: dict[str, str]
) -> None:
    comma = options["delimiter"] == ";"
    rows = [
        [row[0], str(row[1]).replace(".", "," if comma else "."), *row[2:]] for row in rows_of()
    ]
    path = write_csv(tmp_path / "other.csv", HEADER, *rows, **options)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    result = run("train", path, *OPTIONS, "--epochs", 80, "--out", tmp_path / "model")
    assert result.code == 0, result.err
    assert about(tmp_path / "model")["metrics"] == about(ill / "model")["metrics"]
    assert run("predict", ill / "model", path).out == run("predict", tmp_path / "model", path).out


def test_a_model_without_fill_refuses_missing_cells(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "whole.csv", ["a", "y"], *([i, "np"[i % 2]] for i in range(20)))
    assert run("train", data, "--hidden", "--epochs", 1, "--out", tmp_path / "m").code == 0
    assert about(tmp_path / "m")["fill"] is None
    path = write_csv(tmp_path / "holes.csv", ["a"], [1], [""])
    result = run("predict", tmp_path / "m", path)
    assert (result.code, result.out) == (2, "")
    assert f"{path}, line 3, column 1 ('a'): the cell is empty; fill it in" in result.err
    assert "`jaxpercep train --missing mean` fills it." in result.err


def test_a_table_of_text_without_a_header_is_said_to_have_none(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "bare.csv", *(["uv"[i % 2], i, "np"[i // 2 % 2]] for i in range(20))
    )
    result = run("train", path, "--hidden", "--epochs", 1, "--out", tmp_path / "m")
    assert result.code == 0
    assert result.err.startswith("no header: the first line has a number, or texts that")
    assert "column 1 is text: 2 categories\n" in result.err
    assert "16 samples to train on, 4 samples to test on, 3 features" in result.out


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("option", [(), ("--stream",)])
def test_a_header_with_numbers_is_said_to_be_data(tmp_path: Path, option: tuple[str, ...]) -> None:
    rows = [[i, -i, "np"[i % 2]] for i in range(20)]
    path = write_csv(tmp_path / "years.csv", [1990, 1991, "z"], *rows)
    result = run("train", path, *option, "--hidden", "--epochs", 1, "--out", tmp_path / "m")
    assert result.code == 0
    (line,) = (line for line in result.err.splitlines() if "nowhere below" in line)
    start = f"jaxpercep train: warning: {path}, line 1, column 3: 'z' is found nowhere below."
    assert line.startswith(start)


def test_numbers_cannot_stand_for_text(ill: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 3)))
    for data in (tmp_path / "x.npz", "moons"):
        result = run("predict", ill / "model", data)
        assert (result.code, result.out) == (2, "")
        assert "holds numbers, the model takes text in 'colour', 'size'" in result.err


@pytest.mark.slow
def test_a_sweep_takes_text_too(tmp_path: Path) -> None:
    rows = [row for row in rows_of() if "" not in row and not {"NA", "?"} & set(map(str, row))]
    path = write_csv(tmp_path / "whole.csv", HEADER, *rows)
    few = ("--hidden", 2, "--learning-rates", 1.0, "--networks", 2, "--steps", 3)
    result = run("sweep", path, "--drop", "id", *few, "--out", tmp_path / "sweep")
    assert result.code == 0, result.err
    assert "57 samples, 6 features" in result.out
    result = run("sweep", path, *few, "--out", tmp_path / "other")
    assert result.code == 2
    assert "the column identifies rows" in result.err


# Classes.


def fitted(
    monkeypatch: pytest.MonkeyPatch, *words: object, lines: int = 0
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Runs `train` with a `fit` that takes no step, and returns what it was called with."""
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def interrupted(*arguments: Any, **options: Any) -> tuple[Any, History]:
        seen.append((arguments, options))
        return arguments[3], History(np.empty(lines), interrupted=True)

    monkeypatch.setattr(actions, "fit", interrupted)
    assert run("train", *words).code == 130
    return seen[0]


def test_balanced_weights_are_n_over_classes_times_count(
    ill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (ill / "ill.csv", *OPTIONS, "--out", tmp_path / "m")
    assert fitted(monkeypatch, *words)[1]["sample_weight"] is None
    balanced = ("--class-weight", "balanced")
    for loss in ("softmax", "binary"):
        arguments, options = fitted(monkeypatch, *words, *balanced, "--loss", loss)
        y, weights = np.ravel(arguments[5]), options["sample_weight"]
        counts = Counter(y.tolist())
        assert counts == {0: 40, 1: 8}
        np.testing.assert_allclose(weights, [48 / (2 * counts[label]) for label in y.tolist()])
        assert weights.dtype == np.float32


@pytest.mark.slow
def test_balanced_weights_find_more_of_the_rare_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [[rng.normal(1.0 if i % 10 == 0 else 0.0), "yn"[i % 10 > 0]] for i in range(300)]
    path = write_csv(tmp_path / "rare.csv", ["a", "y"], *rows)
    found = {}
    for weight in ("none", "balanced"):
        out = tmp_path / weight
        options = ("--hidden", "--epochs", 200, "--learning-rate", 0.1, "--out", out)
        assert run("train", path, "--class-weight", weight, *options).code == 0
        found[weight] = Counter(r["prediction"] for r in run("predict", out, path).rows())["y"]
    assert found["none"] < 10
    assert 60 < found["balanced"] < 150


def test_an_index_without_a_name_can_be_left_out(tmp_path: Path) -> None:
    rows = [[i, i % 3, "no" if i % 3 else "yes"] for i in range(30)]
    table = write_csv(tmp_path / "index.csv", ["", "a", "y"], *rows)
    options = ("--hidden", "--epochs", 1, "--out", tmp_path / "m")
    result = run("train", table, *options)
    assert result.code == 2
    assert "Leave it out, --drop 0, or give it a name." in result.err
    assert run("train", table, "--drop", 0, *options).code == 0
    assert len(run("predict", tmp_path / "m", table).rows()) == 30
    bare = write_csv(tmp_path / "bare.csv", ["a"], [1], [2])
    assert len(run("predict", tmp_path / "m", bare).rows()) == 2


def test_the_test_part_has_every_class_in_its_share(ill: Path) -> None:
    def parts(seed: int) -> dict[str, samples.Part]:
        arguments = Train(str(ill / "ill.csv"), drop=("id",), missing="mean", seed=seed)
        return samples.prepare(arguments).parts

    first, again, other = parts(3), parts(3), parts(4)
    for part in (first, again, other):
        assert {k: Counter(v.y.tolist()) for k, v in part.items()} == {
            "train": {0: 40, 1: 8},
            "test": {0: 10, 1: 2},
        }
    np.testing.assert_array_equal(first["test"].x, again["test"].x)
    assert not np.array_equal(first["test"].x, other["test"].x)


def test_a_class_with_one_sample_leaves_no_test_part(tmp_path: Path) -> None:
    rows = [[i, "a"] for i in range(9)] + [[9, "lone"]]
    path = write_csv(tmp_path / "lone.csv", ["x", "y"], *rows)
    result = run("train", path, "--hidden", "--epochs", 1, "--out", tmp_path / "m")
    assert result.code == 0
    assert "no test part: test_fraction=0.2 cannot split 10 rows: class 'lone' has only one" in (
        result.err
    )
    assert set(about(tmp_path / "m")["metrics"]) == {"train"}


# Values.


def test_values_are_learnt_standardized_and_told_in_their_own_units(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        [x, c, 2e6 + 3e5 * x + (1e5 if c == "u" else 0)]
        for x, c in zip(
            rng.normal(size=80).round(3).tolist(), rng.choice(["u", "v"], 80).tolist(), strict=True
        )
    ]
    path = write_csv(tmp_path / "prices.csv", ["x", "c", "price"], *rows)
    options = ("--hidden", "--epochs", 60, "--learning-rate", 0.1, "--loss", "squared")
    result = run("train", path, *options, "--test-fraction", 0, "--out", tmp_path / "m")
    assert result.code == 0, result.err
    said, y = about(tmp_path / "m"), np.array([row[2] for row in rows], np.float32)
    assert said["head"]["mean"] == pytest.approx([y.mean(dtype=np.float64)])
    assert said["head"]["std"] == pytest.approx([y.std(dtype=np.float64)])
    predicted = [float(r["prediction"]) for r in run("predict", tmp_path / "m", path).rows()]
    rmse = float(np.sqrt(np.mean((np.array(predicted) - y) ** 2)))
    assert said["metrics"]["train"]["RMSE"] == pytest.approx(rmse, rel=1e-3)
    loss = said["metrics"]["train"]["loss"]  # of standardized targets
    assert rmse == pytest.approx(y.std() * np.sqrt(loss), rel=1e-3)
    assert 1e3 < rmse < 5e4


# Learning rates.


def test_learning_rates_rise_and_fall_as_said() -> None:
    found = {
        name: [float(s(i)) for i in (0, 1, 3, 4, 54, 104)]
        for name in ("constant", "linear", "cosine", "exponential")
        for s in [schedules.learning_rate(name, 2.0, 104, 4)]
        if callable(s)
    }
    rise = [0.4, 0.8, 1.6, 2.0]
    assert found == {
        "constant": pytest.approx([*rise, 2.0, 2.0]),
        "linear": pytest.approx([*rise, 1.0, 0.0]),
        "cosine": pytest.approx([*rise, 1.0, 0.0], abs=1e-6),
        "exponential": pytest.approx([*rise, 0.2, 0.02]),
    }
    assert schedules.learning_rate("constant", 2.0, 104, 0) == 2.0
    cosine = schedules.learning_rate("cosine", 2.0, 100, 0)
    assert callable(cosine)
    assert float(cosine(50)) == pytest.approx(1.0)


def test_a_schedule_counts_the_updates_of_all_epochs(tmp_path: Path) -> None:
    options = ("--hidden", 3, "--batch-size", 2, "--epochs", 5, "--optimizer", "sgd")
    words = ("--schedule", "cosine", "--warmup-epochs", 2, "--learning-rate", 0.5)
    assert run("train", "xor", *options, *words, "--out", tmp_path / "m").code == 0
    data = logic_gate("XOR")
    model = jp.mlp([2, 3, 1], jp.relu)
    rise, fall = optax.linear_schedule(0.1, 0.5, 4), optax.cosine_decay_schedule(0.5, 6)
    optimizer = optax.sgd(optax.join_schedules([rise, fall], [4]))
    init_key, key = jax.random.split(jax.random.key(0))
    state = jp.init_state(model, optimizer, init_key)
    loss = jp.BinaryCrossEntropy()
    state, _ = jp.fit(
        model, loss, optimizer, state, data.x, data.y, epochs=5, batch_size=2, key=key
    )
    params = checkpoint.load(tmp_path / "m").params
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), params, state.params)


# Rows that do not fit the model.

BAD_ROWS = [
    (
        "age,colour,size\n1,pink,m\n",
        "FILE, line 2, column 2 ('colour'): 'pink' is a category that t",
    ),
    (
        "age,colour,size\n1,blu,m\n",
        "Did you mean 'blue'? It knows 'blue', 'green, dark', 'red'; cor",
    ),
    ("age,colour,size\n1,red,m\n2,red,xl\n", "FILE, line 3, column 3 ('size'): 'xl' is a category"),
    (
        "age,colour,size\n1,7,m\n",
        "line 2, column 2 ('colour'): '7' is a category that the model doe",
    ),
    (
        "age,colour,size\nold,red,m\n",
        "line 2, column 1 ('age'): 'old' is text; features must be num",
    ),
    (
        "age,colour,size\n1e99,red,m\n",
        "line 2, column 1 ('age'): '1e99' is not a finite float32 num",
    ),
    (
        "age,colour\n1,red\n",
        "FILE lacks 'size': the model takes the columns age, colour, size, in any",
    ),
    ("age,colour,size,sex\n1,red,m,f\n", "FILE has 'sex' besides: the model takes the columns age"),
    ("1,red,m\n", "FILE has 3 columns: expected 4 columns, or 5 columns with the target."),
    ("u,1,red,m,x,y\n", "FILE has 6 columns: expected 4 columns, or 5 columns with the target."),
    (
        "age,colour,size,ill\n1,red,m,maybe\n",
        "FILE, line 2, column 4 ('ill'): the model does not kn",
    ),
    (
        "age,colour,size,ill\n1,red,m,no\n1,red,m,Yes\n",
        "not know the class 'Yes'. Did you mean 'yes'",
    ),
    (
        "age,colour,size,ill\n1,red,m,0\n1,red,m,1\n",
        "It knows 'no', 'yes'; correct the target, or le",
    ),
    (
        "age;colour;size\n1,5;red;m\n1.5;red;m\n",
        "FILE, line 3: '1,5' has a decimal comma and '1.5'",
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD_ROWS)
def test_rows_that_do_not_fit_the_model_are_refused(
    ill: Path, tmp_path: Path, content: str, message: str
) -> None:
    path, out = tmp_path / "bad.csv", tmp_path / "predictions.csv"
    path.write_text(content)
    result = run("predict", ill / "model", path, "--out", out)
    assert (result.code, result.out) == (2, "")
    assert message in result.err.replace(str(path), "FILE")
    assert result.err.startswith("jaxpercep predict: error: ")
    assert not out.exists()


@pytest.mark.parametrize("row", ["1,{},m,no", "1,red,m,{}"])
def test_a_long_text_is_cut_short(ill: Path, tmp_path: Path, row: str) -> None:
    path = tmp_path / "long.csv"
    path.write_text("age,colour,size,ill\n" + row.format("x" * 100_000))
    result = run("predict", ill / "model", path)
    assert result.code == 2
    assert len(result.err) < 700 + len(str(path))


def test_help_says_what_the_options_do() -> None:
    result = run("train", "--help")
    text = " ".join(result.out.replace("│", " ").split())
    for option in ("--drop", "--missing", "--class-weight", "--schedule", "--warmup-epochs"):
        assert option in text
    assert len(result.out.splitlines()) < 110
