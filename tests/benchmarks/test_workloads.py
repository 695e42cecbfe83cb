"""Workloads: data, first parameters, and the truth in float64."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks import truth
from benchmarks.results import Setting
from benchmarks.workloads import WORKLOADS, Workload, workload_of

STEPS = 4
SETTINGS = {
    "classification": Setting("classification", (6, 12, 9, 5), 8),
    "classification-adam": Setting("classification-adam", (6, 12, 9, 5), 8),
    "regression": Setting("regression", (6, 12, 9, 3), 8),
    "xor": Setting("xor", (2, 10, 10, 10, 1), 4),
}
XOR = SETTINGS["xor"]


def drawn(setting, steps=STEPS, seed=0):
    workload = WORKLOADS[setting.workload]
    initial = workload.initial(setting, seed)
    return workload, initial, *workload.batches(setting, steps, seed)


def leaves(parameters):
    return [array for layer in parameters for array in layer]


def test_every_workload_is_tested():
    assert WORKLOADS.keys() == SETTINGS.keys()
    assert all(name == workload.name for name, workload in WORKLOADS.items())


# Data and first parameters


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_data_and_parameters_have_the_shapes_and_types_that_are_promised(setting):
    workload, initial, x, y = drawn(setting)
    sizes = list(itertools.pairwise(setting.sizes))
    assert [(w.shape, b.shape) for w, b in initial] == [((n, m), (m,)) for n, m in sizes]
    assert x.shape == (STEPS, setting.batch, setting.sizes[0])
    assert {array.dtype for array in (*leaves(initial), x)} == {np.dtype("float32")}
    if workload.loss == "softmax":
        assert y.shape == (STEPS, setting.batch)
        assert y.dtype == np.int32
        assert y.min() >= 0
        assert y.max() < setting.sizes[-1]
    else:
        assert y.shape == (STEPS, setting.batch, setting.sizes[-1])
        assert y.dtype == np.float32


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_a_seed_says_everything(setting):
    one, same, other = (drawn(setting, seed=seed) for seed in (0, 0, 1))
    for a, b in zip(leaves(one[1]), leaves(same[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one[2], same[2])
    np.testing.assert_array_equal(one[3], same[3])
    assert not np.array_equal(leaves(one[1])[0], leaves(other[1])[0])
    if setting is not XOR:
        assert not np.array_equal(one[2], other[2])


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_batches_differ_and_follow_one_rule(name):
    """A linear map fitted to the first batches predicts the targets of the last."""
    setting = Setting(name, (6, 12, 3), 64)
    _, _, x, y = drawn(setting, steps=10)
    assert len(np.unique(x[:, 0, 0])) == 10
    targets = np.eye(3)[y] if name == "classification" else y
    fitted, *_ = np.linalg.lstsq(x[:-1].reshape(-1, 6), targets[:-1].reshape(-1, 3), rcond=None)
    predicted = x[-1] @ fitted
    if name == "classification":
        assert (predicted.argmax(-1) == y[-1]).mean() > 0.8
    else:
        assert np.corrcoef(predicted.ravel(), y[-1].ravel())[0, 1] > 0.9


def test_xor_is_xor():
    _, _, x, y = drawn(XOR)
    for points, values in zip(x, y, strict=True):
        assert {(*point, *value) for point, value in zip(points, values, strict=True)} == {
            (0, 0, 0),
            (0, 1, 1),
            (1, 0, 1),
            (1, 1, 0),
        }


@pytest.mark.parametrize(("sizes", "batch"), [((2, 2, 1), 8), ((3, 2, 1), 4), ((2, 2, 2), 4)])
def test_xor_has_four_points_of_two_features_and_one_output(sizes, batch):
    with pytest.raises(
        ValueError, match=r"four points of XOR; expected sizes from 2 to 1.*batch 4"
    ):
        WORKLOADS["xor"].batches(Setting("xor", sizes, batch), 1, 0)


@pytest.mark.parametrize("name", ["classification", "regression"])
@pytest.mark.parametrize(("width", "depth"), [(16, 1), (1024, 1), (64, 64)])
def test_signal_and_error_keep_their_size_through_the_layers(name, width, depth):
    workload, initial, x, y = drawn(Setting(name, (64, *[width] * depth, 10), 4), 1)
    h, sizes = x[0], []
    for w, b in initial[:-1]:
        z = h @ w + b
        h = np.tanh(z) if workload.activation == "tanh" else np.maximum(z, 0)
        sizes.append(np.sqrt(np.mean(h**2)))
    assert min(sizes) > 0.05
    assert max(sizes) < 5
    _, grads = truth.value_and_grad(workload, initial, x[0], y[0])
    errors = [np.linalg.norm(b) for _, b in grads]
    assert max(errors) < 1e4 * min(errors)  # tanh of 64 layers: 1e3; sigmoid: 4^64


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_biases_are_small_and_not_zero(setting):
    biases = np.concatenate([b for _, b in WORKLOADS[setting.workload].initial(setting, 0)])
    assert (biases != 0).all()
    assert np.abs(biases).max() < 0.5


@pytest.mark.parametrize("name", ["classification", "regression"])
@pytest.mark.parametrize(("width", "depth"), [(64, 64), (512, 8), (1024, 1)])
def test_deep_and_wide_networks_stay_finite_on_single_samples(name, width, depth):
    losses, _ = truth.train(*drawn(Setting(name, (64, *[width] * depth, 10), 1), steps=10))
    assert losses.max() < 8


# The truth


def optax_train(workload, initial, x, y):
    """The same in JAX and optax, which share no code with the truth."""
    activation = getattr(jax.nn, workload.activation)
    optimizer = getattr(optax, workload.optimizer)(workload.learning_rate)

    def objective(params, x, y):
        *hidden, (w, b) = params
        for v, c in hidden:
            x = activation(x @ v + c)
        p = x @ w + b
        match workload.loss:
            case "softmax":
                return optax.softmax_cross_entropy_with_integer_labels(p, y).mean()
            case "squared":
                return 0.5 * jnp.sum((p - y) ** 2) / len(p)
            case _:
                return optax.sigmoid_binary_cross_entropy(p, y).mean()

    @jax.jit
    def step(params, state, x, y):
        loss, grads = jax.value_and_grad(objective)(params, x, y)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, loss

    params = [(jnp.asarray(w), jnp.asarray(b)) for w, b in initial]
    state, losses = jax.jit(optimizer.init)(params), []
    for inputs, targets in zip(x, y, strict=True):
        params, state, loss = step(params, state, inputs, targets)
        losses.append(loss)
    return np.array(losses), [(np.array(w), np.array(b)) for w, b in params]


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_truth_is_that_of_jax_and_optax_in_float64(setting):
    workload, initial, x, y = drawn(setting)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        exact = [(w.astype(np.float64), b.astype(np.float64)) for w, b in initial]
        y64 = y if workload.loss == "softmax" else y.astype(np.float64)
        expected_losses, expected = optax_train(workload, exact, x.astype(np.float64), y64)
    losses, parameters = truth.train(workload, initial, x, y)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-12)
    for came, wanted in zip(leaves(parameters), leaves(expected), strict=True):
        assert came.dtype == np.float64
        np.testing.assert_allclose(came, wanted, rtol=1e-12, atol=1e-12)


def unchanged(step, grads):
    del step
    return grads


def in_float32(workload, initial, x, y, change=unchanged, bias_correction=True):
    """An honest method, in float32 by the truth's own code; or one whose gradients are changed."""
    parameters, losses = leaves(initial), []
    moments = [(0.0, 0.0)] * len(parameters)
    for step, (inputs, targets) in enumerate(zip(x, y, strict=True)):
        layers = list(zip(parameters[::2], parameters[1::2], strict=True))
        loss, grads = truth.value_and_grad(workload, layers, inputs, targets)
        changes = change(step, leaves(grads))
        if workload.optimizer == "adam":
            pairs = zip(moments, changes, strict=True)
            moments = [(0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g) for (m, v), g in pairs]
            first, second = (1 - b ** (step + 1) if bias_correction else 1 for b in (0.9, 0.999))
            changes = [m / first / (np.sqrt(v / second) + 1e-8) for m, v in moments]
        pairs = zip(parameters, changes, strict=True)
        parameters = [(p - workload.learning_rate * d).astype(np.float32) for p, d in pairs]
        losses.append(loss)
    return list(zip(parameters[::2], parameters[1::2], strict=True)), np.array(losses)


def verdict(setting, *args, seed=0, steps=STEPS, **options):
    case = drawn(setting, steps, seed)
    result = in_float32(*case, *args, **options)
    reference = truth.reference(*case)
    return truth.check(case[1], *result, reference), truth.deviation(case[1], *result, reference)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_honest_float32_passes(setting, seed):
    reason, deviation = verdict(setting, seed=seed)
    assert reason is None
    assert 0 < deviation < truth.BOUND


@pytest.mark.parametrize("name", ["classification", "classification-adam", "regression"])
@pytest.mark.parametrize(
    ("width", "depth", "batch"),
    [(16, 1, 1), (16, 64, 8), (64, 64, 16), (128, 4, 64), (16, 2, 8192), (1024, 1, 1)],
)
def test_honest_float32_passes_at_every_size(name, width, depth, batch):
    reason, _ = verdict(Setting(name, (64, *[width] * depth, 10), batch), steps=3)
    assert reason is None


def scaled(index, factor):
    """The gradient of one array is off by a factor."""

    def change(_, grads):
        grads[index] = factor * grads[index]
        return grads

    return change


def summed(setting):
    def change(_, grads):
        return [setting.batch * g for g in grads]

    return change


def transposed(_, grads):
    grads[2] = grads[2][::-1]
    return grads


def stale(step, grads):
    """The second batch's update is left out."""
    return [0 * g for g in grads] if step == 1 else grads


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize("name", ["classification", "regression", "xor"])
def test_one_bias_gradient_off_by_a_hundredth_is_refused(name, layer, seed):
    reason, _ = verdict(SETTINGS[name], scaled(2 * layer + 1, 1.01), seed=seed)
    assert reason is not None
    layers = len(SETTINGS[name].sizes) - 1
    assert reason.startswith(f"b of layer {layer + 1} of {layers} is off by 0.0")
    assert reason.endswith(f"of how far it moves in float64, bound {truth.BOUND:g}")


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    "change",
    [scaled(0, 0), scaled(3, -1), transposed, stale],
    ids=["lost", "sign", "order", "skip"],
)
def test_wrong_gradients_are_refused(setting, change):
    reason, _ = verdict(setting, change)
    assert "of how far it moves" in reason


@pytest.mark.parametrize("name", ["classification", "regression", "xor"])
def test_a_loss_that_is_summed_is_refused(name):
    setting = SETTINGS[name]
    reason, deviation = verdict(setting, summed(setting))
    assert reason is not None
    assert deviation > 1


def test_a_loss_that_is_only_reported_summed_is_refused():
    workload, initial, x, y = drawn(SETTINGS["classification"])
    parameters, losses = in_float32(workload, initial, x, y)
    reference = truth.reference(workload, initial, x, y)
    reason = truth.check(initial, parameters, 8 * losses, reference)
    assert reason.startswith("the loss of step ")
    assert "in float64" in reason


def test_adam_without_bias_correction_is_refused():
    reason, deviation = verdict(SETTINGS["classification-adam"], bias_correction=False)
    assert "of how far it moves" in reason
    assert deviation > 1


def test_what_cannot_be_compared_is_refused():
    workload, initial, x, y = drawn(SETTINGS["classification"])
    parameters, losses = in_float32(workload, initial, x, y)
    reference = truth.reference(workload, initial, x, y)
    flipped = [(w.T, b) for w, b in parameters]
    said = truth.check(initial, flipped, losses, reference)
    assert said == "w of layer 1 has the shape (12, 6), expected (6, 12)"
    said = truth.check(initial, parameters[1:], losses, reference)
    assert said == "there are parameters of 2 layers, expected 3"
    assert "losses have the shape (3,)" in truth.check(initial, parameters, losses[1:], reference)
    broken = [(w * np.nan, b) for w, b in parameters]
    assert "diverges, and float64 does not" in truth.check(initial, broken, losses, reference)
    assert truth.deviation(initial, broken, losses, reference) == np.inf


def test_training_that_diverges_in_float64_too_is_said_so():
    setting = SETTINGS["regression"]
    _, initial, x, y = drawn(setting, steps=40)
    wild = dataclasses.replace(WORKLOADS["regression"], learning_rate=1e30)
    reference = truth.reference(wild, initial, x, y)
    reason = truth.check(initial, initial, np.zeros(40), reference)
    assert reason == "the training diverges in float64 too: lower the learning rate"


def test_parameters_that_do_not_move_divide_by_nothing():
    """Zero inputs: the first weights have no gradient at all."""
    workload, initial, x, y = drawn(SETTINGS["classification"])
    reference = truth.reference(workload, initial, 0 * x, y)
    result = in_float32(workload, initial, 0 * x, y)
    assert np.array_equal(leaves(reference.parameters)[0], initial[0][0])
    assert truth.check(initial, *result, reference) is None
    moved = [(w + np.float32(0.01), b) for w, b in result[0]]
    assert truth.check(initial, moved, result[1], reference) is not None


def test_rounding_of_large_weights_with_tiny_steps_is_allowed_for():
    workload, initial, x, y = drawn(SETTINGS["regression"])
    slow = dataclasses.replace(workload, learning_rate=1e-7)
    reference = truth.reference(slow, initial, x, y)
    parameters, losses = in_float32(slow, initial, x, y)
    triples = zip(*map(leaves, (initial, parameters, reference.parameters)), strict=True)
    alone = [np.linalg.norm(b - c) / np.linalg.norm(a - c) for a, b, c in triples]
    assert max(alone) > 10 * truth.BOUND  # beside the steps alone it is off
    assert truth.check(initial, parameters, losses, reference) is None


def a_neuron_at_its_kink():
    """One relu whose input is 1e-9 in float64, and rounds to either side in float32."""
    workload = Workload("kink", "relu", "squared", "sgd", 0.1)
    w, b = np.array([[1.0], [-1.0]], np.float32), np.array([2**-30], np.float32)
    initial = [(w, b), (np.ones((1, 1), np.float32), np.zeros(1, np.float32))]
    x = np.array([[[3.0, 3.0], [2.0, 1.0]]], np.float32)
    return workload, initial, x, np.ones((1, 2, 1), np.float32)


def test_a_kink_that_float32_cannot_decide_is_no_fault():
    case = a_neuron_at_its_kink()
    reference = truth.reference(*case)
    losses, other = truth.train(*case, other_side=True)
    assert truth.deviation(case[1], other, losses, reference) > 100 * truth.BOUND
    assert truth.check(case[1], other, losses, reference) is None
    decided = reference._replace(undecided=0 * reference.undecided)
    assert "layer 1" in truth.check(case[1], other, losses, decided)
    wrong = [(other[0][0] * 3, other[0][1]), other[1]]
    assert "w of layer 1" in truth.check(case[1], wrong, losses, reference)


def test_deep_networks_take_smaller_steps() -> None:
    """Whatever is timed trains for thousands of steps, and must not diverge."""
    rates = {
        depth: workload_of(Setting("classification", (2, *(8,) * depth, 3), 1)).learning_rate
        for depth in (1, 4, 8, 64)
    }
    assert rates == pytest.approx({1: 0.01, 4: 0.01, 8: 0.005, 64: 0.000625})
