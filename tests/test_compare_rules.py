"""A gradient that runs the rule of a `jax.custom_vjp` is no check of it, however it is called."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpercep as jp
from jaxpercep.compare import compare_gradients
from jaxpercep.compare.evaluation import reference

pytestmark = pytest.mark.slow

X = np.array([0.3, -1.2, 0.7], np.float32)


def slope(x):
    return jnp.tanh(x) + x * (1 - jnp.tanh(x) ** 2)


@jax.custom_vjp
def bent(x):
    return x * jnp.tanh(x)


def bent_forward(x):
    return x * jnp.tanh(x), x


def bent_backward(x, dy):
    return (dy * slope(x),)


bent.defvjp(bent_forward, bent_backward)


@jax.custom_vjp
def rounded(x):
    return jnp.round(x)


# A rule that consists of no operation.
rounded.defvjp(lambda x: (rounded(x), None), lambda _, dy: (dy,))


@jax.custom_gradient
def doubled(x):
    return 2 * x, lambda dy: (2 * dy,)


def total(x):
    return jnp.sum(bent(x) ** 2)


def looped(x):
    return jnp.sum(jax.lax.scan(lambda h, _: (bent(h), None), x, None, length=2)[0])


def branching(x):
    return total(x) if x[0] > -9 else 0.0


def each(x):
    return jax.vmap(jax.grad(lambda t: bent(t) ** 2))(x)


def directly(x):
    y, residuals = bent_forward(x)
    return bent_backward(residuals, 2 * y)[0]


def in_numpy(x):
    return np.asarray(jax.grad(total)(x))


def of_rounded(x):
    return jnp.sum(rounded(x) ** 2)


def of_doubled(x):
    return jnp.sum(doubled(x) ** 2)


VACUOUS: dict[str, tuple[Any, Any]] = {
    "jitted": (total, jax.jit(jax.grad(total))),
    "vmapped": (total, each),
    "in a loop": (looped, jax.grad(looped)),
    "the rule itself": (total, directly),
    "converted to NumPy": (total, in_numpy),
    "without an operation": (of_rounded, jax.grad(of_rounded)),
}
MORE: dict[str, tuple[Any, Any]] = {
    "with the value": (jax.jit(total), jax.value_and_grad(jax.jit(total))),
    "partial": (partial(lambda k, x: k * total(x), 2.0), lambda x: 2 * jax.grad(total)(x)),
    "rematerialized": (total, jax.grad(jax.checkpoint(total))),
    "needing numbers": (branching, jax.grad(branching)),
    "custom_gradient": (of_doubled, jax.grad(of_doubled)),
}
CORPUS = [pytest.param(*case, marks=pytest.mark.corpus) for case in MORE.values()]


@pytest.mark.parametrize(("fun", "candidate"), [*VACUOUS.values(), *CORPUS], ids=[*VACUOUS, *MORE])
def test_a_rule_compared_with_itself_is_no_match(fun, candidate):
    jax.grad(fun)(X)  # what JAX has in its caches does not hide the rule
    report = compare_gradients(fun, candidate, X)
    assert (report.verdict, report.diagnoses) == ("inconclusive", ())
    # Older versions of `jax.custom_gradient` do not pass the name of their function on.
    names = {of_rounded: ["rounded"], of_doubled: ["doubled", "wrapped_fun"]}.get(fun, ["bent"])
    assert any(f"Both sides run the jax.custom_vjp rule of {n}," in report.remark for n in names)
    assert "compare_custom_vjp" in report.remark


def by_hand(x):
    return 2 * bent(x) * slope(x)  # runs `bent` forward, but not its rule


def relu_and_softplus(x):
    return jnp.sum(jax.nn.relu(x) * jax.nn.softplus(x))


INDEPENDENT: dict[str, tuple[Any, Any, str]] = {
    "by hand": (total, by_hand, "match"),
    "custom_jvp": (relu_and_softplus, jax.grad(relu_and_softplus), "match"),
    "wrong elsewhere": (total, lambda x: 3 * jax.grad(total)(x), "manual_wrong"),
}


@pytest.mark.parametrize(("fun", "candidate", "verdict"), INDEPENDENT.values(), ids=INDEPENDENT)
def test_other_gradients_are_judged_as_ever(fun, candidate, verdict):
    report = compare_gradients(fun, candidate, X)
    assert report.verdict == verdict, str(report)


def test_a_pullback_and_a_step_that_run_the_rule():
    with pytest.raises(
        AssertionError, match=r"^nothing was checked[^$]*rule of bent[^$]*compare_cust"
    ):
        jp.assert_vjp(bent, bent_forward, bent_backward, X)
    with pytest.raises(
        AssertionError, match=r"^nothing was checked[^$]*rule of bent[^$]*compare_cust"
    ):
        jp.assert_updates(total, lambda p: p - 0.5 * jax.grad(total)(p), X, learning_rate=0.5)


def test_a_layer_with_a_rule_is_compared_with_its_own_backward():
    class Bent:
        def init(self, key):
            del key
            return ()

        def apply(self, params, x):
            del params
            return bent(x)

        def forward(self, params, x):
            del params
            return bent(x), x

        def backward(self, params, x, dy):
            del params
            return (), dy * slope(x)

    model = jp.Serial(jp.Dense(3, 2), Bent())
    params = model.init(jax.random.key(0))
    jp.assert_model(model, jp.SquaredError(), params, X[None], jnp.ones((1, 2)))


def test_a_comparison_blind_to_rules_does_not_pass_these_tests(monkeypatch):
    monkeypatch.setattr(reference, "shared_rules", lambda *_: ())
    with pytest.raises(AssertionError):
        test_a_rule_compared_with_itself_is_no_match(*VACUOUS["jitted"])
