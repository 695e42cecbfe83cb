"""Values, kinks and saturation of each activation, against `jax.nn` and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import ACTIVATIONS, pull_back

import jaxpercep as jp

# One vector for all tests, so that the compiled primitives are shared between them.
KINKS = [0.0, -0.0]
SATURATED = [-1e4, -50.0, 50.0, 1e4]
POINTS = np.array([*np.linspace(-4, 4, 10), *KINKS, *SATURATED])
AT_KINK, AT_SATURATION = slice(10, 12), slice(12, 16)


def threshold(x):
    return jnp.where(x > 0, 1, 0).astype(x.dtype)


FUNCTIONS = {
    jp.identity: lambda x: x,
    jp.step: threshold,
    jp.sigmoid: jax.nn.sigmoid,
    jp.tanh: jnp.tanh,
    jp.relu: jax.nn.relu,
    jp.leaky_relu: jax.nn.leaky_relu,
    jp.elu: jax.nn.elu,
    jp.softplus: jax.nn.softplus,
    jp.silu: jax.nn.silu,
    jp.gelu: jax.nn.gelu,
}
# What textbooks say of f'(-oo), f'(0) and f'(oo): an oracle that is not JAX.
DERIVATIVES = {
    jp.identity: (1, 1, 1),
    jp.step: (0, 0, 0),
    jp.sigmoid: (0, 1 / 4, 0),
    jp.tanh: (0, 1, 0),
    jp.relu: (0, 0, 1),
    jp.leaky_relu: (0.01, 1, 1),
    jp.elu: (0, 1, 1),
    jp.softplus: (0, 1 / 2, 1),
    jp.silu: (0, 1 / 2, 1),
    jp.gelu: (0, 1 / 2, 1),
}
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
every_type = pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16])
in_double = pytest.mark.usefixtures("x64")


def derivative(activation, x):
    """Returns f'(x), by the hand-written rule."""
    return pull_back(activation, (), x, jnp.ones_like(x))[1]


def autodiff_derivative(function, x):
    return jax.vjp(function, x)[1](jnp.ones_like(x))[0]


def test_the_table_is_complete():
    assert set(FUNCTIONS) == set(DERIVATIVES) == set(ACTIVATIONS)
    assert len(ACTIVATIONS) == 10


@in_double
@every_type
@every_activation
def test_value_is_that_of_jax_nn(activation, dtype):
    x = jnp.asarray(POINTS, dtype)
    y = activation.apply((), x)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, FUNCTIONS[activation](x))


@in_double
@every_type
@every_activation
def test_derivative_is_that_of_jax_nn_at_kinks_and_in_saturation_too(activation, dtype):
    x = jnp.asarray(POINTS, dtype)
    ours, theirs = derivative(activation, x), autodiff_derivative(FUNCTIONS[activation], x)
    assert ours.dtype == dtype
    assert np.isfinite(np.asarray(ours, np.float64)).all()
    np.testing.assert_array_equal(ours[AT_KINK], theirs[AT_KINK])
    rounding = 4 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(
        *(np.asarray(d, np.float64) for d in (ours, theirs)), rtol=rounding, atol=rounding
    )


@in_double
@every_activation
def test_derivative_is_what_textbooks_say(activation):
    left, right = derivative(activation, jnp.asarray(POINTS))[AT_SATURATION][1:3]
    center = derivative(activation, jnp.asarray(POINTS))[AT_KINK][0]
    expected = DERIVATIVES[activation]
    np.testing.assert_allclose((left, center, right), expected, rtol=1e-15, atol=1e-20)


@in_double
def test_tails_keep_their_digits():
    """Far below 0, 1 - e^-y would cancel all digits."""
    x = np.array([-20.0, -35.0])
    s = np.exp(x) / (1 + np.exp(x))
    np.testing.assert_allclose(derivative(jp.softplus, jnp.asarray(x)), s, rtol=1e-14)
    np.testing.assert_allclose(derivative(jp.sigmoid, jnp.asarray(x)), s * (1 - s), rtol=1e-14)


@in_double
@every_activation
def test_second_derivative_through_the_rule(activation):
    """The rules are differentiable JAX themselves: the slope of f' is f''."""

    @jax.jit
    def slopes(x):
        ours = jax.vmap(jax.grad(lambda x: derivative(activation, x)))(x)
        return ours, jax.vmap(jax.grad(jax.grad(FUNCTIONS[activation])))(x)

    np.testing.assert_allclose(*slopes(jnp.array([-1.5, 0.3, 2.0])), rtol=1e-11, atol=1e-15)


def test_step_is_a_threshold_neuron():
    x = jnp.array([-1e-30, 0.0, 1e-30, -2.0, 2.0])
    np.testing.assert_array_equal(jp.step.apply((), x), [0, 0, 1, 0, 1])
    np.testing.assert_array_equal(derivative(jp.step, x), np.zeros(5))
    model = jp.perceptron(2, jp.step)
    gradients = jp.value_and_grad(model, jp.SquaredError(), "manual")(
        model.init(jax.random.key(0)), jnp.ones((3, 2)), jnp.ones((3, 1))
    )[1]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradients))


def test_leaky_relu_leaks_where_its_value_underflows():
    tiny = jnp.float32(-2e-38)  # 0.01 x is flushed to 0, of which no sign is left
    np.testing.assert_array_equal(derivative(jp.leaky_relu, tiny), np.float32(0.01))


@every_activation
def test_has_no_parameters_and_its_own_documentation(activation, key):
    assert activation.init(key) == ()
    assert activation.__doc__ != type(activation).__doc__
    assert len({other.__doc__ for other in ACTIVATIONS}) == len(ACTIVATIONS)


def test_activations_differ():
    assert len(set(ACTIVATIONS)) == len(ACTIVATIONS)
    assert jp.relu != jp.leaky_relu
