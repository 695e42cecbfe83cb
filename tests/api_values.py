"""One table of values for the parameters of the public functions: which are good, and which bad.

A parameter is looked up as `"function.parameter"`, then by its name alone. The first good value is
that of the base call, from which the other calls differ in one argument. `Of` makes a value from
that of the base call. Base calls train, differentiate and draw the same small things: x `[4, 2]`,
y `[4, 1]`, layers from 2 features to 2.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import nnx
from sklearn.neural_network import MLPRegressor

import jaxpercep as jp


class Values(NamedTuple):
    """The good and the bad values of a parameter; a message may name it by a word in `named`."""

    good: list[Any]
    bad: list[Any]
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Of:
    """A value made from that of the base call."""

    name: str
    make: Callable[[Any], Any]


class Unhashable:
    """A function that `jax.jit` cannot take as a static argument."""

    __hash__ = None

    def __call__(self, *arguments):
        return jnp.zeros(arguments[1:2][0] if arguments[1:] else ())


def each_leaf(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda tree: jax.tree.map(change, tree)


def as_complex(array):
    return jnp.asarray(array).astype(jnp.complex64)


def as_text(array):
    return np.asarray(array).astype(str)


def masked(array):
    return np.ma.masked_array(np.asarray(array), np.zeros(np.shape(array), bool))


def swapped(array):
    """The same numbers in the other byte order."""
    array = np.asarray(array)
    return array.astype(array.dtype.newbyteorder())


X = jnp.array([[0.0, 1], [1, 0.5], [-1, 2], [3, -1]])
Y = jnp.ones((4, 1))
MODEL = jp.mlp([2, 3, 1], jp.tanh)
SGD = optax.sgd(0.1)
KEY = jax.random.key(0)
STATE = jp.init_state(MODEL, SGD, KEY)
ADAM_STATE = jp.init_state(MODEL, optax.adam(0.1), KEY)
LINEN = nn.Sequential([nn.Dense(3), nn.tanh, nn.Dense(1)])
NNX = nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Linear(3, 1, rngs=nnx.Rngs(1)))
FITTED = MLPRegressor(hidden_layer_sizes=3).partial_fit(np.eye(2), [0.0, 1.0])
DIGIT = np.zeros((2, 3, 3))
CURVE = np.array([1.0, 0.5, 0.25])

COMPLEX = Of("complex", each_leaf(as_complex))
MASKED = Of("masked", each_leaf(masked))
AS_NUMPY = Of("NumPy", each_leaf(np.asarray))
SWAPPED = Of("big-endian", each_leaf(swapped))
AS_LIST = Of("list", lambda array: np.asarray(array).tolist())
EMPTY = Of("empty", lambda array: array[:0])
WHOLE = Of("integers", lambda array: np.asarray(array).astype(int))
COLUMN_MORE = Of("a column more", lambda array: np.concatenate([array, array], axis=1))
ROW_LESS = Of("a row less", lambda array: np.asarray(array)[:-1])
NAN = Of("NaN", lambda array: np.asarray(array) * np.nan)

THINGS = [None, object(), {"a": 1.0}, {1.0}, Unhashable, MODEL]
NOT_ARRAYS = [
    *THINGS,
    "text",
    b"text",
    ["a"],
    [[1.0], [1.0, 2.0]],
    np.array(["a"]),
    np.array([None]),
    np.array(["2020-01-01"], "datetime64[D]"),
    np.zeros(3, [("field", "f4")]),
    jax.random.split(KEY, 4),
    COMPLEX,
    MASKED,
]
ARRAYS = [X, np.arange(3), [1, 2], (1, 2)]
NOT_FLOATING = [*NOT_ARRAYS, WHOLE, EMPTY]
NOT_CALLABLE = [3, "text", *ARRAYS, {"a": 1}]
NOT_WHOLE = [*THINGS, *ARRAYS, 1.5, "2", True, 1j, float("nan"), jnp.array(3)]
NOT_POSITIVE = [*NOT_WHOLE, 0, -1, -(10**30)]
OPTIONAL_NOT_POSITIVE = [value for value in NOT_POSITIVE if value is not None]
NOT_REAL = [*THINGS, *ARRAYS, "0.1", True, 1j, 10**400, float("nan"), float("inf"), jnp.array(0.1)]
NOT_CHOICE = [*THINGS, *ARRAYS, "unknown", "", 3, b"sum"]
NOT_BOOL = [*THINGS, *ARRAYS, 0, 1, "yes", jnp.array(True), np.bool_(True)]
NOT_TEXT = [*THINGS, *ARRAYS, 3, b"text", ["text"]]
NOT_LAYERS = [
    *(thing for thing in THINGS if thing is not MODEL),
    *ARRAYS,
    3,
    "relu",
    np.tanh,
    jp.Dense,
    jp.SquaredError(),
    [jp.tanh, jp.relu],
]
NOT_PARAMS = [
    *THINGS[1:],
    3,
    "text",
    X,
    [X, X, X],
    (X,) * 7,
    Of("complex", each_leaf(as_complex)),
    Of("text", each_leaf(as_text)),
    Of("strings", each_leaf(lambda _: "w")),
    Of("None", each_leaf(lambda _: None)),
    Of("integers", each_leaf(lambda leaf: leaf.astype(jnp.int32))),
    Of("another axis", each_leaf(lambda leaf: jnp.stack([leaf] * 3))),
    MASKED,
]


def state_with(**changes: Callable[[Any], Any]) -> Of:
    """The base state with entries changed."""
    return Of(
        f"state with another {', '.join(changes)}",
        lambda state: state._replace(**{k: f(getattr(state, k)) for k, f in changes.items()}),
    )


MASKED_STATE = state_with(params=each_leaf(masked))
STATES = Values(
    good=[
        STATE,
        state_with(params=each_leaf(np.asarray)),
        state_with(step=lambda _: np.int32(3)),
    ],
    bad=[
        *THINGS,
        *ARRAYS,
        "text",
        Of("a tuple", tuple),
        state_with(step=lambda _: "0"),
        state_with(step=lambda _: None),
        state_with(step=lambda _: 1.5),
        state_with(step=lambda _: jnp.arange(2)),
        state_with(params=lambda _: jp.mlp([2, 4, 1]).init(KEY)),
        state_with(params=lambda _: None),
        state_with(params=lambda params: list(params)),
        MASKED_STATE,
        *(
            state_with(params=spoil.make)
            for spoil in NOT_PARAMS
            if isinstance(spoil, Of) and spoil is not MASKED
        ),
        state_with(opt_state=lambda _: ADAM_STATE.opt_state),
        state_with(opt_state=lambda _: None),
        state_with(opt_state=lambda _: "text"),
    ],
    named=("state", "params"),
)

NOT_X = [*NOT_FLOATING, 1.0, ROW_LESS]
LAYERS = Values([jp.Dense(2, 2), jp.tanh, MODEL], NOT_LAYERS)
CALLABLE = "pass a function"


def write_idx(path: Path, array: np.ndarray) -> Path:
    """Writes bytes as an IDX file."""
    path.write_bytes(
        struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    )
    return path


def write_mnist(folder: Path) -> Path:
    """Writes four small IDX files in the form of MNIST."""
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", np.zeros((2, 3, 3), np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.zeros(2, np.uint8))
    return folder


def norm_init(key, shape, dtype):
    return jax.random.normal(key, shape, dtype)


def foreign_init(key):
    return {"w": jax.random.normal(key, (2, 2))}


def foreign_apply(params, x):
    return jnp.sin(x @ params["w"])


def mean_square(prediction, target):
    return jnp.mean((prediction - target.astype(prediction.dtype)) ** 2)


def half(points):
    return np.full(len(points), 0.5)


def square(x):
    return jnp.sum(x**2)


def square_gradient(x):
    return 2 * x


SINE = jax.custom_vjp(jnp.sin)
SINE.defvjp(lambda x: (jnp.sin(x), x), lambda x, dy: (dy * jnp.cos(x),))
COSINE = jax.custom_jvp(jnp.cos)
COSINE.defjvp(lambda x, t: (jnp.cos(x[0]), -jnp.sin(x[0]) * t[0]))
NOT_PATHS = [*THINGS, *ARRAYS, 3, 1.5, b"bytes", "zero\0byte", "", ["a"]]


def files(folder: Path) -> dict[str, Values]:
    """Returns the entries of the table for files, which are written to the folder."""
    jp.save(folder / "saved", MODEL, STATE.params)
    return {
        "folder": Values([write_mnist(folder), str(folder)], NOT_PATHS),
        "save.folder": Values([folder / "new", str(folder / "saved")], NOT_PATHS),
        "load.folder": Values([folder / "saved", str(folder / "saved")], NOT_PATHS),
        "path": Values([write_idx(folder / "data", np.zeros(2, np.uint8))], NOT_PATHS),
    }


POINTS = Values(
    [X, AS_NUMPY, AS_LIST, SWAPPED],
    [*NOT_FLOATING, NAN, 1.0, jnp.zeros(3), jnp.zeros((2, 2, 2))],
)
TABLE = {
    # models and training
    "model": Values([MODEL, jp.mlp([2, 3, 1], jp.relu)], [*NOT_LAYERS, jnp.tanh]),
    "with_manual_backward.model": LAYERS._replace(bad=[*NOT_LAYERS, jnp.tanh]),
    "activation": Values([jp.tanh, jp.step, jp.Serial(jp.relu), jnp.tanh, jnp.sin], NOT_LAYERS),
    "output": Values([jp.identity, jp.sigmoid, jnp.sin], NOT_LAYERS),
    "layer": LAYERS._replace(good=[*LAYERS.good, jnp.tanh]),
    "layers": Values(
        [(jp.Dense(2, 2), jp.tanh), (jp.relu,), (jnp.sin,)],
        [(), *((layer,) for layer in NOT_LAYERS)],
    ),
    "sizes": Values(
        [[2, 3, 1], (2, 1), np.array([2, 3]), Of("an iterator", iter)],
        [
            *(thing for thing in THINGS if not isinstance(thing, set | dict)),
            "21",
            3,
            X,
            [2],
            [],
            *([2, size] for size in NOT_POSITIVE),
        ],
    ),
    "dense_options": Values(
        [{}, {"use_bias": False}, {"w_init": "zeros", "dtype": "bfloat16"}],
        [{"use_bias": 1}, {"w_init": "unknown"}, {"dtype": "int32"}, {"dtype": X}],
        named=("use_bias", "w_init", "dtype"),
    ),
    "loss": Values(
        [jp.SquaredError(), jp.BinaryCrossEntropy(), jp.PerceptronLoss()],
        [*THINGS, *ARRAYS, 3, "mse", jp.SquaredError, optax.losses.squared_error],
    ),
    "optimizer": Values(
        [SGD, optax.sgd(0.01)], [*THINGS, *ARRAYS, 0.1, "sgd", optax.sgd, (SGD.init,)]
    ),
    "key": Values(
        [KEY, jax.random.PRNGKey(0)],
        [*THINGS, *ARRAYS, 0, "key", jax.random.split(KEY, 2), jax.random.PRNGKey(0)[:1]],
    ),
    "method": Values(["autodiff", "manual"], NOT_CHOICE),
    "AutodiffLoss.fun": Values([mean_square], [*NOT_CALLABLE, Unhashable()]),
    "function": Values([jnp.cbrt, lambda x: x], NOT_CALLABLE),
    "derivative": Values([jnp.square, lambda x: x], NOT_CALLABLE),
    "keeps": Values(["output", "input"], NOT_CHOICE),
    "donate": Values([False, True], NOT_BOOL),
    "scan": Values([False, True], NOT_BOOL),
    "state": STATES,
    "fit.state": STATES._replace(
        bad=[*STATES.bad, state_with(params=each_leaf(lambda leaf: leaf * jnp.nan))]
    ),
    "batches": Values(
        [[(X, Y)], ([np.asarray(X), np.asarray(Y)], (X[:3], Y[:3]))],
        [
            *THINGS,
            *ARRAYS,
            3,
            "text",
            [],
            (X, Y),
            [X],
            [(X,)],
            [(X, Y, Y)],
            [{"x": X, "y": Y}],
            [(X, Y), None],
            *([(x, Y)] for x in (as_complex(X), masked(X), X[:3], X * np.nan, "text", None)),
            *([(X, y)] for y in (as_complex(Y), masked(Y), Y[:3], Y * np.nan, "text", None)),
        ],
    ),
    "steps": Values([3, np.int64(2)], [*NOT_POSITIVE, 2**31]),
    "keys": Values(
        [jax.random.split(KEY, 2), jax.random.split(jax.random.PRNGKey(0), 2)],
        [*THINGS, *ARRAYS, 0, "keys", KEY, jax.random.split(KEY, 2)[:0]],
    ),
    "learning_rates": Values([None], [*THINGS[1:], "rates", [0.1], [0.1, 0.2]]),
    "record_every": Values([1, 3], [*NOT_POSITIVE, 2]),
    "mesh": Values([None], [*THINGS[1:], 2, "cpu", KEY]),
    "epochs": Values([None], OPTIONAL_NOT_POSITIVE),
    "batch_size": Values([None, 2], [*OPTIONAL_NOT_POSITIVE, 5]),
    "fit.key": Values([KEY], [*THINGS[1:], *ARRAYS, 0, "key", jax.random.split(KEY, 2)]),
    "sample_weight": Values(
        [None, jnp.ones(4), [1, 0, 2.5, 1], np.array([True, False, True, True])],
        [
            *(v for v in NOT_ARRAYS if not (v is None or isinstance(v, Of))),
            *ARRAYS,
            1.0,
            Y,
            -jnp.ones(4),
            jnp.zeros(4),
            jnp.ones(4) * jnp.nan,
        ],
    ),
    "callback": Values([None, lambda *_: None, lambda *_: True], NOT_CALLABLE),
    "validation": Values(
        [None, (X, Y), [np.asarray(X[:2]), np.asarray(Y[:2])]],
        [*THINGS[1:], *ARRAYS[:2], 3, "text", (X,), (X, Y, Y), (X[:3], Y), (X * np.nan, Y)],
    ),
    "validate_every": Values([None], [*OPTIONAL_NOT_POSITIVE, 3]),
    "early_stopping": Values(
        [None], [*THINGS[1:], *ARRAYS, 3, True, jp.EarlyStopping, jp.EarlyStopping(3)]
    ),
    "checkpoints": Values([None], [*THINGS[1:], *ARRAYS, 3, True, "folder", jp.Checkpoints]),
    "Checkpoints.folder": Values(["checkpoints", Path("checkpoints")], NOT_PATHS),
    "every_seconds": Values([60.0, 0, np.float32(0.5)], [*NOT_REAL, -0.1]),
    "keep": Values([2, np.int64(1)], NOT_POSITIVE),
    "patience": Values([3, np.int64(1)], NOT_POSITIVE),
    "min_delta": Values([0.0, 1, np.float32(0.1)], [*NOT_REAL, -0.1]),
    # arrays
    "x": Values([X, AS_NUMPY], [*NOT_FLOATING, jnp.zeros((4, 3)), jnp.float32(1)]),
    "fit.x": Values(
        [X, AS_NUMPY, AS_LIST, SWAPPED],
        [*NOT_FLOATING, ROW_LESS, COLUMN_MORE, NAN, jnp.float32(1)],
    ),
    "y": Values([Y, AS_NUMPY], [*NOT_ARRAYS, ROW_LESS, COLUMN_MORE, jnp.ones(4)], ("y", "target")),
    "fit.y": Values(
        [Y, AS_NUMPY, AS_LIST, SWAPPED, WHOLE],
        [*NOT_ARRAYS, ROW_LESS, COLUMN_MORE, NAN, EMPTY],
        ("y", "target"),
    ),
    "step.state": STATES._replace(bad=[v for v in STATES.bad if v is not MASKED_STATE]),
    "step.x": Values([X, AS_NUMPY, SWAPPED], [*NOT_FLOATING, jnp.zeros((4, 3))]),
    "step.y": Values([Y, AS_NUMPY, WHOLE, SWAPPED], [*NOT_ARRAYS, ROW_LESS], ("y", "target")),
    "params": Values([MODEL.init(KEY), AS_NUMPY], NOT_PARAMS),
    "Activation.params": Values([()], [*THINGS, *ARRAYS[:2], 3, "text", (X,)]),
    "refuse.loss": Values([jp.SquaredError()], []),
    "refuse.target": Values([np.zeros((4, 1))], []),
    "wrong": Values([np.zeros((4, 1), bool)], []),
    "expected": Values(["targets of another kind"], []),
    "AutodiffLoss.target": Values([Y, AS_NUMPY, AS_LIST, SWAPPED], NOT_ARRAYS),
    "accuracy.threshold": Values([0.5, 0, 1], NOT_REAL),
    "evaluate.batch_size": Values([None, 2, 100], OPTIONAL_NOT_POSITIVE),
    "AutodiffLayer.params": Values([foreign_init(KEY)], []),  # what `apply` takes
    "layer.x": Values([X, AS_NUMPY, AS_LIST, SWAPPED], NOT_FLOATING),
    "residuals": Values([None], []),  # what `forward` returned
    "dy": Values([X, AS_NUMPY, SWAPPED], [*NOT_FLOATING, ROW_LESS, COLUMN_MORE, jnp.float32(1)]),
    "prediction": Values([Y, AS_NUMPY, AS_LIST, SWAPPED], NOT_FLOATING),
    "target": Values([Y, AS_NUMPY, AS_LIST, SWAPPED], [*NOT_ARRAYS, ROW_LESS, EMPTY]),
    # options of layers and losses
    "in_features": Values([2, np.int64(3)], NOT_POSITIVE),
    "out_features": Values([2], NOT_POSITIVE),
    "features": Values([2], NOT_POSITIVE),
    "times": Values([2, 1], NOT_POSITIVE),
    "w_init": Values(
        ["glorot_uniform", "torch_linear", norm_init],
        [*(v for v in NOT_CHOICE if v is not Unhashable), Unhashable()],
    ),
    "b_init": Values(
        ["zeros", norm_init],
        [*(v for v in NOT_CHOICE if v is not Unhashable), Unhashable(), "orthogonal"],
    ),
    "use_bias": Values([True, False], NOT_BOOL),
    "dtype": Values(
        [None, "bfloat16", jnp.float32, np.dtype("float16"), ">f4"],
        [*THINGS[1:], *ARRAYS, 3, "unknown", "int32", jnp.int32, "complex64"],
    ),
    "epsilon": Values([1e-5, 1, np.float32(0.1)], [*NOT_REAL, 0, -1e-5]),
    "scale": Values([1.0, 2, np.float64(0.5), -1], NOT_REAL),
    "reduction": Values(["mean", "sum"], NOT_CHOICE),
    "from_logits": Values([True, False], NOT_BOOL),
    "init": Values([foreign_init], [*NOT_CALLABLE, None, Unhashable()]),
    "apply": Values([foreign_apply], [*NOT_CALLABLE, None, Unhashable()]),
    # Rosenblatt's rule
    "append_bias.x": POINTS,
    "certify.x": POINTS,
    "perceptron_rule.x": POINTS,
    "labels": Values(
        [np.array([1, -1, 1, -1]), [1, -1, 1, 1], np.ones(4), SWAPPED],
        [*NOT_ARRAYS, NAN, np.array([0, 1, 0, 1]), np.ones(3), np.ones((4, 1)), 1.0],
    ),
    "max_epochs": Values([10, np.int64(5)], [*NOT_POSITIVE, 2**31]),
    # datasets
    "name": Values(["XOR", "and"], [*THINGS, *ARRAYS, "UNKNOWN", "", 3, b"XOR"]),
    "bits": Values([2, np.int64(3)], [*NOT_POSITIVE, 21]),
    "n": Values([10, np.int64(4)], [*NOT_POSITIVE, 1]),
    "noise": Values([0.1, 0, np.float32(0.5)], [*NOT_REAL, -0.1]),
    "seed": Values([0, np.int64(3)], [*NOT_WHOLE, -1, 2**32]),
    "turns": Values([1.5, -1], NOT_REAL),
    "test_fraction": Values([0.5, np.float64(0.25)], [*NOT_REAL, 0.0, 1.0, -1.0]),
    "dataset": Values(
        [jp.datasets.parity(3), jp.datasets.Dataset(X, Y)],
        [
            *THINGS,
            *ARRAYS,
            "XOR",
            (np.zeros((4, 2)), np.zeros(4)),
            *(jp.datasets.Dataset(x, np.zeros(4)) for x in ("text", None, X[:3])),
            *(jp.datasets.Dataset(np.zeros((4, 2)), y) for y in ("text", None, masked(Y))),
        ],
    ),
    # interop
    "variables": Values(
        [LINEN.init(KEY, X), LINEN.init(KEY, X)["params"]],
        [
            *THINGS,
            *ARRAYS,
            "text",
            {"params": None},
            nn.Dense(3).init(KEY, X),
            COMPLEX,
            MASKED,
            Of("text", each_leaf(as_text)),
            Of("strings", each_leaf(lambda _: "w")),
        ],
        named=("variables", "kernel", "flax", "params"),
    ),
    "source": Values(
        [NNX, nnx.state(NNX)],
        [*THINGS, *ARRAYS, "text", nnx.Linear],
        named=("source", "flax"),
    ),
    "order": Values([None], [3, "text", [1, 2], ["unknown"], X, object()]),
    "estimator": Values([FITTED], [*THINGS, *ARRAYS, "text", MLPRegressor, MLPRegressor()]),
    "to_sklearn.classes": Values(
        [None, ["a", "b"], (0, 1), np.array([1.0, 2.0])],
        [["a"], ["b", "a"], [0, 0], [0, 1, 2], X, 3, "text", {"a": 1.0}],
    ),
    # plots
    "curves": Values(
        [{"train": CURVE}, {"a": [1.0, 0.5], "b": CURVE}],
        [
            *THINGS,
            *ARRAYS,
            {},
            {3: CURVE},
            *({"train": curve} for curve in (*NOT_ARRAYS[:-2], [], 1.0, X, CURVE * 1j)),
        ],
    ),
    "models": Values(
        [{"half": half}], [*THINGS, *ARRAYS, {}, half, {3: half}, {"a": 3}, {"a": lambda x: x}]
    ),
    "decision_boundaries.x": Values(
        [X, AS_NUMPY, AS_LIST], [*NOT_ARRAYS, EMPTY, NAN, COLUMN_MORE, 1.0]
    ),
    "decision_boundaries.y": Values(
        [np.array([0, 1, 1, 0]), np.ones((4, 1))], [*NOT_ARRAYS, ROW_LESS, np.full(4, 2), NAN]
    ),
    "stacks": Values(
        [{"a": np.ones((3, 2)), "b": np.ones((3, 2))}],
        [
            *THINGS,
            *ARRAYS,
            {},
            {3: np.ones((3, 2))},
            {"a": np.ones((3, 2)), "b": np.ones((3, 4))},
            *({"a": norms} for norms in (*NOT_ARRAYS[:-2], CURVE, np.ones((2, 2)))),
        ],
        ("stacks", "steps"),
    ),
    "gradient_norms.steps": Values([np.arange(3), [0, 10, 20]], [*NOT_ARRAYS, [0, 1], 3]),
    "counts": Values(
        [np.array([[3, 1], [0, 2]]), AS_LIST],
        [*NOT_ARRAYS, np.ones(2), np.ones((2, 3), int), -np.ones((2, 2), int), X[:2]],
        ("counts", "classes"),
    ),
    "classes": Values([["a", "b"], ("1", "2")], [*THINGS, *ARRAYS, 3, ["a"], "ab"]),
    "images": Values([DIGIT, AS_LIST], [*NOT_ARRAYS, EMPTY, X, 1.0]),
    "truth": Values([np.arange(2), [0, 1]], [*NOT_ARRAYS, [1], 3]),
    "read": Values([np.arange(2), [1, 0]], [*NOT_ARRAYS, [1], 3]),
    "confidence": Values([np.ones(2), [0.5, 1]], [*NOT_ARRAYS, [1], 0.5]),
    "title": Values(["Title"], NOT_TEXT),
    "xlabel": Values(["x"], NOT_TEXT),
    "ylabel": Values(["y"], NOT_TEXT),
    "log": Values([True, False], NOT_BOOL),
    "loss_curves.steps": Values(
        [None, {"train": [0, 2, 4]}],
        [*THINGS[1:], *ARRAYS, {}, {3: CURVE}, {"other": CURVE}, {"train": [1, 2]}],
        named=("steps", "curves"),
    ),
    # comparisons
    "fun": Values([square], NOT_CALLABLE),
    "grad_fun": Values([square_gradient], NOT_CALLABLE),
    "args": Values(
        [(X[0],), (swapped(X[0]),)],
        [(X[0] * np.nan,), (as_complex(X[0]),), (masked(X[0]),), ("text",)],
        named=("args", "argument", "argnums"),
    ),
    "argnums": Values([0, -1], [True, None, 0.5, "0", 1, -2, (), (0, 0), np.ones(2)]),
    "compare_vjp.fun": Values([jnp.sin], NOT_CALLABLE),
    "compare_custom_vjp.fun": Values([SINE], [square]),
    "compare_jvp.fun": Values([jnp.sin], NOT_CALLABLE),
    "jvp_fun": Values([lambda x, t: (jnp.sin(x[0]), jnp.cos(x[0]) * t[0])], NOT_CALLABLE),
    "compare_custom_jvp.fun": Values([COSINE], [square]),
    "compare_vjp.order": Values([1, 2], [*NOT_POSITIVE, 3]),
    "compare_custom_vjp.order": Values([1, 2], [*NOT_POSITIVE, 3]),
    "batched": Values([False, True], NOT_BOOL),
    "compare_updates.fun": Values([square], NOT_CALLABLE),
    "forward": Values([lambda x: (jnp.sin(x), x)], NOT_CALLABLE),
    "backward": Values([lambda x, dy: (dy * jnp.cos(x),)], NOT_CALLABLE),
    "update_fun": Values([lambda x: x - 0.1 * 2 * x], NOT_CALLABLE),
    "compare_updates.params": Values([X[0]], [as_complex(X[0]), masked(X[0]), "text"]),
    "batch": Values([()], []),
    "learning_rate": Values([0.1], [*NOT_REAL[:6], 0, -1]),
    "blind_spots": Values(["ignore"], NOT_CHOICE),
}
TABLE |= {"evaluate.x": TABLE["fit.x"], "evaluate.y": TABLE["fit.y"]}
TABLE |= {"fit_batches.state": TABLE["fit.state"]}
