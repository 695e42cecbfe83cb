"""The recorded values of a candidate, what each of them is, and what may be put in its place."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from jaxpercep.compare.candidate.identify import Dictionary, Meaning
from jaxpercep.compare.candidate.known import Pair
from jaxpercep.compare.candidate.variables import Key

Role: TypeAlias = Literal["other", "parallel", "forward"]


class Substitution(NamedTuple):
    """Values, and what to put in their place."""

    keys: tuple[Key, ...]
    due: tuple[Meaning, ...]

    def at(self, where: int) -> dict[Key, np.ndarray]:
        """Returns the replacements at one of the two sets of arguments."""
        return {key: m.pair()[where] for key, m in zip(self.keys, self.due, strict=True)}


@dataclass(eq=False)
class Values:
    """The recorded values of a candidate, and what they are.

    Attributes:
        pairs: by key, in the order of execution; those that were recorded at both arguments.
        meanings: by key.
        turns: by site, the keys of its passes.
    """

    pairs: dict[Key, Pair]
    meanings: dict[Key, list[Meaning]]
    turns: dict[int, list[Key]]

    @classmethod
    def of(
        cls,
        here: Mapping[Key, np.ndarray],
        there: Mapping[Key, np.ndarray],
        dictionary: Dictionary,
    ) -> "Values":
        """Looks every value up."""
        pairs = {key: Pair(value, there[key]) for key, value in here.items() if key in there}
        turns: dict[int, list[Key]] = defaultdict(list)
        for key in pairs:
            turns[key.site].append(key)
        return cls(pairs, {k: dictionary.meanings(pair) for k, pair in pairs.items()}, turns)

    def role(self, key: Key) -> Role:
        """Returns `"forward"` for a value of the forward pass, or a constant multiple of one.

        If it is a multiple of a cotangent too, as the residual of a squared error, it is
        `"parallel"`; every value else is `"other"`, and so is what is exactly a cotangent.
        """
        found = self.meanings[key]
        if all(m.known.is_gradient for m in found):
            return "other"
        if not any(m.known.is_gradient for m in found):
            return "forward"
        exact = {m.known.is_gradient for m in found if m.is_exact}
        return "other" if exact == {True} else "parallel"

    def is_of_forward_pass(self, key: Key) -> bool:
        """Returns True for a value of the forward pass itself."""
        return any(m.is_exact and not m.known.is_gradient for m in self.meanings[key])

    def is_right(self, key: Key) -> bool:
        """Returns True for a settled value; a multiple of a cotangent is none."""
        found = self.meanings[key]
        exact = any(m.factor == 1.0 or not m.known.is_gradient for m in found)
        return exact or (not found and self.is_settled(key))

    def is_settled(self, key: Key) -> bool:
        """Returns True for a value that is known, or does not depend on the arguments."""
        pair = self.pairs[key]
        constant = pair.here.shape == pair.there.shape and np.array_equal(*pair)
        return bool(self.meanings[key]) or constant

    @cached_property
    def order(self) -> dict[Key, int]:
        """The position of each value in the order of execution."""
        return {key: i for i, key in enumerate(self.pairs)}

    def is_exactly(self, key: Key, due: Meaning) -> bool:
        """Returns True if a value is a right cotangent that what is due is a multiple of."""
        pair = due.pair()
        right = (m.known.pair for m in self.meanings[key] if m.is_exact and m.known.is_gradient)
        return any(_parallel(pair.here, known.here) for known in right)


def _parallel(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return False
    factor = np.vdot(a, b) / np.vdot(b, b)
    return bool(np.max(np.abs(a - factor * b), initial=0.0) <= 1e-9 * np.max(np.abs(a)))
