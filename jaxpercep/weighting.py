"""A weight for every sample, or every class: the loss is a weighted mean."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxpercep._checks import as_numbers, check_finite
from jaxpercep.layer import Layer, Params, Residuals, as_array, check_input
from jaxpercep.losses import Loss
from jaxpercep.wrapped import Wrapped


@dataclass(frozen=True, eq=False)  # equal only to itself: arrays have no hash
class Weighted(Wrapped):
    """L = scale sum_n w_n l(p_n, t_n) / sum_n w_n, so dL/dp_n = scale w_n / sum w  dl/dp_n.

    A sample of weight 2 counts as two of weight 1, and one of weight 0 as none. L is 0 where all
    weights are.

    Attributes:
        loss: l, of each sample alone, as a batch of one.
        weights: `[n]`, 0 or more.
        scale: a factor; the number of outputs makes a sum of l's mean over the outputs.
    """

    weights: jax.Array
    scale: float = 1.0

    def apply(self, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
        """Returns L."""
        values = jax.vmap(self.loss.apply)(*self._alone(prediction, target))
        return jnp.sum(self._shares(values.dtype) * values)

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> tuple[jax.Array, Residuals]:
        """Returns L; and what the loss keeps of every sample, with the factor of its gradient."""
        values, residuals = jax.vmap(self.loss.forward)(*self._alone(prediction, target))
        shares = self._shares(values.dtype)
        return jnp.sum(shares * values), (residuals, shares)

    def backward(self, residuals: Residuals) -> jax.Array:
        """Returns scale w_n / sum w  dl/dp_n."""
        inner, shares = residuals
        alone = jax.vmap(self.loss.backward)(inner)[:, 0]
        shares = jnp.expand_dims(shares, range(1, alone.ndim))
        return (shares * alone.astype(shares.dtype)).astype(alone.dtype)

    def _alone(self, prediction: ArrayLike, target: ArrayLike) -> tuple[jax.Array, jax.Array]:
        p, t = check_input(self, prediction, argument="prediction"), as_array("target", target)
        return p[:, None], t[:, None]

    def _shares(self, dtype: Any) -> jax.Array:
        weights = self.weights.astype(dtype)
        total = jnp.sum(weights)
        return self.scale * weights / jnp.where(total > 0, total, jnp.ones_like(total))


@dataclass(frozen=True)
class ClassWeighted(Wrapped):
    """`Weighted`, where the weight of a sample is that of its class.

    Attributes:
        loss: of each sample alone.
        weights: of each class, 0 or more. Targets are labels `[n]`, or zeros and ones `[n, 1]`.
    """

    weights: tuple[float, ...]

    def apply(self, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
        """Returns L."""
        return self._weighted(target).apply(prediction, target)

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> tuple[jax.Array, Residuals]:
        """Returns L and what `Weighted` keeps."""
        return self._weighted(target).forward(prediction, target)

    def backward(self, residuals: Residuals) -> jax.Array:
        """Returns dL/dp, for which the residuals are enough."""
        return Weighted(self.loss, jnp.ones(0)).backward(residuals)

    def _weighted(self, target: ArrayLike) -> Weighted:
        labels = as_array("target", target).reshape(-1).astype(int)
        return Weighted(self.loss, jnp.asarray(self.weights, jnp.float32)[labels])


def checked_weights(weights: Any, n: int) -> jax.Array | None:
    """Returns the weights of n samples as floating point, or raises; None stays None.

    Only their ratios count, so they are divided by a power of two, which rounds nothing, such that
    their sum neither overflows nor vanishes.
    """
    if weights is None:
        return None
    w = as_numbers("sample_weight", weights)
    if w.shape != (n,):
        raise ValueError(
            f"sample_weight has shape {list(w.shape)}; expected [{n}], one weight per sample."
        )
    w = w.astype(np.float64)
    check_finite("sample_weight", w)
    least = int(np.argmin(w))
    if w[least] < 0:
        raise ValueError(
            f"sample_weight[{least}] is {w[least]:g}, below 0; a weight of 0 leaves out a sample."
        )
    if not np.any(w):
        raise ValueError("sample_weight is 0 for every sample, so there is nothing to learn from.")
    return jnp.asarray(np.ldexp(w, -np.frexp(w.max())[1]))


def check_mean(model: Layer, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> None:
    """Raises a `ValueError` unless a sample that comes twice has the loss that it has alone.

    A weight of 2 counts as two samples in a mean; a sum over samples would become a mean by weights
    of 1.
    """
    shape = jax.eval_shape(model.apply, params, x[:1])
    p = jnp.linspace(0.3, 0.6, shape.size, dtype=shape.dtype).reshape(shape.shape)
    once, twice = (float(loss.apply(p.repeat(n, 0), y[:1].repeat(n, 0))) for n in (1, 2))
    if not np.isclose(twice, once, rtol=1e-2, equal_nan=True):
        raise ValueError(
            f"sample_weight weights a mean over samples, and loss={loss!r} is not one: a sample "
            f"that has loss {once:.4g} alone has {twice:.4g} if it comes twice. Use a loss that is "
            'a mean, such as reduction="mean", or leave sample_weight out.'
        )
