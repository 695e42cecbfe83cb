"""scikit-learn and jaxpercep compute the same from the same parameters; a misfit is named."""

import jax
import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import Ridge

import jaxpercep as jp
from jaxpercep import estimators
from jaxpercep.interop import from_sklearn, to_sklearn

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(40, 4, n_informative=3, n_redundant=0, n_classes=3, random_state=0)
SEVERAL = np.stack([Y > 0, Y == 1], 1).astype(int)
VALUES = make_regression(40, 4, n_targets=2, random_state=0)[1] / 50
OPTIONS = {"hidden_layer_sizes": (5, 3), "max_iter": 5, "random_state": 0}
POISSON = "loss" in neural_network.MLPRegressor().get_params()
KEY = jax.random.key(0)

CASES = {
    "binary": ("MLPClassifier", Y > 0, {}),
    "three classes": ("MLPClassifier", np.array(["a", "b", "c"])[Y], {"activation": "tanh"}),
    "several labels": ("MLPClassifier", SEVERAL, {"activation": "logistic"}),
    "one value": ("MLPRegressor", VALUES[:, 0], {"activation": "identity"}),
    "two values": ("MLPRegressor", VALUES, {"hidden_layer_sizes": 6}),
    "no hidden layer": ("MLPRegressor", VALUES, {"hidden_layer_sizes": ()}),
    **({"counts": ("MLPRegressor", Y, {"loss": "poisson"})} if POISSON else {}),
}


def fitted(case, module=neural_network):
    kind, y, options = CASES[case]
    return getattr(module, kind)(**OPTIONS | options).fit(X, y)


def assert_equal_bits(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("x64")
def test_the_model_computes_what_the_estimator_does(case):
    estimator = fitted(case)
    model, params = from_sklearn(estimator)
    assert all(d.w is w for d, w in zip(params[0::2], estimator.coefs_, strict=False))
    out = np.asarray(model.apply(params, X))
    if estimator.out_activation_ == "softmax":
        out = np.asarray(jax.nn.softmax(out))
    expected = getattr(estimator, "predict_proba", estimator.predict)(X).reshape(40, -1)
    if case == "binary":
        expected = expected[:, 1:]
    np.testing.assert_allclose(out, expected, rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_there_and_back_again_is_bit_for_bit(case):
    estimator = fitted(case)
    model, params = from_sklearn(estimator)
    back = to_sklearn(model, params, classes=getattr(estimator, "classes_", None))
    assert type(back) is type(estimator)
    assert_equal_bits(back.coefs_ + back.intercepts_, estimator.coefs_ + estimator.intercepts_)
    np.testing.assert_array_equal(back.predict(X), estimator.predict(X))
    for name in ("out_activation_", "n_layers_", "n_outputs_", "n_features_in_", "activation"):
        assert getattr(back, name) == getattr(estimator, name)
    again = from_sklearn(back)
    assert again[0] == model
    assert_equal_bits(jax.tree.leaves(again[1]), jax.tree.leaves(params))


def test_our_estimators_are_taken_too():
    estimator = fitted("binary", estimators)
    model, params = from_sklearn(estimator)
    back = to_sklearn(model, params, classes=estimator.classes_)
    np.testing.assert_allclose(back.predict_proba(X), estimator.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("classes", [None, ["no", "yes"]])
def test_a_trained_model_becomes_an_estimator(classes):
    """Logits with classes, or probabilities; float32 stays float32."""
    model = jp.mlp([4, 5, 1], jp.relu, jp.sigmoid if classes is None else jp.identity)
    params = model.init(KEY)
    estimator = to_sklearn(model, params, classes=classes)
    x = X.astype(np.float32)
    out = np.asarray(model.apply(params, x))[:, 0]
    probability = out if classes is None else np.asarray(jax.nn.sigmoid(out))
    np.testing.assert_allclose(estimator.predict_proba(x)[:, 1], probability, rtol=1e-5)
    assert set(estimator.predict(x)) <= set(classes or [0, 1])
    assert {a.dtype for a in estimator.coefs_} == {np.dtype(np.float32)}


def test_the_estimator_trains_on_from_the_parameters():
    model = jp.mlp([4, 5, 3], jp.tanh)
    params = model.init(KEY)
    estimator = to_sklearn(model, params, classes=[0, 1, 2])
    peer = neural_network.MLPClassifier(hidden_layer_sizes=5, activation="tanh", random_state=0)
    peer.partial_fit(X.astype(np.float32), Y, classes=[0, 1, 2])
    peer.coefs_ = [w.copy() for w in estimator.coefs_]  # which it changes in place
    peer.intercepts_ = [b.copy() for b in estimator.intercepts_]
    del peer._optimizer
    x = X.astype(np.float32)
    estimator.set_params(random_state=0).partial_fit(x, Y)
    peer.set_params(random_state=0).partial_fit(x, Y)
    assert_equal_bits(estimator.coefs_, peer.coefs_)
    assert len(estimator.loss_curve_) == 1
    assert estimator.t_ == 40
    assert np.asarray(params[0].w).tobytes() == np.asarray(model.init(KEY)[0].w).tobytes()


@pytest.mark.parametrize(
    ("model", "classes", "message"),
    [
        (jp.mlp([4, 3, 1], jp.softplus), None, "has no counterpart in scikit-learn"),
        (jp.Serial(jp.Dense(4, 3), jp.Dense(3, 1), jp.tanh), None, "has no counterpart"),
        (jp.Dense(4, 3, use_bias=False), None, "Dense layers with biases"),
        (jp.mlp([4, 3, 2, 1], jp.tanh, scan=False, dtype="bfloat16"), None, "no dtype"),
        (jp.mlp([4, 3, 3, 3, 1], jp.tanh, scan=True), None, "has no counterpart"),
        (jp.mlp([4, 1], output=jp.tanh), None, "nothing or sigmoid after the last"),
        (jp.mlp([4, 3]), [0, 1], "expected 3 classes"),
        (jp.mlp([4, 1]), [0, 1, 2], "expected 2 classes"),
        (jp.mlp([4, 2], output=jp.sigmoid), ["a", "b"], "of a multi-label model are 0, 1"),
        (jp.mlp([4, 2]), [1, 0], "must be different and sorted"),
    ],
)
def test_a_network_that_scikit_learn_lacks_is_refused(model, classes, message):
    with pytest.raises(ValueError, match=message):
        to_sklearn(model, model.init(KEY), classes=classes)


def test_other_parameters_than_the_models_are_refused():
    model = jp.mlp([4, 3, 1], jp.tanh)
    with pytest.raises(ValueError, match=r"params\[0\]\.w has shape \[4, 5\], expected \[4, 3\]"):
        to_sklearn(model, jp.mlp([4, 5, 1], jp.tanh).init(KEY))
    with pytest.raises(ValueError, match="not of this model"):
        to_sklearn(model, list(model.init(KEY)))
    with pytest.raises(TypeError, match="convert it to float32"):
        to_sklearn(model, jax.tree.map(lambda p: p.astype("bfloat16"), model.init(KEY)))


def test_another_estimator_is_refused():
    with pytest.raises(TypeError, match=r"Ridge\(\) has no coefs_; expected a fitted"):
        from_sklearn(Ridge().fit(X, Y))
    with pytest.raises(TypeError, match=r"MLPClassifier\(\) has no coefs_"):
        from_sklearn(neural_network.MLPClassifier())
    odd = fitted("binary")
    odd.activation = "swish"
    with pytest.raises(ValueError, match=r"estimator\.activation='swish' is not one of identity"):
        from_sklearn(odd)
