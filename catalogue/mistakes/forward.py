"""A mistake of the flow, written into the forward pass: autodiff of it is the mistaken gradient.

Edits of a forward pass may use the functions in `VOCABULARY`; `new` are the parameters that a
mistaken step returns.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

stop = jax.lax.stop_gradient


def identity_slope(f: Callable[[Any], jax.Array], z: Any) -> jax.Array:
    """Returns f(z), differentiated as if f' = 1."""
    return stop(f(z)) + (z - stop(z))


def slope_at_output(f: Callable[[Any], jax.Array], z: Any) -> jax.Array:
    """Returns f(z), differentiated as if its slope were f'(f(z))."""
    y = stop(f(z))
    _, slope = jax.jvp(f, (y,), (jnp.ones_like(y),))
    return y + stop(slope) * (z - stop(z))


def with_slope(y: Any, slope: Any, z: Any) -> jax.Array:
    """Returns y, differentiated as if its slope by z were another one."""
    return stop(y) + stop(slope) * (z - stop(z))


def of_last_use(table: Any, ids: Any) -> jax.Array:
    """Returns table[ids], where only the last use of each row contributes to its gradient."""
    order = jnp.arange(ids.size).reshape(ids.shape)
    last = jnp.zeros(len(table), order.dtype).at[ids].max(order)[ids] == order
    return jnp.where(last[..., None], table[ids], stop(table)[ids])


def through(v: Any, h: Any, w: Any) -> jax.Array:
    """Returns h @ w, whose gradient in h is propagated through v instead of w."""
    return stop(h) @ w + (h - stop(h)) @ stop(v)


def through_transpose(h: Any, w: Any) -> jax.Array:
    """Returns h @ w, whose gradient in h is propagated through w^T instead of w."""
    return through(w.T, h, w)


VOCABULARY = {
    f.__name__: f
    for f in (
        identity_slope,
        slope_at_output,
        with_slope,
        of_last_use,
        through,
        through_transpose,
    )
} | {"stop": stop}

# Edits by which a loop's body learns which iteration it is in.
RNN_TIME = {
    "def step(h, x_t):": "def step(h, t_and_x):\n        t, x_t = t_and_x",
    "scan(step, h0, x)": "scan(step, h0, (jnp.arange(4), x))",
}
STACKED_INDEX = {
    "def layer(h, q):": "def layer(h, i_and_q):\n        i, q = i_and_q",
    'scan(layer, h, p["stack"])': 'scan(layer, h, (jnp.arange(4), p["stack"]))',
}
SETTLING_ROUND = {"settle(_, h)": "settle(i, h)"}
