"""One gradient by two methods; and rules planted wrong, which every checker has to catch."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import (
    DENSE,
    DENSE_TANH,
    FEATURES,
    FOREIGN,
    LOSSES,
    Case,
    assert_agree,
    assert_right_pullback,
    assert_same_form,
    draw,
    draw_params,
)
from jax import lax

import jaxpercep as jp
from jaxpercep.activations import Activation
from jaxpercep.dense import DenseParams
from jaxpercep.losses import Elementwise
from jaxpercep.norm import LayerNormParams

METHODS = ("autodiff", "manual")
LOSS = jp.SquaredError()
MODEL = jp.mlp([FEATURES, 4, 2], jp.tanh)
in_double = pytest.mark.usefixtures("x64")


def problem(model=MODEL, dtype=np.float64):
    """(params, x, target) for a squared error."""
    params, x, dy = draw(Case("", model, (4, FEATURES), 0), dtype)
    return params, x, dy


# value_and_grad


@in_double
@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_both_methods_return_the_same_value_and_gradient(case):
    prediction, target = case.draw(np.random.default_rng(0))
    model = jp.mlp([FEATURES, 4, prediction.shape[-1]], jp.tanh)
    if case.loss == jp.BinaryCrossEntropy(from_logits=False):
        model = jp.Serial(*model.layers, jp.sigmoid)
    params = draw_params(model, np.random.default_rng(1))
    x = np.random.default_rng(2).normal(size=(*prediction.shape[:-1], FEATURES))
    autodiff, manual = (
        jp.value_and_grad(model, case.loss, method)(params, x, target) for method in METHODS
    )
    assert_same_form(manual[1], params)
    assert_agree(manual, autodiff)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_have_the_form_of_the_parameters(method, key):
    model = jp.Serial(jp.Repeat(DENSE_TANH, 2), jp.LayerNorm(FEATURES), FOREIGN)
    params = model.init(key)
    x = jnp.ones((4, FEATURES))
    value, gradients = jp.value_and_grad(model, LOSS, method)(params, x, x)
    assert value.shape == ()
    assert_same_form(gradients, params)


def test_autodiff_is_the_default_and_does_not_run_the_rules():
    f = jp.value_and_grad(jp.Serial(DoubledDense(3, 3)), LOSS)
    params, x, y = problem(DENSE, np.float32)
    right = jp.value_and_grad(jp.Serial(DENSE), LOSS)
    assert_agree(f((params,), x, y), right((params,), x, y))


@in_double
def test_gradient_is_what_differences_say():
    """An oracle that is not JAX: along a random direction, for the whole chain at once."""
    params, x, y = problem()
    direction = draw_params(MODEL, np.random.default_rng(7))
    h = 1e-6

    def value(step):
        moved = jax.tree.map(lambda p, d: p + step * d, params, direction)
        return LOSS.apply(MODEL.apply(moved, x), y)

    _, gradients = jp.value_and_grad(MODEL, LOSS, "manual")(params, x, y)
    slope = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradients, direction)))
    np.testing.assert_allclose(slope, (value(h) - value(-h)) / (2 * h), rtol=1e-7)


def test_value_is_the_loss_of_the_prediction():
    params, x, y = problem(dtype=np.float32)
    expected = np.mean((np.asarray(MODEL.apply(params, x)) - np.asarray(y)) ** 2)
    for method in METHODS:
        value, _ = jp.value_and_grad(MODEL, LOSS, method)(params, x, y)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


BAD_ARGUMENTS = {
    "method": ((MODEL, LOSS, "backprop"), ValueError, r"method='backprop' is not one of autodiff"),
    "nearest": ((MODEL, LOSS, "manuel"), ValueError, r"Did you mean 'manual'\?"),
    "model": ((jnp.tanh, LOSS), TypeError, r"model=.* is not a layer"),
    "loss": ((MODEL, jnp.square), TypeError, r"loss=.* is not a loss.*AutodiffLoss\(fun\)"),
    "loss class": ((MODEL, jp.SquaredError), TypeError, r"loss=.*SquaredError.* is not a loss"),
}


@pytest.mark.parametrize(
    ("arguments", "error", "message"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS
)
def test_refuses_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        jp.value_and_grad(*arguments)


# The double sigmoid

SIGMOID_LAST = {
    "mlp": jp.mlp([3, 1], output=jp.sigmoid),
    "perceptron": jp.perceptron(3),
    "alone": jp.sigmoid,
    "nested": jp.Serial(DENSE, jp.Serial(DENSE, jp.sigmoid)),
    "repeat": jp.Serial(DENSE, jp.Repeat(jp.Serial(DENSE, jp.sigmoid), 2)),
    "identity after": jp.Serial(DENSE, jp.sigmoid, jp.identity),
    "copied": copy.deepcopy(jp.Serial(DENSE, jp.sigmoid)),
}


@dataclass(frozen=True)
class OnLogits(Elementwise):
    """A user's loss that says that it takes logits."""

    @property
    def takes_logits(self):
        return True

    def value(self, p, t):
        return jax.nn.softplus(p) - t * p

    def slope(self, p, t):
        return jax.nn.sigmoid(p) - t


BCE, SOFTMAX = jp.BinaryCrossEntropy(), jp.SoftmaxCrossEntropy()
SGD = optax.sgd(0.1)
FIXES = r"BinaryCrossEntropy\(from_logits=False\) or SquaredError\(\)"


def call_value_and_grad(model, loss):
    return jp.value_and_grad(model, loss)


def call_make_step(model, loss):
    return jp.make_step(model, loss, SGD)


def call_fit(model, loss):
    state = jp.init_state(model, SGD, jax.random.key(0))
    x = jnp.ones((2, 3))
    target = jnp.zeros(jax.eval_shape(model.apply, state.params, x).shape)
    return jp.fit(model, loss, SGD, state, x, target, steps=1)


every_entry = pytest.mark.parametrize("entry", [call_value_and_grad, call_make_step, call_fit])


@every_entry
@pytest.mark.parametrize("loss", [BCE, SOFTMAX, OnLogits()], ids=repr)
@pytest.mark.parametrize("model", SIGMOID_LAST.values(), ids=SIGMOID_LAST)
def test_refuses_a_double_sigmoid_and_names_both_fixes(entry, loss, model):
    message = rf"ends in sigmoid, and .* expects logits.*drop the model's last sigmoid.*{FIXES}"
    with pytest.raises(ValueError, match=message):
        entry(model, loss)


@every_entry
@pytest.mark.parametrize(
    ("model", "loss"),
    [
        (SIGMOID_LAST["mlp"], jp.BinaryCrossEntropy(from_logits=False)),
        (SIGMOID_LAST["mlp"], LOSS),
        (jp.mlp([3, 2, 1], jp.sigmoid), BCE),
        (jp.Serial(DENSE, jp.Residual(jp.sigmoid)), SOFTMAX),
    ],
    ids=["probabilities", "squared", "hidden", "residual"],
)
def test_takes_a_sigmoid_that_is_squashed_once(entry, model, loss):
    entry(model, loss)


# with_manual_backward


@in_double
def test_manual_backward_inside_foreign_code():
    params, x, y = problem()
    ours = jp.with_manual_backward(MODEL)

    def loss(apply, params, x):
        return jnp.sum(jnp.cos(apply(params, 2 * x)) * y)

    expected = jax.grad(partial(loss, MODEL.apply), (0, 1))(params, x)
    gradient = jax.grad(partial(loss, ours), (0, 1))
    np.testing.assert_array_equal(ours(params, x), MODEL.apply(params, x))
    assert_agree(gradient(params, x), expected)
    assert_agree(jax.jit(gradient)(params, x), expected)
    assert_agree(jax.grad(jax.checkpoint(partial(loss, ours)), (0, 1))(params, x), expected)


@in_double
def test_manual_backward_under_vmap():
    params, x, y = problem(jp.Serial(jp.Repeat(DENSE_TANH, 2), DENSE))
    model = jp.Serial(jp.Repeat(DENSE_TANH, 2), DENSE)

    def per_sample(apply):
        return jax.vmap(jax.grad(lambda p, x, y: jnp.vdot(apply(p, x), y)), (None, 0, 0))

    ours = per_sample(jp.with_manual_backward(model))(params, x, y)
    assert_agree(ours, per_sample(model.apply)(params, x, y))


def test_manual_backward_runs_the_manual_rule():
    params, x, y = problem(DENSE, np.float32)
    wrong = DoubledDense(3, 3)

    def gradient(apply):
        return jax.grad(lambda p: jnp.vdot(apply(p, x), y))(params)

    right = gradient(DENSE.apply)
    assert_agree(gradient(wrong.apply), right)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, right)
    assert_agree(gradient(jp.with_manual_backward(wrong)), doubled)


def test_manual_backward_is_for_layers():
    with pytest.raises(TypeError, match=r"model=.* is not a layer"):
        jp.with_manual_backward(jnp.tanh)


FORWARD_MODES = {
    "jvp": lambda f, x: jax.jvp(f, (x,), (x,)),
    "jacfwd": lambda f, x: jax.jacfwd(f)(x),
    "gradient of jvp": lambda f, x: jax.grad(lambda x: jax.jvp(f, (x,), (x,))[1])(x),
}


@pytest.mark.parametrize("differentiate", list(FORWARD_MODES.values()), ids=FORWARD_MODES)
def test_manual_backward_has_no_forward_mode(differentiate):
    params, x, _ = problem(MODEL, np.float32)
    ours = jp.with_manual_backward(MODEL)
    with pytest.raises(TypeError, match=r"model=Serial\(.* in forward mode.*differentiate.*apply"):
        differentiate(lambda x: jnp.sum(ours(params, x)), x)


@in_double
def test_manual_backward_has_a_second_derivative():
    params, x, _ = problem(DENSE_TANH, np.float64)
    ours, theirs = (
        jax.hessian(lambda x, apply=apply: jnp.sum(apply(params, x) ** 2))(x)
        for apply in (jp.with_manual_backward(DENSE_TANH), DENSE_TANH.apply)
    )
    assert_agree(ours, theirs)


# Gradients of a wrong form


@dataclass(frozen=True)
class Scale:
    """y = s x, with a backward of any form."""

    pull: Callable[..., Any]

    def init(self, key):
        return {"s": jax.random.normal(key, (3,))}

    def apply(self, params, x):
        return params["s"] * x

    def forward(self, params, x):
        return params["s"] * x, x

    def backward(self, params, residuals, dy):
        return self.pull(params, residuals, dy)

    def __repr__(self):
        return "Scale()"


def right_form(params, x, dy):
    return {"s": jnp.sum(x * dy, 0)}, params["s"] * dy


WRONG_FORMS = {
    "not summed": (
        lambda params, x, dy: ({"s": x * dy}, params["s"] * dy),
        r"dparams\['s'\] of float32\[4, 3\], expected float32\[3\]",
    ),
    "another type": (
        lambda params, x, dy: ({"s": jnp.sum(x * dy, 0).astype(jnp.bfloat16)}, params["s"] * dy),
        r"dparams\['s'\] of bfloat16\[3\], expected float32\[3\]",
    ),
    "another structure": (
        lambda params, x, dy: (jnp.sum(x * dy, 0), params["s"] * dy),
        r"dparams of structure PyTreeDef\(\*\), expected PyTreeDef\({'s': \*}\)",
    ),
    "dx of another shape": (
        lambda params, _, dy: ({"s": params["s"]}, dy[:, :1]),
        r"dx of float32\[4, 1\], expected float32\[4, 3\]",
    ),
    "no dx": (lambda params, *_: ({"s": params["s"]}), r"a dict, expected the pair"),
}
PLACES = {
    "alone": (lambda layer: layer, "model"),
    "in Serial": (lambda layer: jp.Serial(DENSE, layer, DENSE), r"model\.layers\[1\]"),
    "in Repeat": (lambda layer: jp.Serial(jp.Repeat(layer, 2)), r"model\.layers\[0\]\.layer"),
    "in Residual": (lambda layer: jp.Residual(layer), r"model\.layer"),
}


def gradient_of(model):
    return jp.value_and_grad(model, jp.SquaredError(), "manual")


def gradient_of_attached(model):
    apply = jp.with_manual_backward(model)
    return jax.grad(lambda params, x, y: jnp.sum(apply(params, x) * y), argnums=(0, 1))


def step_of(model):
    sgd = optax.sgd(0.1)
    step = jp.make_step(model, jp.SquaredError(), sgd, "manual")
    return lambda params, x, y: step(jp.TrainState(0, params, sgd.init(params)), x, y)


@pytest.mark.parametrize(
    ("form", "location", "use"),
    [
        *((form, "in Serial", step_of) for form in WRONG_FORMS),
        *((form, location, gradient_of_attached) for form in WRONG_FORMS for location in PLACES),
    ],
)
def test_a_gradient_of_a_wrong_form_names_the_layer(form, location, use):
    (pull, came), (place, where) = WRONG_FORMS[form], PLACES[location]
    model = place(Scale(pull))
    params, x = model.init(jax.random.key(0)), jnp.ones((4, 3))
    message = rf"{where}: Scale\(\)\.backward returned {came}"
    with pytest.raises((TypeError, ValueError), match=message):
        use(model)(params, x, x)


def test_a_right_form_is_accepted():
    for place, _ in PLACES.values():
        model = place(Scale(right_form))
        params, x = model.init(jax.random.key(0)), jnp.ones((4, 3))
        for use in (gradient_of, gradient_of_attached, step_of):
            use(model)(params, x, x)


@dataclass(frozen=True)
class Summing(jp.SquaredError):
    def backward(self, residuals):
        return jnp.sum(super().backward(residuals), 0)


def test_a_loss_whose_gradient_has_a_wrong_form_is_named():
    gradient = jp.value_and_grad(DENSE, Summing(), "manual")
    x = jnp.ones((4, 3))
    with pytest.raises(ValueError, match=r"loss: Summing\(.* returned dprediction of .*\[3\], exp"):
        gradient(DENSE.init(jax.random.key(0)), x, x)


# Rules planted wrong


@dataclass(frozen=True, repr=False)
class DoubledDense(jp.Dense):
    def backward(self, params, residuals, dy):
        dparams, dx = super().backward(params, residuals, dy)
        return jax.tree.map(lambda leaf: 2 * leaf, dparams), dx


@dataclass(frozen=True, repr=False)
class TransposedInput(jp.Dense):
    """Pulls back through w; it should be w^T."""

    def backward(self, params, residuals, dy):
        dparams, _ = super().backward(params, residuals, dy)
        return dparams, dy @ params.w


@dataclass(frozen=True, repr=False)
class TransposedWeight(jp.Dense):
    def backward(self, params, residuals, dy):
        dparams, dx = super().backward(params, residuals, dy)
        return dparams._replace(w=dparams.w.T), dx


@dataclass(frozen=True, repr=False)
class UnsummedBias(jp.Dense):
    def backward(self, params, residuals, dy):
        dparams, dx = super().backward(params, residuals, dy)
        return dparams._replace(b=dy), dx


@dataclass(frozen=True, repr=False)
class AveragedBias(jp.Dense):
    def backward(self, params, residuals, dy):
        dparams, dx = super().backward(params, residuals, dy)
        return dparams._replace(b=dy.mean(0)), dx


@dataclass(frozen=True, repr=False)
class ForgottenBias(jp.Dense):
    def backward(self, params, residuals, dy):
        dparams, dx = super().backward(params, residuals, dy)
        return DenseParams(dparams.w, jnp.zeros_like(dparams.b)), dx


@dataclass(frozen=True, repr=False)
class NearlyRight(jp.Dense):
    """Wrong by one part in a million: far above float64's rounding, below float32's sight."""

    def backward(self, params, residuals, dy):
        dparams, dx = super().backward(params, residuals, dy)
        return dparams._replace(w=dparams.w * (1 + 1e-6)), dx


@dataclass(frozen=True, repr=False)
class ForgetfulResidual(jp.Residual):
    """ "=" where "+=" was due: the skip path does not contribute."""

    def backward(self, params, residuals, dy):
        return self.layer.backward(params, residuals, dy)


@dataclass(frozen=True, repr=False)
class ConstantMean(jp.LayerNorm):
    """Takes the mean for a constant."""

    def backward(self, params, residuals, dy):
        dparams, dx = super().backward(params, residuals, dy)
        _, _, r = residuals
        return dparams, dx + r * jnp.mean(dy * params.scale, -1, keepdims=True)


@dataclass(frozen=True, repr=False)
class ConstantVariance(jp.LayerNorm):
    """Takes the variance for a constant."""

    def backward(self, params, residuals, dy):
        dparams, _ = super().backward(params, residuals, dy)
        _, _, r = residuals
        g = dy * params.scale
        return dparams, r * (g - jnp.mean(g, -1, keepdims=True))


@dataclass(frozen=True, repr=False)
class SwappedNorm(jp.LayerNorm):
    def backward(self, params, residuals, dy):
        dparams, dx = super().backward(params, residuals, dy)
        return LayerNormParams(dparams.bias, dparams.scale), dx


@dataclass(frozen=True, repr=False)
class ForwardsRepeat(jp.Repeat):
    """Goes through the layers first to last, with residuals kept by hand."""

    def forward(self, params, x):
        def body(h, p):
            return self.layer.forward(p, h)

        return lax.scan(body, x, params)

    def backward(self, params, residuals, dy):
        def body(dh, step):
            dparams, dh = self.layer.backward(*step, dh)
            return dh, dparams

        dx, dparams = lax.scan(body, dy, (params, residuals))
        return dparams, dx


@dataclass(frozen=True, repr=False)
class StaleSerial(jp.Serial):
    """Hands the same dy to every layer."""

    __init__ = jp.Serial.__init__

    def backward(self, params, residuals, dy):
        steps = zip(self.layers, params, residuals.restore(), strict=True)
        pairs = [layer.backward(p, r, dy) for layer, p, r in steps]
        return tuple(dparams for dparams, _ in pairs), pairs[0][1]


def sigmoid_of_input(x):
    """s (1 - s) with s = x: the derivative at the wrong place."""
    return x * (1 - x)


def tanh_unsquared(y):
    return 1 - y


def one(y):
    return jnp.ones_like(y)


WRONG_SIGMOID = Activation(jax.nn.sigmoid, sigmoid_of_input, "input")
NORM = jp.LayerNorm(3)
# The wrong layer stands before a Dense, so that a wrong dx is a wrong gradient of parameters too.
WRONG = {
    "doubled": DoubledDense(3, 3),
    "w instead of w^T": jp.Serial(DENSE, TransposedInput(3, 3)),
    "transposed gradient": TransposedWeight(3, 3),
    "bias not summed": UnsummedBias(3, 3),
    "bias averaged": AveragedBias(3, 3),
    "bias forgotten": ForgottenBias(3, 3),
    "wrong by 1e-6": NearlyRight(3, 3),
    "derivative at the input": jp.Serial(DENSE, WRONG_SIGMOID),
    "derivative not squared": jp.Serial(DENSE, replace(jp.tanh, derivative=tanh_unsquared)),
    "derivative left out": jp.Serial(DENSE, replace(jp.tanh, derivative=one)),
    "skip path dropped": jp.Serial(DENSE, ForgetfulResidual(DENSE_TANH)),
    "mean taken for constant": jp.Serial(DENSE, ConstantMean(3)),
    "variance taken for constant": jp.Serial(DENSE, ConstantVariance(3)),
    "scale and bias swapped": SwappedNorm(3),
    "repeat in the wrong order": ForwardsRepeat(DENSE_TANH, 3),
    "error not handed on": StaleSerial(DENSE, jp.tanh, DENSE),
    "inside a repeat": jp.Repeat(jp.Serial(DENSE, WRONG_SIGMOID), 3),
    "inside a residual": jp.Residual(jp.Serial(DENSE, NORM, AveragedBias(3, 3))),
}
every_wrong_rule = pytest.mark.parametrize("layer", WRONG.values(), ids=WRONG)


@in_double
@every_wrong_rule
def test_the_contract_test_catches(layer):
    arguments = draw(Case("", layer, (4, FEATURES), 0))
    with pytest.raises(AssertionError):
        assert_right_pullback(layer, *arguments)


@every_wrong_rule
def test_compare_model_catches(layer):
    assert not jp.compare_model(layer, LOSS, *problem(layer, np.float32)).ok


@pytest.mark.parametrize("layer", [DENSE, NORM, jp.Residual(DENSE_TANH)], ids=repr)
def test_compare_model_accepts_the_right_rules(layer):
    report = jp.compare_model(layer, LOSS, *problem(layer, np.float32))
    assert report.ok, str(report)


@dataclass(frozen=True)
class WrongSlope(jp.SquaredError):
    """Forgets the 2 of the square."""

    def slope(self, p, t):
        return self.scale * (p - t)


@dataclass(frozen=True)
class WrongCount(jp.SquaredError):
    """Averages the value and sums the gradient."""

    def backward(self, residuals):
        return super().backward(residuals) * residuals[0].size


@pytest.mark.parametrize("loss", [WrongSlope(), WrongCount()], ids=["slope", "count"])
def test_compare_model_catches_a_wrong_loss(loss):
    assert not jp.compare_model(DENSE, loss, *problem(DENSE, np.float32)).ok
