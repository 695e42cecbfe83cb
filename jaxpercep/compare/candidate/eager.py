"""A candidate that is run one operation at a time, as plain NumPy is."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxpercep.compare.candidate.instrumented import Instrumented
from jaxpercep.compare.candidate.record import Recorder, Replacements
from jaxpercep.compare.candidate.variables import Key, Sighting
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.trees import Leaves


@dataclass(eq=False)
class Eager:
    """A candidate that is run one operation at a time.

    Attributes:
        instrumented: the candidate.
        args: two sets of arguments.
        leaves: to differentiate by.
        one_by_one: whether JAX must run loops and branches as Python does.
    """

    instrumented: Instrumented
    args: tuple[tuple[Any, ...], tuple[Any, ...]]
    leaves: Leaves
    one_by_one: bool = True

    def values(self, replacements: Replacements, where: int) -> dict[Key, np.ndarray]:
        """Returns every value of a run with some replaced."""
        recorder = Recorder(replacements)
        self.run(partial(self.instrumented.run, recorder), where)
        return recorder.values

    def answer(self, replacements: Replacements, where: int) -> list[Any] | None:
        """Returns the leaves with some values replaced, or None if it then fails."""
        return self.edited(self.instrumented, replacements, where)

    def edited(
        self, instrumented: Instrumented, replacements: Replacements, where: int
    ) -> list[Any] | None:
        """Returns the leaves of another candidate, or None if it then fails."""
        recorder = Recorder(replacements, recording=False)
        try:
            return self.run(partial(instrumented.run, recorder), where)
        except Exception:  # whatever it is: this does not repair it
            return None

    def sightings(self, site: int, replacements: Replacements, where: int) -> list[Sighting]:
        """Returns every pass through a site, with the variables around it."""
        recorder = Recorder(replacements, recording=False, watched=site)
        self.run(partial(self.instrumented.run, recorder), where)
        return [sighting.with_numbers() for sighting in recorder.sightings]

    def is_same(self, plain: Callable[..., Any]) -> bool:
        """Returns True if the instrumented candidate computes what the plain one does."""
        run = partial(self.instrumented.run, Recorder())
        return all(same(self.run(plain, where), self.run(run, where)) for where in (0, 1))

    def settle(self) -> None:
        """Lets JAX run loops and branches as it does if that shows the same values."""
        recorded = self.values({}, 0)
        self.one_by_one = False
        try:
            self.one_by_one = self.values({}, 0).keys() != recorded.keys()
        except Exception:  # whatever it is: one by one it has run
            self.one_by_one = True

    def run(self, function: Callable[..., Any], where: int) -> list[Any]:
        """Returns the leaves that a function of the arguments answers with."""
        with jax.disable_jit() if self.one_by_one else nullcontext():
            result = function(*jax.tree.map(_fresh, self.args[where]))
            return trees.answer(result, self.leaves).leaves


def _fresh(leaf: Any) -> Any:
    """Copies an array that the candidate may write into."""
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Returns True if two answers are equal bit for bit."""
    return all(
        (a is None) == (b is None) and (a is None or np.array_equal(a, b, equal_nan=True))
        for a, b in zip(some, others, strict=True)
    )
