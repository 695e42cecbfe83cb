"""Training steps against a loop written by hand, and how `fit` cuts, resumes and ends."""

import copy
import os
import signal
import threading
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from rich.console import Console

import jaxpercep as jp
from jaxpercep import _interactive, loop
from jaxpercep import steps as program
from jaxpercep.datasets import digits

METHODS = ("autodiff", "manual")
SAMPLES = 10
MODEL = jp.mlp([2, 3, 1], jp.tanh)
LOSS = jp.SquaredError()
SGD = optax.sgd(0.1, momentum=0.5)
KEY = jax.random.key(5)
every_method = pytest.mark.parametrize("method", METHODS)


def data():
    x = np.random.default_rng(0).normal(size=(SAMPLES, 2)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(np.sin(x.sum(-1, keepdims=True)))


def fresh(optimizer=SGD, model=MODEL):
    return jp.init_state(model, optimizer, jax.random.key(0))


def fit(state, *, optimizer=SGD, **options):
    return jp.fit(MODEL, LOSS, optimizer, state, *data(), **options)


def epoch_order(epoch):
    """The order that `fit`'s documentation promises."""
    return np.asarray(jax.random.permutation(jax.random.fold_in(KEY, epoch), SAMPLES))


def train_by_hand(state, steps, batch_size=None, optimizer=SGD, method="autodiff"):
    """A plain loop over single steps: what `fit` has to equal. Returns the state and the losses."""
    step = jp.make_step(MODEL, LOSS, optimizer, method)
    x, y = data()
    losses = []
    for i in range(steps):
        rows = np.arange(SAMPLES)
        if batch_size is not None:
            epoch, position = divmod(i, SAMPLES // batch_size)
            rows = epoch_order(epoch)[position * batch_size :][:batch_size]
        state, loss = step(state, x[rows], y[rows])
        losses.append(loss)
    return state, np.asarray(losses)


def assert_close(actual, expected, rtol=1e-5):
    """States or losses are equal up to float32 rounding."""
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=rtol, atol=1e-6), actual, expected
    )


def assert_identical(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.fixture
def one_step_per_call(monkeypatch):
    """Every step is a call of its own, so that callbacks see each."""
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)


@pytest.fixture
def default_promotion():
    """Adam raises a float to an integer power, which strict promotion refuses."""
    with jax.numpy_dtype_promotion("standard"):
        yield


# States


def test_a_fresh_state_is_at_step_0():
    state = fresh()
    assert (state.step.dtype, int(state.step)) == (np.int32, 0)
    assert_identical(state.params, MODEL.init(jax.random.key(0)))
    assert_identical(state.opt_state, SGD.init(state.params))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((jnp.tanh, SGD, KEY), r"model=.* is not a layer"),
        ((MODEL, 0.1, KEY), r"optimizer=0\.1 is not an optax gradient transformation; optax\.sgd"),
        ((MODEL, SGD, 0), r"key=0 is not one random key"),
    ],
)
def test_init_state_refuses(arguments, message):
    with pytest.raises(TypeError, match=message):
        jp.init_state(*arguments)


# make_step


@every_method
def test_a_step_is_the_update_by_hand(method):
    state = fresh(optax.sgd(0.5))
    x, y = data()
    step = jp.make_step(MODEL, LOSS, optax.sgd(0.5), method)
    new, loss = step(state, x, y)

    def objective(params):
        hidden, _, output = params
        h = jnp.tanh(x @ hidden.w + hidden.b)
        return jnp.mean((h @ output.w + output.b - y) ** 2)

    value, gradients = jax.value_and_grad(objective)(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.5 * g, state.params, gradients)
    assert_close((new.params, loss, new.step), (expected, value, 1))


def test_a_step_has_what_a_jitted_function_has():
    step = copy.copy(jp.make_step(MODEL, LOSS, SGD))
    assert "HloModule" in step.lower(fresh(), *data()).compile().as_text()
    states = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), fresh())
    stepped, losses = jax.vmap(step, in_axes=(0, None, None))(states, *data())
    assert losses.shape == (2,)
    assert_close(jax.tree.map(lambda leaf: leaf[0], stepped), step(fresh(), *data())[0])


@pytest.mark.parametrize("donate", [False, True])
@every_method
def test_the_second_step_does_not_compile(method, donate):
    step = jp.make_step(MODEL, LOSS, SGD, method, donate)
    state = fresh()
    for _ in range(3):
        state, _ = step(state, *data())
    assert step._cache_size() == 1
    assert int(state.step) == 3


@pytest.mark.parametrize("donate", [False, True])
def test_only_donate_consumes_the_state(donate):
    state, (x, y) = fresh(), data()
    jp.make_step(MODEL, LOSS, SGD, donate=donate)(state, x, y)
    assert {leaf.is_deleted() for leaf in jax.tree.leaves(state)} == {donate}
    assert not x.is_deleted()


def test_a_state_that_holds_its_parameters_twice_can_be_donated(default_promotion):
    del default_promotion
    optimizer = optax.contrib.prodigy()  # keeps the first parameters
    step = jp.make_step(MODEL, LOSS, optimizer, donate=True)
    state, loss = step(fresh(optimizer), *data())
    assert np.isfinite(float(loss))
    assert int(state.step) == 1


def test_states_are_interchangeable_between_methods():
    both = [train_by_hand(fresh(), 1, method=method)[0] for method in METHODS]
    assert jax.tree.structure(both[0]) == jax.tree.structure(both[1])
    crossed = [train_by_hand(both[i], 1, method=METHODS[1 - i])[0] for i in range(2)]
    straight = [train_by_hand(both[i], 1, method=METHODS[i])[0] for i in range(2)]
    for state in crossed:
        assert_close(state, straight[0])


def test_adam_trains_by_both_methods(default_promotion):
    del default_promotion
    adam = optax.adam(0.01)
    results = [fit(fresh(adam), optimizer=adam, steps=20, method=method) for method in METHODS]
    assert_close(results[1][0], results[0][0], rtol=1e-4)
    assert_close(results[0][0], train_by_hand(fresh(adam), 20, optimizer=adam)[0], rtol=1e-4)
    assert results[0][1].loss[-1] < results[0][1].loss[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((MODEL, LOSS, None), TypeError, r"optimizer=None is not an optax"),
        ((MODEL, LOSS, SGD, "grad"), ValueError, r"method='grad' is not one of autodiff, manual"),
        ((MODEL, np.square, SGD), TypeError, r"loss=.* is not a loss"),
        (("mlp", LOSS, SGD), TypeError, r"model='mlp' is not a layer"),
    ],
)
def test_make_step_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        jp.make_step(*arguments)


# fit: the same as a loop by hand


@pytest.mark.parametrize("batch_size", [None, 3, SAMPLES])
@every_method
def test_fit_is_a_loop_of_steps(method, batch_size):
    key = None if batch_size is None else KEY
    state, history = fit(fresh(), steps=12, batch_size=batch_size, key=key, method=method)
    expected, losses = train_by_hand(fresh(), 12, batch_size)
    assert_close(state, expected)
    assert_close(history.loss, losses)
    assert history.loss.shape == (12,)
    assert not history.interrupted


def test_history_holds_the_loss_before_each_update():
    state = fresh()
    x, y = data()
    _, history = fit(state, steps=1)
    np.testing.assert_allclose(
        history.loss, [LOSS.apply(MODEL.apply(state.params, x), y)], rtol=1e-6
    )


@pytest.mark.parametrize(("batch_size", "steps"), [(None, 4), (3, 12), (5, 8), (10, 4), (7, 4)])
def test_an_epoch_leaves_out_the_remainder(batch_size, steps):
    key = None if batch_size is None else KEY
    state, history = fit(fresh(), epochs=4, batch_size=batch_size, key=key)
    assert history.loss.shape == (steps,)
    assert int(state.step) == steps


@pytest.mark.usefixtures("one_step_per_call")
def test_every_epoch_visits_a_permutation():
    """Sample i alone moves weight i: what moved tells which samples a step saw."""
    model = jp.Dense(SAMPLES, 1, "zeros", use_bias=False)
    optimizer = optax.sgd(0.1)
    state = jp.init_state(model, optimizer, KEY)
    weights = [np.zeros(SAMPLES)]

    def watch(state, _):
        weights.append(np.asarray(state.params.w)[:, 0])

    x, y = jnp.eye(SAMPLES), jnp.ones((SAMPLES, 1))
    jp.fit(model, LOSS, optimizer, state, x, y, epochs=3, batch_size=4, key=KEY, callback=watch)
    seen = [set(np.flatnonzero(after != before)) for before, after in pairwise(weights)]
    expected = [set(epoch_order(e)[4 * b : 4 * b + 4]) for e in range(3) for b in range(2)]
    assert seen == expected
    assert expected[:2] != expected[2:4]


def test_the_order_depends_on_the_key():
    options = {"steps": 5, "batch_size": 2}
    one, same, other = (
        fit(fresh(), key=jax.random.key(seed), **options)[1].loss for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


# fit: how steps are cut into calls changes nothing


def cut_into(monkeypatch, seconds, at_most=loop.STEPS_PER_CALL):
    """Trains 33 steps; returns the result, the lengths of the calls, and the compilations."""
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", seconds)
    monkeypatch.setattr(loop, "STEPS_PER_CALL", at_most)
    optimizer = optax.sgd(0.1)  # a new one: nothing is compiled for it yet
    before = program.run_steps._cache_size()
    calls = []
    result = fit(
        fresh(optimizer),
        optimizer=optimizer,
        steps=33,
        batch_size=3,
        key=KEY,
        callback=lambda _, losses: calls.append(len(losses)),
    )
    return result, calls, program.run_steps._cache_size() - before


def test_cuts_change_neither_results_nor_compilations(monkeypatch):
    (state, history), single, compiled = cut_into(monkeypatch, 0)
    assert single == [1] * 33
    assert compiled == 1
    for seconds, at_most, expected in ((1e9, 10**5, [1, 10, 22]), (1e9, 8, [1, 8, 8, 8, 8])):
        (other, others), calls, compiled = cut_into(monkeypatch, seconds, at_most)
        assert calls == expected
        assert compiled == 1
        assert_identical((other, others.loss), (state, history.loss))


def test_fitting_again_does_not_compile_again():
    state, _ = fit(fresh(), steps=2)
    before = program.run_steps._cache_size()
    state, _ = fit(state, steps=3)
    fit(fresh(), steps=2)
    assert program.run_steps._cache_size() == before


@pytest.mark.parametrize("cut", [2, 3, 7])
def test_two_calls_equal_one(cut):
    """Three batches an epoch: a cut within one, at its end, and in a later one."""
    options = {"batch_size": 3, "key": KEY}
    whole, history = fit(fresh(), steps=10, **options)
    half, first = fit(fresh(), steps=cut, **options)
    again, second = fit(half, steps=10 - cut, **options)
    assert_identical(again, whole)
    np.testing.assert_array_equal(np.concatenate([first.loss, second.loss]), history.loss)


def test_the_state_passed_in_stays_usable():
    state = fresh()
    copy = jax.tree.map(np.array, state)
    fit(state, steps=3)
    assert_identical(state, copy)


def test_fit_takes_states_of_make_step_and_of_the_other_method():
    state, _ = train_by_hand(fresh(), 2, method="manual")
    state, _ = fit(state, steps=2, method="manual")
    state, _ = fit(state, steps=2, method="autodiff")
    assert_close(state, train_by_hand(fresh(), 6)[0])


@pytest.mark.usefixtures("x64")
def test_fit_in_double_precision():
    x, y = (jnp.asarray(np.asarray(array), np.float64) for array in data())
    state, history = jp.fit(MODEL, LOSS, SGD, fresh(), x, y, steps=3, batch_size=5, key=KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float64)}
    assert history.loss.dtype == np.float64


def test_fit_takes_numpy_arrays_and_labels():
    model = jp.mlp([2, 4, 3], jp.relu)
    optimizer = optax.sgd(0.1)
    state = jp.init_state(model, optimizer, KEY)
    x, labels = np.asarray(data()[0]), np.arange(SAMPLES) % 3
    _, history = jp.fit(model, jp.SoftmaxCrossEntropy(), optimizer, state, x, labels, steps=200)
    assert history.loss[-1] < 0.7 * history.loss[0]


@pytest.mark.parametrize("method", METHODS)
def test_fit_takes_arrays_of_the_other_byte_order(method):
    x, y = (np.asarray(array) for array in data())
    swapped = [array.astype(array.dtype.newbyteorder()) for array in (x, y)]
    results = [
        jp.fit(MODEL, LOSS, SGD, fresh(), *d, steps=2, method=method) for d in ((x, y), swapped)
    ]
    assert_identical(*(state for state, _ in results))


# fit: divergence


@pytest.mark.parametrize("steps_per_call", [1, 3, 100])
def test_a_run_that_diverges_ends_at_the_last_state_whose_loss_was_finite(
    steps_per_call, monkeypatch
):
    monkeypatch.setattr(loop, "STEPS_PER_CALL", steps_per_call)
    x, y = data()
    steep = optax.sgd(3e5)
    start = jp.init_state(MODEL, steep, KEY)
    with pytest.warns(RuntimeWarning, match=r"training diverged: at step \d+ the loss") as warned:
        state, history = jp.fit(MODEL, jp.SquaredError(), steep, start, x, 1e3 * y, steps=1000)
    assert f"at step {history.diverged} " in str(warned[0].message)
    assert len(history.loss) == history.diverged + 1
    assert np.isfinite(history.loss[:-1]).all()
    assert not np.isfinite(history.loss[-1])
    assert not history.interrupted
    assert int(state.step) == history.diverged - 1
    value = jp.value_and_grad(MODEL, jp.SquaredError())(state.params, x, 1e3 * y)[0]
    np.testing.assert_allclose(value, history.loss[-2], rtol=1e-5)


def test_training_under_a_transformation_says_what_to_do_instead():
    x, y = data()

    def trained(state):
        return jp.fit(MODEL, LOSS, SGD, state, x, y, steps=2)[0]

    def together(state):
        keys = jax.random.split(jax.random.key(state.step[0]), 2)
        return jp.train_population(MODEL, LOSS, SGD, keys, x, y, steps=2)

    for transformed in (jax.jit(trained), jax.vmap(trained), jax.jit(together)):
        with pytest.raises(
            TypeError, match=r"cannot run under jit, vmap or grad: .*jax\.lax\.scan"
        ):
            transformed(jax.tree.map(lambda leaf: leaf[None], fresh()))


# fit: progress, and how it ends


@pytest.mark.usefixtures("one_step_per_call")
def test_the_callback_sees_every_state_and_loss():
    seen = []
    state, history = fit(fresh(), steps=4, callback=lambda *now: seen.append(now))
    assert [int(now.step) for now, _ in seen] == [1, 2, 3, 4]
    assert_identical(seen[-1][0], state)
    np.testing.assert_array_equal(np.concatenate([losses for _, losses in seen]), history.loss)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_at(step, times=1):
    def callback(state, _):
        for _ in range(times * (int(state.step) == step)):
            interrupt()

    return callback


@pytest.fixture
def handler():
    """Python's own handler of Ctrl-C before the test, and checked to be there after it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    left = signal.signal(signal.SIGINT, previous)
    assert left is signal.default_int_handler


@pytest.mark.usefixtures("one_step_per_call", "handler")
def test_ctrl_c_returns_the_state_reached():
    options = {"batch_size": 3, "key": KEY}
    state, history = fit(fresh(), steps=9, callback=interrupt_at(4), **options)
    expected, shorter = fit(fresh(), steps=4, **options)
    assert history.interrupted
    assert not shorter.interrupted
    assert_identical(state, expected)
    np.testing.assert_array_equal(history.loss, shorter.loss)


@pytest.mark.usefixtures("handler")
def test_ctrl_c_while_compiling_returns_the_state_passed_in():
    waiting = [interrupt]

    def update(*arguments):
        while waiting:
            waiting.pop()()
        return SGD.update(*arguments)

    state = fresh()
    optimizer = optax.GradientTransformation(SGD.init, update)
    reached, history = fit(state, optimizer=optimizer, steps=5)
    assert history.interrupted
    assert history.loss.shape == (0,)
    assert_identical(reached, state)


@pytest.mark.usefixtures("one_step_per_call", "handler")
def test_a_second_ctrl_c_is_not_deferred():
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), steps=9, callback=interrupt_at(4, times=2))


@pytest.mark.usefixtures("one_step_per_call", "handler")
def test_a_callback_may_raise():
    def fail(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(fresh(), steps=9, callback=fail)


@pytest.mark.usefixtures("one_step_per_call")
def test_a_handler_of_the_program_keeps_its_meaning():
    received = []
    previous = signal.signal(signal.SIGINT, lambda *_: received.append("mine"))
    try:
        _, history = fit(fresh(), steps=5, callback=interrupt_at(2))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert received == ["mine"]
    assert history.loss.shape == (5,)


@pytest.mark.usefixtures("handler")
def test_fit_works_in_a_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(fit(fresh(), steps=3)))
    thread.start()
    thread.join()
    assert_close(results[0][0], train_by_hand(fresh(), 3)[0])


def test_a_terminal_shows_progress_and_a_pipe_does_not(monkeypatch, capsys):
    fit(fresh(), steps=3)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(_interactive, "Console", partial(Console, force_terminal=True, width=100))
    fit(fresh(), steps=3)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "training" in shown.err
    assert "3/3" in shown.err


# fit: refusals

X, Y = data()
REFUSED = {
    "neither": ({}, ValueError, r"steps=None, epochs=None: give exactly one"),
    "both": ({"steps": 1, "epochs": 1}, ValueError, r"steps=1, epochs=1: give exactly one"),
    "no step": ({"steps": 0}, ValueError, r"steps=0 must be at least 1"),
    "no epoch": ({"epochs": -1}, ValueError, r"epochs=-1 must be at least 1"),
    "half a step": ({"steps": 0.5}, TypeError, r"steps=0\.5 must be an integer"),
    "true": ({"steps": True}, TypeError, r"steps=True must be an integer"),
    "large batch": (
        {"steps": 1, "batch_size": 11, "key": KEY},
        ValueError,
        r"batch_size=11 is more than the 10 samples",
    ),
    "empty batch": ({"steps": 1, "batch_size": 0, "key": KEY}, ValueError, r"batch_size=0 must be"),
    "no key": ({"steps": 1, "batch_size": 2}, ValueError, r"batch_size=2 needs a key.*random\.key"),
    "bad key": ({"steps": 1, "batch_size": 2, "key": 3}, TypeError, r"key=3 is not one random key"),
    "unused bad key": ({"steps": 1, "key": 3}, TypeError, r"key=3 is not one random key"),
    "optimizer": ({"steps": 1, "optimizer": 0.1}, TypeError, r"optimizer=0\.1 is not an optax"),
    "other optimizer": (
        {"steps": 1, "optimizer": optax.adagrad(0.1)},
        (TypeError, ValueError),
        r"opt_state.*optimizer",
    ),
    "state": (
        {"steps": 1, "state": fresh().params},
        TypeError,
        r"state=\(DenseP.* is not a TrainState; .*init_state",
    ),
    "method": ({"steps": 1, "method": "manaul"}, ValueError, r"Did you mean 'manual'\?"),
    "model": ({"steps": 1, "model": "mlp"}, TypeError, r"model='mlp' is not a layer"),
    "loss": ({"steps": 1, "loss": abs}, TypeError, r"loss=.* is not a loss"),
    "callback": ({"steps": 1, "callback": 3}, TypeError, r"callback=3 is not callable"),
    "nan": (
        {"steps": 1, "x": X.at[3, 1].set(jnp.nan)},
        ValueError,
        r"x holds 1 value.* NaN or infinite \(the first at index \(3, 1\)\)",
    ),
    "complex": (
        {"steps": 1, "y": Y.astype(complex)},
        TypeError,
        r"y has dtype complex64, .*use its \.real",
    ),
    "masked": (
        {"steps": 1, "x": np.ma.masked_array(X, np.zeros_like(X))},
        TypeError,
        r"x is a masked array, whose mask would be lost; .*its \.filled",
    ),
    "labels that wrap": (
        {"steps": 1, "loss": jp.SoftmaxCrossEntropy(), "y": np.zeros(SAMPLES, "i8") + 2**32},
        ValueError,
        r"y holds 4294967296, which int32 cannot hold",
    ),
    "beyond float32": (
        {"steps": 1, "x": np.full((SAMPLES, 2), 1e300)},
        ValueError,
        r"x holds 1e\+300, which float32 cannot hold",
    ),
    "steps beyond the counter": (
        {"steps": 10**30},
        ValueError,
        r"room for 2147483647 more at most",
    ),
    "epochs beyond the counter": ({"epochs": 2**31}, ValueError, r"epochs=2147483648: .* at most"),
    "not a number in the parameters": (
        {
            "steps": 1,
            "state": fresh()._replace(params=jax.tree.map(lambda p: p * jnp.nan, fresh().params)),
        },
        ValueError,
        r"state\.params\[0\]\.w holds 6 values that are NaN",
    ),
    "outputs that are no probabilities": (
        {"steps": 1, "loss": jp.BinaryCrossEntropy(from_logits=False), "y": jnp.round(Y**0)},
        ValueError,
        r"NaN or infinite before the first update: .*takes probabilities",
    ),
    "infinite": ({"steps": 1, "y": Y.at[0].set(jnp.inf)}, ValueError, r"y holds 1 value"),
    "nan in bfloat16": (
        {"steps": 1, "x": X.astype(jnp.bfloat16).at[0].set(jnp.nan)},
        ValueError,
        r"x holds 2 values",
    ),
    "lengths": ({"steps": 1, "y": Y[:-1]}, ValueError, r"x has shape \[10, 2\] and y \[9, 1\]"),
    "no samples": ({"steps": 1, "x": X[:0], "y": Y[:0]}, ValueError, r"an empty batch"),
    "scalar": ({"steps": 1, "x": jnp.float32(1)}, ValueError, r"x has shape \[\]"),
    "integers": ({"steps": 1, "x": X.astype(int)}, TypeError, r"x has dtype int32, expected float"),
    "features": (
        {"steps": 1, "x": X[:, :1]},
        ValueError,
        r"x has shape \[10, 1\], expected \[\.\.\., 2",
    ),
    "broadcast": ({"steps": 1, "y": Y[:, 0]}, ValueError, r"target has shape \[10\].*reshape"),
    "labels": (
        {"steps": 1, "loss": jp.SoftmaxCrossEntropy(), "y": jnp.arange(SAMPLES)},
        ValueError,
        r"value 1, expected labels 0 to 0, for 1 outputs",
    ),
    "bits": (
        {"steps": 1, "loss": jp.Hinge(), "y": jnp.zeros((SAMPLES, 1), int)},
        ValueError,
        r"value 0, expected targets -1 and \+1",
    ),
    "other model": (
        {"steps": 1, "model": jp.mlp([2, 4, 1])},
        ValueError,
        r"params have shapes w=\(2, 3\), b=\(3,\), expected w=\(2, 4\)",
    ),
}


@pytest.mark.parametrize(("options", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_fit_refuses(options, error, message):
    given = {"model": MODEL, "loss": LOSS, "optimizer": SGD, "state": fresh(), "x": X, "y": Y}
    called = []
    options = {"callback": lambda *_: called.append(1), **given, **options}
    with pytest.raises(error, match=message):
        jp.fit(**options)
    assert not called


def test_digits_are_learnt_as_well_with_products_in_bfloat16():
    data, optimizer, accuracy = digits(), optax.adam(0.003), []
    for dtype in (None, "bfloat16"):
        model = jp.mlp([64, 64, 10], jp.relu, dtype=dtype)
        state = jp.init_state(model, optimizer, jax.random.key(0))
        options = {"epochs": 20, "batch_size": 64, "key": jax.random.key(1), "method": "manual"}
        loss = jp.SoftmaxCrossEntropy()
        state, history = jp.fit(
            model, loss, optimizer, state, data.train.x, data.train.y, **options
        )
        assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}
        assert history.loss.dtype == np.float32
        correct = jnp.argmax(model.apply(state.params, data.test.x), -1) == data.test.y
        accuracy.append(float(jnp.mean(correct)))
    assert accuracy[0] > 0.95
    assert abs(accuracy[1] - accuracy[0]) <= 0.005
