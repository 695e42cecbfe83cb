"""What a comparison refuses, and that it says which argument, what came, and what to do."""

import inspect
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpercep as jp
from jaxpercep import compare

X = np.array([0.3, -1.2, 0.7], np.float32)
COMPLEX = X + np.complex64(1j)
MASKED = np.ma.masked_array(X, [True, False, False])


def total(x, *rest):
    del rest
    return jnp.sum(x**2)


def gradient(x, *rest):
    del rest
    return 2 * x


def squares(x):
    return x**2


def forward(x):
    return x**2, x


def backward(x, dy):
    return (2 * x * dy,)


@jax.custom_vjp
def ruled(x):
    return x**2


ruled.defvjp(forward, backward)


def step(p, *batch):
    del batch
    return p - 0.5 * 2 * p


MODEL, LOSS = jp.Dense(3, 2), jp.SquaredError()
MODEL_ARGS = {
    "model": MODEL,
    "loss": LOSS,
    "params": MODEL.init(jax.random.key(0)),
    "x": np.ones((4, 3), np.float32),
    "y": np.zeros((4, 2), np.float32),
}


def gradients(fun=total, grad_fun=gradient, arg=X, **options):
    return jp.compare_gradients(fun, grad_fun, arg, **options)


def data(arg):
    return jp.compare_gradients(total, gradient, X, arg)


def vjp(fun=squares, forward=forward, backward=backward, arg=X, **options):
    return jp.compare_vjp(fun, forward, backward, arg, **options)


def custom_vjp(fun=ruled, arg=X, **options):
    return jp.compare_custom_vjp(fun, arg, **options)


def tangents(primals, tangents):
    return squares(*primals), 2 * primals[0] * tangents[0]


def jvp(fun=squares, jvp_fun=tangents, arg=X):
    return jp.compare_jvp(fun, jvp_fun, arg)


@jax.custom_jvp
def forward_ruled(x):
    return x**2


forward_ruled.defjvp(tangents)


def custom_jvp(fun=forward_ruled, arg=X):
    return jp.compare_custom_jvp(fun, arg)


def updates(fun=total, update_fun=step, params=X, learning_rate: Any = 0.5):
    return jp.compare_updates(fun, update_fun, params, learning_rate=learning_rate)


def model(**changed):
    return jp.compare_model(**(MODEL_ARGS | changed))


@dataclass(frozen=True)
class Edited:
    """A dense layer whose parameter gradients are edited."""

    edit: Any

    def init(self, key):
        return MODEL.init(key)

    def apply(self, params, x):
        return MODEL.apply(params, x)

    def forward(self, params, x):
        return MODEL.forward(params, x)

    def backward(self, params, residuals, dy):
        dparams, dx = MODEL.backward(params, residuals, dy)
        return self.edit(dparams), dx


IMAGINARY = Edited(lambda d: d._replace(b=d.b + 1j))

COMPLEX_NUMBERS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "gradient": (gradients, {"grad_fun": lambda x: 2 * x + 0j}, "grad_fun returned complex64, "),
    "jitted": (gradients, {"grad_fun": jax.jit(lambda x: 2 * x + 1j)}, "grad_fun returned complex"),
    "one leaf": (
        gradients,
        {
            "fun": lambda p: total(p["w"]),
            "grad_fun": lambda p: {"w": np.asarray(2 * p["w"], np.complex64)},
            "arg": {"w": X},
        },
        r"grad_fun returned complex64 at \['w'\], expected real numbers.* Return the real part",
    ),
    "argument": (gradients, {"arg": COMPLEX}, r"args\[0\] is complex64, expected real .* pass its"),
    "one of two": (gradients, {"arg": {"a": X, "c": COMPLEX}}, r"args\[0\]\['c'\] is complex64"),
    "value": (gradients, {"fun": lambda x: jnp.sum(x) + 1j}, "fun returned complex64"),
    "value of numbers": (
        gradients,
        {"fun": lambda x: jnp.sum(x) + 1j if x[0] > 0 else 0.0},
        "fun returned complex64",
    ),
    "cotangent": (
        vjp,
        {"backward": lambda x, dy: (2 * x * dy + 0j,)},
        r"backward returned complex64 at \[0\]",
    ),
    "output": (vjp, {"fun": lambda x: x + 1j}, "fun returned complex64"),
    "forward": (vjp, {"forward": lambda x: (x**2 + 0j, x)}, "forward returned complex"),
    "argument of a pullback": (vjp, {"arg": COMPLEX}, r"args\[0\] is complex64"),
    "output of a rule": (custom_vjp, {"fun": lambda x: ruled(x) + 1j}, "fun returned complex64"),
    "argument of a rule": (custom_vjp, {"arg": COMPLEX}, r"args\[0\] is complex64"),
    "argument in forward mode": (jvp, {"arg": COMPLEX}, r"args\[0\] is complex64.* pass its real"),
    "argument of a forward rule": (custom_jvp, {"arg": COMPLEX}, r"args\[0\] is complex64"),
    "output in forward mode": (
        jvp,
        {"fun": lambda x: x + 1j},
        r"fun returned complex64.* return its real and its imaginary part as two",
    ),
    "tangent": (
        jvp,
        {"jvp_fun": lambda p, t: (p[0] ** 2, t[0] + 0j)},
        "jvp_fun returned complex64",
    ),
    "params": (updates, {"params": COMPLEX}, "params is complex64"),
    "updated": (updates, {"update_fun": lambda p: p + 0j}, "update_fun returned complex64"),
    "params of a model": (model, {"params": (COMPLEX,)}, r"params\[0\] is complex64"),
    "data of a model": (model, {"x": np.ones((4, 3), np.complex64)}, "x is complex64"),
    "targets of a model": (model, {"y": np.ones((4, 2), np.complex64)}, "y is complex64"),
    "gradient of a layer": (model, {"model": IMAGINARY}, "model returned complex64 at .*b"),
}


@pytest.mark.parametrize(
    ("compared", "changed", "message"), COMPLEX_NUMBERS.values(), ids=COMPLEX_NUMBERS
)
def test_refuses_complex_numbers(compared, changed, message):
    with jax.numpy_dtype_promotion("standard"), pytest.raises(TypeError, match=message):
        compared(**changed)


def spectrum(x, weights):
    return jnp.sum(jnp.abs(jnp.fft.fft(x) * weights) ** 2)


def spectrum_by_hand(x, weights, factor=1.0):
    return factor * 6 * jnp.real(jnp.fft.ifft(jnp.fft.fft(x) * jnp.abs(weights) ** 2))


def test_complex_numbers_inside_are_compared_in_double_precision():
    """The data are complex as well."""

    def wrong(x, weights):
        return spectrum_by_hand(x, weights, 1 + 1e-9)

    with jax.numpy_dtype_promotion("standard"):
        report = jp.compare_gradients(spectrum, spectrum_by_hand, X, COMPLEX)
        assert report.ok, str(report)
        assert report.sensitivity < 1e-12
        assert not jp.compare_gradients(spectrum, wrong, X, COMPLEX).ok


# Everything else that is not what it should be

NO_NUMBERS: list[tuple[Any, str]] = [
    ("relu", "is a str, not an array of numbers"),
    (object(), "is a object, not an array of numbers"),
    (np.array([1, None]), r"its dtype is object; .*\. Pass arrays of numbers"),
    (np.array(["2020"], "M8[D]"), "its dtype is datetime64"),
    (MASKED, r"is a masked array, .*filled\(number\)"),
    (jax.ShapeDtypeStruct((3,), jnp.float32), "is a ShapeDtypeStruct"),
]
TAKING: dict[str, tuple[Any, str, str]] = {
    "compare_gradients": (gradients, "arg", r"args\[0\]"),
    "data of compare_gradients": (data, "arg", r"args\[1\]"),
    "compare_vjp": (vjp, "arg", r"args\[0\]"),
    "compare_custom_vjp": (custom_vjp, "arg", r"args\[0\]"),
    "compare_jvp": (jvp, "arg", r"args\[0\]"),
    "compare_custom_jvp": (custom_jvp, "arg", r"args\[0\]"),
    "compare_updates": (updates, "params", "params"),
    "params of compare_model": (model, "params", "params"),
    "x of compare_model": (model, "x", "x"),
    "y of compare_model": (model, "y", "y"),
}


@pytest.mark.parametrize(("compared", "argument", "name"), TAKING.values(), ids=TAKING)
def test_refuses_arguments_that_are_not_numbers(compared, argument, name):
    for value, message in NO_NUMBERS:
        with pytest.raises(TypeError, match=f"^{name} .*{message}|^{name} {message}"):
            compared(**{argument: value})


FUNCTIONS = [
    *((gradients, name) for name in ("fun", "grad_fun")),
    *((vjp, name) for name in ("fun", "forward", "backward")),
    (custom_vjp, "fun"),
    *((jvp, name) for name in ("fun", "jvp_fun")),
    (custom_jvp, "fun"),
    *((updates, name) for name in ("fun", "update_fun")),
]


@pytest.mark.parametrize(("compared", "name"), FUNCTIONS)
def test_refuses_what_cannot_be_called(compared, name):
    for value in (None, "tanh", 3, X):
        with pytest.raises(TypeError, match=rf"^{name}=.* is not callable; pass a function "):
            compared(**{name: value})


RETURNED: list[tuple[Any, dict[str, Any], str]] = [
    (gradients, {"fun": lambda _: "a"}, "fun returned a str, expected real numbers"),
    (gradients, {"fun": lambda _: None}, "fun returns arrays of shapes none"),
    (gradients, {"fun": lambda _: 3}, "fun returns int32, expected a floating-point number"),
    (gradients, {"grad_fun": lambda _: "a"}, "grad_fun returned a str, expected real numbers"),
    (gradients, {"grad_fun": lambda _: {"a": {1}}}, r"grad_fun returned a set at \['a'\]"),
    (gradients, {"grad_fun": lambda _: MASKED}, "grad_fun returned a masked array"),
    (
        gradients,
        {"grad_fun": lambda _: np.array([1, None])},
        "grad_fun returned an array of object",
    ),
    (vjp, {"backward": lambda *_: ("a",)}, r"backward returned a str at \[0\]"),
    (vjp, {"forward": lambda _: ("a", X)}, "forward returned a str"),
    (jvp, {"jvp_fun": lambda p, _: ("a", p[0])}, "jvp_fun returned a str"),
    (jvp, {"jvp_fun": lambda p, _: (p[0] ** 2, "a")}, "jvp_fun returned a str"),
    (vjp, {"order": "2"}, "order='2'"),
    (custom_vjp, {"batched": 1}, "batched=1"),
    (updates, {"update_fun": lambda _: "a"}, "update_fun returned a str"),
    (model, {"model": None}, "model=None is not a layer"),
    (model, {"loss": None}, "loss=None is not a loss"),
    (vjp, {"arg": np.arange(3)}, "nothing to differentiate by; pass floating-point arrays"),
    (custom_vjp, {"arg": None}, "nothing to differentiate by; pass floating-point arrays"),
    (gradients, {"arg": None}, r"nothing to differentiate by \(no leaves\); pass floating-point"),
    (model, {"x": jax.random.key(0)}, "x is an array of key.*, expected an array of numbers"),
    (model, {"y": None}, "y is None, expected an array of numbers"),
    (gradients, {"arg": jax.random.key(0)}, "nothing to differentiate by .*key"),
]


@pytest.mark.parametrize(("compared", "changed", "message"), RETURNED)
def test_refuses_what_is_not_a_function_of_numbers(compared, changed, message):
    with pytest.raises(TypeError, match=message):
        compared(**changed)


@pytest.mark.parametrize("argnums", [True, None, 0.0, "0", [0.5], (0, 0), (0, -1), 1, -2, ()])
def test_refuses_argnums_that_name_no_argument(argnums):
    with pytest.raises(TypeError, match=r"argnums=.*there is 1 argument to differentiate by; give"):
        gradients(argnums=argnums)


def test_refuses_a_call_without_arguments():
    with pytest.raises(TypeError, match=r"argnums=0: there are 0 arguments .* pass those of fun"):
        jp.compare_gradients(total, gradient)
    for compared in (lambda: jp.compare_vjp(squares, forward, backward), jp.compare_custom_vjp):
        with pytest.raises(TypeError, match=r"args=.*: nothing to|fun"):
            compared()


@pytest.mark.parametrize("rate", [None, "0.1", True, 1j, np.ones(2), jnp.ones(2)])
def test_refuses_a_learning_rate_that_is_no_number(rate):
    with pytest.raises(TypeError, match=r"learning_rate=.* must be a number, not"):
        updates(learning_rate=rate)


@pytest.mark.parametrize("rate", [np.nan, np.inf])
def test_refuses_a_learning_rate_that_is_not_finite(rate):
    with pytest.raises(ValueError, match=r"learning_rate=.* must be finite"):
        updates(learning_rate=rate)


def test_refuses_traced_arguments():
    with pytest.raises(TypeError, match=r"args\[0\] is being traced.* outside of jax.jit"):
        jax.jit(lambda x: gradients(arg=x).ok)(X)


def test_takes_either_byte_order():
    assert gradients(arg=X.astype(">f4"), argnums=np.int64(0)).ok


def test_a_layer_gradient_of_the_wrong_shape_is_named():
    def edit(d):
        return d._replace(w=d.w.T, b=jnp.ones(5))

    with pytest.raises(AssertionError) as raised:
        jp.assert_model(**(MODEL_ARGS | {"model": Edited(edit)}))
    assert "dL/dparams.w is transposed" in str(raised.value)
    assert "dL/dparams.b has shape [5], expected [2]" in str(raised.value)


# The form for tests

KINDS = [name for name in compare.__all__ if name.startswith("compare_")]


@pytest.mark.parametrize("name", KINDS)
def test_every_comparison_has_a_form_that_raises(name):
    own = getattr(jp, name.replace("compare", "assert"))
    given, other = inspect.signature(own), inspect.signature(getattr(jp, name))
    *shared, last = given.parameters.values()
    assert shared == list(other.parameters.values())
    assert (last.name, last.default) == ("blind_spots", "ignore")
    assert own.__name__ == name.replace("compare", "assert")
    assert f"errors, are those of `{name}`" in own.__doc__


@jax.custom_vjp
def wrongly_ruled(x):
    return x**2


wrongly_ruled.defvjp(forward, lambda x, dy: (4 * x * dy,))


def test_the_form_for_tests_raises_with_the_report():
    with pytest.raises(AssertionError, match=r"do not match\nmanual_wrong: [^$]*Divide by 2\."):
        jp.assert_custom_vjp(wrongly_ruled, X)
    jp.assert_vjp(squares, forward, backward, X)
