"""Products of matrices are written by their size, and the result is the same."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpercep.products import FUSED, contract

RNG = np.random.default_rng(0)
# of a, of b, the axes summed over, and the same for einsum: the three products of a dense layer
PRODUCTS = {
    "forward": ((4, 3, 5), (5, 2), ((2,), (0,)), "abi,ij->abj"),
    "by the weights": ((4, 3, 5), (4, 3, 2), ((0, 1), (0, 1)), "abi,abj->ij"),
    "by the inputs": ((4, 3, 2), (5, 2), ((2,), (1,)), "abj,ij->abi"),
    "by the inputs, one output": ((4, 3, 1), (5, 1), ((2,), (1,)), "abj,ij->abi"),
}
ONE_ROW = {
    "one sample": ((5,), (5, 2), ((0,), (0,)), "i,ij->j"),
    "a batch of one": ((1, 5), (5, 2), ((1,), (0,)), "bi,ij->bj"),
    "by the inputs": ((1, 2), (5, 2), ((1,), (1,)), "bj,ij->bi"),
}


def check(product, larger):
    """Compares a product with NumPy's; returns whether it is a call, and its multiplications."""
    a, b, axes, letters = product
    a, b = (RNG.normal(size=[larger * n for n in shape]).astype(np.float32) for shape in (a, b))
    found = jax.jit(lambda a, b: contract(a, b, axes, jnp.float32))(a, b)
    np.testing.assert_allclose(found, np.einsum(letters, a, b), rtol=2e-4, atol=2e-4)
    operations = str(jax.make_jaxpr(lambda a, b: contract(a, b, axes, jnp.float32))(a, b))
    multiplications = a.size * b.size // np.prod([a.shape[i] for i in axes[0]])
    return "dot_general" in operations, multiplications


@pytest.mark.parametrize("larger", [1, 16])
@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_a_product_is_written_by_its_size(product, larger):
    called, multiplications = check(product, larger)
    assert called == (multiplications > FUSED)


@pytest.mark.parametrize("product", ONE_ROW.values(), ids=ONE_ROW)
def test_a_product_of_one_row_is_left_to_xla(product):
    called, multiplications = check(product, 1)
    assert called
    assert multiplications < FUSED


def test_narrow_factors_are_summed_in_the_wider_type():
    a = jnp.full((1, 512), 1.0, jnp.bfloat16)
    b = jnp.full((512, 1), 1.0, jnp.bfloat16) + jnp.bfloat16(2**-7)
    product = contract(a, b, ((1,), (0,)), jnp.float32)
    assert product.dtype == jnp.float32
    assert product.item() == 512 * (1 + 2**-7)


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
def test_a_large_product_in_bfloat16_sums_over_rows_of_its_first_factor(product):
    a, b, axes, letters = product
    a, b = (jnp.asarray(RNG.normal(size=[16 * n for n in s]), jnp.bfloat16) for s in (a, b))

    def by_contract(a, b):
        return contract(a, b, axes, jnp.float32)

    def by_einsum(a, b):
        return jnp.einsum(letters, a, b, preferred_element_type=jnp.float32)

    written_out = "optimization_barrier" in str(jax.make_jaxpr(by_contract)(a, b))
    assert written_out == (axes[0][-1] != a.ndim - 1)

    def close(found, expected):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-2, atol=2e-1), found, expected)

    close(jax.jit(by_contract)(a, b), by_einsum(a, b))
    stacked = jnp.stack([a, 2 * a])
    close(*(jax.jit(jax.vmap(f, (0, None)))(stacked, b) for f in (by_contract, by_einsum)))
    close(*(jax.jit(partial(jax.jvp, f))((a, b), (2 * a, b)) for f in (by_contract, by_einsum)))
    pulled = (
        jax.jit(jax.grad(lambda *ab, f=f: f(*ab).sum(), (0, 1)))(a, b)
        for f in (by_contract, by_einsum)
    )
    close(*(jax.tree.map(lambda g: g.astype(jnp.float32), gradients) for gradients in pulled))
