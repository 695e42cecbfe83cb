"""The functions of the comparison: what they accept, return, refuse, and leave unchanged."""

import json
import random
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpercep.compare import (
    assert_gradients,
    compare_custom_vjp,
    compare_gradients,
    compare_updates,
    compare_vjp,
)

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
W, B = RNG.normal(size=(3, 2)).astype(np.float32), RNG.normal(size=2).astype(np.float32)
X, Y = RNG.normal(size=(4, 3)).astype(np.float32), RNG.normal(size=(4, 2)).astype(np.float32)
PARAMS = {"b": B, "w": W}


def line(tag):
    """`"test_compare_functions.py:12"`, where the tag stands at the end of line 12."""
    lines = enumerate(Path(__file__).read_text().splitlines(), start=1)
    (number,) = [number for number, text in lines if text.endswith(f"# [{tag}]")]
    return f"{Path(__file__).name}:{number}"


def causes(report):
    return [diagnosis.cause for diagnosis in report.diagnoses]


def loss(p, x, y):
    """A mean square, whatever container the parameters are in."""
    b, w = jax.tree.leaves(p)
    return jnp.mean((jnp.tanh(x @ w + b) - y) ** 2)


def by_hand(p, x, y):
    """The gradient of `loss` in NumPy: db, dw."""
    b, w = (np.asarray(leaf) for leaf in jax.tree.leaves(p))
    h = np.tanh(np.asarray(x) @ w + b)
    dz = 2 * (h - np.asarray(y)) * (1 - h) * (1 + h) / h.size
    return dz.sum(0), np.asarray(x).T @ dz


# Pullbacks


def dense(p, x):
    return jnp.tanh(x @ p["w"] + p["b"])  # [dense]


def dense_forward(p, x):
    y = dense(p, x)
    return y, (p, x, y)


def dense_backward(residuals, dy):
    p, x, y = residuals
    dz = dy * (1 - y) * (1 + y)
    return {"w": x.T @ dz, "b": dz.sum(0)}, dz @ p["w"].T


def without_slope(residuals, dy):
    p, x, _ = residuals
    return {"w": x.T @ dy, "b": dy.sum(0)}, dy @ p["w"].T


def test_a_right_pullback():
    report = compare_vjp(dense, dense_forward, dense_backward, PARAMS, X)
    assert report.ok, str(report)
    assert [leaf.path for leaf in report.leaves] == ["[0]['b']", "[0]['w']", "[1]"]


def test_a_wrong_pullback():
    report = compare_vjp(dense, dense_forward, without_slope, PARAMS, X)
    assert report.verdict == "manual_wrong"
    (diagnosis,) = report.diagnoses
    assert (diagnosis.cause, diagnosis.source) == ("missing_derivative", line("dense"))


def several(x, n):
    return {"double": 2 * x, "pair": (jnp.sum(x**3), n + 1)}


def several_forward(x, n):
    return several(x, n), x


def several_backward(x, dy):
    """The count has no cotangent, neither as an output nor as an argument."""
    cube, count = dy["pair"]
    assert count is None
    return 2 * dy["double"] + 3 * x**2 * cube, None


def test_a_pullback_of_several_outputs_and_of_an_integer():
    report = compare_vjp(several, several_forward, several_backward, B, 5)
    assert report.ok, str(report)
    assert [leaf.path for leaf in report.leaves] == ["[0]"]

    def forgetful(x, dy):
        return 2 * dy["double"] + 0 * x, None

    assert compare_vjp(several, several_forward, forgetful, B, 5).verdict == "manual_wrong"


TENTH = np.float32(0.1)


def test_a_pullback_of_a_function_that_refuses_float64():
    """Under strict promotion a float32 number cannot be multiplied by a float64 one."""

    def tenth(x):
        return jnp.asarray(TENTH) * x**2

    def forward(x):
        return tenth(x), x

    def backward(x, dy, factor=2):
        return (factor * jnp.asarray(TENTH) * x * dy,)

    report = compare_vjp(tenth, forward, backward, B)
    assert report.ok, str(report)
    assert not compare_vjp(tenth, forward, lambda x, dy: backward(x, dy, 3), B).ok


PULLBACKS = {
    "another value": (
        lambda p, x: (2 * dense(p, x), (p, x, dense(p, x))),
        dense_backward,
        "forward's value differs from fun's",
    ),
    "another shape": (
        lambda p, x: (dense(p, x).T, (p, x, dense(p, x))),
        dense_backward,
        r"forward's value has shapes \[\(2, 4\)\], fun's \[\(4, 2\)\]",
    ),
    "no residuals": (dense, dense_backward, r"expected \(value, residuals\)"),
    "one cotangent": (
        dense_forward,
        lambda residuals, dy: dense_backward(residuals, dy)[:1],
        "backward returned a tuple of 1, expected a tuple of 2",
    ),
    "three cotangents": (
        dense_forward,
        lambda residuals, dy: (*dense_backward(residuals, dy), None),
        "backward returned a tuple of 3, expected a tuple of 2",
    ),
    "not a tuple": (
        dense_forward,
        lambda residuals, dy: dense_backward(residuals, dy)[0],
        "backward returned a dict of 2, expected a tuple of 2",
    ),
    "an array": (
        dense_forward,
        lambda residuals, dy: dense_backward(residuals, dy)[1],
        r"backward returned an array of shape \[4, 3\], expected a tuple of 2",
    ),
}


@pytest.mark.parametrize(("forward", "backward", "message"), PULLBACKS.values(), ids=PULLBACKS)
def test_refuses_functions_that_are_not_a_pullback(forward, backward, message):
    with pytest.raises(ValueError, match=message):
        compare_vjp(dense, forward, backward, PARAMS, X)


# Rules


def ruled(factor):
    """The square with a rule of its own, times a factor."""

    @jax.custom_vjp
    def square(x):
        return x * jnp.tanh(x)  # [primal]

    def backward(x, dy):
        return (factor * dy * (jnp.tanh(x) + x * (1 - jnp.tanh(x) ** 2)),)

    square.defvjp(lambda x: (square(x), x), backward)
    return square


def calling(function):
    return lambda p, x: function(dense(p, x))


WRAPPERS = {
    "alone": lambda function: function,
    "jitted": jax.jit,
    "inside a jit": lambda function: jax.jit(lambda x: jnp.sin(function(2 * x))),
    "vmapped": jax.vmap,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_rules_are_compared_with_autodiff_of_their_function(wrap):
    assert compare_custom_vjp(wrap(ruled(1)), X[0]).ok
    report = compare_custom_vjp(wrap(ruled(3)), X[0])
    assert report.verdict == "manual_wrong"
    assert causes(report)[0] == "scaled"
    assert report.diagnoses[0].factor == pytest.approx(3)


def test_a_wrong_rule_is_named_at_the_line_of_the_function():
    @jax.custom_vjp
    def squashed(x):
        return jnp.tanh(x)  # [squashed]

    squashed.defvjp(lambda x: (squashed(x), x), lambda x, dy: (dy + 0 * x,))
    report = compare_custom_vjp(calling(squashed), PARAMS, X)
    assert report.verdict == "manual_wrong"
    (diagnosis,) = report.diagnoses
    assert (diagnosis.cause, diagnosis.source) == ("missing_derivative", line("squashed"))


def test_a_function_without_a_rule():
    with pytest.raises(ValueError, match=r"calls no function with a jax.custom_vjp rule"):
        compare_custom_vjp(dense, PARAMS, X)


# Steps


def two_layers(p, x, y):
    return jnp.sum((jnp.tanh(x @ p["w"]) @ p["v"] - y) ** 2)  # [two layers]


LAYERS = {"w": W, "v": RNG.normal(size=(2, 2)).astype(np.float32)}
RATE = 0.25


def step(p, x, y, *, rate=RATE, stale=False):
    h = np.tanh(x @ p["w"])
    dy = 2 * (h @ p["v"] - y)
    v = p["v"] - rate * h.T @ dy
    dz = dy @ (v if stale else p["v"]).T * (1 - h) * (1 + h)
    return {"w": p["w"] - rate * x.T @ dz, "v": v}


def updated_in_place(p, x, y):
    """As lectures do it: writes into its argument."""
    after = step(p, x, y)
    for name in p:
        p[name] = after[name]
    return p


@pytest.mark.parametrize("update", [step, updated_in_place])
def test_a_right_step(update):
    report = compare_updates(two_layers, update, LAYERS, X, Y, learning_rate=RATE)
    assert report.ok, str(report)


def test_stale_weights():
    def too_early(p, x, y):
        return step(p, x, y, stale=True)

    report = compare_updates(two_layers, too_early, LAYERS, X, Y, learning_rate=RATE)
    assert report.verdict == "manual_wrong"
    (diagnosis,) = report.diagnoses
    assert (diagnosis.cause, diagnosis.source) == ("stale_weights", line("two layers"))


def test_another_learning_rate():
    report = compare_updates(two_layers, step, LAYERS, X, Y, learning_rate=RATE / 2)
    assert causes(report)[0] == "scaled"
    assert report.diagnoses[0].factor == pytest.approx(2)


@pytest.mark.parametrize("rate", [0, 0.0, -0.1])
def test_refuses_a_learning_rate_that_is_not_above_0(rate):
    with pytest.raises(ValueError, match=r"learning_rate=.* must be above 0"):
        compare_updates(two_layers, step, LAYERS, X, Y, learning_rate=rate)


# What a candidate may return


@jax.tree_util.register_dataclass
@dataclass
class Weights:
    b: jax.Array
    w: jax.Array


Pair = namedtuple("Pair", ["b", "w"])


def as_dict(db, dw):
    return {"b": db, "w": dw}


def reversed_dict(db, dw):
    return OrderedDict(w=dw, b=db)


def as_tuple(db, dw):
    return db, dw


DICT, TUPLE, DATA = PARAMS, (B, W), Weights(B, W)
CONTAINERS = {
    "dict": (DICT, as_dict),
    "dict in another order": (DICT, reversed_dict),
    "tuple": (TUPLE, as_tuple),
    "list for a tuple": (TUPLE, lambda db, dw: [db, dw]),
    "dataclass": (DATA, Weights),
    "dict for a dataclass": (DATA, as_dict),
    "namedtuple for a dataclass": (DATA, Pair),
    "dataclass for a dict": (DICT, Weights),
    "nested": ({"layer": (PARAMS,)}, lambda db, dw: {"layer": [{"w": dw, "b": db}]}),
}


@pytest.mark.parametrize(("params", "container"), CONTAINERS.values(), ids=CONTAINERS)
def test_names_and_positions_count_and_not_containers(params, container):
    def candidate(p, x, y):
        return container(*by_hand(p, x, y))

    report = compare_gradients(loss, candidate, params, X, Y)
    assert report.ok, str(report)
    assert len(report.leaves) == 2
    assert report.formula == "float64"


@pytest.mark.parametrize("name", ["dict", "tuple"])
def test_the_value_may_come_before_the_gradient(name):
    params, container = CONTAINERS[name]

    def candidate(p, x, y):
        return float(loss(p, x, y)), container(*by_hand(p, x, y))

    report = compare_gradients(loss, candidate, params, X, Y)
    assert report.ok, str(report)


def test_python_floats():
    def area(sides):
        return sides["a"] * sides["b"][0] ** 2

    def candidate(sides):
        a, (b,) = float(sides["a"]), map(float, sides["b"])
        return {"a": b**2, "b": (2 * a * b,)}

    report = compare_gradients(area, candidate, {"a": 3.0, "b": (2.0,)})
    assert report.ok, str(report)
    assert [leaf.path for leaf in report.leaves] == ["['a']", "['b'][0]"]
    assert {(leaf.shape, leaf.worst_index) for leaf in report.leaves} == {((), ())}
    assert not compare_gradients(lambda a: a**3, lambda a: 3 * a, 2.0).ok


WIDE = RNG.normal(size=3)  # float64


def weighted(w, weights):
    return jnp.sum(jnp.asarray(weights).astype(w.dtype) * w**2)


CAPTURING = {
    "fun": (lambda w: jnp.sum(WIDE * w**2), lambda w: 2 * np.asarray(WIDE, w.dtype) * w),
    "candidate": (lambda w: weighted(w, WIDE), lambda w: 2 * WIDE * w),
    "jitted": (jax.jit(lambda w: jnp.sum(WIDE * w**2)), jax.jit(lambda w: 2 * WIDE * w)),
    "jnp": (lambda w: weighted(w, jnp.asarray(WIDE)), lambda w: 2 * jnp.asarray(WIDE) * w),
}


@pytest.mark.parametrize(("fun", "candidate"), CAPTURING.values(), ids=CAPTURING)
def test_numpy_arrays_may_be_captured(fun, candidate):
    report = compare_gradients(fun, candidate, X[0])
    assert report.ok, str(report)
    assert not compare_gradients(fun, lambda w: 1.01 * candidate(w), X[0]).ok
    assert report.sensitivity < 1e-12, "the array was rounded to float32"
    assert "2 * " in str(report.annotated)  # read now
    after = jax.grad(lambda w: jnp.sum(WIDE * w**2))(X[0])  # JAX keeps no array in float64
    assert after.dtype == np.float32


def waits(w):
    return (2 * w).block_until_ready()


def selects(w):
    return jnp.zeros_like(w).at[jnp.arange(3)[w > -9]].set(2 * w[w > -9])


def reads_numbers(w):
    return np.asarray([2 * w[i].item() for i in range(len(w))])


@pytest.mark.parametrize("candidate", [waits, selects, reads_numbers])
def test_a_candidate_may_need_concrete_arrays(candidate):
    def squares(w):
        return jnp.sum(w**2)

    w = jnp.asarray(X[0])
    assert compare_gradients(squares, candidate, w).ok
    assert not compare_gradients(squares, lambda w: 1.01 * candidate(w), w).ok


# Arguments


def product(a, flag, p, times):
    once = jnp.where(flag, jnp.sin(a), a)
    return jnp.vdot(jnp.sin(once), p["b"]) * times


def product_by_hand(a, flag, p, times):
    assert jnp.issubdtype(jnp.result_type(times), jnp.integer)
    once, slope = (jnp.sin(a), jnp.cos(a)) if flag else (a, 1)
    return slope * jnp.cos(once) * p["b"] * times, {"b": times * jnp.sin(once)}


ARGNUMS = {
    "several": ((0, 2), 3, lambda da, dp: (da, dp), ["[0]", "[1]['b']"]),
    "in another order": ((2, 0), np.int64(3), lambda da, dp: (dp, da), ["[0]['b']", "[1]"]),
    "one of a tuple": ((2,), np.array(3), lambda _, dp: (dp,), ["[0]['b']"]),
    "several negative": ((-4, -2), jnp.int32(3), lambda da, dp: (da, dp), ["[0]", "[1]['b']"]),
}


@pytest.mark.parametrize(("argnums", "times", "chosen", "paths"), ARGNUMS.values(), ids=ARGNUMS)
def test_argnums_integers_and_flags(argnums, times, chosen, paths):
    def candidate(*args):
        return chosen(*product_by_hand(*args))

    with jax.numpy_dtype_promotion("standard"):
        report = compare_gradients(product, candidate, B, True, {"b": B}, times, argnums=argnums)
    assert report.ok, str(report)
    assert [leaf.path for leaf in report.leaves] == paths


@pytest.mark.parametrize("argnums", [0, -3])
def test_factors_are_named_by_the_batch_however_arguments_are_counted(argnums):
    def summed(p, x, y):
        return [len(x) * leaf for leaf in by_hand(p, x, y)]

    report = compare_gradients(loss, summed, (B, W), X, Y, argnums=argnums)
    (diagnosis,) = report.diagnoses
    assert "summed over the batch where the loss averages. Divide by 4." in diagnosis.message


def test_a_factor_close_to_one_is_not_called_one():
    report = compare_gradients(lambda w: jnp.sum(w**2), lambda w: 2 * (1 + 1e-9) * w, X[0])
    (diagnosis,) = report.diagnoses
    assert diagnosis.factor == pytest.approx(1 + 1e-9, rel=1e-12)
    assert "1.000000001" in diagnosis.message
    assert not diagnosis.message.endswith("Divide by 1.")


@pytest.mark.parametrize("argnums", [3, -4, (), (0, 3)])
def test_refuses_argnums_of_no_argument(argnums):
    with pytest.raises(TypeError, match="there are 3 arguments"):
        compare_gradients(loss, by_hand, PARAMS, X, Y, argnums=argnums)


def of_mixture(p):
    return jnp.sum(p["w"][p["rows"]] ** 2) + jnp.sum(p["b"] ** 3)


MIXTURE = {"w": W, "rows": np.array([0, 2]), "b": B}


def test_leaves_without_a_gradient_are_noted():
    def candidate(p):
        return {"w": jnp.zeros_like(p["w"]).at[p["rows"]].set(2 * p["w"][p["rows"]]), "b": None}

    report = compare_gradients(of_mixture, candidate, MIXTURE)
    assert report.ok, str(report)
    notes = {leaf.path: leaf.note for leaf in report.leaves}
    assert notes == {
        "['b']": "frozen: given as None",
        "['rows']": "not floating point",
        "['w']": "",
    }
    assert "1 leaf compared" in str(report)
    assert "frozen" in str(report)


def test_leaves_without_a_gradient_do_not_excuse_others():
    def candidate(p):
        return {"w": 2 * p["w"], "b": None, "rows": p["rows"]}

    report = compare_gradients(of_mixture, candidate, MIXTURE)
    assert report.verdict == "manual_wrong"
    assert [leaf.path for leaf in report.leaves if not leaf.ok] == ["['w']"]


def test_a_forgotten_return_is_not_a_match():

    def forgetful(*_):
        return None

    def forward(x):
        return jnp.tanh(x), x

    assert not compare_gradients(lambda w: jnp.sum(w**2), forgetful, B).ok
    assert not compare_vjp(jnp.tanh, forward, lambda *_: (None,), B).ok
    assert not compare_updates(lambda w: jnp.sum(w**2), forgetful, B, learning_rate=RATE).ok


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("argnums", "path"), [(0, r"\['w'\]"), ((0, 1), r"\[0\]\['w'\]")])
def test_refuses_to_differentiate_where_an_argument_is_not_finite(argnums, path, value):
    poisoned = W.copy()
    poisoned[1] = value
    with pytest.raises(ValueError, match=f"{path}['\"] holds 2 values that are NaN or infinite"):
        compare_gradients(loss, by_hand, {"b": B, "w": poisoned}, X, Y, argnums=argnums)


@pytest.mark.parametrize(("fun", "candidate"), [(3, by_hand), (loss, "by_hand"), (loss, None)])
def test_refuses_arguments_that_are_not_functions(fun, candidate):
    with pytest.raises(TypeError, match="is not callable"):
        compare_gradients(fun, candidate, PARAMS, X, Y)


# The report


def wrong(p, x, y):
    db, dw = by_hand(p, x, y)
    return {"b": db, "w": -dw}


def test_text_html_data_and_assertion_say_the_same():
    assert_gradients(loss, lambda *args: as_dict(*by_hand(*args)), PARAMS, X, Y)
    report = compare_gradients(loss, wrong, PARAMS, X, Y)
    with pytest.raises(AssertionError) as raised:
        assert_gradients(loss, wrong, PARAMS, X, Y)
    assert str(raised.value) == f"gradients do not match\n{report}"
    verdict, repair, fix = str(report).splitlines()[:3]
    assert verdict.startswith("manual_wrong: the hand-written gradient is wrong")
    assert repair.endswith(
        "`-dw` should be dL/dp['w']; with `dw` every gradient is right (verified)."
    )
    assert fix.strip() == "dL/dp['w'] has the wrong sign: negate it."
    html = report._repr_html_()
    assert html.startswith("<pre")
    assert html.rstrip().endswith("</pre>")
    assert "manual_wrong: the hand-written" in html
    assert "has the wrong sign" in html
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (data["verdict"], data["ok"]) == ("manual_wrong", False)
    assert [d["cause"] for d in data["diagnoses"]] == ["sign_flipped"]
    assert [[d["cause"] for d in e] for e in data["explanations"]] == [["sign_flipped"]]
    assert [leaf["path"] for leaf in data["leaves"]] == ["['b']", "['w']"]


@pytest.mark.parametrize("name", ["<b>", "[bold]w", "w[t]", "[/w]", "layer/w", ":x:"])
def test_names_are_shown_as_they_are(name):
    report = compare_gradients(lambda p: jnp.sum(p[name] ** 2), lambda p: p, {name: B})
    assert report.leaves[0].path == f"['{name}']"
    table = str(report).rpartition("┡")[2]
    assert f"p['{name}']" in table
    assert "<b>" not in report._repr_html_()


def many_squares(p):
    return sum(jnp.sum(leaf**2) for leaf in p)


def ever_worse(p):
    """The first leaf is right, the last is the worst, and one is None."""
    gradient = [(2 + i) * leaf for i, leaf in enumerate(p)]
    gradient[1] = None
    return gradient


def test_of_many_leaves_the_worst_are_shown_first():
    report = compare_gradients(many_squares, ever_worse, [X[0]] * 15)
    assert len(report.leaves) == len(report.to_dict()["leaves"]) == 15
    *rows, last = [text for text in str(report).splitlines() if text.startswith("│ ")]
    assert [row.split()[1] for row in rows] == [f"p[{i}]" for i in range(14, 3, -1)]
    assert "4 more" in last
    assert "2 wrong" in last


# Arguments and settings stay unchanged


def donating(p, x, y):
    return jax.jit(jax.grad(loss), donate_argnums=(0, 1, 2))(p, x, y)


def overwriting(p, x, y):
    """Fills its arguments with zeros where it can."""
    db, dw = by_hand(p, x, y)
    for leaf in (p["w"], p["b"], x, y):
        if isinstance(leaf, np.ndarray):
            leaf[...] = 0
    return {"b": db, "w": dw}


@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
@pytest.mark.parametrize("convert", [np.array, jnp.array])
@pytest.mark.parametrize("candidate", [wrong, donating, overwriting])
def test_arguments_and_settings_are_left_as_they_were(candidate, convert):
    args = jax.tree.map(convert, (PARAMS, X, Y))
    before, states = jax.tree.map(np.array, args), (np.random.get_state(), random.getstate())
    report = compare_gradients(loss, candidate, *args)
    assert report.ok == (candidate is not wrong), str(report)
    jax.tree.map(np.testing.assert_array_equal, args, before)
    assert {leaf.dtype for leaf in jax.tree.leaves(args)} == {np.dtype(np.float32)}
    assert not jax.config.jax_enable_x64
    assert jax.config.jax_numpy_dtype_promotion == "strict"
    np.testing.assert_equal(np.random.get_state(), states[0])
    assert random.getstate() == states[1]


@pytest.mark.parametrize("promotion", ["standard", "strict"])
def test_the_callers_settings_hold_inside_a_comparison(promotion):
    seen = []

    def candidate(p, x, y):
        seen.append(jax.config.jax_numpy_dtype_promotion)
        return as_dict(*by_hand(p, x, y))

    with jax.numpy_dtype_promotion(promotion), jax.enable_x64(True):
        args = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (PARAMS, X, Y))
        report = compare_gradients(loss, candidate, *args)
        assert jax.config.jax_enable_x64
    assert report.ok
    assert {leaf.dtype for leaf in report.leaves} == {"float64"}
    assert set(seen) == {promotion}
