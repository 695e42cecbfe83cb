"""Weights of samples: the loss is a weighted mean, in `fit` as by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import LOSSES, assert_agree

import jaxpercep as jp
from jaxpercep.weighting import Weighted

RNG = np.random.default_rng(0)
MODEL, LOSS, OPTIMIZER = jp.mlp([3, 4, 2], jp.tanh), jp.SoftmaxCrossEntropy(), optax.sgd(0.5)
X, Y = RNG.normal(size=(12, 3)).astype(np.float32), RNG.integers(0, 2, 12)
W = np.array([0, 1, 2, 3, 1, 0, 2, 1, 1, 3, 0, 2])
KEY = jax.random.key(0)

every_method = pytest.mark.parametrize("method", ["manual", "autodiff"])


def fit(x, y, loss=LOSS, **options):
    state = jp.init_state(MODEL, OPTIMIZER, jax.random.key(1))
    return jp.fit(MODEL, loss, OPTIMIZER, state, x, y, **{"steps": 5, **options})


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_the_loss_is_the_weighted_mean_over_samples(case):
    prediction, target = map(jnp.asarray, case.draw(np.random.default_rng(0)))
    w = jnp.arange(len(prediction), dtype=float) / 3
    weighted = Weighted(case.loss, w, scale=2.0)
    alone = [case.loss.apply(p[None], t[None]) for p, t in zip(prediction, target, strict=True)]
    value, residuals = weighted.forward(prediction, target)
    expected, slope = jax.value_and_grad(weighted.apply)(prediction, target)
    np.testing.assert_allclose(expected, 2 * np.average(alone, weights=w), rtol=1e-12)
    assert_agree((value, weighted.backward(residuals)), (expected, slope))


@every_method
def test_a_weight_counts_as_so_many_copies(method):
    weighted = fit(X, Y, sample_weight=W, method=method)
    copied = fit(X.repeat(W, axis=0), Y.repeat(W), method=method)
    assert_agree(weighted[0].params, copied[0].params, 1e-5)
    np.testing.assert_allclose(weighted[1].loss, copied[1].loss, rtol=1e-5)
    assert not np.allclose(weighted[1].loss, fit(X, Y)[1].loss, rtol=1e-2)


@every_method
def test_weights_go_with_their_samples_into_a_batch(method):
    options = {"batch_size": 4, "key": KEY, "method": method}
    state, history = fit(X, Y, sample_weight=W, **options)
    orders = [jax.random.permutation(jax.random.fold_in(KEY, epoch), 12) for epoch in range(2)]
    by_hand, losses = jp.init_state(MODEL, OPTIMIZER, jax.random.key(1)), []
    for rows in np.concatenate(orders).reshape(-1, 4)[:5]:
        loss = Weighted(LOSS, jnp.asarray(W[rows], jnp.float32))
        step = jp.make_step(MODEL, loss, OPTIMIZER, method)
        by_hand, value = step(by_hand, X[rows], Y[rows])
        losses.append(value)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-5)
    assert_agree(state.params, by_hand.params, 1e-5)


@every_method
def test_a_batch_that_weighs_nothing_changes_nothing(method):
    loss = Weighted(LOSS, jnp.zeros(12))
    state = jp.init_state(MODEL, OPTIMIZER, jax.random.key(1))
    after, value = jp.make_step(MODEL, loss, OPTIMIZER, method)(state, X, Y)
    assert value == 0
    assert_agree(after.params, state.params, 0)


@pytest.mark.parametrize("weights", [W.tolist(), W.astype(">f8"), W.astype(bool), jnp.asarray(W)])
def test_weights_may_be_any_numbers(weights):
    assert np.isfinite(fit(X, Y, sample_weight=weights)[1].loss).all()


@pytest.mark.parametrize("factor", [3e38, 1e-46, 2.0**-300, 1e300])
def test_weights_of_any_size_have_the_same_ratios(factor):
    _, scaled = fit(X, Y, sample_weight=W / 3 * factor)
    np.testing.assert_allclose(scaled.loss, fit(X, Y, sample_weight=W)[1].loss, rtol=1e-6)


def column(y):
    return y[:, None].repeat(2, 1).astype(np.float32)


OF_SUMS = [jp.SquaredError(reduction="sum"), jp.AutodiffLoss(lambda p, t: jnp.sum((p - t) ** 2))]
OF_MEANS = [
    *(jp.SquaredError(reduction=reduction) for reduction in ("mean", "batch_mean")),
    jp.AutodiffLoss(lambda p, t: jnp.mean(jnp.sum(abs(p - t), 1))),
    jp.AutodiffLoss(lambda p, t: jnp.mean(jnp.where(p == 0.3, jnp.nan, (p - t) ** 2))),
]


@pytest.mark.parametrize("loss", OF_SUMS)
def test_a_sum_over_samples_is_not_made_a_mean(loss):
    with pytest.raises(ValueError, match=r"mean over samples, and loss=.* has 0\.9 if it comes"):
        fit(X, column(Y), loss=loss, sample_weight=W)


@pytest.mark.parametrize("loss", OF_MEANS)
def test_weights_of_1_change_nothing(loss):
    weighted = fit(X, column(Y), loss=loss, sample_weight=np.full(12, 7.0))
    np.testing.assert_allclose(weighted[1].loss, fit(X, column(Y), loss=loss)[1].loss, rtol=1e-5)


REFUSED = {
    "a column": (W[:, None], ValueError, r"sample_weight has shape \[12, 1\]; expected \[12\]"),
    "too few": (W[:5], ValueError, r"sample_weight has shape \[5\]; expected \[12\]"),
    "one number": (2.0, ValueError, r"sample_weight has shape \[\]; expected \[12\]"),
    "below 0": (W - 1.0, ValueError, r"sample_weight\[0\] is -1, below 0"),
    "not finite": (np.where(W, W, np.nan), ValueError, "sample_weight holds 3 values that are NaN"),
    "all 0": (0 * W, ValueError, "sample_weight is 0 for every sample"),
    "text": (["a"] * 12, TypeError, "sample_weight is"),
    "a name": ("balanced", TypeError, "sample_weight is"),
    "masked": (np.ma.masked_equal(W, 0), TypeError, "mask"),
}


@pytest.mark.parametrize(("weights", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_other_weights_are_refused(weights, error, message):
    with pytest.raises(error, match=message):
        fit(X, Y, sample_weight=weights)
