"""Products of matrices by their size: a library call, or a sum that fuses with its neighbours."""

import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

FUSED = 4096  # multiplications, up to which a product is fused with what is around it

Axes: TypeAlias = tuple[int, ...]


def contract(a: jax.Array, b: jax.Array, axes: tuple[Axes, Axes], dtype: Any) -> jax.Array:
    """Returns sum_c a[..., c, ...] b[..., c, ...] over paired axes; the others of a come first.

    Products of up to `FUSED` multiplications are written as multiplications and a sum. XLA compiles
    that into one kernel with the operations around it, and a loop over small steps into one kernel,
    too. Larger products are calls of a matrix library, which is faster from there on. A product of
    one row, a vector times a matrix, is left to XLA at any size: it writes the loops itself. The
    library multiplies bfloat16 twice as fast as float32, but no faster if the first factor has to
    be transposed, as in x^T dy: then it is written out anew first.

    Args:
        a: the first factor.
        b: the second factor.
        axes: of a, and of b, over which to sum.
        dtype: of the sums.
    """
    rows = math.prod(size for axis, size in enumerate(a.shape) if axis not in axes[0])
    if rows == 1 or multiplications(a, b, axes) > FUSED:
        if a.dtype == jnp.bfloat16:
            a = _summed_last(a, axes[0])
            axes = tuple(range(a.ndim))[-len(axes[0]) :], axes[1]
        return lax.dot_general(a, b, (axes, ((), ())), preferred_element_type=dtype)
    return multiply_and_sum(a, b, axes, dtype)


def multiplications(a: Any, b: Any, axes: tuple[Axes, Axes]) -> int:
    """Returns the number of multiplications of the product of two arrays."""
    return math.prod(a.shape) * math.prod(b.shape) // math.prod(a.shape[i] for i in axes[0])


def multiply_and_sum(a: jax.Array, b: jax.Array, axes: tuple[Axes, Axes], dtype: Any) -> jax.Array:
    """Returns the product as multiplications of arrays and a sum over their first axes.

    XLA adds whole rows up where the axes that are summed come first; where they do not, it adds
    number by number, and is 7 to 14 times slower from 4,096 multiplications on.
    """
    summed = len(axes[0])
    kept_of_a = [i for i in range(a.ndim) if i not in axes[0]]
    kept_of_b = [i for i in range(b.ndim) if i not in axes[1]]
    a = jnp.transpose(a, (*axes[0], *kept_of_a))
    b = jnp.transpose(b, (*axes[1], *kept_of_b))
    a = jnp.expand_dims(a, range(a.ndim, a.ndim + len(kept_of_b)))
    b = jnp.expand_dims(b, range(summed, summed + len(kept_of_a)))
    return jnp.sum(a.astype(dtype) * b.astype(dtype), axis=tuple(range(summed)))


def _summed_last(a: jax.Array, summed: Axes) -> jax.Array:
    """Returns a with these axes last, in memory too: XLA would leave a transpose to the product."""
    kept = tuple(axis for axis in range(a.ndim) if axis not in summed)
    if (*kept, *summed) == tuple(range(a.ndim)):
        return a
    moved = jnp.transpose(a, (*kept, *summed))
    return lax.optimization_barrier(moved.reshape(-1)).reshape(moved.shape)
