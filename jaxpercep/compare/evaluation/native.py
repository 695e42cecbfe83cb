"""Both sides as the caller has them, and the switch to double precision."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import jax

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.own_types import OwnTypes
from jaxpercep.compare.evaluation.sides import Sides
from jaxpercep.compare.evaluation.trees import Leaves


class Native(NamedTuple):
    """Both gradients in the caller's dtype.

    Attributes:
        sides: the gradients.
        leaves: to differentiate by.
        dtype: the narrowest floating type among the arguments.
        x64: True if the caller computes in double precision.
    """

    sides: Sides
    leaves: Leaves
    dtype: str
    x64: bool

    @classmethod
    def of(
        cls,
        fun: Callable[..., Any],
        grad_fun: Callable[..., Any],
        args: tuple[Any, ...],
        argnums: int | tuple[int, ...],
    ) -> "Native":
        """Evaluates both gradients at args, as the caller would."""
        leaves = trees.differentiated(args, argnums)
        x64 = bool(jax.config.read("jax_enable_x64"))
        dtype = OwnTypes.of(jax.tree.leaves(args)).narrowest
        return cls(Sides.of(fun, grad_fun, args, leaves), leaves, dtype, x64)

    @property
    def captures_numpy(self) -> bool:
        """True if the functions have captured NumPy arrays, which JAX holds in float32."""
        traced = (self.sides.function.traced, self.sides.candidate.traced)
        return not self.x64 and any(t is not None and t.captures_numpy for t in traced)

    def double_precision(self) -> AbstractContextManager[None]:
        """Computes in float64, the NumPy arrays that the functions have captured included."""
        return double_precision(self.captures_numpy)


@contextmanager
def double_precision(captured: bool) -> Generator[None]:
    """Computes in float64, which includes the NumPy arrays that functions have captured.

    JAX caches its conversion of a NumPy array, even across a change of this setting. So the caches
    are cleared on the way in, and again on the way out: the caller's next program must not find
    arrays in float64.
    """
    try:
        if captured:
            jax.clear_caches()
        with jax.enable_x64(True):
            yield
    finally:
        if captured:
            jax.clear_caches()
