"""Products of matrices by their size: a library call, or a sum that fuses with its neighbours."""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

SMALL = 16  # features, of both matrices, up to which a product is a sum of elementwise products

Axes: TypeAlias = tuple[int, ...]


def contract(a: jax.Array, b: jax.Array, axes: tuple[Axes, Axes], dtype: Any) -> jax.Array:
    """Returns sum_c a[..., c, ...] b[..., c, ...] over paired axes; the others of a come first.

    The sum is computed in `dtype`. Where both arrays have at most `SMALL` features on their last
    axis, it is written as multiplications and a sum, which XLA compiles into one kernel with the
    operations before and after it; a call of the matrix library would cost more than its
    arithmetic. From there on the library is faster.

    Args:
        a: the first factor.
        b: the second factor.
        axes: of a, and of b, over which to sum.
        dtype: of the result.
    """
    if max(a.shape[-1], b.shape[-1]) > SMALL:
        return lax.dot_general(a, b, (axes, ((), ())), preferred_element_type=dtype)
    # Aligned on the summed axes; each is broadcast over the other's axes.
    kept_of_a = [i for i in range(a.ndim) if i not in axes[0]]
    kept_of_b = [i for i in range(b.ndim) if i not in axes[1]]
    b = jnp.expand_dims(jnp.transpose(b, (*axes[1], *kept_of_b)), kept_of_a)
    a = jnp.expand_dims(a, range(a.ndim, b.ndim))
    return jnp.sum(a.astype(dtype) * b.astype(dtype), axis=axes[0])
