"""A loss that is left for later: training needs its gradient alone, and its value is a record."""

from dataclasses import dataclass
from typing import Any

import jax
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxpercep.layer import Residuals, as_array
from jaxpercep.losses import Loss


@dataclass(frozen=True)
class Deferred:
    """The gradient of a loss, with the prediction in the place of its value.

    The manual rule takes dL/dprediction from `backward`, for which nobody needs L. So a loop can
    keep the predictions of many steps, and compute the losses of all of them at once. By autodiff
    it would gain nothing: L is on the way to its gradient.

    Attributes:
        loss: L.
    """

    loss: Loss

    @property
    def takes_logits(self) -> bool:
        """The loss does."""
        return self.loss.takes_logits

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Raises a `ValueError` if the loss is not defined for a value of the target."""
        self.loss.check(prediction_shape, target)

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
