"""`jaxpercep compare` diagnoses each example, and two tutorials are what they say they are."""

import json
import linecache
import runpy
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from helpers import run

from jaxpercep.tour.published import load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGE = " ".join((ROOT / "docs" / "comparing-gradients.md").read_text("utf-8").split())
QUOTED = {"forgotten_derivative", "lecture_mnist_backprop", "stepwise_example"}

# The file, the exit code, the cause, the leaves it is seen from, and its line in the forward pass.
EXAMPLES = [
    ("right_mlp", 0, None, [], None),
    ("forgotten_derivative", 1, "missing_derivative", [], "h2 = jnp.tanh("),
    ("derivative_at_output", 1, "derivative_at_output", [], "h = sigmoid("),
    ("overwritten_skip_connection", 1, "dropped_path", [], "y = x + h"),
    ("custom_vjp_rule", 1, "dropped_path", [], "return x / jnp.sqrt("),
    ("lecture_mnist_backprop", 1, "scaled", ["['b1']", "['b2']"], None),
    ("scikit_learn_regressor", 1, "scaled", [], None),
    ("stepwise_example", 1, "stale_weights", [], 'o = sigmoid(h @ params["w_output"]'),
]


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / f"{name}.py"))


def test_every_example_is_in_the_table() -> None:
    files = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert files == {name for name, *_ in EXAMPLES}


@pytest.mark.parametrize(("name", "code", "cause", "leaves", "line"), EXAMPLES)
def test_an_example_is_diagnosed(
    name: str, code: int, cause: str | None, leaves: list[str], line: str | None
) -> None:
    file = ROOT / "examples" / f"{name}.py"
    result = run("compare", file, "--json")
    assert (result.code, result.err) == (code, "")
    report = json.loads(result.out)
    assert report["verdict"] == ("manual_wrong" if code else "match")
    assert {found["cause"] for found in report["diagnoses"]} == ({cause} if cause else set())
    if leaves:
        assert sorted(found["leaf"] for found in report["diagnoses"]) == leaves
    if line:
        for found in report["diagnoses"]:
            source, number = found["source"].split(":")
            assert source == file.name
            assert linecache.getline(str(file), int(number)).strip().startswith(line)
    if name in QUOTED:
        assert report["diagnoses"][0]["message"] in PAGE


def test_the_page_shows_what_is_printed() -> None:
    printed = run("compare", ROOT / "examples" / "forgotten_derivative.py").out
    report, _, listings = printed.partition("\n\n")
    listing, _, _ = listings.partition("forgotten_derivative.py: forward")
    sentences = report.partition("3 leaves compared")[0]
    assert " ".join(sentences.split()) in PAGE
    assert listing.startswith("forgotten_derivative.py: grads\n21 ")
    assert " ".join(listing.split()) in PAGE


def test_the_lecture_averages_its_bias_gradients() -> None:
    lecture = example("lecture_mnist_backprop")
    with jax.enable_x64(True):
        args = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), lecture["example"]())
        params, x, y = args
        shapes = {name: leaf.shape for name, leaf in params.items()}
        assert shapes == {"w1": (784, 30), "b1": (30,), "w2": (30, 10), "b2": (10,)}
        assert (x.shape, y.shape) == ((10, 784), (10, 10))
        came, right = lecture["grads"](*args), jax.grad(lecture["loss"])(*args)
        for name, factor in (("w1", 1), ("b1", 0.1), ("w2", 1), ("b2", 0.1)):
            np.testing.assert_allclose(came[name], factor * right[name], rtol=1e-9, atol=1e-12)


def test_the_stepwise_example_has_the_published_numbers() -> None:
    published = load("mazur")
    stepwise = example("stepwise_example")
    with jax.enable_x64(True):
        args = stepwise["example"]()
        params, *rest = args
        names = ("inputs", "b_hidden", "b_output", "targets")
        for leaf, name in zip(rest, names, strict=True):
            assert leaf.tolist() == published[name]
        assert params["w_hidden"].tolist() == published["w_hidden[in,out]"]
        assert params["w_output"].tolist() == published["w_output[in,out]"]
        assert stepwise["learning_rate"] == published["learning_rate"]
        error = stepwise["loss"](stepwise["step"](*args), *rest)
        wrong = published["published_but_wrong"]["error_after_one_update"]
        assert f"{error:.9f}" == f"{wrong:.9f}"

        gradient = jax.grad(stepwise["loss"])(*args)
        right = jax.tree.map(lambda w, dw: w - stepwise["learning_rate"] * dw, params, gradient)
        expected = published["correct_error_after_one_update"]
        assert stepwise["loss"](right, *rest) == pytest.approx(expected, rel=1e-12)
