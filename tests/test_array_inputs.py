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
@pytest.mark.parametrize("name", ["f2", "f4", "f8", "longdouble"])
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


@pytest.mark.parametrize("enabled", [False, True])
def test_a_type_that_jax_lacks_is_taken_in_the_widest_that_it_has(enabled: bool) -> None:
    with jax.enable_x64(enabled):
        x = MODEL.layers[1].apply((), np.ones(3, np.longdouble))
        assert x.dtype == (np.float64 if enabled else np.float32)
    jp.assert_gradients(lambda x: (x**2).sum(), lambda x: 2 * x, np.ones(3, np.longdouble))


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


def test_whole_numbers_in_a_list_are_inputs_and_labels() -> None:
    x, y = [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], [0, 1, 1, 0]
    model, loss = jp.mlp([3, 2]), jp.SoftmaxCrossEntropy()
    start = jp.init_state(model, SGD, jax.random.key(0))

    def everything(x: Any) -> list[Any]:
        state, history = jp.fit(model, loss, SGD, start, x, y, steps=3, validation=(x, y))
        return [
            history.validation,
            *jax.tree.leaves(state),
            jp.fit_batches(model, loss, SGD, start, [(x, y)])[1].loss,
            jp.make_step(model, loss, SGD)(start, x, y)[1],
            jp.value_and_grad(model, loss, "manual")(start.params, x, y)[0],
            jp.evaluate(model, loss, start.params, x, y),
            model.apply(start.params, x),
        ]

    expected = everything(np.float32(x))
    for given in (x, tuple(map(tuple, x)), list(np.array(x))):
        jax.tree.map(np.testing.assert_array_equal, everything(given), expected)


@pytest.mark.parametrize("make", [lambda x: x, list, tuple])
def test_masks_are_never_lost(make: Callable[[Any], Any]) -> None:
    masked = np.ma.masked_greater(X, 1)
    for call in (lambda: results(make(masked), Y), lambda: results(X, make(masked[:, :1]))):
        with pytest.raises(
            TypeError, match=r"^[xy] (is|is a \w+ that holds) a masked array, whose"
        ):
            call()


def test_tensors_of_a_type_that_numpy_lacks_are_answered_by_the_fix() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x is a Tensor.*BFloat16; use its \.float\(\)\.$"):
        jp.fit(MODEL, LOSS, SGD, START, torch.tensor(X).bfloat16(), Y, steps=1)


PANDAS: dict[str, Callable[[Any], Any]] = {
    "float32": lambda frame: frame,
    "float64": lambda frame: frame.astype("float64"),
    "two types": lambda frame: frame.astype({frame.columns[0]: "float64"}),
    "nullable, made float32": lambda frame: frame.astype("Float64").astype("float32"),
    "nullable": lambda frame: frame.astype("Float64"),
    "of Arrow": lambda frame: frame.astype("float32[pyarrow]"),
    "nullable and not": lambda frame: frame.astype({frame.columns[0]: "Float32"}),
    "an index": lambda frame: frame.set_axis(np.arange(12)[::-1]),
    "rows": lambda frame: frame.iloc[::-1].iloc[::-1],
}


@pytest.mark.parametrize("make", PANDAS.values(), ids=PANDAS)
def test_pandas_frames(make: Callable[[Any], Any]) -> None:
    pandas = pytest.importorskip("pandas")
    assert_taken(*(make(pandas.DataFrame(array).add_prefix("c")) for array in (X, Y)))


def test_pandas_series_are_labels() -> None:
    pandas = pytest.importorskip("pandas")
    for kind in ("int64", "Int8", "int32[pyarrow]"):
        labels = pandas.Series(LABELS, index=np.arange(12)[::-1], dtype=kind)
        assert_labels(pandas.DataFrame(X), labels)
    holed = pandas.Series([None, *LABELS[1:]], dtype="Int64")
    with pytest.raises((TypeError, ValueError), match=r"^y "):
        assert_labels(X, holed)


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
        (frame.astype("string"), NO_NUMBERS),
        (frame.astype("Float64").mask(frame == frame.c0[0]), "x holds"),
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
    lazy = r"x is a LazyFrame, .*; use its \.collect\(\)\.$"
    for bad, message in (
        (text, NO_NUMBERS),
        (hole, "x holds"),
        (frame.lazy(), lazy),
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
