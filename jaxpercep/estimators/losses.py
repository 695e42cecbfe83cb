"""Losses with a weight for every sample."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxpercep.layer import Residuals, check_input
from jaxpercep.losses import Elementwise, Loss


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


@dataclass(frozen=True)
class Weighted:
    """L = scale sum_n w_n l(p_n, t_n) / sum_n w_n, so dL/dp_n = scale w_n / sum w  dl/dp_n.

    The target's last column is w, the others are t. A sample of weight 2 counts as two of weight 1,
    and one of weight 0 as none.

    Attributes:
        loss: l, which is computed for each sample alone.
        scale: a factor; the number of outputs makes a sum of l's mean over the outputs.
    """

    loss: Loss
    scale: float = 1.0

    @property
    def takes_logits(self) -> bool:
        """The loss does."""
        return self.loss.takes_logits

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Raises a `ValueError` if the loss is not defined for a value of the target."""
        self.loss.check(prediction_shape, target[..., :-1])

    def apply(self, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
        """Returns L."""
        return self.forward(prediction, target)[0]

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> tuple[jax.Array, Residuals]:
        """Returns L; and what the loss keeps of every sample, with the factor of its gradient."""
        p, t = (check_input(self, a) for a in (prediction, target))
        share = self.scale * t[:, -1] / jnp.sum(t[:, -1])
        values, residuals = jax.vmap(self.loss.forward)(p, t[:, :-1])
        return jnp.sum(share * values), (residuals, share)

    def backward(self, residuals: Residuals) -> jax.Array:
        """Returns scale w_n / sum w  dl/dp_n."""
        inner, share = residuals
        return share[:, None] * jax.vmap(self.loss.backward)(inner)
