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
        columns: The names in the header of a CSV file, of all its columns; None without one.
        target: The index of the target column of a CSV file, from the left; None of other data.
        dropped: The indices of the columns that are left out.
        categories: Of each feature its texts, or () if it is a number; () if all are numbers.
    """

    shape: tuple[int, ...]
    columns: tuple[str, ...] | None = None
    target: int | None = None
    dropped: tuple[int, ...] = ()
    categories: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"the shape {self.shape} of an example is empty")
        others = self.width - 1
        if self.target is not None and not 0 <= self.target <= others:
            raise ValueError(f"there is no column {self.target} beside {others} features")
        if self.columns is not None and (
            self.target is None
            or len(set(self.columns)) != others + 1
            or len(self.columns) != others + 1
            or not all(name or i in self.dropped for i, name in enumerate(self.columns))
        ):
            raise ValueError(f"the columns are not {others} features and a target")
        if self.dropped and (
            self.target is None
            or len({self.target, *self.dropped}) != len(self.dropped) + 1
            or not all(0 <= column <= others for column in self.dropped)
        ):
            raise ValueError(f"the columns {self.dropped} cannot be left out")
        if self.categories and self.shape != (len(self.categories),):
            raise ValueError(f"there are {len(self.categories)} columns of features, not {others}")
        if not all(len(set(texts)) == len(texts) and all(texts) for texts in self.categories):
            raise ValueError("the categories of a column are not different texts")

    @property
    def features(self) -> int:
        """The number of features in the file."""
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """The number of columns of the file, the target's and what is left out among them."""
        return self.features + len(self.dropped) + 1

    @property
    def inputs(self) -> int:
        """The number of features that the network takes: one for each category of a text."""
        return sum(max(1, len(texts)) for texts in self.categories) or self.features

    @property
    def numbers(self) -> list[bool]:
        """Of each feature that the network takes, True if it is a number, False if a category."""
        if not self.categories:
            return self.features * [True]
        return [not texts for texts in self.categories for _ in texts or [""]]

    @property
    def places(self) -> list[int]:
        """The places of the features among the columns of the file but the target's."""
        target = self.width - 1 if self.target is None else self.target
        dropped = {column - (column > target) for column in self.dropped}
        return [place for place in range(self.width - 1) if place not in dropped]

    @property
    def named_features(self) -> tuple[str, ...]:
        """The names of the features, in the order of the file; () without a header."""
        names = [name for i, name in enumerate(self.columns or ()) if i != self.target]
        return tuple(names[place] for place in self.places) if names else ()

    @property
    def named_target(self) -> str | None:
        """The name of the target column, or None."""
        return None if self.columns is None or self.target is None else self.columns[self.target]

    @property
    def named_dropped(self) -> tuple[str, ...]:
        """The names of the columns that are left out; () without a header."""
        names = self.columns
        return () if names is None else tuple(names[column] for column in self.dropped)

    def name(self, feature: int) -> str:
        """Returns what to call a feature of the file: its name, or its column, from 1."""
        if self.columns:
            return repr(self.named_features[feature])
        place = self.places[feature]
        return f"column {1 + place + (self.target is not None and place >= self.target)}"

    def check_shape(self, what: str, shape: tuple[int, ...], hint: str = "") -> None:
        """Raises a `ValueError` unless examples of this shape can be read as those of training.

        An image has to be of the same shape; flat features may be those of an image.
        """
        if any(self.categories):
            texts = [self.name(i) for i, known in enumerate(self.categories) if known]
            raise ValueError(
                f"{what} holds numbers, the model takes text in {listed(texts)}{hint}; use a CSV "
                "file."
            )
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
