"""A right pullback may have a wrong gradient of its own, and go wrong under `jax.vmap`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpercep.compare import compare_custom_vjp, compare_vjp, further

pytestmark = pytest.mark.slow

X = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
ZERO = "is zero everywhere"


def cubed(x):
    return x**3


def forward(x):
    return x**3, x


def backward(x, dy):
    return (3 * x**2 * dy,)


def holding(x, dy):
    return backward(jax.lax.stop_gradient(x), dy)


def in_numpy(x, dy):
    return tuple(map(np.asarray, backward(x, dy)))


@jax.custom_vjp
def square(x):
    return x**2


# A rule of second order that returns nothing for its residual: 6 x dy v is missing.
square.defvjp(lambda x: (x**2, x), lambda x, _: (jnp.zeros_like(x),))


def without_residual(x, dy):
    return (3 * square(x) * dy,)


def cross_entropy(logits, labels):
    return -jnp.sum(labels * jax.nn.log_softmax(logits))


def of_cross_entropy(hold):
    @jax.custom_vjp
    def loss(logits, labels):
        return cross_entropy(logits, labels)

    def pull(residuals, dy):
        logits, labels = residuals
        p = hold(jax.nn.softmax(logits))
        return dy * (p * labels.sum(-1, keepdims=True) - labels), None

    loss.defvjp(lambda *args: (cross_entropy(*args), args), pull)
    return loss


LABELS = np.eye(2, dtype=np.float32)[[0, 1, 1]]


def causes(report):
    return [diagnosis.cause for diagnosis in report.diagnoses]


def test_right_pullbacks_match_at_both_orders_and_in_a_batch():
    report = compare_vjp(cubed, forward, backward, X, order=2, batched=True)
    assert report.ok
    assert [leaf.of for leaf in report.leaves] == [
        "grad",
        "second order",
        "second order",
        "batched",
    ]
    assert report.leaves[-1].shape == (2, 3, 2)


@pytest.mark.parametrize("wrong", [holding, without_residual])
def test_a_gradient_whose_own_gradient_is_zero(wrong):
    assert compare_vjp(cubed, forward, wrong, X).ok
    report = compare_vjp(cubed, forward, wrong, X, order=2)
    assert (report.verdict, causes(report)) == ("manual_wrong", ["zero"])
    (diagnosis,) = report.diagnoses
    assert diagnosis.message.startswith("At second order: ")
    assert "stop_gradient" in report.remark
    assert "x, second order" in str(report)


@pytest.mark.corpus
@pytest.mark.parametrize("hold", [lambda p: p, jax.lax.stop_gradient], ids=["right", "held"])
def test_softmax_cross_entropy_with_a_hessian_of_zero(hold):
    fun = partial(lambda loss, labels, logits: loss(logits, labels), of_cross_entropy(hold), LABELS)
    assert compare_custom_vjp(fun, X).ok
    report = compare_custom_vjp(fun, X, order=2)
    assert report.ok == (hold is not jax.lax.stop_gradient)
    assert causes(report) == ([] if report.ok else ["zero"])


@jax.custom_batching.custom_vmap
def slope(x):
    return 3 * x**2


@slope.def_vmap
def wrong_in_a_batch(size, batched, x):
    del size
    return 3 * jnp.mean(x, axis=0, keepdims=True) ** 2 + 0 * x, batched[0]


def batching_wrongly(x, dy):
    return (slope(x) * dy,)


def test_a_pullback_that_mixes_the_examples_of_a_batch():
    assert compare_vjp(cubed, forward, batching_wrongly, X).ok
    report = compare_vjp(cubed, forward, batching_wrongly, X, batched=True)
    assert report.verdict == "manual_wrong"
    assert all(d.message.startswith("Under jax.vmap: ") for d in report.diagnoses)
    assert "custom_vmap" in report.remark


@pytest.mark.parametrize("asked", [{"order": 2}, {"batched": True}], ids=["order", "batched"])
def test_refuses_what_jax_cannot_transform(asked):
    (name,) = asked
    with pytest.raises(TypeError, match=rf"^{name}=.* takes a pullback that JAX can transform"):
        compare_vjp(cubed, forward, in_numpy, X, **asked)


def test_refuses_other_orders():
    with pytest.raises(ValueError, match="order=3 must be 1 or 2"):
        compare_vjp(cubed, forward, backward, X, order=3)


def test_a_comparison_of_the_first_order_alone_does_not_pass_these_tests(monkeypatch):
    monkeypatch.setattr(further.Pullback, "second_order", lambda self, _: self.batched())
    with pytest.raises(AssertionError):
        test_a_gradient_whose_own_gradient_is_zero(holding)
