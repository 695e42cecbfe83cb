"""What people type first works, or is answered by the fix for it."""

import inspect
from functools import partial
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse
from jax.experimental.sparse import BCOO

import jaxpercep as jp
from jaxpercep import evaluation
from jaxpercep.datasets import logic_gate
from jaxpercep.estimators import MLPClassifier, MLPRegressor, Perceptron
from jaxpercep.interop import to_sklearn

X, Y, _ = logic_gate("XOR")
MODEL = jp.mlp([2, 3, 1], jp.tanh)
LOSS, OPTIMIZER = jp.BinaryCrossEntropy(), optax.sgd(0.5)
STATE = jp.init_state(MODEL, OPTIMIZER, jax.random.key(0))
STEPS = {"x": X, "y": Y, "steps": 3}
MASKED = np.ma.masked_array(X)
STATE_GIVEN = r"params is a TrainState, which holds the parameters; pass its \.params\."


def fit_to(x):
    jp.fit(MODEL, LOSS, OPTIMIZER, STATE, x, Y, steps=1)


@pytest.mark.parametrize(
    ("function", "layer"),
    [
        (jnp.tanh, jp.tanh),
        (jax.lax.tanh, jp.tanh),
        (jax.nn.sigmoid, jp.sigmoid),
        (jax.nn.relu, jp.relu),
        (jax.nn.leaky_relu, jp.leaky_relu),
        (jax.nn.elu, jp.elu),
        (jax.nn.softplus, jp.softplus),
        (jax.nn.silu, jp.silu),
        (jax.nn.swish, jp.silu),
        (jax.nn.gelu, jp.gelu),
        (jax.nn.identity, jp.identity),
    ],
)
def test_a_function_of_jax_is_the_activation_of_its_value(function, layer):
    assert jp.mlp([2, 3, 1], function) == jp.mlp([2, 3, 1], layer)
    assert jp.perceptron(2, function) == jp.perceptron(2, layer)
    for made in (jp.Repeat(function, 2), jp.Residual(function), jp.Serial(function).layers[0]):
        assert getattr(made, "layer", made) is layer


@pytest.mark.parametrize("function", [jnp.sin, lambda x: 0.5 * x, partial(jax.nn.elu, alpha=2.0)])
def test_any_other_function_is_a_layer_without_parameters(function):
    model = jp.mlp([2, 3, 1], function)
    assert model == jp.mlp([2, 3, 1], function)
    params = model.init(jax.random.key(0))
    assert params[1] == ()
    report = jp.compare_model(model, LOSS, params, X, Y)
    assert report.verdict == "match", str(report)


def test_any_scalar_function_is_a_loss():
    def mean(prediction, target):
        return optax.sigmoid_binary_cross_entropy(prediction, target).mean()

    loss = jp.AutodiffLoss(mean)
    assert loss == jp.AutodiffLoss(mean)
    assert repr(loss).endswith("mean)")
    by_optax, by_hand = (
        jp.fit(MODEL, one, OPTIMIZER, STATE, X, Y, steps=50, method="manual")[1].loss
        for one in (loss, LOSS)
    )
    np.testing.assert_allclose(by_optax, by_hand, rtol=1e-5)
    assert jp.compare_model(MODEL, loss, STATE.params, X, Y).verdict == "match"


def test_a_state_is_made_of_parameters_that_are_there():
    optimizer = optax.adam(0.1)
    made = jp.TrainState.create(jax.tree.map(np.asarray, STATE.params), optimizer)
    expected = jp.init_state(MODEL, optimizer, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, made, expected)
    with pytest.raises(TypeError, match=r"params\['w'\] has dtype int32, expected floating point"):
        jp.TrainState.create({"w": jnp.arange(3)}, optimizer)


@pytest.mark.parametrize("batch_size", [None, 1, 3, 4, 100])
@pytest.mark.parametrize("loss", [LOSS, jp.SquaredError(0.5, "sum")])
def test_the_loss_of_all_data_does_not_depend_on_the_batches(loss, batch_size):
    expected = loss.apply(MODEL.apply(STATE.params, X), Y)
    found = jp.evaluate(MODEL, loss, STATE.params, X, Y, batch_size=batch_size)
    assert isinstance(found, float)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_batches_bound_the_memory_of_the_activations():
    model, x = jp.mlp([256, 256, 256, 1], jp.tanh), jax.ShapeDtypeStruct((4096, 256), np.float32)
    params = jax.eval_shape(model.init, jax.random.key(0))

    def needed(batch_size):
        program = evaluation._outputs.lower(model, params, x, batch_size).compile()
        return program.memory_analysis().temp_size_in_bytes

    for batch_size in (64, 100):  # which divides the number of rows, and does not
        assert needed(batch_size) < needed(None) / 10


def test_the_accuracy_is_the_share_of_samples_that_are_right():
    logits, labels = jnp.array([[2.0, 1, 0], [0, 1, 2], [0, 3, 1], [1, 0, 0]]), [0, 2, 1, 2]
    assert jp.accuracy(logits, labels) == 0.75
    assert jp.accuracy(logits, jax.nn.one_hot(jnp.array(labels), 3)) == 0.75
    one = jnp.array([[-1.0], [0.3], [0.7], [2.0]])
    assert jp.accuracy(one, [[0], [1], [1], [1]], threshold=0) == 1
    assert jp.accuracy(one[:, 0], [0, 1, 1, 1], threshold=0.5) == 0.75
    assert jp.accuracy(one[:, 0], [False, True, True, True], threshold=0) == 1
    assert jp.accuracy(jnp.eye(10), [*range(7), 0, 0, 0]) == 0.7


@pytest.mark.parametrize(
    ("prediction", "target", "options", "message"),
    [
        ([[1.0], [2.0]], [1, 0], {}, "pass threshold=0 for logits, 0.5 for probabilities"),
        (np.eye(2), [1, 0], {"threshold": 0.5}, "leave it out"),
        (np.eye(3), [1, 0], {}, r"target has shape \[2\] and prediction \[3, 3\]"),
        ([[1.0], [2.0]], [1, 0, 1], {"threshold": 0}, "expected a 0 or a 1 for each"),
        (np.eye(2), [1.0, 0.0], {}, "expected integer labels"),
        (np.eye(2, dtype=int), [1, 0], {}, r"accuracy\(prediction, target\), in this order"),
        ([1, 0], np.eye(2), {}, r"accuracy\(prediction, target\), in this order"),
        (np.eye(2) * np.nan, [1, 0], {}, "prediction holds 4 values that are NaN"),
        ([[np.nan], [1.0]], [1, 0], {"threshold": 0}, "prediction holds 1 value that is NaN"),
        (np.eye(2), np.full((2, 2), np.inf), {}, "target holds 4 values that are NaN or infinite"),
        (np.eye(3), [0, 1, 3], {}, r"target\[2\] is 3; expected labels from 0 to 2"),
        (np.eye(3), [-1, 0, 1], {}, r"target\[0\] is -1; expected labels from 0 to 2"),
        ([[1.0], [-1.0]], [[1], [-1]], {"threshold": 0}, r"target\[1\] is -1; expected 0 or 1"),
        ([1.0, 2.0], [0.5, 1], {"threshold": 0}, r"target\[0\] is 0.5; expected 0 or 1"),
    ],
)
def test_an_accuracy_that_would_mean_nothing_is_refused(prediction, target, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        jp.accuracy(np.asarray(prediction), np.asarray(target), **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jp.mlp([2, 1], "tanh"), r"activation='tanh' is a string.* Pass jaxpercep.tanh\."),
        (lambda: jp.mlp([2, 1], "tahn"), r"Did you mean 'tanh'\?"),
        (lambda: jp.mlp([2, 1], np.tanh), r"pass jax\.numpy\.tanh"),
        (lambda: jp.Serial([jp.Dense(2, 1), jp.tanh]), r"Serial\(\*layers\)"),
        (lambda: jp.Serial(jp.Dense), r"Dense\(\.\.\.\)"),
        (lambda: MODEL(STATE.params, X), r"use its apply\(params, x\)"),
        (lambda: jp.tanh(X), r"use its apply\(params, x\)"),
        (lambda: jp.fit(MODEL, optax.l2_loss, OPTIMIZER, STATE, **STEPS), r"AutodiffLoss\(fun\)"),
        (lambda: jp.fit(MODEL, LOSS, STATE, OPTIMIZER, **STEPS), r"optimizer=a TrainState is not"),
        (lambda: jp.fit(MODEL, LOSS, OPTIMIZER, OPTIMIZER, **STEPS), r"TrainState\.create"),
        (
            lambda: jp.fit(MODEL, LOSS, OPTIMIZER, STATE.params, **STEPS),
            r"state=\(DenseParams\(w=float32\[2, 3\], b=float32\[3\]\), \(\), Dense.*State\.create",
        ),
        (
            lambda: jp.fit_batches(MODEL, LOSS, OPTIMIZER, STATE, [{"x": X, "y": Y}]),
            r"batches\[0\]=\{'x': float32\[4, 2\], 'y': float32\[4, 1\]\} is not a pair",
        ),
        (lambda: MODEL.apply(STATE, X), STATE_GIVEN),
        (lambda: jp.evaluate(MODEL, LOSS, STATE, X, Y), STATE_GIVEN),
        (lambda: jp.value_and_grad(MODEL, LOSS)(STATE, X, Y), STATE_GIVEN),
        (lambda: jp.compare_model(MODEL, LOSS, STATE, X, Y), STATE_GIVEN),
        (lambda: jp.save("folder", MODEL, STATE), STATE_GIVEN),
        (lambda: to_sklearn(MODEL, STATE), STATE_GIVEN),
        (lambda: jp.mlp([2, 3, 2], output="softmax"), r"The activations are identity, step, sigm"),
        (
            lambda: jp.mlp(jp.tanh, [2, 8, 1]),
            r"sizes=tanh: .*order is \(sizes, activation, output\)",
        ),
        (lambda: fit_to("digits.csv"), r"x is a str, .*; pass an array\."),
        (lambda: fit_to({"x": X}), r"x is a dict, .*; pass an array\."),
        (lambda: fit_to(X.astype(object)), r"dtype is object; make it float32, or number labels"),
        (
            lambda: jp.fit(MODEL, LOSS, OPTIMIZER, STATE, X, np.array(["no", "yes"] * 2), steps=1),
            r"y is a ndarray, .* number labels by numpy\.unique\(labels, return_inverse=True\)\[1]",
        ),
        (lambda: MLPClassifier().fit(MASKED, [0, 1, 1, 0]), r"^X is a masked array, .*filled"),
        (
            lambda: MLPRegressor().fit(X, np.ma.masked_array(Y[:, 0])),
            r"^y is a masked array, .*filled",
        ),
        (lambda: Perceptron().fit(X, [0, 0, 0, 1]).predict(MASKED), r"^X is a masked array"),
    ],
)
def test_what_does_not_work_is_answered_by_its_fix(call, message):
    with pytest.raises(TypeError, match=message) as caught:
        call()
    assert len(str(caught.value)) < 400


# Arguments in another order

GIVEN = {
    "folder": "folder",
    "model": MODEL,
    "loss": LOSS,
    "optimizer": OPTIMIZER,
    "state": STATE,
    "params": STATE.params,
    "key": jax.random.key(0),
    "keys": jax.random.split(jax.random.key(0), 2),
    "x": X,
    "y": Y,
    "batches": [(X, Y)],
}
KINDS = GIVEN.keys() - {"folder", "x", "y", "batches"}
ORDERED = [
    jp.TrainState.create,
    jp.compare_model,
    jp.evaluate,
    jp.fit,
    jp.fit_batches,
    jp.init_state,
    jp.make_step,
    jp.save,
    jp.train_population,
    jp.value_and_grad,
]


def positional(function):
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


SWAPS = [
    pytest.param(function, *pair, id=f"{function.__qualname__}: {' and '.join(pair)}")
    for function in ORDERED
    for pair in combinations([name for name in positional(function) if name in KINDS], 2)
]


@pytest.mark.parametrize(("function", "one", "other"), SWAPS)
def test_swapped_arguments_are_answered_by_their_order(function, one, other):
    names = positional(function)
    given = {name: GIVEN[name] for name in names if name in GIVEN}
    given |= {one: given[other], other: given[one]}
    options = {"steps": 1} if "steps" in inspect.signature(function).parameters else {}
    with pytest.raises(TypeError) as caught:
        function(*given.values(), **options)
    message = str(caught.value)
    assert message.startswith((f"{one}=", f"{other}="))
    assert " What came is a" in message
    assert message.endswith(f"; the order is ({', '.join(names)}).")
    assert len(message) < 400


def test_the_state_of_another_optimizer_is_told_by_its_types():
    adam = jp.init_state(MODEL, optax.adam(0.1), jax.random.key(0))
    message = r"^state\.opt_state is \(ScaleByAdamState, EmptyState\) with 27 values, expected .*"
    with pytest.raises(ValueError, match=message) as caught:
        jp.fit(MODEL, LOSS, OPTIMIZER, adam, **STEPS)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("make", [optax.lbfgs, optax.contrib.reduce_on_plateau])
def test_an_optimizer_that_needs_more_than_gradients_is_refused(make):
    state = jp.init_state(MODEL, make(), jax.random.key(0))
    for call in (
        lambda: jp.fit(MODEL, LOSS, make(), state, **STEPS),
        lambda: jp.make_step(MODEL, LOSS, make())(state, X, Y),
    ):
        with pytest.raises(TypeError, match=r"optimizer needs more than gradients.*'value'.*adam"):
            call()


# Functions that are none of JAX

ONLY_HERE = r"{} cannot be traced by JAX, .*; compute with jax\.numpy"
LOSSES_REFUSED = {
    "one argument": (lambda p: p.mean(), r"fun=<.*> cannot be called with 2 arguments; pass a"),
    "three": (lambda p, t, w: p * t * w, r"fun=<.*> cannot be called with 2 arguments; pass a"),
    "a float": (lambda p, _: float(p.mean()), ONLY_HERE.format("fun")),
    "NumPy": (lambda p, t: np.exp(p - t).mean(), ONLY_HERE.format("fun")),
    "if": (lambda p, t: p.mean() if p.sum() > 0 else t.mean(), ONLY_HERE.format("fun")),
    "a boolean index": (lambda p, _: p[p > 0].sum(), ONLY_HERE.format("fun")),
    "integers": (lambda p, _: p.sum().astype(int), "fun returned int32, which has no gradient"),
    "a pair": (lambda p, t: (p.mean(), t.mean()), "fun returned a tuple, expected one array"),
    "nothing": (lambda *_: None, "fun returned a NoneType, expected one array"),
}


@pytest.mark.parametrize("method", ["autodiff", "manual"])
@pytest.mark.parametrize(("fun", "message"), LOSSES_REFUSED.values(), ids=LOSSES_REFUSED)
def test_a_function_that_is_no_loss_is_refused(fun, message, method):
    with pytest.raises(TypeError, match=message):
        jp.fit(MODEL, jp.AutodiffLoss(fun), OPTIMIZER, STATE, **STEPS, method=method)


LAYERS_REFUSED = {
    "no argument": (lambda: 1, "activation=<.*> cannot be called with 1 argument; pass a f"),
    "two": (
        lambda a, b: a + b,
        "activation=<.*> cannot be called with 1 argument; pass a function",
    ),
    "print": (print, "the layer print returned a NoneType, expected one array"),
    "optax.adam": (optax.adam, "the layer adam returned a GradientTransf.*, expected one array"),
    "NumPy": (lambda z: np.exp(z), ONLY_HERE.format("the layer <lambda>")),
    "a list": ([jp.tanh, jp.sigmoid], r"Serial\(Dense\(2, 8\), tanh, Dense\(8, 1\), sigmoid\)"),
    "NumPy as f": (
        jp.activation(np.exp, keeps="output")(lambda y: y),
        ONLY_HERE.format("the function of <lambda>"),
    ),
    "NumPy as the derivative": (
        jp.activation(jnp.exp, keeps="output")(lambda y: np.positive(y)),
        ONLY_HERE.format("the derivative of <lambda>"),
    ),
}


@pytest.mark.parametrize(("function", "message"), LAYERS_REFUSED.values(), ids=LAYERS_REFUSED)
def test_a_function_that_is_no_layer_is_refused(function, message):
    def train():
        model = jp.mlp([2, 3, 1], function)
        state = jp.init_state(model, OPTIMIZER, jax.random.key(0))
        jp.fit(model, LOSS, OPTIMIZER, state, **STEPS, method="manual")

    with pytest.raises(TypeError, match=message):
        train()


@pytest.mark.parametrize(
    "fit", [partial(jp.fit, x=X, y=Y, steps=1), partial(jp.fit_batches, batches=[(X, Y)])]
)
def test_a_callback_of_one_argument_is_refused_before_training(fit):
    with pytest.raises(
        TypeError, match=r"callback=<.*> cannot be called with 2 .*\(state, losses\)"
    ):
        fit(MODEL, LOSS, OPTIMIZER, STATE, callback=lambda _: None)


def test_a_loss_for_each_sample_is_answered_by_its_mean():
    loss = jp.AutodiffLoss(optax.sigmoid_binary_cross_entropy)
    with pytest.raises(ValueError, match=r"returned shape \[4, 1\].*\.mean\(\)"):
        jp.fit(MODEL, loss, OPTIMIZER, STATE, X, Y, steps=1)


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.astype(">f4"),
        lambda x: x.astype(">f8"),
        lambda x: x.tolist(),
        lambda x: x.astype(np.float16).astype(np.float32),
    ],
)
def test_any_float_type_byte_order_and_list_is_taken(convert):
    _, history = jp.fit(MODEL, LOSS, OPTIMIZER, STATE, convert(X), Y, steps=1)
    _, expected = jp.fit(MODEL, LOSS, OPTIMIZER, STATE, X, Y, steps=1)
    np.testing.assert_array_equal(history.loss, expected.loss)


@pytest.mark.parametrize(
    ("make", "method"),
    [
        (scipy.sparse.csr_array, "toarray"),
        (scipy.sparse.csr_matrix, "toarray"),
        (BCOO.fromdense, "todense"),
    ],
)
def test_a_sparse_matrix_is_answered_by_what_makes_it_dense(make, method):
    with pytest.raises(TypeError, match=rf"x is a \w+, .* use its \.{method}\(\)"):
        jp.fit(MODEL, LOSS, OPTIMIZER, STATE, make(X), Y, steps=1)


def test_the_modules_of_the_core_are_there():
    assert jp.losses.BinaryCrossEntropy is jp.BinaryCrossEntropy
    assert isinstance(jp.activation(jnp.cbrt, keeps="output")(jnp.square), jp.Activation)
    assert issubclass(jp.SquaredError, jp.Elementwise)


@pytest.mark.parametrize(
    ("function", "instead"),
    [
        (lambda x: jp.evaluate(MODEL, LOSS, STATE.params, x, Y), "Use loss.apply(model.apply("),
        (lambda x: jp.accuracy(x, [0, 1, 0, 1]), "Use jnp.mean(jnp.argmax(prediction"),
    ],
)
def test_what_returns_a_number_says_what_to_use_under_jit(function, instead):
    with pytest.raises(TypeError, match="cannot run under jit, vmap or grad") as caught:
        jax.jit(function)(X)
    assert instead in str(caught.value)
