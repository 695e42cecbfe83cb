"""How the features of one example lie in its file, so that another file is read alike."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from jaxpercep._checks import counted


@dataclass(frozen=True)
class Layout:
    """The features of one example, as they lay in the file that a network was trained on.

    Attributes:
        shape: The shape of one example: `(4,)`, or `(28, 28)` of an image, which is flattened.
        columns: The names in the header of a CSV file, the target's among them; None without one.
        target: The index of the target column of a CSV file, from the left; None of other data.
    """

    shape: tuple[int, ...]
    columns: tuple[str, ...] | None = None
    target: int | None = None

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"the shape {self.shape} of an example is empty")
        if self.target is not None and not 0 <= self.target <= self.features:
            raise ValueError(f"there is no column {self.target} beside {self.features} features")
        if self.columns is not None and (
            self.target is None
            or len(set(self.columns)) != self.features + 1
            or len(self.columns) != self.features + 1
            or not all(self.columns)
        ):
            raise ValueError(f"the columns are not {self.features} features and a target")

    @property
    def features(self) -> int:
        """The number of features."""
        return math.prod(self.shape)

    @property
    def named_features(self) -> tuple[str, ...]:
        """The names of the features, in the order that the network takes; () without a header."""
        names = self.columns or ()
        return tuple(name for i, name in enumerate(names) if i != self.target)

    @property
    def named_target(self) -> str | None:
        """The name of the target column, or None."""
        return None if self.columns is None or self.target is None else self.columns[self.target]

    def check_shape(self, what: str, shape: tuple[int, ...], hint: str = "") -> None:
        """Raises a `ValueError` unless examples of this shape can be read as those of training.

        An image has to be of the same shape; flat features may be those of an image.
        """
        flat = len(shape) == 1 or len(self.shape) == 1
        if shape != self.shape and not (flat and math.prod(shape) == self.features):
            came, taken = described(shape), described(self.shape)
            raise ValueError(f"{what} has {came}, the model takes {taken}{hint}.")


def described(shape: tuple[int, ...]) -> str:
    """Returns `"1 feature"`, `"4 features"` or `"images of 28 x 28"`."""
    if len(shape) == 1:
        return counted(shape[0], "feature")
    return f"images of {' x '.join(map(str, shape))}"


def listed(names: Sequence[str]) -> str:
    """Returns the names in a line of bounded length."""
    return textwrap.shorten(", ".join(names), 200)
