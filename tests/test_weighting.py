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


def fit(x, y, **options):
    state = jp.init_state(MODEL, OPTIMIZER, jax.random.key(1))
    return jp.fit(MODEL, LOSS, OPTIMIZER, state, x, y, **{"steps": 5, **options})


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
