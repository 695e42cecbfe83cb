"""What `fit` validates, when it stops, what it returns then, and the picture of it all."""

import os
import signal
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxpercep as jp
from jaxpercep import loop
from jaxpercep import steps as program
from jaxpercep.validation import Watch

MODEL, LOSS, SGD = jp.mlp([2, 3, 1], jp.tanh), jp.SquaredError(), optax.sgd(0.1, momentum=0.5)
KEY = jax.random.key(5)
BATCHES = {"batch_size": 3, "key": KEY}  # three an epoch
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(10, 2)), np.float32)
Y = jnp.sin(X.sum(-1, keepdims=True))
HELD_OUT = (X[:4] + 1, Y[:4] ** 2)
OPPOSITE = (X, -Y)  # what is learned makes it worse


def fresh():
    return jp.init_state(MODEL, SGD, jax.random.key(0))


def fit(state=None, **options):
    return jp.fit(MODEL, LOSS, SGD, state or fresh(), X, Y, **options)


def loss_on(data, state):
    return float(LOSS.apply(MODEL.apply(state.params, data[0]), data[1]))


def assert_identical(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


# Validation


def test_the_validation_loss_is_that_of_the_state_at_each_epoch_and_at_the_end():
    state, history = fit(steps=11, validation=HELD_OUT, **BATCHES)
    assert history.validated.tolist() == [3, 6, 9, 11]
    for step, loss in zip(history.validated, history.validation, strict=True):
        reached, _ = fit(steps=int(step), **BATCHES)
        assert loss == pytest.approx(loss_on(HELD_OUT, reached), rel=1e-6)
    assert (history.first, history.best, history.stopped) == (0, None, None)
    assert int(state.step) == 11


@pytest.mark.parametrize("options", [{}, BATCHES])
def test_validation_changes_nothing_else(options):
    state, history = fit(steps=20, **options)
    same, validated = fit(steps=20, validation=OPPOSITE, validate_every=7, **options)
    assert_identical(same, state)
    np.testing.assert_array_equal(validated.loss, history.loss)
    assert validated.validated.tolist() == [7, 14, 20]
    assert history.validation.shape == history.validated.shape == (0,)


def test_the_full_batch_is_validated_every_100_steps():
    assert fit(steps=250, validation=HELD_OUT)[1].validated.tolist() == [100, 200, 250]
    assert fit(epochs=250, validation=HELD_OUT)[1].validated.tolist() == [100, 200, 250]


def test_training_on_validates_at_the_same_steps():
    options = {"validation": HELD_OUT, **BATCHES}
    whole = fit(steps=12, **options)[1]
    half, first = fit(steps=5, **options)
    second = fit(half, steps=7, **options)[1]
    assert first.validated.tolist() == [3, 5]
    assert second.validated.tolist() == [6, 9, 12]
    assert second.first == 5
    np.testing.assert_array_equal(second.validation, whole.validation[1:])


def test_cuts_change_neither_validation_nor_compilations(monkeypatch):
    results = []
    for seconds, at_most in ((0, 10**5), (1e9, 10**5), (1e9, 4)):
        monkeypatch.setattr(loop, "SECONDS_PER_CALL", seconds)
        monkeypatch.setattr(loop, "STEPS_PER_CALL", at_most)
        optimizer = optax.sgd(0.3)
        before = program.run_steps._cache_size()
        stopping = jp.EarlyStopping(2)
        state = jp.init_state(MODEL, optimizer, KEY)
        options = {"validation": OPPOSITE, "validate_every": 5, "early_stopping": stopping}
        state, history = jp.fit(MODEL, LOSS, optimizer, state, X, Y, steps=100, **options)
        assert program.run_steps._cache_size() == before + 1
        assert 0 < history.stopped < 100
        results.append((state, history.loss, history.validation, history.best, history.stopped))
    for other in results[1:]:
        assert_identical(other, results[0])


# Early stopping


def watched(losses, **options):
    """The steps at which a run with these validation losses ends, and of its best state."""
    found = iter(losses)
    watch = Watch(lambda _: next(found), 1, jp.EarlyStopping(**options))
    for step in range(1, len(losses) + 1):
        ended = watch.sees(step, SimpleNamespace(params=step), last=False)
        if ended:
            break
    state, best = watch.chosen(None)
    assert state.params == best
    return (step if ended else None), best


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("losses", "options", "expected"),
    [
        ([3, 2, 1], {"patience": 1}, (None, 3)),
        ([3, 2, 2, 1], {"patience": 1}, (3, 2)),
        ([3, 2, 2, 1], {"patience": 2}, (None, 4)),
        ([3, 2, 4, 5, 6], {"patience": 3}, (5, 2)),
        ([3, 4, 2, 4, 4, 1], {"patience": 2}, (5, 3)),
        # 1.9 and 1.8 are not lower by more than 0.3 than 2, 1.6 is
        ([2, 1.9, 1.8], {"patience": 2, "min_delta": 0.3}, (3, 3)),
        ([2, 1.9, 1.6, 1.5], {"patience": 2, "min_delta": 0.3}, (None, 4)),
        ([2, 1.5, 1.0], {"patience": 1, "min_delta": 0.5}, (2, 2)),
        ([NAN, INF, 2, NAN, 1], {"patience": 3}, (None, 5)),
        ([2, NAN, NAN, 1], {"patience": 2}, (3, 1)),
        ([NAN, NAN], {"patience": 2}, (2, 1)),
    ],
)
def test_patience_counts_validations_without_improvement(losses, options, expected):
    assert watched(losses, **options) == expected


def test_the_best_state_is_returned():
    options = {"validation": OPPOSITE, **BATCHES}
    state, history = fit(steps=300, early_stopping=jp.EarlyStopping(4), **options)
    assert history.best == int(state.step) == history.validated[np.argmin(history.validation)]
    assert history.stopped == history.validated[-1] == history.best + 4 * 3
    assert len(history.loss) == history.stopped
    assert not history.interrupted
    assert_identical(state, fit(steps=history.best, **BATCHES)[0])


def test_a_run_that_is_not_stopped_returns_the_best_state_too():
    options = {"validation": OPPOSITE, "early_stopping": jp.EarlyStopping(100)}
    state, history = fit(steps=30, validate_every=10, **options)
    assert history.stopped is None
    assert history.best == int(state.step) == 10
    assert len(history.loss) == 30


def test_a_run_that_diverges_returns_the_best_state():
    steep = optax.sgd(3e5)
    start = jp.init_state(MODEL, steep, KEY)
    options = {"validation": HELD_OUT, "validate_every": 1, "early_stopping": jp.EarlyStopping(99)}
    with pytest.warns(RuntimeWarning, match="training diverged: .* or the best one"):
        state, history = jp.fit(MODEL, LOSS, steep, start, X, 1e3 * Y, steps=99, **options)
    assert history.diverged is not None
    assert history.stopped is None
    assert history.best == int(state.step) == history.validated[np.nanargmin(history.validation)]


def interrupting(at, state, _):
    if int(state.step) == at:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("at", "best"), [(2, None), (6, 3)])
def test_an_interrupted_run_returns_the_best_state_if_there_is_one(monkeypatch, at, best):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        options = {"validation": OPPOSITE, "early_stopping": jp.EarlyStopping(9), **BATCHES}
        state, history = fit(steps=20, callback=partial(interrupting, at), **options)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert history.interrupted
    assert (history.best, history.stopped) == (best, None)
    assert int(state.step) == (best or at)


# Callbacks


@pytest.mark.parametrize("true", [True, np.True_, np.array(True), jnp.array(True)])
def test_a_callback_that_returns_true_ends_the_run(true, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)
    state, history = fit(steps=9, callback=lambda state, _: true if state.step == 4 else None)
    assert (int(state.step), len(history.loss), history.stopped) == (4, 4, 4)
    assert not history.interrupted
    assert_identical(state, fit(steps=4)[0])


@pytest.mark.parametrize("answer", [False, np.False_, jnp.array(False), None])
def test_a_callback_that_does_not_say_true_goes_on(answer):
    _, history = fit(steps=9, callback=lambda *_: answer)
    assert (len(history.loss), history.stopped) == (9, None)


@pytest.mark.parametrize("answer", [1, 0.5, "stop", np.array([True]), object()])
def test_a_callback_may_not_return_anything_else(answer):
    with pytest.raises(TypeError, match=r"callback returned .*, expected None to go on, or True"):
        fit(steps=9, callback=lambda *_: answer)


def test_the_callback_is_called_after_each_validation():
    seen = []
    options = {"validation": HELD_OUT, "validate_every": 4}
    fit(steps=10, callback=lambda state, _: seen.append(int(state.step)), **options)
    assert {4, 8, 10} <= set(seen)


# Refusals


REFUSED = {
    "no data to stop by": (
        {"early_stopping": jp.EarlyStopping(1)},
        ValueError,
        r"early_stopping=EarlyStopping\(patience=1, .* needs data: pass validation=\(x, y\)",
    ),
    "no data to validate": ({"validate_every": 3}, ValueError, r"validate_every=3 needs data"),
    "never": ({"validate_every": 0, "validation": HELD_OUT}, ValueError, r"validate_every=0 must"),
    "a number": (
        {"early_stopping": 3, "validation": HELD_OUT},
        TypeError,
        r"early_stopping=3 is not an EarlyStopping; EarlyStopping\(patience=10\) is one",
    ),
    "inputs alone": ({"validation": X}, TypeError, r"validation=float32\[10, 2\] is not a pair"),
    "three": ({"validation": (X, Y, Y)}, TypeError, r"is not a pair; pass validation=\(x, y\)"),
    "lengths": ({"validation": (X, Y[:3])}, ValueError, r"validation: x has shape \[10, 2\] and y"),
    "features": ({"validation": (X[:, :1], Y)}, ValueError, r"validation: .*x has shape \[10, 1\]"),
    "nan": ({"validation": (X * np.nan, Y)}, ValueError, r"validation: x holds 20 values"),
    "text": ({"validation": ("x", Y)}, TypeError, r"validation: x is a str"),
    "classes": (
        {
            "validation": (X, jnp.arange(10)),
            "loss": jp.SoftmaxCrossEntropy(),
            "y": jnp.zeros(10, int),
        },
        ValueError,
        r"validation: .*expected labels 0 to 0",
    ),
}


@pytest.mark.parametrize(("options", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_fit_refuses(options, error, message):
    given = {"model": MODEL, "loss": LOSS, "optimizer": SGD, "state": fresh(), "x": X, "y": Y}
    with pytest.raises(error, match=message):
        jp.fit(**{**given, "steps": 2, **options})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "patience=0 must be at least 1"),
        ((1.5,), TypeError, r"patience=1\.5 must be an integer"),
        ((1, -0.1), ValueError, r"min_delta=-0\.1 must be at least 0"),
        ((1, NAN), ValueError, "min_delta=nan must be finite"),
        ((1, "0"), TypeError, "min_delta='0' must be a number"),
    ],
)
def test_early_stopping_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        jp.EarlyStopping(*arguments)


# The picture


def test_a_history_draws_both_curves_over_the_steps():
    start, _ = fit(steps=5)
    _, history = fit(start, steps=12, validation=HELD_OUT, validate_every=4)
    axes = history.plot().axes[0]
    training_line, validation_line = axes.get_lines()
    np.testing.assert_array_equal(training_line.get_xdata(), np.arange(5, 17))
    np.testing.assert_array_equal(training_line.get_ydata(), history.loss)
    np.testing.assert_array_equal(validation_line.get_xdata(), [8, 12, 16, 17])
    np.testing.assert_array_equal(validation_line.get_ydata(), history.validation)
    assert [line.get_label() for line in axes.get_lines()] == ["training", "validation"]
    assert axes.get_yscale() == "log"


def test_a_history_without_validation_draws_one_curve_and_gaps_where_it_is_not_finite():
    figure = jp.History(np.array([1.0, 0.0, np.inf]), diverged=2).plot()
    (line,) = figure.axes[0].get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [1, 0, np.nan])
    assert figure.axes[0].get_yscale() == "linear"
    with pytest.raises(ValueError, match="the history is empty"):
        jp.History(np.empty(0)).plot()
