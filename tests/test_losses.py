"""Values against NumPy, gradients against autodiff and differences, and the edges of each loss."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import (
    LOSSES,
    ROUNDING,
    assert_agree,
    assert_same_form,
    assert_same_value,
    one_hot,
    relative_error,
)

import jaxpercep as jp
from jaxpercep.losses import Elementwise, refuse

every_loss = pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
every_type = pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16])
in_double = pytest.mark.usefixtures("x64")
PROBABILITIES = jp.BinaryCrossEntropy(from_logits=False)
LOGITS = jp.BinaryCrossEntropy()
SOFTMAX = jp.SoftmaxCrossEntropy()


def draw(case, dtype=np.float64):
    """(prediction, target); the prediction's numbers are bfloat16's, whatever the type."""
    prediction, target = case.draw(np.random.default_rng(0))
    return jnp.asarray(prediction.astype(jnp.bfloat16).astype(dtype)), jnp.asarray(target)


def gradient(loss, prediction, target):
    """dL/dprediction, by the loss's own rule."""
    return loss.backward(loss.forward(prediction, target)[1])


def autodiff_gradient(loss, prediction, target):
    return jax.grad(loss.apply)(prediction, target)


@partial(jax.jit, static_argnums=0)
def everything(loss, prediction, target):
    """(apply's value, forward's, the gradient, autodiff's), compiled once for several tests."""
    value, residuals = loss.forward(prediction, target)
    theirs = jax.value_and_grad(loss.apply)(prediction, target)
    return theirs[0], value, loss.backward(residuals), theirs[1]


# What every loss promises


@in_double
@every_loss
def test_value_is_the_formula(case):
    prediction, target = draw(case)
    expected = case.reference(np.asarray(prediction), np.asarray(target))
    np.testing.assert_allclose(case.loss.apply(prediction, target), expected, rtol=ROUNDING)


@in_double
@every_loss
def test_forward_returns_what_apply_does(case):
    arguments = draw(case)
    applied, forwarded, _, _ = everything(case.loss, *arguments)
    assert_same_value(case.loss, forwarded, applied, ROUNDING)
    residuals = case.loss.forward(*arguments)[1]
    assert {id(leaf) for leaf in jax.tree.leaves(residuals)} >= {id(arguments[0])}
    assert len(jax.tree.leaves(residuals)) == 2


@in_double
@every_loss
def test_gradient_is_what_autodiff_says(case):
    _, _, ours, theirs = everything(case.loss, *draw(case))
    assert_agree(ours, theirs)


@in_double
@every_loss
def test_gradient_is_what_differences_say(case):
    prediction, target = draw(case)
    h = 1e-6

    @jax.jit
    def differences():
        steps = h * jnp.eye(prediction.size).reshape(-1, *prediction.shape)
        value = jax.vmap(lambda step: case.loss.apply(prediction + step, target))
        return ((value(steps) - value(-steps)) / (2 * h)).reshape(prediction.shape)

    assert relative_error(everything(case.loss, prediction, target)[2], differences()) < 1e-7


@in_double
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@every_loss
def test_low_precision_is_computed_in_float32(case, dtype):
    prediction, target = draw(case, dtype)
    value, _, ours, _ = everything(case.loss, prediction, target)
    assert_same_form(ours, prediction)
    assert value.dtype == np.float32
    wide_value, _, wide, _ = everything(case.loss, prediction.astype(np.float64), target)
    single = 8 * float(jnp.finfo(np.float32).eps)
    assert relative_error(value, wide_value) <= single
    assert relative_error(ours, wide) <= max(single, float(jnp.finfo(dtype).eps))


@in_double
@every_loss
def test_compiles_and_maps_over_samples(case):
    prediction, target = draw(case)
    value, gradients = case.loss.apply(prediction, target), gradient(case.loss, prediction, target)
    assert_agree((value, gradients), everything(case.loss, prediction, target)[1:3])

    def each(p, t):
        return case.loss.apply(p, t), gradient(case.loss, p, t)

    mapped = jax.jit(jax.vmap(each))(prediction, target)
    expected = [each(p, t) for p, t in zip(prediction, target, strict=True)]
    assert_agree(mapped, tuple(map(jnp.stack, zip(*expected, strict=True))))


@every_loss
def test_is_a_value_that_reads_like_the_call(case):
    assert isinstance(case.loss, jp.Loss)
    again = eval(
        repr(case.loss), {}, {name: getattr(jp, name) for name in dir(jp) if name[0] < "a"}
    )
    assert again == case.loss
    assert hash(again) == hash(case.loss)


# Refusals: at the call, and under jit


def assert_refuses(error, message, loss, *arguments):
    for function in (loss.apply, loss.forward):
        with pytest.raises(error, match=message):
            function(*arguments)
        with pytest.raises(error, match=message):
            jax.eval_shape(function, *arguments)


@every_loss
def test_refuses_no_data(case):
    prediction, target = draw(case, np.float32)
    message = r"prediction has shape \[0, .*\]"
    assert_refuses(ValueError, message, case.loss, prediction[:0], target[:0])


@every_loss
def test_names_the_argument_that_is_not_an_array(case):
    prediction, target = draw(case, np.float32)
    assert_refuses(TypeError, r"prediction is a NoneType, not", case.loss, None, target)
    assert_refuses(TypeError, r"target is a NoneType, not", case.loss, prediction, None)


@every_loss
def test_refuses_complex_targets(case):
    prediction, target = draw(case, np.float32)
    message = r"target has dtype complex64, expected real numbers; use its \.real"
    assert_refuses(TypeError, message, case.loss, prediction, target.astype(complex))


@every_loss
def test_refuses_integer_predictions(case):
    prediction, target = draw(case, np.float32)
    message = r"has dtype int32, expected floating point"
    assert_refuses(TypeError, message, case.loss, prediction.astype(int), target)


@every_loss
def test_refuses_a_target_of_another_length(case):
    prediction, target = draw(case, np.float32)
    message = r"target has shape .*prediction"
    assert_refuses(ValueError, message, case.loss, prediction, target[:-1])


@pytest.mark.parametrize(
    "loss", [jp.SquaredError(), LOGITS, PROBABILITIES, jp.Hinge(), jp.PerceptronLoss()], ids=repr
)
def test_refuses_to_broadcast(loss):
    message = (
        r"target has shape \[4\], expected the prediction's shape \[4, 1\]\. "
        r"Use target\.reshape\(prediction\.shape\)"
    )
    assert_refuses(ValueError, message, loss, jnp.ones((4, 1)), jnp.ones(4))
    message = r"target has shape \[1, 1\], expected the prediction's shape \[4, 1\]\.(?! Use)"
    assert_refuses(ValueError, message, loss, jnp.ones((4, 1)), jnp.ones((1, 1)))


def test_softmax_refuses_what_is_neither_labels_nor_one_hot():
    p = jnp.ones((4, 3))
    message = (
        r"target has shape \[4, 1\] and prediction \[4, 3\]; expected labels of shape \[4\] "
        r"or one-hot vectors of shape \[4, 3\]"
    )
    assert_refuses(ValueError, message, SOFTMAX, p, jnp.ones((4, 1), int))
    message = r"labels are float32, expected integers; use target\.astype\(jnp\.int32\)"
    assert_refuses(TypeError, message, SOFTMAX, p, jnp.ones(4))
    assert_refuses(ValueError, r"target has shape \[\]", SOFTMAX, jnp.float32(1), jnp.int32(0))


BAD_DESCRIPTIONS = {
    "reduction": (lambda: jp.SquaredError(reduction="avg"), ValueError, r"reduction='avg' is not"),
    "nearest": (lambda: jp.SquaredError(1.0, "meen"), ValueError, r"Did you mean 'mean'\?"),
    "unhashable": (lambda: jp.SquaredError(1.0, ["sum"]), ValueError, r"reduction=\['sum'\] is"),
    "scale": (lambda: jp.SquaredError("sum"), TypeError, r"scale='sum'"),
    "infinite": (lambda: jp.SquaredError(np.inf), ValueError, r"scale=inf must be finite"),
    "from_logits": (lambda: jp.BinaryCrossEntropy("no"), TypeError, r"from_logits='no'"),
}


@pytest.mark.parametrize(
    ("describe", "error", "message"), BAD_DESCRIPTIONS.values(), ids=BAD_DESCRIPTIONS
)
def test_refuses_bad_descriptions(describe, error, message):
    with pytest.raises(error, match=message):
        describe()


def test_options_are_plain_python():
    assert repr(jp.SquaredError(np.float64(2))) == "SquaredError(scale=2.0, reduction='mean')"
    assert jp.SquaredError(2) == jp.SquaredError(np.float32(2))


def test_refuses_targets_that_are_no_array():
    for loss in (jp.SquaredError(), SOFTMAX):
        with pytest.raises(TypeError, match=r"target is a str, not an array of numbers"):
            loss.apply(jnp.ones((4, 1)), "1111")


OUT_OF_RANGE = {
    "label too large": (SOFTMAX, (4, 3), [0, 1, 2, 3], r"value 3, expected labels 0 to 2, for 3"),
    "label below 0": (SOFTMAX, (2, 3), [0, -1], r"value -1, expected labels 0 to 2"),
    "negative one-hot": (SOFTMAX, (1, 3), [[0.0, 1.5, -0.5]], r"value -0\.5, expected prob"),
    "bit of 2": (LOGITS, (2, 1), [[0], [2]], r"value 2, expected targets in \[0, 1\]"),
    "sign as a bit": (PROBABILITIES, (2, 1), [[1.0], [-1.0]], r"value -1\.0, expected targets in"),
    "bit as a sign": (jp.Hinge(), (2, 1), [[0], [1]], r"value 0, expected targets -1 and \+1"),
    "not a sign": (jp.PerceptronLoss(), (2, 1), [[1.0], [0.5]], r"value 0\.5, .*2 \* y - 1"),
}


@pytest.mark.parametrize(
    ("loss", "shape", "target", "message"), OUT_OF_RANGE.values(), ids=OUT_OF_RANGE
)
def test_target_values_are_checked(loss, shape, target, message):
    with pytest.raises(ValueError, match=message):
        loss.check(shape, np.asarray(target))


@every_loss
def test_right_targets_pass_the_check(case):
    prediction, target = draw(case, np.float32)
    case.loss.check(prediction.shape, np.asarray(target))
    jp.SquaredError().check((2,), np.array([-7.0, 1e9]))


@dataclass(frozen=True)
class Poisson(Elementwise):
    """A user's loss: the negative log-likelihood of counts t with rate exp p, up to a constant."""

    def check(self, prediction_shape, target):
        del prediction_shape
        refuse(self, target, target < 0, "counts, not below 0")

    def value(self, p, t):
        return jnp.exp(p) - t * p

    def slope(self, p, t):
        return jnp.exp(p) - t


def fit_to(loss, target):
    model, optimizer = jp.Dense(2, 1), optax.sgd(0.1)
    state = jp.init_state(model, optimizer, jax.random.key(0))
    return jp.fit(model, loss, optimizer, state, jnp.ones((3, 2)), target, steps=1)


def compare_on(loss, target):
    model = jp.Dense(2, 1)
    return jp.compare_model(model, loss, model.init(jax.random.key(0)), jnp.ones((3, 2)), target)


@pytest.mark.parametrize("entry", [fit_to, compare_on])
def test_a_users_loss_refuses_targets_as_ours_do(entry):
    message = r"Poisson\(\): target has the value -1\.0, expected counts, not below 0\."
    with pytest.raises(ValueError, match=message):
        entry(Poisson(), jnp.array([[2.0], [-1.0], [0.0]]))
    entry(Poisson(), jnp.array([[2.0], [1.0], [0.0]]))


# Edges


@in_double
@every_type
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_logits_may_be_huge(t, dtype):
    z = jnp.asarray([-1e4, -300.0, -50.0, 50.0, 300.0, 1e4], dtype)
    target = jnp.full_like(z, t)
    distance = np.asarray(z, np.float64) * (1 - 2 * t)  # how far on the wrong side
    tail = np.exp(-np.abs(distance))
    for value in (LOGITS.apply, lambda p, t: LOGITS.forward(p, t)[0]):
        values = jax.vmap(value)(z, target)
        np.testing.assert_allclose(values, np.maximum(distance, tail), rtol=1e-6, atol=1e-37)
    expected = (1 - 2 * t) * np.where(distance > 0, 1, tail) / z.size
    slope = np.asarray(gradient(LOGITS, z, target), np.float64)
    np.testing.assert_allclose(slope, expected, rtol=1e-2, atol=1e-37)
    theirs = np.asarray(autodiff_gradient(LOGITS, z, target), np.float64)
    np.testing.assert_allclose(slope, theirs, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("z", [-30.0, -1.0, 0.0, 1e-30, 2.0])
def test_gradient_at_logits_has_a_derivative_of_its_own(z, t):
    """Its parts have kinks at z = 0, and it has none: sigmoid' is 1/4 there."""
    second = jax.grad(partial(gradient, LOGITS))(z, t)
    sigmoid = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(second, sigmoid * (1 - sigmoid), rtol=1e-5)


@in_double
def test_gradient_at_logits_keeps_its_digits():
    """sigmoid(z) - 1 at z = 40 is -4e-18: computed as written it would be 0."""
    slope = gradient(LOGITS, jnp.array([40.0]), jnp.array([1.0]))
    np.testing.assert_allclose(slope, -np.exp(-40.0), rtol=1e-12)


@in_double
@every_type
def test_probabilities_of_exactly_0_and_1(dtype):
    p = jnp.asarray([0.0, 0.0, 1.0, 1.0], dtype)
    t = jnp.asarray([0.0, 1.0, 0.0, 1.0])
    np.testing.assert_array_equal(PROBABILITIES.apply(p, t), 200 / 4)
    # Where a logarithm is clamped it is constant; the other one has slope 1.
    np.testing.assert_array_equal(gradient(PROBABILITIES, p, t), [0.25, 0, 0, -0.25])
    np.testing.assert_array_equal(autodiff_gradient(PROBABILITIES, p, t), [0.25, 0, 0, -0.25])


@in_double
@every_type
def test_probabilities_may_be_tiny(dtype):
    smallest = float(jnp.finfo(dtype).smallest_subnormal)
    p = jnp.asarray([smallest, 1e-44, 1e-40, float(jnp.finfo(dtype).tiny)], dtype)
    for t in (0.0, 0.3, 1.0):
        t = jnp.full(4, t)
        value, slope = PROBABILITIES.apply(p, t), gradient(PROBABILITIES, p, t)
        assert np.isfinite(float(value))
        assert np.isfinite(np.asarray(slope, np.float64)).all()
        np.testing.assert_array_equal(slope, autodiff_gradient(PROBABILITIES, p, t))


@in_double
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_gradient_is_that_of_the_clamped_function(t):
    """Against differences of max(log p, -100) written in NumPy, on both sides of the clamp."""
    p = np.array([1e-300, 1e-60, 3e-44, 4e-44, 1e-30, 1e-3, 0.5, 0.9])

    def clamped(p):
        with np.errstate(divide="ignore"):
            logs = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
        return -t * logs[0] - (1 - t) * logs[1]

    h = 1e-5 * p
    differences = (clamped(p + h) - clamped(p - h)) / (2 * h)
    target = jnp.full(p.size, t)
    slope = p.size * np.asarray(gradient(PROBABILITIES, jnp.asarray(p), target))
    # Relative to 1 / p, for the slopes span 44 orders of magnitude.
    np.testing.assert_allclose(slope * p, differences * p, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(PROBABILITIES.apply(p, target), clamped(p).mean(), rtol=ROUNDING)
    np.testing.assert_allclose(slope[:3], 1 - t, rtol=ROUNDING)  # the clamped term has no share


@in_double
@every_type
@pytest.mark.parametrize("logit", [0.0, -1e4, 1e4])
def test_softmax_of_equal_huge_logits_is_log_n(logit, dtype):
    p = jnp.full((2, 7), logit, dtype)
    labels = jnp.array([0, 6])
    precision = jnp.float64 if dtype == jnp.float64 else jnp.float32
    for target in (labels, one_hot(np.asarray(labels), 7)):
        value = SOFTMAX.apply(p, target)
        np.testing.assert_allclose(value, np.log(7), rtol=2 * float(jnp.finfo(precision).eps))
        slope = gradient(SOFTMAX, p, target)
        expected = (1 / 7 - one_hot(np.asarray(labels), 7)) / 2
        assert relative_error(slope, expected) <= 2 * float(jnp.finfo(dtype).eps)


@in_double
@every_type
def test_softmax_of_distant_logits(dtype):
    p = jnp.asarray([[1e4, -1e4, 0.0]], dtype)
    for label, value, slope in ((0, 0, [0, 0, 0]), (1, 2e4, [1, -1, 0]), (2, 1e4, [1, 0, -1])):
        label = jnp.array([label])
        np.testing.assert_allclose(SOFTMAX.apply(p, label), value, rtol=2e-3)
        np.testing.assert_array_equal(gradient(SOFTMAX, p, label), [slope])


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)], ids=str)
def test_softmax_averages_over_samples(shape):
    rng = np.random.default_rng(0)
    p, labels = rng.normal(size=shape).astype(np.float32), rng.integers(0, 5, shape[:-1])
    both = SOFTMAX.apply(p, labels), SOFTMAX.apply(p, one_hot(labels, 5))
    logs = np.log(np.exp(p) / np.exp(p).sum(-1, keepdims=True))
    expected = -np.mean(np.take_along_axis(logs, labels[..., None], -1))
    np.testing.assert_allclose(both, [expected] * 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "kink"), [(jp.Hinge(), 1.0), (jp.PerceptronLoss(), 0.0)], ids=repr
)
@pytest.mark.parametrize("t", [-1, 1])
def test_kinks_are_halfway_as_in_jax(loss, kink, t):
    t = jnp.array([t])
    p = kink * t.astype(jnp.float32)
    np.testing.assert_array_equal(gradient(loss, p, t), -t / 2)
    np.testing.assert_array_equal(autodiff_gradient(loss, p, t), -t / 2)


@pytest.mark.parametrize("loss", [jp.Hinge(), jp.PerceptronLoss()], ids=repr)
def test_slopes_beside_the_kinks(loss):
    p = jnp.array([2.0, -2.0, 2.0, -2.0])
    t = jnp.array([1, 1, -1, -1])
    np.testing.assert_array_equal(gradient(loss, p, t), [0, -0.25, 0.25, 0])


def test_a_scalar_prediction_has_a_squared_error():
    for reduction in ("mean", "batch_mean", "sum"):
        loss = jp.SquaredError(2.0, reduction)
        np.testing.assert_array_equal(loss.apply(3.0, 1.0), 8)
        np.testing.assert_array_equal(gradient(loss, 3.0, 1.0), 8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32])
def test_labels_of_a_narrow_type_are_those_numbers_among_many_classes(dtype):
    prediction = np.random.default_rng(0).normal(size=(3, 300)).astype(np.float32)
    labels, loss = np.array([0, 44, 127], dtype), jp.SoftmaxCrossEntropy()
    due = -jax.nn.log_softmax(prediction)[np.arange(3), labels.astype(int)].mean()
    value, residuals = loss.forward(prediction, labels)
    np.testing.assert_allclose(value, due, rtol=1e-6)
    assert (np.asarray(loss.backward(residuals)) < 0).sum() == 3
