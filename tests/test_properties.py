"""Random architectures: the manual chain rule agrees with autodiff in any composition."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import ACTIVATIONS, assert_same_form, draw_params
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxpercep as jp

BATCH = 4
WIDTHS = st.integers(3, 5)  # a LayerNorm of 2 features is a sign: its gradient is cancellation
LOSSES = st.sampled_from(
    [
        jp.SquaredError(),
        jp.SquaredError(0.5, "sum"),
        jp.SquaredError(2.0, "batch_mean"),
        jp.BinaryCrossEntropy(),
        jp.SoftmaxCrossEntropy(),
        jp.Hinge(),
        jp.PerceptronLoss(),
    ]
)


def same_width(width):
    """Draws layers that keep the width, as those in a Residual or a Repeat must."""
    leaves = st.one_of(
        st.sampled_from(ACTIVATIONS),
        st.just(jp.LayerNorm(width)),
        st.builds(jp.Dense, st.just(width), st.just(width), use_bias=st.booleans()),
    )

    def combined(layers):
        return st.one_of(
            st.builds(jp.Residual, layers),
            st.builds(jp.Repeat, layers, st.integers(1, 3)),
            st.lists(layers, min_size=1, max_size=3).map(lambda chosen: jp.Serial(*chosen)),
        )

    return st.recursive(leaves, combined, max_leaves=3)


@st.composite
def models(draw):
    """Draws (model, inputs, outputs): dense layers, and layers of equal width between them."""
    sizes = draw(st.lists(WIDTHS, min_size=2, max_size=4))
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [jp.Dense(inputs, outputs), draw(same_width(outputs))]
    layers.append(jp.Dense(sizes[-1], sizes[-1]))
    return jp.Serial(*layers), sizes[0], sizes[-1]


def draw_target(loss, rng, outputs):
    if isinstance(loss, jp.SoftmaxCrossEntropy):
        return rng.integers(0, outputs, BATCH)
    if isinstance(loss, (jp.Hinge, jp.PerceptronLoss)):
        return 2 * rng.integers(0, 2, (BATCH, outputs)) - 1
    return rng.uniform(size=(BATCH, outputs))


def assert_agree_beside(actual, expected, tolerance=1e-11):
    """Asserts that leaves agree, relative to themselves and to the largest one.

    The size of a leaf that is the remainder of a cancellation says nothing of its rounding.
    """
    assert_same_form(actual, expected)
    largest = max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(expected))
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        bound = tolerance * np.max(np.abs(e)) + 1e-3 * tolerance * largest
        assert np.max(np.abs(a - e)) <= bound


@pytest.mark.usefixtures("x64")
@settings(deadline=None, max_examples=16, print_blob=True)
@given(architecture=models(), loss=LOSSES, seed=st.integers(0, 2**32 - 1))
def test_manual_is_autodiff(architecture, loss, seed):
    model, inputs, outputs = architecture
    rng = np.random.default_rng(seed)
    params = draw_params(model, rng)
    x, target = jnp.asarray(rng.normal(size=(BATCH, inputs))), draw_target(loss, rng, outputs)
    methods = [jp.value_and_grad(model, loss, method) for method in ("manual", "autodiff")]
    # Compiled as one program: one by one, the operations take three times as long to compile.
    both = jax.jit(lambda *args: [method(*args) for method in methods])
    manual, autodiff = both(params, x, target)
    assert_agree_beside(manual, autodiff)
