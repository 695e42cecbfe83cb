"""Right gradients match, wrong ones do not, and a broken comparison fails these tests."""

import json
from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LAYERS, draw

import jaxpercep as jp
from jaxpercep.compare import compare_gradients, compare_model, comparison

RNG = np.random.default_rng(0)
PARAMS = {
    "w": jnp.asarray(RNG.normal(size=(3, 3)), np.float32),
    "b": (jnp.asarray(RNG.normal(size=3), np.float32),),
}
X = jnp.asarray(RNG.normal(size=(5, 3)), np.float32)
SOME_LAYERS = ["dense_without_bias", "layer_norm", "mlp", "repeat_once"]


def loss(params, x):
    return jnp.sum(jnp.tanh(x @ params["w"] + params["b"][0]) ** 2)


def by_hand(params, x):
    """The gradient of `loss`, in NumPy and in the dtype of its arguments."""
    w, b, x = (np.asarray(array) for array in (params["w"], params["b"][0], x))
    y = np.tanh(x @ w + b)
    delta = 2 * y * (1 + y) * (1 - y)
    return {"w": x.T @ delta, "b": (delta.sum(0),)}


def edited(edit, params, x):
    gradient = by_hand(params, x)
    edit(gradient)
    return gradient


def changing(edit):
    """A candidate: the right gradient after `edit(gradient)`."""
    return partial(edited, edit)


@cache
def report_of(edit):
    return compare_gradients(loss, changing(edit), PARAMS, X)


# Candidates that are right


def jitted_pair(params, x):
    return jax.jit(jax.value_and_grad(loss))(params, x)


RIGHT = {
    "autodiff": jax.grad(loss),
    "pair": jax.value_and_grad(loss),
    "jitted pair": jitted_pair,
    "numpy": by_hand,
    "forward mode": jax.jacfwd(loss),
}


@pytest.mark.parametrize("candidate", RIGHT.values(), ids=RIGHT)
def test_right_candidates_match(candidate):
    report = compare_gradients(loss, candidate, PARAMS, X)
    assert report.ok, str(report)
    assert (report.verdict, report.formula, report.diagnoses) == ("match", "float64", ())
    assert [leaf.path for leaf in report.leaves] == ["['b'][0]", "['w']"]
    assert report.sensitivity < 1e-12
    report.raise_if_wrong()


@pytest.mark.parametrize("name", SOME_LAYERS)
def test_layers_match(name):
    (case,) = [case for case in LAYERS if case.name == name]
    params, x, dy = draw(case, np.float32)
    report = compare_model(case.layer, jp.SquaredError(), params, x, dy)
    assert report.ok, str(report)


def test_a_gradient_that_is_a_pair_is_not_taken_for_value_and_gradient():
    """Two dense layers: the gradient is a tuple of two, and not (value, gradient)."""
    model = jp.Serial(jp.Dense(3, 3), jp.Dense(3, 2))
    params = model.init(jax.random.key(0))

    def objective(params, x):
        return jnp.sum(model.apply(params, x) ** 2)

    assert compare_gradients(objective, jax.grad(objective), params, X).ok
    assert compare_gradients(objective, jax.value_and_grad(objective), params, X).ok


# Candidates that are wrong


def scale_by(factor):
    def edit(gradient):
        gradient["w"] = factor * gradient["w"]

    return edit


def zero_bias(gradient):
    gradient["b"] = (np.zeros_like(gradient["b"][0]),)


def negate(gradient):
    gradient["w"], gradient["b"] = -gradient["w"], (-gradient["b"][0],)


def one_number(gradient):
    gradient["w"] = gradient["w"].copy()
    gradient["w"][2, 1] *= 1 + 1e-9


def poison(value):
    def edit(gradient):
        gradient["w"] = gradient["w"].copy()
        gradient["w"][0, 0] = value

    return edit


WRONG = {
    "wrong by 1e-9": scale_by(1 + 1e-9),
    "one number by 1e-9": one_number,
    "zero bias": zero_bias,
    "negated": negate,
    "nan": poison(np.nan),
    "infinity": poison(np.inf),
}


@pytest.mark.parametrize("edit", WRONG.values(), ids=WRONG)
def test_wrong_candidates_do_not_match(edit):
    report = report_of(edit)
    assert (report.ok, report.verdict) == (False, "manual_wrong")
    with pytest.raises(AssertionError, match=r"gradients do not match[^$]*(WRONG at|not finite)"):
        report.raise_if_wrong()


def test_only_the_wrong_leaf_is_reported():
    report = report_of(one_number)
    assert {leaf.path: leaf.ok for leaf in report.leaves} == {"['b'][0]": True, "['w']": False}
    wrong = report.leaves[1]
    assert wrong.worst_index == (2, 1)
    expected = 1e-9 * abs(by_hand(PARAMS, X)["w"][2, 1])
    np.testing.assert_allclose(wrong.max_absolute_error, expected, rtol=1e-3)


def test_a_broken_comparison_does_not_pass_these_tests(monkeypatch):
    """Plants a fault in the checker: the reference is the candidate itself."""
    right = comparison.evaluate

    def credulous(*arguments):
        evaluation = right(*arguments)
        return replace(evaluation, autodiff=evaluation.candidate.leaves)

    monkeypatch.setattr(comparison, "evaluate", credulous)
    with pytest.raises(AssertionError):
        test_wrong_candidates_do_not_match(scale_by(1.001))


def drop_bias(gradient):
    del gradient["b"]


def add_leaf(gradient):
    gradient["c"] = np.zeros(2)


def keep_the_batch(gradient):
    gradient["b"] = (np.tile(gradient["b"][0], (5, 1)),)


MISFORMED = {
    "missing": (drop_bias, "structure", r"dL/dparams\['b'\]\[0\] is missing from the gradient"),
    "extra": (add_leaf, "structure", r"grad\['c'\] of shape \[2\] belongs to no argument"),
    "misshapen": (
        keep_the_batch,
        "scaled",
        r"still has axis 0 \(of size 5\): sum over it, \.sum\(axis=0\)",
    ),
}


@pytest.mark.parametrize(("edit", "cause", "message"), MISFORMED.values(), ids=MISFORMED)
def test_misformed_candidates_do_not_match(edit, cause, message):
    report = report_of(edit)
    assert (report.ok, report.verdict) == (False, "manual_wrong")
    assert cause in [diagnosis.cause for diagnosis in report.diagnoses]
    with pytest.raises(AssertionError, match=message):
        report.raise_if_wrong()


def test_a_missing_leaf_of_one_of_two_arguments():
    def product(a, b):
        return jnp.vdot(a["w"], b["v"]) + a["c"]

    def forgetful(a, b):
        return {"w": b["v"]}, {"v": a["w"]}

    arguments = {"w": jnp.ones(3), "c": jnp.float32(1)}, {"v": jnp.ones(3)}
    report = compare_gradients(product, forgetful, *arguments, argnums=(0, 1))
    (diagnosis,) = report.diagnoses
    assert (diagnosis.cause, diagnosis.leaf) == ("structure", "[0]['c']")


# Arguments


def test_labels_keys_and_nothing_are_passed_through():
    def drop_out(params, key, labels, nothing):
        assert nothing is None
        kept = jax.random.bernoulli(key, 0.5, params.shape)
        return jnp.sum(jnp.where(kept, params**2, 0)[labels])

    arguments = jnp.arange(1.0, 9.0), jax.random.key(1), jnp.array([1, 3, 6]), None
    report = compare_gradients(drop_out, jax.grad(drop_out), *arguments)
    assert report.ok
    assert report.leaves[0].shape == (8,)


def test_an_empty_leaf_matches():
    params = {"a": jnp.ones(2), "empty": jnp.ones((0, 3))}

    def total(params):
        return jnp.sum(params["a"] ** 2) + jnp.sum(params["empty"])

    assert compare_gradients(total, jax.grad(total), params).ok


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_precision_is_reported_in_the_callers_type(dtype):
    params, x = jax.tree.map(lambda leaf: leaf.astype(dtype), (PARAMS, X))
    report = compare_gradients(loss, jax.grad(loss), params, x)
    assert report.ok
    for leaf in report.leaves:
        assert leaf.dtype == jnp.dtype(dtype).name
        assert 0 < leaf.ulps < 30
        assert 0 < leaf.autodiff_ulps < 30


def test_refuses_a_vector():
    with pytest.raises(
        TypeError, match="fun returns arrays of shapes \\[2\\], expected one scalar"
    ):
        compare_gradients(lambda a: a**2, lambda a: 2 * a, jnp.ones(2))


def test_refuses_to_differentiate_by_integers():
    with pytest.raises(TypeError, match=r"nothing to differentiate by .*int32"):
        compare_gradients(lambda a: jnp.sum(a), lambda a: a, jnp.arange(3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X.at[0, 0].set(jnp.nan), jnp.zeros(5, int)), r"x holds 1 value.* NaN"),
        ((X, jnp.full(5, 3)), r"value 3, expected labels 0 to 2"),
        ((X, jnp.full(5, -1)), r"value -1, expected labels 0 to 2"),
    ],
    ids=["nan", "label too large", "label below 0"],
)
def test_compare_model_checks_values(data, message):
    """Autodiff takes a label of -1 for the last class, the manual rule for none."""
    model = jp.Dense(3, 3)
    with pytest.raises(ValueError, match=message):
        compare_model(model, jp.SoftmaxCrossEntropy(), model.init(jax.random.key(0)), *data)


def test_compare_model_refuses_a_double_sigmoid():
    model = jp.perceptron(3)
    with pytest.raises(ValueError, match="ends in sigmoid"):
        compare_model(model, jp.BinaryCrossEntropy(), model.init(jax.random.key(0)), X, X[:, :1])


# Settings


def test_a_candidate_that_raises_leaves_single_precision_behind():
    failed = []

    def fails_from_then_on(params, x):
        if failed or jax.config.jax_enable_x64:
            failed.append(True)
            raise ZeroDivisionError
        return by_hand(params, x)

    with pytest.raises(ZeroDivisionError):
        compare_gradients(loss, fails_from_then_on, PARAMS, X)
    assert not jax.config.jax_enable_x64


# The noise is measured


def test_saturated_units_raise_no_false_alarm():
    """1 - tanh^2 has no digits left here; both formulas are right."""

    def saturated(a):
        return jnp.sum(jnp.tanh(a))

    def cancelling(a):
        return 1 - jnp.tanh(a) ** 2

    for x in (jnp.array([15.0]), jnp.array([18.5, -17.0]), jnp.array([50.0])):
        report = compare_gradients(saturated, cancelling, x)
        assert report.ok, str(report)
    assert not compare_gradients(saturated, cancelling_and_wrong, jnp.array([3.0])).ok


def cancelling_and_wrong(a):
    return 1 - jnp.tanh(a) ** 3


def fourth_power(a, b):
    return jnp.sum((a - b) ** 4)


def expanded(a, b):
    """4 (a - b)^3, expanded: right, but most digits of a^3 cancel."""
    return 4 * (a**3 - 3 * a**2 * b + 3 * a * b**2 - b**3)


def test_a_candidate_that_cancels_is_judged_by_its_own_noise():
    a, b = jnp.array([0.1, -0.3, 0.3]), jnp.zeros(3)
    report = compare_gradients(fourth_power, expanded, a + 100, b + 100)
    assert report.ok, str(report)
    (leaf,) = report.leaves
    assert 1e-12 < leaf.max_relative_error < leaf.tolerance < 1e-5
    assert leaf.ulps > 100 * leaf.autodiff_ulps
    assert compare_gradients(fourth_power, expanded, a, b).sensitivity < 1e-12


def test_a_candidate_of_single_precision_is_judged_by_measured_noise():
    def single(params, x):
        narrow = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), (params, x))
        return jax.tree.map(lambda leaf: leaf.astype(np.float32), by_hand(*narrow))

    report = compare_gradients(loss, single, PARAMS, X)
    assert report.ok, str(report)
    assert report.formula == "float32"
    assert 1e-7 < report.sensitivity < 1e-4

    def scaled(params, x):
        return jax.tree.map(lambda leaf: leaf * np.float32(1.001), single(params, x))

    assert not compare_gradients(loss, scaled, PARAMS, X).ok


def test_single_precision_inside_is_noticed():
    """Numbers rounded to float32 on the way stay so, even if returned as float64."""

    def narrow_inside(params, x):
        gradient = jax.grad(loss)(*jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (params, x)))
        return jax.tree.map(lambda leaf, p: leaf.astype(p.dtype), gradient, params)

    report = compare_gradients(loss, narrow_inside, PARAMS, X)
    assert report.ok, str(report)
    assert report.sensitivity > 1e-8


def test_a_model_of_low_compute_type_raises_no_false_alarm():
    model = jp.mlp([3, 4, 2], jp.tanh, dtype="bfloat16")
    report = compare_model(
        model, jp.SquaredError(), model.init(jax.random.key(0)), X, jnp.ones((5, 2))
    )
    assert report.ok, str(report)


def test_a_kink_hides_no_mistake():
    """At w x = 0 an ulp decides on the side of relu; this does not explain a factor of 7."""
    w, x = jnp.array([0.5, -0.5]), jnp.array([1.0, 1.0])

    def kinked(w, x):
        return 7 * jax.nn.relu(w @ x)

    def nonsense(w, x):
        return jnp.array([30.0, -20.0], w.dtype) + 0 * x

    assert compare_gradients(kinked, nonsense, w, x).verdict != "match"


# The report


def test_a_report_reads_and_serializes():
    right = compare_gradients(loss, by_hand, PARAMS, X)
    wrong = report_of(zero_bias)
    assert str(right).startswith("match: the gradients match")
    assert "2 leaves compared in float64; relative errors above " in str(right)
    assert str(wrong).startswith("manual_wrong: the hand-written gradient is wrong")
    assert "dL/dparams['b'][0] is zero everywhere: it was never filled in." in str(wrong)
    for report in (right, wrong):
        for text in ("params['w']", "params['b'][0]", "3x3", "float32"):
            assert text in str(report)
        data = json.loads(json.dumps(report.to_dict()))
        assert (data["ok"], data["verdict"]) == (report.ok, report.verdict)
        assert [leaf["path"] for leaf in data["leaves"]] == ["['b'][0]", "['w']"]
        assert data["leaves"][1]["shape"] == [3, 3]
        assert data["sensitivity"] == report.sensitivity


def test_the_report_of_a_nan_is_json():
    """JSON has no NaN: a strict reader must be able to read the report."""
    report = report_of(WRONG["nan"])

    def refuse(constant):
        raise ValueError(constant)

    json.loads(json.dumps(report.to_dict()), parse_constant=refuse)


def test_cosine_and_relative_error():
    flipped, zeroed = report_of(negate), report_of(zero_bias).leaves[0]
    for leaf in flipped.leaves:
        np.testing.assert_allclose((leaf.cosine, leaf.max_relative_error), (-1, 2), rtol=1e-6)
    assert np.isnan(zeroed.cosine)
    np.testing.assert_allclose(zeroed.max_relative_error, 1)


def test_a_gradient_that_is_zero_matches_zero_alone():
    def constant(a):
        return 0 * jnp.sum(a)

    def nothing(a):
        return jnp.zeros_like(a)

    def something(a):
        return jnp.full_like(a, 1e-30)

    report = compare_gradients(constant, nothing, jnp.ones(2))
    assert (report.ok, report.leaves[0].cosine, report.sensitivity) == (True, 1.0, 0.0)
    assert not compare_gradients(constant, something, jnp.ones(2)).ok
