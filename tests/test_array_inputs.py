"""Data as users hold them: lists, arrays of every float type and byte order, frames."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest

import jaxpercep as jp

RNG = np.random.default_rng(0)
X = (RNG.integers(-8, 8, (12, 3)) / 4).astype(np.float32)  # exact in every float type
Y = (RNG.integers(-8, 8, (12, 1)) / 4).astype(np.float32)
LABELS = np.arange(12) % 2
MODEL, LOSS, SGD = jp.mlp([3, 2, 1], jp.tanh), jp.SquaredError(), optax.sgd(0.1)
START = jp.init_state(MODEL, SGD, jax.random.key(0))
STEP = jp.make_step(MODEL, LOSS, SGD)

NO_NUMBERS = (
    "x is a DataFrame, not an array of numbers: its dtype is .*; make every column float32 or"
)


def results(x: Any, y: Any) -> list[Any]:
    """What training, evaluation and the model make of the data."""
    state, history = jp.fit(MODEL, LOSS, SGD, START, x, y, steps=3)
    params = START.params
    return [
        *jax.tree.leaves(STEP(START, x, y)),
        *jax.tree.leaves(state.params),
        history.loss,
        jp.evaluate(MODEL, LOSS, params, x, y),
        MODEL.apply(params, x),
    ]


def assert_taken(x: Any, y: Any) -> None:
    for found, expected in zip(results(x, y), results(X, Y), strict=True):
        np.testing.assert_array_equal(found, expected)


def in_type(name: str, order: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: array.astype(np.dtype(name).newbyteorder(order))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["f2", "f4", "f8"])
def test_arrays_of_every_float_type_and_byte_order(name: str, order: str) -> None:
    assert_taken(*map(in_type(name, order), (X, Y)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_parameters_of_every_byte_order(order: str) -> None:
    """A compiled program of JAX takes the bytes of the other order as they are."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf).astype(f"{order}f4"), START.params)
    start, x = START._replace(params=params), X
    for run in (
        lambda state: jp.fit(MODEL, LOSS, SGD, state, x, Y, steps=3)[0],
        lambda state: jp.fit_batches(MODEL, LOSS, SGD, state, [(x, Y)] * 3)[0],
        lambda state: jp.evaluate(MODEL, LOSS, state.params, x, Y),
        lambda state: jp.evaluate(MODEL, LOSS, state.params, x, Y, batch_size=5),
    ):
        jax.tree.map(np.testing.assert_array_equal, run(START), run(start))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_type_that_jax_lacks_is_refused_with_the_fix(order: str) -> None:
    x = in_type("longdouble", order)(X)
    for call in (lambda: results(x, Y), lambda: jp.evaluate(MODEL, LOSS, START.params, x, Y)):
        with pytest.raises(TypeError, match=r"^x is float.* convert it to float32\.$"):
            call()


@pytest.mark.parametrize(
    "make",
    [
        np.ndarray.tolist,
        lambda array: tuple(map(tuple, array.tolist())),
        list,
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=0)[::2],
        lambda array: array[::-1].copy()[::-1],
        jax.numpy.asarray,
    ],
    ids=["lists", "tuples", "rows", "Fortran", "strided", "reversed", "jax"],
)
def test_lists_and_views(make: Callable[[np.ndarray], Any]) -> None:
    assert_taken(make(X), make(Y))


PANDAS: dict[str, Callable[[Any], Any]] = {
    "float32": lambda frame: frame,
    "float64": lambda frame: frame.astype("float64"),
    "two types": lambda frame: frame.astype({frame.columns[0]: "float64"}),
    "nullable, made float32": lambda frame: frame.astype("Float64").astype("float32"),
    "an index": lambda frame: frame.set_axis(np.arange(12)[::-1]),
    "rows": lambda frame: frame.iloc[::-1].iloc[::-1],
}


@pytest.mark.parametrize("make", PANDAS.values(), ids=PANDAS)
def test_pandas_frames(make: Callable[[Any], Any]) -> None:
    pandas = pytest.importorskip("pandas")
    assert_taken(*(make(pandas.DataFrame(array).add_prefix("c")) for array in (X, Y)))


def test_pandas_series_are_labels() -> None:
    pandas = pytest.importorskip("pandas")
    assert_labels(pandas.DataFrame(X), pandas.Series(LABELS, index=np.arange(12)[::-1]))


def test_pandas_cells_that_are_no_numbers_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X).add_prefix("c")
    for bad, message in (
        (
            frame.assign(c0="red"),
            NO_NUMBERS,
        ),
        (
            frame.assign(c0=frame.c0 > 0),
            NO_NUMBERS,
        ),
        (frame.astype("Float64"), NO_NUMBERS),
        (frame.mask(frame == frame.c0[0]), "x holds"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            jp.fit(MODEL, LOSS, SGD, START, bad, Y, steps=1)


@pytest.mark.parametrize("name", ["Float32", "Float64"])
def test_polars_frames(name: str) -> None:
    polars = pytest.importorskip("polars")
    frames = [polars.DataFrame(array).cast(getattr(polars, name)) for array in (X, Y)]
    assert_taken(*frames)
    assert_labels(frames[0], polars.Series(LABELS))


def test_polars_cells_that_are_no_numbers_are_refused() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X)
    text = frame.with_columns(polars.lit("red").alias("column_0"))
    hole = frame.with_columns(polars.lit(None, polars.Float32).alias("column_0"))
    for bad, message in (
        (text, NO_NUMBERS),
        (hole, "x holds"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            jp.fit(MODEL, LOSS, SGD, START, bad, Y, steps=1)


def assert_labels(x: Any, labels: Any) -> None:
    """Labels in a series are taken as those in an array."""
    model, loss = jp.mlp([3, 2]), jp.SoftmaxCrossEntropy()
    params = model.init(jax.random.key(0))
    assert jp.evaluate(model, loss, params, x, labels) == jp.evaluate(
        model, loss, params, X, LABELS
    )
