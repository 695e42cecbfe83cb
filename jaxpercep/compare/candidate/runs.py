"""Runs of one candidate at two sets of arguments: as it is, and with other values inside it."""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxpercep.compare.candidate.compiled import Compiled
from jaxpercep.compare.candidate.eager import Eager
from jaxpercep.compare.candidate.instrument import Instrument, Site
from jaxpercep.compare.candidate.instrumented import Build, Instrumented, as_it_is
from jaxpercep.compare.candidate.known import Pair
from jaxpercep.compare.candidate.record import Replacements
from jaxpercep.compare.candidate.source import Home, UnreadableError
from jaxpercep.compare.candidate.variables import Key, Sighting
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.trees import Leaves, distance, largest


class Target(NamedTuple):
    """What a candidate should return.

    Attributes:
        leaves: to differentiate by.
        right: the gradient by each of them.
        limits: the largest error of each, relative to its size.
        frozen: leaves that are not compared.
    """

    leaves: Leaves
    right: Sequence[Pair]
    limits: Sequence[float]
    frozen: frozenset[int] = frozenset()

    def is_right(self, answer: Sequence[Any], where: int) -> tuple[bool, ...]:
        """Judges each leaf, at one of the two sets of arguments."""
        return tuple(
            i in self.frozen
            or (
                leaf is not None
                and distance(leaf, pair[where]) <= limit * (largest(pair[where]) or 1.0)
            )
            for i, (leaf, pair, limit) in enumerate(
                zip(answer, self.right, self.limits, strict=True)
            )
        )


@dataclass(eq=False)
class Runs:
    """One candidate and its arguments.

    Attributes:
        build: of the candidate.
        home: the user's files.
        args: two sets of arguments.
        target: what it should return.
        is_traceable: whether JAX can trace it.
        count: of the runs since it was last set to 0.
    """

    build: Build
    home: Home
    args: tuple[tuple[Any, ...], tuple[Any, ...]]
    target: Target
    is_traceable: bool
    count: int = 0

    def __post_init__(self) -> None:
        self.instrumented = Instrumented(self.build, self.home)

    @property
    def sites(self) -> Sequence[Site]:
        """Every expression that was reached."""
        return self.instrumented.instrument.sites

    @property
    def unread(self) -> dict[str, str]:
        """Functions that could not be read, with the reason."""
        return self.instrumented.unread

    @cached_property
    def engine(self) -> Compiled | Eager:
        """Runs the candidate.

        Raises:
            UnreadableError: It fails, or computes something else when it is instrumented.
        """
        plain = self.build(as_it_is)
        if self.is_traceable:
            found = Compiled.of(self.instrumented, plain, self.args, self.target.leaves)
            if found is not None:
                return found
        return self.eager(plain)

    def eager(self, plain: Callable[..., Any]) -> Eager:
        """Runs a candidate with arrays of NumPy, which are faster, if it takes them."""
        reason: Exception | None = None
        for args in (jax.tree.map(_as_numpy, self.args), self.args):
            engine = Eager(self.instrumented, args, self.target.leaves)
            try:
                same = engine.is_same(plain)
            except UnreadableError:
                raise
            except Exception as error:  # whatever it is, the reader is told
                reason = error
                continue
            if not same:
                raise UnreadableError("with every value recorded it returns other numbers")
            engine.settle()
            return engine
        raise UnreadableError(
            f"run eagerly in float64, it raises {type(reason).__name__}: {reason}"
        ) from reason

    def record(self) -> tuple[dict[Key, np.ndarray], dict[Key, np.ndarray]]:
        """Runs the candidate and returns every value, at both sets of arguments.

        Raises:
            UnreadableError: It fails, or computes something else when it is instrumented.
        """
        return self.replayed({}, 0), self.replayed({}, 1)

    def replayed(self, replacements: Replacements, where: int) -> dict[Key, np.ndarray]:
        """Returns every value of a run with some replaced."""
        return self.engine.values(replacements, where)

    def answer(self, replacements: Replacements, where: int) -> list[Any] | None:
        """Returns the leaves with some values replaced, or None if it then fails."""
        self.count += 1
        return self.engine.answer(replacements, where)

    def sightings(self, site: int, replacements: Replacements, where: int) -> list[Sighting]:
        """Returns every pass through a site with the variables around it, some values replaced."""
        return self.engine.sightings(site, replacements, where)

    def edited(
        self, edits: Mapping[ast.AST, ast.expr], replacements: Replacements, where: int
    ) -> list[Any] | None:
        """Returns the leaves of the candidate with another source, or None if it then fails."""
        own = self.instrumented.instrument
        instrument = Instrument(edits, list(own.sites), dict(own.known))
        return self.engine.edited(
            Instrumented(self.build, self.home, instrument), replacements, where
        )


def _as_numpy(leaf: Any) -> Any:
    return np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf


def drawn(args: tuple[Any, ...], differentiated: Sequence[int], seed: int = 1) -> tuple[Any, ...]:
    """Draws other arguments of the same kind.

    Numbers keep their signs and zeros, and move by up to a half. Leaves that are not differentiated
    stay as they are if they are whole numbers (labels, masks) or sum to 1 (probabilities).
    """
    leaves, structure = jax.tree.flatten(trees.copied(args))

    def draw(i: int, leaf: Any) -> Any:
        if not trees.is_floating(leaf):
            return leaf
        wide = np.asarray(leaf, np.float64)
        if i not in differentiated and _is_special(wide):
            return leaf
        moves = trees.moves((seed, i, 77), wide.size).reshape(wide.shape)
        return jax.numpy.asarray(wide * (1 + 0.5 * moves))

    return jax.tree.unflatten(structure, [draw(i, leaf) for i, leaf in enumerate(leaves)])


def _is_special(array: np.ndarray) -> bool:
    whole = bool(np.all(array == np.round(array)))
    sums = array.ndim > 0 and np.allclose(array.sum(-1), 1.0, atol=1e-4)
    return whole or sums
