"""The loss of counts."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from jaxpercep.losses import Elementwise


@dataclass(frozen=True)
class Poisson(Elementwise):
    """Mean over all elements of l = t log(t / e^p) - t + e^p, half the deviance; dl/dp = e^p - t.

    Predictions p are the logarithms of rates, targets t are counts, 0 or more.
    """

    def value(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns t log t - t p - t + e^p."""
        return xlogy(t, t) - t * p - t + jnp.exp(p)

    def slope(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns e^p - t."""
        return jnp.exp(p) - t
