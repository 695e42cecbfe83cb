"""Checks the promises of every layer in `cases.LAYERS`, then those of single layers."""

import copy
import dataclasses
import pickle
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import (
    BATCH,
    DENSE,
    DENSE_TANH,
    FEATURES,
    FOREIGN,
    LAYERS,
    ROUNDING,
    Case,
    assert_agree,
    assert_right_pullback,
    assert_same_form,
    assert_same_output,
    autodiff_pull_back,
    draw,
    draw_params,
    foreign_apply,
    pull_back,
    relative_error,
)
from jax.nn import initializers

import jaxpercep as jp
from jaxpercep.dense import B_INITIALIZERS, W_INITIALIZERS


def case_name(case):
    return case.name


OWN = [case for case in LAYERS if "AutodiffLayer" not in repr(case.layer)]
WITH_FEATURES = [c for c in OWN if "Dense" in repr(c.layer) or "LayerNorm" in repr(c.layer)]
every_layer = pytest.mark.parametrize("case", LAYERS, ids=case_name)
COMBINATORS = jp.Serial, jp.Repeat, jp.Residual
LEAVES = [case for case in LAYERS if not isinstance(case.layer, COMBINATORS)]
DEEPEST = LAYERS[-1]
every_own_layer = pytest.mark.parametrize("case", OWN, ids=case_name)
in_double = pytest.mark.usefixtures("x64")
DEEP = jp.Serial(jp.Residual(jp.Repeat(jp.Serial(DENSE, jp.gelu), 2)), jp.LayerNorm(FEATURES))


def evaluated(layer, params, x):
    return layer.forward(params, x)[1]


def traced(layer, params, x):
    return jax.eval_shape(layer.forward, params, x)[1]


def mapped(layer, params, x):
    """Maps over samples, so that tracers take the place of arrays."""
    forward = jax.vmap(layer.forward, in_axes=(None, 0))
    return jax.eval_shape(forward, params, x[:, None])[1]


compiled_pull_back = jax.jit(pull_back, static_argnums=0)


@cache
def in_float64(case):
    """Returns (params, x, dy), and (dparams, dx) by the layer's rule, compiled, under x64."""
    arguments = draw(case)
    return arguments, compiled_pull_back(case.layer, *arguments)


def count_numbers(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def largest_error(actual, expected):
    pairs = zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True)
    return max(relative_error(a, e) for a, e in pairs)


# Values and gradients


@in_double
@every_layer
def test_forward_returns_what_apply_does(case):
    params, x, _ = draw(case)
    assert_same_output(case.layer.forward(params, x)[0], case.layer.apply(params, x))


@in_double
@every_layer
def test_gradients_have_the_form_of_parameters_and_input(case):
    (params, x, _), gradients = in_float64(case)
    assert_same_form(gradients, (params, x))


@in_double
@every_layer
def test_backward_is_what_autodiff_says(case):
    assert_right_pullback(case.layer, *draw(case))


@in_double
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("case", [*LEAVES, DEEPEST], ids=case_name)
def test_backward_keeps_the_digits_of_low_precision(case, dtype):
    arguments = draw(case, dtype)
    gradients = pull_back(case.layer, *arguments)
    assert_same_form(gradients, arguments[:2])
    # An eps for each rounding; the deepest case, of 14 layers, needs 26 in float32.
    assert largest_error(gradients, in_float64(case)[1]) <= 40 * float(jnp.finfo(dtype).eps)


@in_double
@every_layer
def test_backward_is_linear_in_dy(case):
    (params, x, dy), once = in_float64(case)
    other = jnp.flip(dy)
    terms = once, compiled_pull_back(case.layer, params, x, other)
    expected = jax.tree.map(lambda a, b: 2 * a - 3 * b, *terms)
    assert_agree(compiled_pull_back(case.layer, params, x, 2 * dy - 3 * other), expected)


# Residuals


@every_layer
def test_residuals_hold_no_parameter(case):
    params, x, _ = draw(case, np.float32)
    held = jax.tree.leaves(case.layer.forward(params, x)[1])
    assert not {id(leaf) for leaf in held} & {id(leaf) for leaf in jax.tree.leaves(params)}


@pytest.mark.parametrize("evaluate", [evaluated, traced, mapped])
@every_layer
def test_residuals_hold_every_array_once(case, evaluate):
    params, x, _ = draw(case, np.float32)
    assert count_numbers(evaluate(case.layer, params, x)) == case.kept


def test_residuals_of_a_numpy_input_are_held_once_too():
    model = jp.Serial(DENSE, jp.Residual(DENSE_TANH))
    params = draw_params(model, np.random.default_rng(0), np.float32)
    residuals = model.forward(params, np.ones((BATCH, FEATURES), np.float32))[1]
    assert count_numbers(residuals) == 3 * BATCH * FEATURES


def test_residuals_show_what_they_hold(key):
    residuals = DENSE_TANH.forward(DENSE_TANH.init(key), jnp.ones((1, FEATURES)))[1]
    assert repr(residuals).startswith("StoredOnce([0, 1], arrays=(Array(")


def test_manual_scan_needs_less_memory_than_autodiff(key):
    model = jp.Repeat(jp.Serial(jp.Dense(64, 64), jp.tanh), 64)
    x = jnp.zeros((64, 64))

    def temporaries(method):
        f = jax.jit(jp.value_and_grad(model, jp.SquaredError(), method))
        lowered = f.lower(jax.eval_shape(model.init, key), x, x)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporaries("manual") < 0.6 * temporaries("autodiff")


# Transformations


@in_double
@every_layer
def test_compiled_gradients_are_the_eager_ones(case):
    arguments, gradients = in_float64(case)
    assert_agree(gradients, pull_back(case.layer, *arguments))


@in_double
@every_layer
def test_maps_over_samples(case):
    (params, x, dy), (dparams, dx) = in_float64(case)
    each, each_dx = jax.vmap(partial(pull_back, case.layer, params))(x, dy)
    assert_agree(each_dx, dx)
    assert_agree(jax.tree.map(lambda leaf: leaf.sum(0), each), dparams)


@in_double
@every_layer
def test_scans_and_maps_over_parameters(case):
    (params, x, dy), gradients = in_float64(case)
    other = draw_params(case.layer, np.random.default_rng(1))
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), other, params)

    def add(total, sample):
        dparams, dx = jax.vmap(lambda p: pull_back(case.layer, p, *sample), axis_size=2)(both)
        return jax.tree.map(jnp.add, total, dparams), dx

    dparams, dx = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, both), (x, dy))
    assert_agree((jax.tree.map(lambda leaf: leaf[1], dparams), dx[:, 1]), gradients)


@in_double
@pytest.mark.parametrize("batch", [(), (2, 2), (1, 2, 2)], ids=str)
@pytest.mark.parametrize("layer", [DENSE, jp.LayerNorm(FEATURES), FOREIGN, DEEP], ids=repr)
def test_takes_batch_axes_of_any_rank(layer, batch):
    params, x, dy = draw(Case("", layer, (int(np.prod(batch)), FEATURES), 0))
    y = layer.apply(params, x)
    dparams, dx = pull_back(layer, params, x, dy)
    np.testing.assert_allclose(
        layer.apply(params, x.reshape(*batch, -1)), y.reshape(*batch, -1), rtol=ROUNDING
    )
    reshaped = pull_back(layer, params, x.reshape(*batch, -1), dy.reshape(*batch, -1))
    assert_agree(reshaped, (dparams, dx.reshape(*batch, -1)))


# Bad input: at the call, and under jit


def functions_of(layer):
    """Calls apply and forward; the author of a foreign apply answers for it."""
    return (layer.forward,) if layer == FOREIGN else (layer.apply, layer.forward)


def assert_refuses(case, error, message, params, x):
    for function in functions_of(case.layer):
        with pytest.raises(error, match=message):
            function(params, x)
        with pytest.raises(error, match=message):
            jax.eval_shape(function, params, x)


def assert_refuses_eagerly(case, message, params, x):
    for function in functions_of(case.layer):
        with pytest.raises(TypeError, match=message):
            function(params, x)


@every_layer
def test_refuses_an_empty_batch(case):
    params, x, _ = draw(case, np.float32)
    assert_refuses(case, ValueError, r"x has shape \[0, 3\]: an empty batch", params, x[:0])


@every_layer
def test_refuses_integer_input(case):
    params, x, _ = draw(case, np.float32)
    message = r"x has dtype int32, expected floating point; .*x\.astype\(jnp\.float32\)"
    assert_refuses(case, TypeError, message, params, x.astype(int))


@every_own_layer
def test_refuses_a_cotangent_of_another_shape(case):
    params, x, dy = draw(case, np.float32)
    _, residuals = case.layer.forward(params, x)
    with pytest.raises(ValueError, match=r"dy has shape \[1, \d\], expected y's shape \[4, \d\]"):
        case.layer.backward(params, residuals, dy[:1])


@every_own_layer
def test_refuses_what_is_no_array(case):
    params, _, _ = draw(case, np.float32)
    assert_refuses_eagerly(case, r"x is a str, not an array of numbers", params, "abc")
    assert_refuses_eagerly(case, r"x is a list, not an array of numbers", params, [[1.0], [2, 3]])


@pytest.mark.parametrize("case", WITH_FEATURES, ids=case_name)
def test_refuses_the_wrong_number_of_features(case):
    params, x, _ = draw(case, np.float32)
    message = r"x has shape \[4, 2\], expected \[\.\.\., 3\]: 3 features on the last axis"
    assert_refuses(case, ValueError, message, params, x[:, :2])


@pytest.mark.parametrize("case", WITH_FEATURES, ids=case_name)
def test_refuses_a_scalar_where_features_are_due(case):
    params, _, _ = draw(case, np.float32)
    message = r"x has shape \[\], expected \[\.\.\., 3\]"
    assert_refuses(case, ValueError, message, params, jnp.float32(1))


@every_own_layer
def test_refuses_the_parameters_of_another_layer(case):
    _, x, _ = draw(case, np.float32)
    others = (jp.Dense(5, 7), jp.Serial(jp.Dense(5, 7), jp.tanh))
    drawn = [draw_params(other, np.random.default_rng(0), np.float32) for other in others]
    for alien in ({"alien": x}, *drawn):
        assert_refuses(case, (TypeError, ValueError), "params", alien, x)


@every_own_layer
@pytest.mark.parametrize("key", [0, None, jnp.zeros(2), jax.random.split(jax.random.key(0), 3)])
def test_refuses_what_is_not_one_key(case, key):
    with pytest.raises(TypeError, match=r"key=.* is not one random key; .*random\.key\(seed\)"):
        case.layer.init(key)


def test_takes_both_kinds_of_key():
    raw, typed = (DEEP.init(make(3)) for make in (jax.random.PRNGKey, jax.random.key))
    jax.tree.map(np.testing.assert_array_equal, raw, typed)


WRONG_SHAPES = {
    "dense": (DENSE, jp.Dense(3, 2), r"w=\(3, 2\), b=\(2,\), expected w=\(3, 3\), b=\(3,\)"),
    "missing_bias": (DENSE, jp.Dense(3, 3, use_bias=False), r"b=None, expected .* b=\(3,\)"),
    "extra_bias": (jp.Dense(3, 3, use_bias=False), DENSE, r"b=\(3,\), expected .* b=None"),
    "layer_norm": (jp.LayerNorm(3), jp.LayerNorm(1), r"params.*\(1,\).*\(3,\)"),
    "serial": (DENSE_TANH, jp.Serial(DENSE), r"params is a tuple of 1, .*per layer \(2\)"),
    "repeat": (jp.Repeat(DENSE, 3), jp.Repeat(DENSE, 2), r"expected 3 sets stacked on axis 0"),
    "unstacked": (jp.Repeat(DENSE, 2), DENSE, r"params\.w has shape .*expected 2 sets stacked"),
}


@pytest.mark.parametrize(("layer", "other", "message"), WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_refuses_parameters_of_the_wrong_shape(layer, other, message, key):
    params = other.init(key)
    for function in functions_of(layer):
        with pytest.raises((TypeError, ValueError), match=message):
            function(params, jnp.ones((BATCH, FEATURES)))


def test_serial_refuses_a_list_of_parameters(key):
    """Passes a list of parameters, as a checkpoint may: autodiff would return a list."""
    with pytest.raises((TypeError, ValueError), match=r"params.*list.*expected a tuple"):
        DENSE_TANH.forward(list(DENSE_TANH.init(key)), jnp.ones((BATCH, FEATURES)))


def test_dense_refuses_mixed_types(key):
    params = DENSE.init(key)
    x = jnp.ones((BATCH, FEATURES))
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    message = r"x is float32 and the parameters are bfloat16, so digits of x would be lost; convert"
    with pytest.raises(TypeError, match=message):
        DENSE.apply(narrow, x)
    mixed = params._replace(b=params.b.astype(jnp.bfloat16))
    with pytest.raises(TypeError, match=r"float32.*bfloat16"):
        DENSE.apply(mixed, x)


WIDENING = [DENSE, jp.Residual(DENSE), jp.Repeat(DENSE_TANH, 3), jp.Repeat(jp.Residual(DENSE), 1)]


@in_double
@pytest.mark.parametrize("narrow", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("layer", WIDENING, ids=repr)
def test_a_narrower_input_is_widened_without_a_loss(layer, narrow):
    params, x, dy = draw(Case("", layer, (BATCH, FEATURES), 0))
    x = x.astype(narrow)
    y = layer.apply(params, x)
    np.testing.assert_array_equal(y, layer.apply(params, x.astype(jnp.float64)))
    np.testing.assert_array_equal(y, layer.forward(params, x)[0])
    dparams, dx = pull_back(layer, params, x, dy)
    expected = autodiff_pull_back(layer, params, x, dy)
    assert_agree((dparams, dx), expected, tolerance=2 * float(jnp.finfo(narrow).eps))


NARROWING = jp.AutodiffLayer(lambda _: (), lambda _, x: x.astype(jnp.bfloat16))


def test_residual_refuses_a_layer_that_changes_shape_or_type(key):
    wider = jp.Residual(jp.Dense(3, 2))
    with pytest.raises(ValueError, match=r"maps float32\[4, 3\] to float32\[4, 2\]; its output"):
        wider.apply(wider.init(key), jnp.ones((4, 3)))
    with pytest.raises(ValueError, match=r"maps float32\[4, 3\] to bfloat16\[4, 3\]"):
        jp.Residual(NARROWING).forward((), jnp.ones((4, 3)))


def test_repeat_refuses_a_layer_that_changes_shape_or_type(key):
    narrower = jp.Repeat(jp.Dense(3, 2), 2)
    with pytest.raises(ValueError, match=r"maps float32\[4, 3\] to float32\[4, 2\]; its output"):
        narrower.apply(narrower.init(key), jnp.ones((4, 3)))
    with pytest.raises(ValueError, match=r"maps float32\[4, 3\] to bfloat16\[4, 3\]"):
        jp.Repeat(NARROWING, 2).forward((), jnp.ones((4, 3)))


BAD_DESCRIPTIONS = {
    "zero features": (lambda: jp.Dense(0, 1), ValueError, r"in_features=0 must be at least 1"),
    "negative": (lambda: jp.Dense(1, -2), ValueError, r"out_features=-2 must be at least 1"),
    "float": (lambda: jp.Dense(1.0, 2), TypeError, r"in_features=1.0 must be an integer"),
    "bool": (lambda: jp.Dense(1, True), TypeError, r"out_features=True must be an integer"),
    "w_init": (lambda: jp.Dense(1, 1, "glorot"), ValueError, r"w_init='glorot' is not one of"),
    "nearest": (lambda: jp.Dense(1, 1, "he_normel"), ValueError, r"Did you mean 'he_normal'\?"),
    "b_init": (lambda: jp.Dense(1, 1, b_init="orthogonal"), ValueError, r"b_init='orthogonal'"),
    "integer dtype": (
        lambda: jp.Dense(1, 1, dtype="int8"),
        TypeError,
        r"dtype='int8' is not a floating-point type",
    ),
    "unknown dtype": (lambda: jp.Dense(1, 1, dtype="blfoat16"), TypeError, r"dtype='?blfoat16"),
    "use_bias": (lambda: jp.Dense(1, 1, use_bias=0), TypeError, r"use_bias=0 must be True or"),
    "no layer": (lambda: jp.Serial(), ValueError, r"needs at least one layer"),
    "NumPy's function": (
        lambda: jp.Serial(DENSE, np.tanh),
        TypeError,
        r"layers\[1\]=.* is not a layer.*jax\.numpy\.tanh",
    ),
    "a class": (lambda: jp.Repeat(jp.Dense, 2), TypeError, r"layer=.*Dense.* is not a layer"),
    "residual": (lambda: jp.Residual(3), TypeError, r"layer=3 is not a layer"),
    "times": (lambda: jp.Repeat(DENSE, 0), ValueError, r"times=0 must be at least 1"),
    "float times": (lambda: jp.Repeat(DENSE, 2.0), TypeError, r"times=2.0 must be an integer"),
    "norm": (lambda: jp.LayerNorm(0), ValueError, r"features=0 must be at least 1"),
    "epsilon": (lambda: jp.LayerNorm(3, 0.0), ValueError, r"epsilon=0.0 must be above 0"),
    "nan": (lambda: jp.LayerNorm(3, float("nan")), ValueError, r"epsilon=nan must be finite"),
    "text": (lambda: jp.LayerNorm(3, "1e-5"), TypeError, r"epsilon='1e-5'"),
    "init": (
        lambda: jp.AutodiffLayer(None, foreign_apply),
        TypeError,
        r"init=None is not callable",
    ),
    "apply": (lambda: jp.AutodiffLayer(jnp.zeros, 3), TypeError, r"apply=3 is not"),
    "arguments of init": (
        lambda: jp.AutodiffLayer(foreign_apply, foreign_apply),
        TypeError,
        r"init=<.*> cannot be called with 1 argument; pass a function key -> params",
    ),
    "arguments of w_init": (
        lambda: jp.Dense(2, 3, w_init=lambda key: key),
        TypeError,
        r"w_init=<.*> cannot be called with 3 arguments; pass a function \(key, shape, dtype\)",
    ),
    "features of neighbours": (
        lambda: jp.Serial(jp.tanh, jp.Dense(2, 8), jp.relu, jp.tanh, jp.Dense(4, 1)),
        ValueError,
        r"layers\[4\]=Dense\(4, 1\) takes 4 .* layers\[1\]=Dense\(2, 8\) returns 8; make the two",
    ),
    "one size": (lambda: jp.mlp([2]), ValueError, r"sizes=\[2\]: expected at least two numbers"),
    "a string": (lambda: jp.mlp("22"), TypeError, r"sizes='22': expected numbers"),
    "no sequence": (lambda: jp.mlp(2), TypeError, r"sizes=2: expected numbers"),
    "zero width": (lambda: jp.mlp([2, 0, 1]), ValueError, r"sizes\[1\]=0 must be at least 1"),
    "name": (lambda: jp.mlp([2, 1], "relu"), TypeError, r"activation='relu' is a string"),
    "scan": (lambda: jp.mlp([2, 1], scan=1), TypeError, "scan=1"),
    "output": (lambda: jp.mlp([2, 1], output=None), TypeError, r"output=None is not a layer"),
}


@pytest.mark.parametrize(
    ("describe", "error", "message"), BAD_DESCRIPTIONS.values(), ids=BAD_DESCRIPTIONS
)
def test_refuses_bad_descriptions(describe, error, message):
    with pytest.raises(error, match=message):
        describe()


# Descriptions: values that compare, hash and read like the call that made them


class PublicNames(dict):
    """Returns the names that `from jaxpercep import *` would define."""

    def __missing__(self, name):
        return getattr(jp, name)


@every_own_layer
def test_reads_like_the_call(case):
    assert eval(repr(case.layer), {}, PublicNames()) == case.layer


def test_reads_like_the_call_with_options():
    options = jp.Dense(2, 1, "zeros", initializers.ones, use_bias=False, dtype=jnp.bfloat16)
    assert repr(options) == (
        "Dense(2, 1, w_init='zeros', b_init=ones, use_bias=False, dtype='bfloat16')"
    )
    assert repr(jp.mlp([2, 2, 1])) == "Serial(Dense(2, 2), sigmoid, Dense(2, 1))"
    assert repr(FOREIGN) == "AutodiffLayer(foreign_init, foreign_apply)"


@every_layer
def test_is_a_value(case):
    assert isinstance(case.layer, jp.Layer)
    assert hash(case.layer) == hash(case.layer)
    assert [other.name for other in LAYERS if other.layer == case.layer] == [case.name]
    with pytest.raises(AttributeError):
        case.layer.times = 7


EQUAL = {
    "dtype": (jp.Dense(2, 1, dtype="bfloat16"), jp.Dense(2, 1, dtype=jnp.bfloat16)),
    "numpy dtype": (jp.Dense(2, 1, dtype=np.float32), jp.Dense(2, 1, dtype=np.dtype("f4"))),
    "numpy sizes": (jp.Dense(np.int64(2), np.int32(1)), jp.Dense(2, 1)),
    "defaults": (jp.Dense(2, 1, "glorot_uniform", "zeros", True, None), jp.Dense(2, 1)),
    "nested": (
        jp.Repeat(jp.Residual(jp.LayerNorm(2)), 2),
        jp.Repeat(jp.Residual(jp.LayerNorm(2)), 2),
    ),
    "mlp": (jp.mlp((3, 2), output=jp.tanh), jp.Serial(jp.Dense(3, 2), jp.tanh)),
    "mlp, scanned": (
        jp.mlp([3, 2, 2, 2, 4, 4, 1], jp.tanh, scan=True),
        jp.Serial(
            *(jp.Dense(3, 2), jp.tanh, jp.Repeat(jp.Serial(jp.Dense(2, 2), jp.tanh), 2)),
            *(jp.Dense(2, 4), jp.tanh, jp.Dense(4, 4), jp.tanh, jp.Dense(4, 1)),
        ),
    ),
    "mlp, nothing to scan": (jp.mlp([2, 2, 1], scan=True), jp.mlp([2, 2, 1])),
    "mlp options": (jp.mlp([3, 2], w_init="ones"), jp.Serial(jp.Dense(3, 2, w_init="ones"))),
    "any sizes": (jp.mlp(n for n in (3, 2)), jp.mlp(np.array([3, 2]))),
    "numpy epsilon": (jp.LayerNorm(2, np.float64(1e-3)), jp.LayerNorm(2, 1e-3)),
    "perceptron": (jp.perceptron(3, jp.step), jp.Serial(jp.Dense(3, 1), jp.step)),
    "sigmoid by default": (jp.perceptron(3), jp.Serial(jp.Dense(3, 1), jp.sigmoid)),
}


@pytest.mark.parametrize(("one", "other"), EQUAL.values(), ids=EQUAL)
def test_equal_descriptions_hash_equal(one, other):
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_a_compute_type_is_never_the_default(dtype):
    assert jp.Dense(2, 1, dtype=dtype) != jp.Dense(2, 1)
    assert jp.Dense(2, 1, dtype=dtype) == jp.Dense(2, 1, dtype=jnp.dtype(dtype))
    assert repr(jp.Dense(2, 1, dtype=dtype)) == f"Dense(2, 1, dtype={dtype!r})"


@pytest.mark.parametrize("name", ["w_init", "b_init"])
def test_refuses_what_an_initializer_returns(name, key):
    dense = jp.Dense(2, 3, **{name: lambda *_: jnp.zeros((4, 4))})
    with pytest.raises(ValueError, match=rf"Dense\(2, 3.*{name}\(key, .*returned shape \(4, 4\)"):
        dense.init(key)
    dense = jp.Dense(2, 3, **{name: lambda *_: "zeros"})
    with pytest.raises(TypeError, match=rf"{name}\(key, .*is a str, not an array of numbers"):
        dense.init(key)


@dataclasses.dataclass
class Mutable:
    """A mutable layer, so that Python gives it no hash."""

    init, apply, forward, backward = (jp.relu.init, jp.relu.apply, jp.relu.forward, None)


def test_refuses_a_layer_without_a_hash():
    layer = Mutable()
    layer.backward = jp.relu.backward
    with pytest.raises(TypeError, match=r"layers\[0\]=.*declare it @dataclass\(frozen=True\)"):
        jp.Serial(layer)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@every_own_layer
def test_a_copy_is_the_same_description(case, duplicate):
    assert duplicate(case.layer) == case.layer
    assert hash(duplicate(case.layer)) == hash(case.layer)


def test_callable_initializers_compare_by_identity():
    one, other = initializers.constant(1.0), initializers.constant(1.0)
    assert jp.Dense(2, 1, one) == jp.Dense(2, 1, one)
    assert jp.Dense(2, 1, one) != jp.Dense(2, 1, other)


# Initializers


def drawn_with(initializer, key, shape):
    return initializer(key, shape, jnp.float32)


@pytest.mark.parametrize("name", sorted(W_INITIALIZERS))
def test_weights_are_drawn_as_jax_draws_them(name, key):
    functions = {"ones": initializers.ones, "zeros": initializers.zeros}
    initializer = functions.get(name) or getattr(initializers, name)()
    params = jp.Dense(5, 4, w_init=name).init(key)
    expected = drawn_with(initializer, jax.random.split(key)[0], (5, 4))
    np.testing.assert_array_equal(params.w, expected)
    np.testing.assert_array_equal(params.b, np.zeros(4))


@pytest.mark.parametrize("name", sorted(B_INITIALIZERS))
def test_biases_are_drawn_with_a_key_of_their_own(name, key):
    params = jp.Dense(4, 4, w_init="zeros", b_init=name).init(key)
    expected = drawn_with(W_INITIALIZERS[name], jax.random.split(key)[1], (4,))
    np.testing.assert_array_equal(params.b, expected)


def test_torch_linear_is_uniform_within_one_over_root_in(key):
    params = jp.Dense(16, 4000, "torch_linear", "torch_linear").init(key)
    for leaf in params:
        assert np.max(np.abs(leaf)) <= 0.25
        np.testing.assert_allclose(np.std(leaf), 0.25 / np.sqrt(3), rtol=0.05)
    assert not np.array_equal(params.w[0], params.b)


@pytest.mark.parametrize("argument", ["w_init", "b_init"])
def test_initializers_may_be_functions(argument, key):
    def sevens(_, shape, dtype):
        return jnp.full(shape, 7, dtype)

    params = jp.Dense(2, 3, **{argument: sevens}).init(key)
    leaf = {"w_init": params.w, "b_init": params.b}[argument]
    np.testing.assert_array_equal(leaf, np.full(leaf.shape, 7))


def test_parameters_are_never_weakly_typed(key):
    """A weak type would cost a second compilation after the first update."""

    def weak(_, shape, __):
        return jnp.full(shape, 0.1)

    assert not any(leaf.weak_type for leaf in jp.Dense(2, 1, weak, weak).init(key))


def test_every_layer_of_a_model_draws_numbers_of_its_own(key):
    first, second = jp.Serial(DENSE, DENSE).init(key)
    stacked = jp.Repeat(DENSE, 2).init(key)
    assert not np.array_equal(first.w, second.w)
    assert not np.array_equal(stacked.w[0], stacked.w[1])
    np.testing.assert_array_equal(jp.LayerNorm(3).init(key), [np.ones(3), np.zeros(3)])


@in_double
def test_parameters_are_double_under_x64(key):
    params = jp.Serial(DENSE, jp.LayerNorm(FEATURES), jp.tanh).init(key)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float64)}


# The compute type of Dense


def rounded(array):
    return np.asarray(jnp.asarray(array, jnp.bfloat16), np.float64)


def test_compute_type_rounds_the_factors_of_each_product_and_nothing_else():
    layer = jp.Dense(FEATURES, 2, dtype="bfloat16")
    rng = np.random.default_rng(0)
    params = draw_params(layer, rng, np.float32)
    x = jnp.asarray(rng.normal(size=(BATCH, FEATURES)), np.float32)
    dy = jnp.asarray(rng.normal(size=(BATCH, 2)), np.float32)
    y, residuals = layer.forward(params, x)
    dparams, dx = layer.backward(params, residuals, dy)
    assert_same_form((y, (dparams, dx)), (dy, (params, x)))
    w, b = params
    for actual, expected in (
        (y, rounded(x) @ rounded(w) + np.asarray(b)),
        (dparams.w, rounded(x).T @ rounded(dy)),
        (dparams.b, np.asarray(dy, np.float64).sum(0)),
        (dx, rounded(dy) @ rounded(w).T),
    ):
        assert relative_error(actual, expected) <= 8 * np.finfo(np.float32).eps
    autodiff = autodiff_pull_back(layer, params, x, dy)
    assert largest_error((dparams, dx), autodiff) <= 4 * float(jnp.finfo(jnp.bfloat16).eps)


@pytest.mark.parametrize("layer", [DENSE, jp.LayerNorm(FEATURES)], ids=repr)
def test_sums_over_the_batch_are_accumulated_in_float32(layer):
    samples = 4096  # bfloat16 counts no further than 256
    x = jnp.tile(jnp.asarray([1, 0, -1], jnp.bfloat16), (samples, 1))
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), layer.init(jax.random.key(0)))
    dparams, _ = pull_back(layer, params, x, jnp.ones_like(x))
    np.testing.assert_array_equal(np.asarray(dparams[1], np.float32), np.full(3, samples))
    assert abs(float(dparams[0].ravel()[0])) >= samples


def reductions(jaxpr):
    """Returns the equations of a flat jaxpr that sum over an axis, by any primitive."""
    summing = "reduce", "reduce_sum", "dot_general"
    return [equation for equation in jaxpr.eqns if equation.primitive.name in summing]


@pytest.mark.parametrize("layer", [DENSE, jp.LayerNorm(FEATURES)], ids=repr)
def test_no_sum_is_written_in_bfloat16(layer):
    """The CPU would sum in float32 even so; other devices do not."""
    arguments = draw(Case("", layer, (BATCH, FEATURES), 0), jnp.bfloat16)
    sums = reductions(jax.make_jaxpr(partial(pull_back, layer))(*arguments))
    assert len(sums) >= 3
    assert {equation.outvars[0].aval.dtype for equation in sums} == {np.dtype(np.float32)}


# What the layers compute, written once more


def normalized(x, scale, bias, epsilon):
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + epsilon) * scale + bias


@in_double
@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_layer_norm_is_its_formula(epsilon):
    layer = jp.LayerNorm(FEATURES, epsilon)
    params, x, _ = draw(Case("", layer, (BATCH, FEATURES), 0))
    expected = normalized(np.asarray(x), *map(np.asarray, params), epsilon)
    np.testing.assert_allclose(layer.apply(params, x), expected, rtol=ROUNDING, atol=ROUNDING)


def test_layer_norm_of_equal_features_is_its_bias():
    layer = jp.LayerNorm(FEATURES)
    params, x, dy = draw(Case("", layer, (BATCH, FEATURES), 0), np.float32)
    y = layer.apply(params, jnp.full_like(x, 7))
    np.testing.assert_array_equal(y, jnp.broadcast_to(params.bias, y.shape))
    assert np.isfinite(pull_back(layer, params, jnp.full_like(x, 7), dy)[1]).all()


def test_layer_norm_takes_mean_and_variance_in_float32():
    """Near 100, bfloat16 has steps of 1/2: a mean rounded to one would be far off."""
    layer = jp.LayerNorm(5)
    x = jnp.asarray([[100, 100.5, 101, 100, 100]], jnp.bfloat16)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), layer.init(jax.random.key(0)))
    y = np.asarray(layer.apply(params, x), np.float64)
    np.testing.assert_allclose(y, normalized(np.asarray(x, np.float64), 1, 0, 1e-5), rtol=2**-8)


@in_double
def test_combinators_are_what_they_say():
    f, g = DENSE, jp.Serial(DENSE, jp.gelu)
    (p, x, _), (q, _, _) = (draw(Case("", layer, (BATCH, FEATURES), 0)) for layer in (f, g))
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), q, jax.tree.map(jnp.negative, q))
    first, second = (jax.tree.map(lambda leaf, i=i: leaf[i], both) for i in range(2))
    for actual, expected in (
        (jp.Serial(f, g).apply((p, q), x), g.apply(q, f.apply(p, x))),
        (jp.Residual(g).apply(q, x), x + g.apply(q, x)),
        (jp.Repeat(g, 2).apply(both, x), g.apply(second, g.apply(first, x))),
        (f.apply(p, x), np.asarray(x) @ np.asarray(p.w) + np.asarray(p.b)),
    ):
        np.testing.assert_allclose(actual, expected, rtol=ROUNDING, atol=ROUNDING)
