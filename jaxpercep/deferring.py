"""A loss that is left for later: training needs its gradient alone, and its value is a record."""

from dataclasses import dataclass

import jax
from jax.typing import ArrayLike

from jaxpercep.layer import Residuals, as_array
from jaxpercep.wrapped import Wrapped


@dataclass(frozen=True)
class Deferred(Wrapped):
    """The gradient of a loss, with the prediction in the place of its value.

    The manual rule takes dL/dprediction from `backward`, for which nobody needs L. So a loop can
    keep the predictions of many steps, and compute the losses of all of them at once. By autodiff
    it would gain nothing: L is on the way to its gradient.
    """

    def apply(self, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
        """Returns the prediction."""
        del target
        return as_array("prediction", prediction)

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> tuple[jax.Array, Residuals]:
        """Returns the prediction, and what `backward` needs."""
        return self.apply(prediction, target), self.loss.forward(prediction, target)[1]

    def backward(self, residuals: Residuals) -> jax.Array:
        """Returns dL/dprediction."""
        return self.loss.backward(residuals)
