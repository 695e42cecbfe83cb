import itertools
import json
from fractions import Fraction
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from jaxpercep import certificates
from jaxpercep.certificates import Inseparable, Separable, certify
from jaxpercep.rosenblatt import PerceptronResult, append_bias, perceptron_rule

NOVIKOFF = json.loads((Path(__file__).parent / "vectors" / "novikoff.json").read_text())
CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
GATES = {
    "and": [-1, -1, -1, 1],
    "or": [-1, 1, 1, 1],
    "nand": [1, 1, 1, -1],
    "nor": [1, -1, -1, -1],
}
XOR, XNOR = [-1, 1, 1, -1], [1, -1, -1, 1]
BOOLEAN = np.array(list(itertools.product([-1, 1], repeat=4)))
SHAPES = st.sampled_from([(1, 1), (4, 2), (9, 3), (20, 4)])
property_test = partial(settings, deadline=None, max_examples=60)


def by_hand(x, labels, max_epochs):
    """The rule in exact integers: an oracle that shares nothing with the compiled one."""
    w, mistakes = [0] * len(x[0]), 0
    for epoch in range(1, max_epochs + 1):
        before = mistakes
        for point, label in zip(x, labels, strict=True):
            if label * sum(a * b for a, b in zip(w, point, strict=True)) <= 0:
                w = [a + label * b for a, b in zip(w, point, strict=True)]
                mistakes += 1
        if mistakes == before:
            return w, mistakes, epoch, True
    return w, mistakes, max_epochs, False


def assert_same(result, expected):
    np.testing.assert_array_equal(result.weights, expected[0])
    assert (int(result.mistakes), int(result.epochs)) == expected[1:3]
    assert bool(result.converged) is expected[3]


def lane(results, i):
    return jax.tree.map(lambda array: array[i], results)


def verdict(x, labels):
    try:
        return type(certify(x, labels))
    except ArithmeticError:
        return None


def exact_margin(x, labels, w):
    """min_i labels_i <w, x_i> of floats, in exact rational arithmetic."""
    w = [Fraction(float(a)) for a in w]
    points = [[int(y) * Fraction(float(a)) for a in row] for row, y in zip(x, labels, strict=True)]
    return min(sum(a * b for a, b in zip(w, point, strict=True)) for point in points)


def assert_proved(certificate, x, labels):
    """Checks each field of a certificate for integer points."""
    if isinstance(certificate, Separable):
        margin = exact_margin(x, labels, certificate.separator)
        assert margin > 0
        assert float(margin) == pytest.approx(certificate.margin, rel=1e-12)
        assert np.linalg.norm(certificate.separator) == pytest.approx(1, rel=1e-14)
        radius = float((x**2).sum(axis=1).max())
        assert certificate.radius**2 == pytest.approx(radius, rel=1e-14)
        assert certificate.bound == pytest.approx(radius / certificate.margin**2, rel=1e-13)
    else:
        assert certificate.weights.min() >= 0
        assert certificate.weights.sum() == pytest.approx(1, rel=1e-14)
        total = (certificate.weights * labels) @ x
        assert np.abs(total).max() <= 1e-14 * (np.abs(x).max() or 1)
        assert certificate.residual == pytest.approx(np.linalg.norm(total), abs=1e-14)


def linear_program_separates(x, labels):
    points = np.asarray(labels, float)[:, None] * x
    answer = linprog(np.zeros(x.shape[1]), A_ub=-points, b_ub=-np.ones(len(x)), bounds=(None, None))
    assert answer.status in (0, 2)
    return answer.status == 0


class TestVectors:
    x = np.array(NOVIKOFF["points"], float)
    labels = NOVIKOFF["labels"]

    def test_rule_makes_as_many_mistakes_as_the_bound_allows(self):
        result = perceptron_rule(self.x, self.labels)
        assert int(result.mistakes) == NOVIKOFF["mistakes_from_zero_weights"] == 2
        assert_same(result, ([2, 0], 2, 2, True))

    def test_certificate_is_exact(self):
        certificate = certify(self.x, self.labels)
        np.testing.assert_allclose(certificate.separator, NOVIKOFF["separator"], atol=1e-15)
        assert certificate.margin == NOVIKOFF["margin_gamma"] == 1.0
        assert certificate.radius == NOVIKOFF["radius_R"]
        assert certificate.bound == 2.0


class TestRule:
    @pytest.mark.parametrize("labels", GATES.values(), ids=GATES.keys())
    def test_gates_converge_within_the_bound(self, labels):
        x = append_bias(CORNERS)
        result = perceptron_rule(x, labels)
        assert_same(result, by_hand(x.astype(int).tolist(), labels, 1000))
        assert bool(result.converged)
        assert (np.sign(x @ np.asarray(result.weights)) == labels).all()
        assert int(result.mistakes) <= certify(x, labels).bound
        assert int(result.epochs) <= int(result.mistakes) + 1

    @pytest.mark.parametrize("labels", [XOR, XNOR])
    def test_xor_never_converges(self, labels):
        result = perceptron_rule(append_bias(CORNERS), labels, max_epochs=50)
        assert_same(result, by_hand(append_bias(CORNERS).astype(int).tolist(), labels, 50))
        assert not bool(result.converged)
        assert int(result.epochs) == 50

    def test_stops_at_max_epochs_though_one_more_would_be_free_of_mistakes(self):
        x, labels = append_bias(CORNERS), GATES["and"]
        epochs = int(perceptron_rule(x, labels).epochs)
        assert bool(perceptron_rule(x, labels, max_epochs=epochs).converged)
        assert not bool(perceptron_rule(x, labels, max_epochs=epochs - 1).converged)

    def test_a_product_of_zero_is_a_mistake(self):
        assert_same(perceptron_rule([[1.0]], [1]), ([1], 1, 2, True))
        assert_same(perceptron_rule([[0.0]], [1], max_epochs=7), ([0], 7, 7, False))

    def test_overflow_is_not_convergence(self):
        x = np.array([[3e38, 3e38], [3e38, -3e38]], np.float32)
        result = perceptron_rule(np.repeat(x, 3, axis=0), [1, 1, 1, -1, -1, -1], max_epochs=9)
        assert not np.isfinite(result.weights).all()
        assert not bool(result.converged)

    @property_test()
    @given(SHAPES, st.integers(0, 2**32 - 1))
    def test_agrees_with_exact_integers(self, shape, seed):
        rng = np.random.default_rng(seed)
        x, labels = rng.integers(-3, 4, shape), rng.choice([-1, 1], shape[0])
        result = perceptron_rule(x.astype(np.float32), labels, max_epochs=30)
        assert_same(result, by_hand(x.tolist(), labels.tolist(), 30))

    @pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16, np.int8, np.int32])
    def test_labels_of_every_signed_dtype(self, dtype):
        labels = jnp.asarray(GATES["or"], dtype)
        x = append_bias(CORNERS)
        assert_same(perceptron_rule(x, labels), by_hand(x.astype(int).tolist(), GATES["or"], 1000))

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
    def test_weights_accumulate_in_float32(self, dtype):
        result = perceptron_rule(jnp.array([[4096.0], [1.0]], dtype), [1, -1], max_epochs=1)
        np.testing.assert_array_equal(result.weights, jnp.array([4095], jnp.float32), strict=True)

    def test_float64_keeps_its_digits_under_x64(self):
        x = [[1.0, 1e-12], [-1.0, 1e-12]]
        with jax.enable_x64(True):
            result = perceptron_rule(np.array(x), [1, 1])
        assert result.weights.dtype == jnp.float64
        assert bool(result.converged)
        expected = by_hand([[Fraction(a) for a in row] for row in x], [1, 1], 1000)
        assert_same(result, ([float(a) for a in expected[0]], *expected[1:]))


class TestTransformations:
    x = append_bias(CORNERS)

    def test_jit_is_the_eager_rule_and_needs_no_recompilation(self):
        traces = []

        def learn(x, labels):
            traces.append(x)
            return perceptron_rule(x, labels, max_epochs=40)

        compiled = jax.jit(learn)
        for labels in BOOLEAN:
            eager = perceptron_rule(self.x, labels, max_epochs=40)
            jax.tree.map(np.testing.assert_array_equal, compiled(self.x, labels), eager)
        assert len(traces) == 1

    def test_max_epochs_may_be_a_static_argument(self):
        learn = jax.jit(perceptron_rule, static_argnames="max_epochs")
        assert int(learn(self.x, np.array(XOR), max_epochs=3).epochs) == 3

    def test_vmap_over_labels_freezes_finished_lanes(self):
        learn = jax.vmap(partial(perceptron_rule, max_epochs=40), in_axes=(None, 0))
        lanes = learn(self.x, BOOLEAN)
        assert isinstance(lanes, PerceptronResult)
        assert len(set(np.asarray(lanes.epochs).tolist())) > 2
        for i, labels in enumerate(BOOLEAN):
            alone = perceptron_rule(self.x, labels, max_epochs=40)
            jax.tree.map(np.testing.assert_array_equal, lane(lanes, i), alone)

    def test_vmap_over_data(self):
        rng = np.random.default_rng(0)
        x = rng.integers(-3, 4, (12, 9, 3)).astype(np.float32)
        labels = rng.choice([-1, 1], 9)
        lanes = jax.vmap(partial(perceptron_rule, max_epochs=30), in_axes=(0, None))(x, labels)
        for i, points in enumerate(x):
            alone = perceptron_rule(points, labels, max_epochs=30)
            jax.tree.map(np.testing.assert_array_equal, lane(lanes, i), alone)

    def test_x64_counts_in_int64(self):
        with jax.enable_x64(True):
            result = perceptron_rule(self.x.astype(np.float64), GATES["and"], max_epochs=2**33)
            assert result.mistakes.dtype == result.epochs.dtype == jnp.int64
        assert_same(result, by_hand(self.x.astype(int).tolist(), GATES["and"], 1000))


class TestAppendBias:
    def test_appends_ones_and_keeps_the_kind_and_dtype(self):
        for x in (CORNERS, CORNERS.astype(np.float64), jnp.asarray(CORNERS, jnp.bfloat16)):
            y = append_bias(x)
            assert isinstance(y, jax.Array) is isinstance(x, jax.Array)
            assert y.dtype == x.dtype
            np.testing.assert_array_equal(y, [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])

    def test_under_transformations(self):
        np.testing.assert_array_equal(jax.jit(append_bias)(CORNERS), append_bias(CORNERS))
        assert jax.vmap(append_bias)(jnp.zeros((5, 4, 2))).shape == (5, 4, 3)


class TestCertify:
    def test_boolean_functions_of_two_inputs(self):
        x = append_bias(CORNERS)
        results = jax.vmap(partial(perceptron_rule, max_epochs=100), in_axes=(None, 0))(x, BOOLEAN)
        certificates = [certify(x, labels) for labels in BOOLEAN]
        for labels, certificate in zip(BOOLEAN, certificates, strict=True):
            assert_proved(certificate, x, labels)
        separable = [isinstance(certificate, Separable) for certificate in certificates]
        assert sum(separable) == 14
        assert np.asarray(results.converged).tolist() == separable
        assert BOOLEAN[~np.array(separable)].tolist() == [XOR, XNOR]

    @pytest.mark.parametrize("labels", [XOR, XNOR])
    def test_xor_has_the_equal_combination(self, labels):
        certificate = certify(append_bias(CORNERS), labels)
        np.testing.assert_allclose(certificate.weights, 0.25, rtol=1e-14)
        assert certificate.residual <= 1e-15

    def test_parity_is_inseparable_and_majority_is_not(self):
        corners = np.array(list(itertools.product([0.0, 1.0], repeat=7)))
        ones, x = corners.sum(axis=1), append_bias(corners)
        parity, majority = 2 * (ones % 2) - 1, np.where(ones > 3.5, 1, -1)
        assert_proved(certify(x, parity), x, parity)
        assert isinstance(certify(x, parity), Inseparable)
        certificate = certify(x, majority)
        np.testing.assert_allclose(certificate.separator, np.r_[np.ones(7), -3.5] / np.sqrt(19.25))

    def test_the_same_point_with_both_labels(self):
        x = np.array([[0.1, 0.7], [5.0, 1.0], [0.1, 0.7]])
        certificate = certify(x, [1, 1, -1])
        np.testing.assert_allclose(certificate.weights, [0.5, 0, 0.5], atol=1e-15)
        assert certificate.residual <= 1e-15

    def test_a_point_at_zero(self):
        certificate = certify([[1.0, 2.0], [0.0, 0.0], [2.0, 1.0]], [1, -1, 1])
        np.testing.assert_array_equal(certificate.weights, [0, 1, 0])
        assert certificate.residual == 0
        assert isinstance(certify(np.zeros((3, 2)), [1, 1, -1]), Inseparable)

    def test_one_point(self):
        certificate = certify([[3.0, 4.0]], [-1])
        np.testing.assert_allclose(certificate.separator, [-0.6, -0.8], rtol=1e-15)
        assert (certificate.margin, certificate.bound) == pytest.approx((5, 1), rel=1e-15)

    def test_explanations(self):
        xor = certify(append_bias(CORNERS), XOR)
        assert "0.25 of row 0, 0.25 of row 1, 0.25 of row 2, 0.25 of row 3" in xor.explain()
        assert "no weight vector" in xor.explain()
        text = certify([[1.0, 1.0], [1.0, -1.0]], [1, 1]).explain()
        assert "margin of at least 1," in text
        assert "at most 2 mistakes" in text
        rng = np.random.default_rng(0)
        many = certify(rng.normal(size=(200, 9)), rng.choice([-1, 1], 200))
        assert f"{np.count_nonzero(many.weights) - 6} rows more" in many.explain()

    def test_float16_and_bfloat16_points(self):
        for dtype in (jnp.float16, jnp.bfloat16):
            certificate = certify(jnp.asarray([[1, 1], [1, -1]], dtype), jnp.asarray([1, 1], dtype))
            assert certificate.bound == 2.0
            assert certificate.separator.dtype == np.float64

    @property_test()
    @given(SHAPES, st.integers(0, 2**32 - 1), st.floats(0.05, 1))
    def test_planted_separators_bound_the_mistakes(self, shape, seed, gap):
        rng = np.random.default_rng(seed)
        w = rng.normal(size=shape[1])
        w /= np.linalg.norm(w)
        x, labels = rng.normal(size=shape), rng.choice([-1, 1], shape[0])
        x += np.outer(labels * (gap + np.abs(x @ w)) - x @ w, w)
        planted = (labels * (x @ w)).min()
        certificate = certify(x, labels)
        assert certificate.margin >= planted * (1 - 1e-12)
        assert (labels * (x @ certificate.separator)).min() == pytest.approx(certificate.margin)
        with jax.enable_x64(True):
            result = perceptron_rule(x, labels, max_epochs=int(certificate.bound) + 2)
        assert bool(result.converged)
        assert 1 <= int(result.mistakes) <= certificate.bound * (1 + 1e-12)

    @property_test()
    @given(SHAPES, st.integers(1, 4), st.integers(0, 2**32 - 1))
    def test_random_labels_against_the_linear_program(self, shape, size, seed):
        rng = np.random.default_rng(seed)
        x = rng.integers(-size, size + 1, shape).astype(float)
        labels = rng.choice([-1, 1], shape[0])
        certificate = certify(x, labels)
        assert_proved(certificate, x, labels)
        assert isinstance(certificate, Separable) == linear_program_separates(x, labels)

    @property_test()
    @given(st.integers(0, 2**32 - 1), st.sampled_from([1e-300, 1e-6, 1e6, 1e300]))
    def test_scale_changes_nothing_but_the_units(self, seed, scale):
        rng = np.random.default_rng(seed)
        x, labels = append_bias(rng.normal(size=(6, 2))), rng.choice([-1, 1], 6)
        plain, scaled = certify(x, labels), certify(scale * x, labels)
        assert type(plain) is type(scaled)
        if isinstance(plain, Separable):
            np.testing.assert_allclose(scaled.separator, plain.separator, atol=1e-10)
            assert scaled.margin == pytest.approx(scale * plain.margin, rel=1e-9)
            assert scaled.radius == pytest.approx(scale * plain.radius, rel=1e-14)
            assert scaled.bound == pytest.approx(plain.bound, rel=1e-9)
        else:
            assert scaled.residual <= 1e-14 * scale * np.abs(x).max()


class TestIllConditioned:
    """The same verdict, exactly proved, where float64 has few digits to spare."""

    @property_test()
    @given(st.integers(0, 2**32 - 1), st.integers(4, 10), st.integers(1, 3))
    def test_large_offsets(self, seed, digits, features):
        rng = np.random.default_rng(seed)
        samples = int(rng.integers(2, 16))
        x, labels = rng.integers(0, 6, (samples, features)), rng.choice([-1, 1], samples)
        assume(len(set(labels.tolist())) == 2)
        near = certify(append_bias(x.astype(float)), labels)
        far = certify(append_bias(x + 10.0**digits), labels)
        assert type(near) is type(far)
        if isinstance(far, Separable):
            assert exact_margin(append_bias(x + 10.0**digits), labels, far.separator) > 0
        else:
            assert far.weights.min() >= 0

    def test_margins_within_rounding_are_no_proof(self):
        # The first separator computed here has positive margins in float64, and none in truth.
        x, labels = append_bias(np.array([[5, 1], [4, 0], [2, 4]]) + 1e13), [1, -1, -1]
        assert exact_margin(x, labels, certify(x, labels).separator) > 0

    @pytest.mark.parametrize("offset", [1e3, 1e5])
    def test_weights_are_never_negative(self, offset):
        for points in ([[-2], [3], [3]], [[-1], [-1], [1]], [[0], [2], [2]]):
            for labels in itertools.product([-1, 1], repeat=3):
                certificate = certify(append_bias(np.array(points) + offset), labels)
                if isinstance(certificate, Inseparable):
                    assert certificate.weights.min() >= 0

    def test_sums_are_zero_to_rounding_in_features_of_small_terms(self):
        points = [[-3, 0, -1, -1], [2, 3, -1, -3], [1, 2, 3, -2], [-2, 0, 1, 2]]
        points += [[-1, 1, -2, 2], [0, -3, -3, 0], [2, -3, 0, 0], [3, 0, 0, -1]]
        x = np.array(points, float)
        certificate = certify(x, np.ones(8))
        assert_proved(certificate, x, np.ones(8))
        sizes = certificate.weights @ np.abs(x)
        assert (np.abs(certificate.weights @ x) <= 1e-15 * sizes).all()

    def test_points_of_different_size(self):
        sizes = np.array([1, 1e8, 1e-8, 1e4])
        certificate = certify(append_bias(CORNERS) * sizes[:, None], XOR)
        np.testing.assert_allclose(certificate.weights, (1 / sizes) / (1 / sizes).sum(), rtol=1e-14)

    @property_test()
    @given(st.integers(0, 2**32 - 1), st.integers(1, 3))
    def test_units_of_the_features_and_sizes_of_the_points(self, seed, features):
        rng = np.random.default_rng(seed)
        x = append_bias(rng.integers(-3, 4, (8, features)).astype(float))
        labels = rng.choice([-1, 1], 8)
        units = 2.0 ** rng.integers(-20, 20, features + 1)
        assert type(certify(x * units, labels)) is type(certify(x, labels))
        # Where both differ by 1e9, an answer may be out of reach, but is never a wrong one.
        sizes = 2.0 ** rng.integers(-15, 15, (8, 1))
        assert verdict(x * units * sizes, labels) in (type(certify(x, labels)), None)

    @pytest.mark.parametrize("exponent", range(1, 12))
    def test_thin_margins_are_found_and_widest(self, exponent):
        rng = np.random.default_rng(exponent)
        w = np.array([2, -1, 2]) / 3
        x = rng.normal(size=(30, 3))
        x += np.outer(10.0**-exponent * (1 + rng.uniform(size=30)) - x @ w, w)
        certificate = certify(x, np.ones(30))
        assert certificate.margin >= (x @ w).min() * (1 - 1e-3)

    def test_neither_proved_is_an_error_that_centering_cures(self):
        x, labels = np.arange(4.0)[:, None] + 1e14, [1, -1, -1, 1]
        with pytest.raises(ArithmeticError, match=r"neither separable nor inseparable.*Center"):
            certify(append_bias(x), labels)
        assert isinstance(certify(append_bias(x - x.mean(axis=0)), labels), Inseparable)

    def test_a_wrong_nnls_is_never_believed(self, monkeypatch):
        def wrong(matrix, _target):
            return np.eye(matrix.shape[1])[0], 0.0

        monkeypatch.setattr(certificates, "nnls", wrong)
        for labels in (XOR, XNOR, GATES["and"]):
            with pytest.raises(ArithmeticError, match="neither"):
                certify(append_bias(CORNERS), labels)

    def test_an_nnls_that_does_not_end_is_an_error(self, monkeypatch):
        def endless(_matrix, _target):
            raise RuntimeError("Maximum number of iterations reached.")

        monkeypatch.setattr(certificates, "nnls", endless)
        with pytest.raises(ArithmeticError, match="no answer from scipy's nnls: Maximum"):
            certify(append_bias(CORNERS), XOR)


X = np.ones((4, 2))
Y = np.array([1, -1, 1, -1])
BAD_POINTS = [
    (
        np.zeros((0, 2)),
        ValueError,
        r"x of shape \(0, 2\) is empty; it needs a sample and a feature",
    ),
    (np.zeros((4, 0)), ValueError, r"x of shape \(4, 0\) is empty"),
    ([], ValueError, r"x of shape \(0,\) is empty"),
    (np.ones(4), ValueError, r"x has shape \(4,\).*\[samples, features\]; use x\[:, None\] for"),
    (np.ones((4, 2, 1)), ValueError, r"x has shape \(4, 2, 1\), but must be \[samples, features\]"),
    (np.ones((4, 2), np.int32), TypeError, r"x has dtype int32.*floating; use x.astype\(float\)"),
    ([[1, 2]] * 4, TypeError, "x has dtype int.*must be floating"),
    (np.ones((4, 2), bool), TypeError, "x has dtype bool, but must be floating"),
    (np.ones((4, 2), np.complex64), TypeError, "x has dtype complex64, expected real numbers"),
    (np.array([[1, np.nan]] * 4), ValueError, r"x holds 4 values that are NaN.*\(0, 1\)"),
    (np.array([[1, 1], [np.inf, 1]] * 2), ValueError, r"x holds 2 values that are NaN or infinite"),
]
BAD_LABELS = [
    (Y[:, None], ValueError, r"labels has shape \(4, 1\).*must be \(4,\); use labels\[:, 0\]"),
    (Y[:3], ValueError, r"labels has shape \(3,\), but x has 4 samples; labels must be \(4,\)"),
    (1, ValueError, r"labels has shape \(\), but x has 4 samples"),
    (Y[None], ValueError, r"labels has shape \(1, 4\), but x has 4 samples"),
    (Y > 0, TypeError, r"labels has dtype bool.*convert 0/1.*2 \* labels.astype\(int\) - 1"),
    (np.ones(4, np.uint8), TypeError, "labels has dtype uint8, but must be floating or signed"),
    (np.ones(4, complex), TypeError, "labels has dtype complex128, expected real numbers"),
    ((Y + 1) // 2, ValueError, r"labels are 0 and 1, but must be -1 and \+1; use 2 \* labels - 1"),
    (np.zeros(4), ValueError, r"labels are 0 and 1"),
    ([1.0, 0.5, -1.0, 2.0], ValueError, r"2 of them are not \(the first, 0.5, at index 1\); map"),
    ([1.0, -1.0, np.nan, 1.0], ValueError, r"1 of them are not \(the first, nan, at index 2\)"),
    (np.array([1, 2**32 + 1, 1, 1]), ValueError, "1 of them are not .*index 1"),
]


class TestRefusals:
    @pytest.mark.parametrize("function", [perceptron_rule, certify])
    @pytest.mark.parametrize(("x", "error", "message"), BAD_POINTS)
    def test_points(self, function, x, error, message):
        with pytest.raises(error, match=message):
            function(x, Y)

    @pytest.mark.parametrize(("x", "error", "message"), BAD_POINTS)
    def test_points_of_append_bias(self, x, error, message):
        with pytest.raises(error, match=message):
            append_bias(x)

    @pytest.mark.parametrize("function", [perceptron_rule, certify])
    @pytest.mark.parametrize(("labels", "error", "message"), BAD_LABELS)
    def test_labels(self, function, labels, error, message):
        with pytest.raises(error, match=message):
            function(X, labels)

    @pytest.mark.parametrize(
        ("x", "labels", "error", "message"),
        [
            (X.astype(np.int32), Y, TypeError, "x has dtype int32, but must be floating"),
            (X[0], Y, ValueError, r"x has shape \(2,\)"),
            (X, Y[:, None], ValueError, r"use labels\[:, 0\]"),
            (X, Y[:3], ValueError, "but x has 4 samples"),
            (X, Y > 0, TypeError, "labels has dtype bool"),
        ],
    )
    def test_shapes_and_dtypes_under_jit(self, x, labels, error, message):
        with pytest.raises(error, match=message):
            jax.jit(perceptron_rule)(x, labels)

    def test_known_labels_are_checked_though_the_points_are_traced(self):
        with pytest.raises(ValueError, match="labels are 0 and 1"):
            jax.vmap(lambda x: perceptron_rule(x, [0, 1, 1, 1]))(jnp.ones((3, 4, 2)))

    def test_max_epochs(self):
        with pytest.raises(ValueError, match="max_epochs=0 must be at least 1"):
            perceptron_rule(X, Y, max_epochs=0)
        with pytest.raises(TypeError, match=r"max_epochs=2\.5 must be an integer, not float"):
            perceptron_rule(X, Y, max_epochs=2.5)

    def test_more_mistakes_than_the_counter_holds(self):
        message = (
            "times 4 samples may be more mistakes than int32 can count; use at most 536870911 "
        )
        with pytest.raises(ValueError, match=message):
            perceptron_rule(X, Y, max_epochs=2**29)
        assert bool(perceptron_rule(X, np.ones(4), max_epochs=2**29 - 1).converged)

    def test_certify_is_eager(self):
        def traced(x, labels):
            return certify(x, labels).margin

        for transformed in (jax.jit(traced), jax.vmap(traced)):
            with pytest.raises(TypeError, match="certify is eager, but x or labels is traced"):
                transformed(X[None], Y[None])
        with pytest.raises(TypeError, match="certify is eager"):
            jax.jit(lambda labels: certify(X, labels).margin)(Y)
