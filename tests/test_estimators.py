"""The estimators train as scikit-learn's do, to rounding, and live where those live."""

import pickle

import jax
import numpy as np
import pytest
from scipy import sparse
from sklearn import linear_model, neural_network
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import has_fit_parameter

import jaxpercep as jp
from jaxpercep.estimators import MLPClassifier, MLPRegressor, Perceptron, descent, program

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (5, 3), "max_iter": 12, "random_state": 3, "batch_size": 16}
BINARY = make_classification(60, 4, random_state=0)
THREE = make_classification(60, 4, n_informative=3, n_redundant=0, n_classes=3, random_state=0)
LABELS = np.stack([THREE[1] > 0, THREE[1] == 1, BINARY[1] > 0], 1).astype(int)
NUMBERS = make_regression(60, 4, noise=1, random_state=0)
NUMBERS = NUMBERS[0], NUMBERS[1] / 50
COUNTS = NUMBERS[0], np.abs(NUMBERS[1]).round()


def peers(kind, **options):
    """The estimator of ours, and scikit-learn's of that name."""
    return [getattr(m, kind)(**SMALL | options) for m in (jp.estimators, neural_network)]


def assert_same_network(ours, theirs, tolerance=1e-9):
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
            assert a.dtype == b.dtype


def assert_same_record(ours, theirs):
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("loss_", "best_loss_", "best_validation_score_", "validation_scores_"):
        mine, due = getattr(ours, name), getattr(theirs, name)
        assert (mine is None) == (due is None)
        assert mine is None or mine == pytest.approx(due, rel=1e-9)


# Beside scikit-learn's


@pytest.mark.parametrize(
    ("kind", "data", "options"),
    [
        ("MLPClassifier", BINARY, {}),
        pytest.param(
            "MLPClassifier", THREE, {"activation": "tanh", "alpha": 0.5}, marks=pytest.mark.slow
        ),
        ("MLPClassifier", THREE, {"solver": "sgd", "activation": "logistic", "shuffle": False}),
        ("MLPClassifier", BINARY, {"solver": "sgd", "learning_rate": "invscaling"}),
        ("MLPClassifier", (THREE[0], LABELS), {"solver": "sgd", "nesterovs_momentum": False}),
        ("MLPClassifier", BINARY, {"early_stopping": True, "validation_fraction": 0.3}),
        ("MLPRegressor", NUMBERS, {"epsilon": 1e-3, "beta_1": 0.8, "beta_2": 0.9}),
        pytest.param(
            "MLPRegressor",
            NUMBERS,
            {"solver": "sgd", "momentum": 0.5, "batch_size": "auto"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "MLPRegressor",
            NUMBERS,
            {"early_stopping": True, "activation": "identity"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_trains_as_scikit_learn_does(kind, data, options):
    ours, theirs = (estimator.fit(*data) for estimator in peers(kind, **options))
    assert_same_network(ours, theirs)
    assert_same_record(ours, theirs)
    np.testing.assert_allclose(ours.predict(data[0]), theirs.predict(data[0]), rtol=1e-9)
    if kind == "MLPClassifier":
        proba = ours.predict_proba(data[0])
        np.testing.assert_allclose(proba, theirs.predict_proba(data[0]), rtol=1e-9)
        np.testing.assert_allclose(np.exp(ours.predict_log_proba(data[0])), proba)


def test_an_adaptive_rate_is_lowered_when_scikit_learn_lowers_it():
    options = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.5}
    options |= {"n_iter_no_change": 1, "max_iter": 150, "tol": 0.01}
    ours, theirs = (e.fit(*BINARY) for e in peers("MLPClassifier", **options))
    assert 20 < ours.n_iter_ < 150  # it stops at the least rate
    assert_same_network(ours, theirs)
    assert_same_record(ours, theirs)


@pytest.mark.slow
def test_stops_when_scikit_learn_does():
    options = {"learning_rate_init": 0.1, "max_iter": 500, "n_iter_no_change": 3}
    ours, theirs = (e.fit(*BINARY) for e in peers("MLPClassifier", **options))
    assert 10 < ours.n_iter_ < 500
    assert_same_record(ours, theirs)


@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")  # scikit-learn 1.6's
def test_lbfgs_finds_what_scikit_learn_finds():
    ours, theirs = (e.fit(*NUMBERS) for e in peers("MLPRegressor", solver="lbfgs"))
    assert_same_network(ours, theirs, 1e-6)
    assert ours.loss_ == pytest.approx(theirs.loss_)
    assert ours.n_iter_ == theirs.n_iter_
    assert not hasattr(ours, "partial_fit")


def test_warm_start_and_partial_fit_go_on_as_scikit_learn_does():
    ours, theirs = peers("MLPClassifier", warm_start=True, solver="sgd")
    for estimator in (ours, theirs):
        estimator.fit(*BINARY).fit(*BINARY)
        estimator.partial_fit(BINARY[0][:40], BINARY[1][:40])
        estimator.partial_fit(BINARY[0][:40], BINARY[1][:40])
    assert_same_network(ours, theirs)
    assert_same_record(ours, theirs)


@pytest.mark.slow
def test_partial_fit_from_the_start_goes_on_as_scikit_learn_does():
    ours, theirs = peers("MLPClassifier")
    for estimator in (ours, theirs):
        estimator.partial_fit(THREE[0][:20], THREE[1][:20] % 2, classes=[0, 1, 2])
        for _ in range(3):
            estimator.partial_fit(*THREE)
    assert_same_network(ours, theirs)


@pytest.mark.skipif(
    not has_fit_parameter(neural_network.MLPClassifier(), "sample_weight"), reason="since 1.7"
)
def test_weights_and_counts_are_those_of_newer_versions():
    weights = np.random.default_rng(0).uniform(0.5, 3, 60)
    for kind, data, options in (
        ("MLPClassifier", BINARY, {}),
        ("MLPRegressor", COUNTS, {"loss": "poisson"}),
    ):
        ours, theirs = (e.fit(*data, sample_weight=weights) for e in peers(kind, **options))
        assert_same_network(ours, theirs)


def test_the_gradient_for_several_outputs_is_that_of_the_loss():
    """Issue 8349 of scikit-learn: its step is n_outputs times as long."""
    x, y = NUMBERS[0], np.stack([NUMBERS[1], -NUMBERS[1], NUMBERS[0][:, 0]], 1)
    options = {"solver": "sgd", "momentum": 0, "alpha": 0, "batch_size": 60, "max_iter": 1}
    ours, theirs = peers("MLPRegressor", **options, learning_rate_init=1e-3)
    start = MLPRegressor(**SMALL | options, learning_rate_init=1e-300).fit(x, y).coefs_
    ours.fit(x, y)
    theirs.fit(x, y)
    assert ours.loss_ == pytest.approx(theirs.loss_)
    for first, a, b in zip(start, ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(3 * (a - first), b - first, rtol=1e-6, atol=1e-15)


# Weights


def test_a_sample_of_weight_zero_is_absent():
    weight = np.arange(60) % 3 > 0
    weighted = MLPClassifier(**SMALL).fit(*BINARY, sample_weight=weight)
    without = MLPClassifier(**SMALL).fit(BINARY[0][weight], BINARY[1][weight])
    assert_same_network(weighted, without, 0)


def test_class_weights_are_factors_of_the_samples_weights():
    x, y = THREE
    given = np.linspace(1, 2, 60)
    for class_weight in ("balanced", {0: 2.0, 2: 0.5}):
        factors = compute_sample_weight(class_weight, y)
        by_class = MLPClassifier(**SMALL, class_weight=class_weight).fit(x, y, given)
        by_sample = MLPClassifier(**SMALL).fit(x, y, given * factors)
        assert_same_network(by_class, by_sample, 0)
    with pytest.raises(ValueError, match=r"class_weight='balanced' needs all samples"):
        MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=[0, 1, 2])


@pytest.mark.slow
def test_a_rare_class_is_found_with_balanced_weights():
    x, y = make_classification(400, 4, weights=[0.95], flip_y=0.02, random_state=1)
    recall = [
        MLPClassifier((8,), random_state=0, class_weight=weight).fit(x, y).predict(x)[y == 1].mean()
        for weight in (None, "balanced")
    ]
    assert recall[0] + 0.2 < recall[1]


# Where estimators live


def test_a_grid_search_compiles_two_programs():
    """One for the folds, of 119 to 121 samples, and one for the fit to all of them."""
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=300, random_state=0))
    grid = {
        "mlpclassifier__alpha": [1e-4, 1e-2],
        "mlpclassifier__learning_rate_init": [0.003, 0.03],
    }
    before = program.run_epochs._cache_size()
    search = GridSearchCV(pipeline, grid, cv=5).fit(x[1:], y[1:])
    assert program.run_epochs._cache_size() - before <= 2
    assert search.best_score_ > 0.94


def test_what_was_pickled_after_predict_goes_on_alike():
    fitted = MLPClassifier(**SMALL).fit(*THREE)
    expected = fitted.predict_proba(THREE[0])
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.predict_proba(THREE[0]), expected)
    assert_same_network(restored.partial_fit(*THREE), fitted.partial_fit(*THREE), 0)
    assert not any(isinstance(value, jax.Array) for value in jax.tree.leaves(vars(fitted)))
    assert not hasattr(clone(fitted), "coefs_")


def test_float32_is_kept_and_sparse_is_taken():
    x, y = THREE
    narrow = MLPClassifier(**SMALL).fit(x.astype(np.float32), y)
    assert {a.dtype for a in (*narrow.coefs_, *narrow.intercepts_)} == {np.dtype(np.float32)}
    assert narrow.predict_proba(x.astype(np.float32)).dtype == np.float32
    wide = MLPClassifier(**SMALL).fit(x, y)
    np.testing.assert_allclose(narrow.loss_curve_, wide.loss_curve_, rtol=1e-4)
    thin = MLPClassifier(**SMALL).fit(sparse.csr_array(x), y)
    assert_same_network(thin, wide, 0)
    np.testing.assert_array_equal(thin.predict(sparse.csc_array(x)), wide.predict(x))


@pytest.mark.slow
def test_many_rows_are_predicted_in_parts(monkeypatch):
    fitted = MLPClassifier(**SMALL).fit(*THREE)
    expected = fitted.predict_proba(THREE[0])
    monkeypatch.setattr(program, "ROWS_AT_ONCE", 16)
    np.testing.assert_allclose(fitted.predict_proba(THREE[0]), expected, rtol=1e-12)


def test_the_activations_of_few_rows_are_held_at_once(monkeypatch):
    """Those of 20,000 rows of a network 100 wide would take 16 MB a layer."""
    fitted = MLPClassifier((100, 100), max_iter=1, random_state=0).fit(*THREE)
    rows, apply = np.tile(THREE[0], (334, 1))[:20_000], program._apply
    needed = []

    def measured(model, params, x):
        memory = apply.lower(model, params, x).compile().memory_analysis()
        needed.append(memory.temp_size_in_bytes)
        return apply(model, params, x)

    expected = fitted.predict_proba(THREE[0])
    monkeypatch.setattr(program, "_apply", measured)
    np.testing.assert_allclose(fitted.predict_proba(rows)[-20:], expected[:20], rtol=1e-12)
    assert 0 < max(needed) <= 2 * 4096 * 100 * 8 + 2**16


@pytest.mark.slow
def test_labels_may_be_words_and_samples_may_have_several():
    words = np.array(["cat", "dog", "fox"])[THREE[1]]
    fitted = MLPClassifier((10,), max_iter=300, random_state=0, learning_rate_init=0.01)
    assert fitted.fit(THREE[0], words).score(THREE[0], words) > 0.8
    assert fitted.classes_.tolist() == ["cat", "dog", "fox"]
    several = clone(fitted).fit(THREE[0], LABELS)
    assert several.predict(THREE[0]).shape == (60, 3)
    assert several.score(THREE[0], LABELS) > 0.6


def test_names_of_features_are_kept():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(THREE[0], columns=list("abcd"))
    for estimator in (MLPClassifier(**SMALL), Perceptron()):
        assert estimator.fit(table, THREE[1]).feature_names_in_.tolist() == list("abcd")
        with pytest.raises(ValueError, match="feature names"):
            estimator.predict(table.rename(columns={"a": "e"}))


def test_the_losses_are_printed(capsys):
    MLPClassifier(**SMALL, verbose=True, early_stopping=True).fit(*BINARY)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Iteration 1, loss = 1.0")
    assert printed[1].startswith("Validation score: 0.")
    assert len(printed) == 24


def test_an_interrupt_keeps_what_was_reached(monkeypatch):
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return program.run_epochs(*arguments)

    monkeypatch.setattr(descent, "run_epochs", interrupted)
    monkeypatch.setattr(descent, "EPOCHS_PER_CALL", 4)
    estimator = MLPClassifier(**SMALL)
    with pytest.warns(UserWarning, match="interrupted by user"):
        estimator.fit(*BINARY)
    assert estimator.n_iter_ == 8
    assert estimator.predict(BINARY[0]).shape == (60,)


# What is refused


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activation": "rely"}, r"activation='rely' is not one of .* Did you mean 'relu'\?"),
        ({"solver": "rmsprop"}, "solver='rmsprop' is not one of adam, lbfgs, sgd"),
        ({"learning_rate": 0.1}, "learning_rate=0.1 is not one of adaptive, constant, invscaling"),
        ({"hidden_layer_sizes": (5, 0)}, r"hidden_layer_sizes\[1\]=0 must be at least 1"),
        ({"hidden_layer_sizes": 2.5}, r"hidden_layer_sizes\[0\]=2.5 must be an integer"),
        ({"alpha": -1}, r"alpha=-1 must be in \[0, inf\)"),
        ({"learning_rate_init": 0.0}, r"learning_rate_init=0.0 must be in \(0, inf\)"),
        ({"beta_2": 1.0}, r"beta_2=1.0 must be in \[0, 1\)"),
        ({"momentum": 1.1}, r"momentum=1.1 must be in \[0, 1\]"),
        ({"tol": "small"}, "tol='small' must be a number"),
        ({"batch_size": "all"}, "batch_size='all' must be an integer"),
        ({"max_iter": np.inf}, "max_iter=inf must be an integer"),
        ({"shuffle": "yes"}, "shuffle='yes' must be True or False"),
        ({"early_stopping": True, "validation_fraction": 0.01}, "holds out 1 of 60 samples"),
    ],
)
def test_a_parameter_without_a_meaning_is_named(parameters, message):
    with pytest.raises((TypeError, ValueError), match=message):
        MLPClassifier(**parameters).fit(*BINARY)


def test_unlimited_patience_and_numpys_numbers_are_taken():
    options = {"n_iter_no_change": np.inf, "alpha": np.float32(0), "warm_start": np.bool_(False)}
    assert MLPClassifier(**SMALL | options | {"max_iter": np.int64(4)}).fit(*BINARY).n_iter_ == 4


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(59), r"sample_weight has shape \(59,\), expected \(60,\)"),
        (-np.ones(60), "a sample has the weight -1; weights are 0 or more"),
        (np.zeros(60), "all weights are zero"),
        (np.full(60, np.nan), "contains NaN"),
    ],
)
def test_weights_without_a_meaning_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**SMALL).fit(*NUMBERS, sample_weight=weights)


def test_other_classes_or_layers_than_before_are_refused():
    fitted = MLPClassifier(**SMALL, warm_start=True).fit(*BINARY)
    with pytest.raises(ValueError, match=r"y has the classes \[0, 1, 2\], and .* to \[0, 1\]"):
        fitted.fit(*THREE)
    with pytest.raises(ValueError, match=r"ask for layers of \[4, 7, 1\].*\[4, 5, 3, 1\]"):
        fitted.set_params(hidden_layer_sizes=7).fit(*BINARY)
    with pytest.raises(ValueError, match="the first partial_fit needs all"):
        MLPClassifier().partial_fit(*BINARY)
    with pytest.raises(ValueError, match=r"classes=\[0, 2\], and in the call before"):
        MLPClassifier(**SMALL).fit(*BINARY).partial_fit(*BINARY, classes=[0, 2])
    with pytest.raises(ValueError, match="early_stopping=False"):
        MLPClassifier(early_stopping=True).partial_fit(*BINARY, classes=[0, 1])
    with pytest.raises(ValueError, match="takes counts, 0 or more"):
        MLPRegressor(loss="poisson").fit(*NUMBERS)


def test_divergence_is_an_error_that_says_what_to_do():
    options = {"activation": "identity", "solver": "sgd", "learning_rate_init": 1e3}
    with pytest.raises(ValueError, match=r"training diverged: .* is nan; .* lower learning_rate"):
        MLPRegressor(hidden_layer_sizes=3, **options).fit(*NUMBERS)


# Rosenblatt's rule


def separable(classes=2):
    rng = np.random.default_rng(0)
    y = np.arange(60) % classes
    return rng.normal(size=(60, 3)) / 4 + 3 * np.eye(3)[y], y


def test_the_perceptron_is_rosenblatts_rule():
    x, y = separable()
    fitted = Perceptron(shuffle=False).fit(x, y)
    with jax.enable_x64(True):
        rule = jp.perceptron_rule(jp.append_bias(x), 2 * y - 1)
    np.testing.assert_array_equal(fitted.coef_[0], rule.weights[:-1])
    assert fitted.intercept_ == float(rule.weights[-1])
    assert (fitted.n_iter_, *fitted.mistakes_) == (int(rule.epochs), int(rule.mistakes))
    assert fitted.converged_.all()
    assert fitted.score(x, y) == 1


def test_each_of_three_classes_has_a_neuron():
    x, y = separable(3)
    fitted = Perceptron().fit(x, np.array(["a", "b", "c"])[y])
    assert fitted.coef_.shape == (3, 3)
    assert fitted.decision_function(x).shape == (60, 3)
    assert fitted.predict(x).tolist() == np.array(["a", "b", "c"])[y].tolist()
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.coef_, fitted.coef_)


def test_what_cannot_be_separated_is_said_to_be_so():
    x, y = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), [0, 1, 1, 0]
    with pytest.warns(ConvergenceWarning, match=r"max_iter=20 .* jaxpercep\.certify"):
        fitted = Perceptron(max_iter=20).fit(x, y)
    assert fitted.n_iter_ == 20
    assert not fitted.converged_.any()


def test_epochs_of_partial_fit_are_those_of_fit():
    x, y = separable()
    x[:, 0] *= 0.05
    whole = Perceptron().fit(x, y)
    parts = Perceptron()
    for _ in range(whole.n_iter_):
        parts.partial_fit(x, y, classes=[0, 1])
    np.testing.assert_array_equal(parts.coef_, whole.coef_)
    assert whole.n_iter_ > 2
    warm = Perceptron(warm_start=True).fit(x, y).fit(x, y)
    assert warm.n_iter_ == 1
    np.testing.assert_array_equal(warm.coef_, whole.coef_)


def test_the_first_mistake_is_corrected_by_the_weight_of_its_class():
    fitted = Perceptron(class_weight={1: 3.0}, fit_intercept=False, shuffle=False)
    assert fitted.fit([[2.0], [-1.0]], [1, 0]).coef_.tolist() == [[6.0]]
    assert fitted.intercept_.tolist() == [0.0]
    with pytest.raises(ValueError, match=r"class_weight=\{1: 0\}: the weights must be above 0"):
        fitted.set_params(class_weight={1: 0}).fit([[2.0], [-1.0]], [1, 0])
    with pytest.raises(ValueError, match="only one class, 1"):
        fitted.fit([[2.0]], [1])
    with pytest.raises(ValueError, match=r"classes \[7\], not among \[0 1\]"):
        Perceptron().partial_fit([[2.0]], [7], classes=[0, 1])


@pytest.mark.parametrize("peer", [MLPClassifier, MLPRegressor, Perceptron])
def test_parameters_have_the_names_and_defaults_of_scikit_learn(peer):
    module = linear_model if peer is Perceptron else neural_network
    theirs = getattr(module, peer.__name__)().get_params()
    own = {"MLPClassifier": {"class_weight"}, "MLPRegressor": {"loss"}}.get(peer.__name__, set())
    ours = {name: value for name, value in peer().get_params().items() if name not in own}
    assert ours.items() <= theirs.items()
    assert peer is Perceptron or ours.keys() == theirs.keys() - own
