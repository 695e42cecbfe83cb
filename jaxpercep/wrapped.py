"""What a loss that is made of another one takes over from it."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from jaxpercep.losses import Loss


@dataclass(frozen=True, eq=False)
class Wrapped:
    """A loss made of another: it takes the same predictions and targets.

    Attributes:
        loss: The other one.
    """

    loss: Loss

    @property
    def takes_logits(self) -> bool:
        """The loss does."""
        return self.loss.takes_logits

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Raises a `ValueError` if the loss is not defined for a value of the target."""
        self.loss.check(prediction_shape, target)
