"""The types that the caller computes in, for code that cannot be given float64."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.program.jaxprs import narrowest


class OwnTypes(NamedTuple):
    """The types of the caller's arguments.

    Attributes:
        dtypes: of all leaves.
        x64: True if the caller computes in double precision.
    """

    dtypes: Sequence[Any]
    x64: bool

    @classmethod
    def of(cls, values: Sequence[Any]) -> "OwnTypes":
        """Returns the types of these leaves."""
        return cls(
            [jnp.result_type(value) for value in values], bool(jax.config.read("jax_enable_x64"))
        )

    @property
    def narrowest(self) -> str:
        """The narrowest floating type among them."""
        found = narrowest(self.dtypes)
        assert found is not None  # a comparison differentiates by something
        return found

    def run(self, function: Callable[[list[Any]], Any], values: Sequence[Any]) -> Any:
        """Evaluates a function of all leaves in the caller's types."""
        with jax.enable_x64(self.x64):
            return function([_in(*pair) for pair in zip(values, self.dtypes, strict=True)])


def _in(value: Any, dtype: Any) -> Any:
    return jnp.asarray(np.asarray(value), dtype) if trees.is_floating(value) else value
