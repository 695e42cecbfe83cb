"""Layer normalization."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxpercep._checks import check_positive_int, check_real
from jaxpercep.layer import (
    Described,
    accumulator,
    check_cotangent,
    check_input,
    check_key,
    check_params,
)


class LayerNormParams(NamedTuple):
    """Parameters of `LayerNorm`: scale and bias, both `[features]`."""

    scale: jax.Array
    bias: jax.Array


@dataclass(frozen=True, repr=False)
class LayerNorm(Described):
    """y = scale * n + bias with n = (x - mean) * r, r = 1 / sqrt(var + epsilon).

    Mean and (biased) variance are taken over the features, the last axis, in float32 at least; y
    has the dtype of x, which may differ from that of the parameters.

    Derivation. With g = scale * dy, the gradient at n, every feature moves mean and variance too:

        dscale = sum of dy * n over the batch,   dbias = sum of dy over the batch
        dx     = r * (g - mean(g) - n * mean(g * n))

    Residuals are x, which the layer before may keep anyway, and mean and r, one number a sample.

    Attributes:
        features: length of the last axis.
        epsilon: added to the variance.

    Raises:
        TypeError: `epsilon` is not a number, the parameters are another layer's, or x is not
            floating point.
        ValueError: `features` is below 1, `epsilon` is not above 0, or x is empty or has the wrong
            shape.

    Source: Ba, Kiros & Hinton, "Layer normalization" (2016).
    """

    features: int
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", check_positive_int("features", self.features))
        object.__setattr__(self, "epsilon", check_real("epsilon", self.epsilon))
        if not self.epsilon > 0:
            raise ValueError(f"epsilon={self.epsilon} must be above 0.")

    def __repr__(self) -> str:
        epsilon = "" if self.epsilon == 1e-5 else f", epsilon={self.epsilon}"
        return f"LayerNorm({self.features}{epsilon})"

    def init(self, key: jax.Array) -> LayerNormParams:
        """Returns scale 1 and bias 0."""
        check_key(key)
        return LayerNormParams(jnp.ones(self.features), jnp.zeros(self.features))

    def apply(self, params: LayerNormParams, x: ArrayLike) -> jax.Array:
        """Returns the normalized, scaled and shifted x."""
        return self.forward(params, x)[0]

    def forward(
        self, params: LayerNormParams, x: ArrayLike
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
        """Returns y, and (x, mean, r)."""
        x = check_input(self, x, self.features)
        self._check_params(params)
        wide = x.astype(accumulator(x.dtype))
        mean = jnp.mean(wide, axis=-1, keepdims=True)
        r = lax.rsqrt(jnp.var(wide, axis=-1, keepdims=True) + self.epsilon)
        scale, bias = (jnp.broadcast_to(p.astype(wide.dtype), x.shape) for p in params)
        y = (wide - mean) * r * scale + bias
        return y.astype(x.dtype), (x, mean, r)

    def backward(
        self,
        params: LayerNormParams,
        residuals: tuple[jax.Array, jax.Array, jax.Array],
        dy: jax.Array,
    ) -> tuple[LayerNormParams, jax.Array]:
        """Returns (dscale, dbias) and dx."""
        x, mean, r = residuals
        self._check_params(params)
        n = (x.astype(mean.dtype) - mean) * r
        dy = check_cotangent(self, dy, x.shape).astype(mean.dtype)
        g = dy * jnp.broadcast_to(params.scale.astype(mean.dtype), dy.shape)
        shift = jnp.mean(g, axis=-1, keepdims=True)
        stretch = jnp.mean(g * n, axis=-1, keepdims=True)
        dx = r * (g - shift - n * stretch)
        batch = tuple(range(x.ndim - 1))
        dparams = LayerNormParams(jnp.sum(dy * n, axis=batch), jnp.sum(dy, axis=batch))
        return jax.tree.map(_cast_like, dparams, params), dx.astype(x.dtype)

    def _check_params(self, params: LayerNormParams) -> None:
        shape = (self.features,)
        check_params(self, params, LayerNormParams, scale=shape, bias=shape)


def _cast_like(gradient: jax.Array, parameter: jax.Array) -> jax.Array:
    return gradient.astype(parameter.dtype)
