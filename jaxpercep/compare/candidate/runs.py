"""Runs of one candidate at two sets of arguments: as it is, and with other values inside it."""

import ast
import io
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from jaxpercep.compare.candidate.instrument import Instrument, Site
from jaxpercep.compare.candidate.known import Pair
from jaxpercep.compare.candidate.record import Key, Recorder, Replacements
from jaxpercep.compare.candidate.source import Home, UnreadableError
from jaxpercep.compare.candidate.twins import Twins
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.trees import Leaves, distance, largest

Follow: TypeAlias = Callable[[Any], Any]
"""Replaces one of the user's functions by a twin that reports its values."""

Build: TypeAlias = Callable[[Follow], Callable[..., Any]]
"""Builds the candidate, a function of the arguments, from the user's functions."""


def as_it_is(function: Any) -> Any:
    """Returns one of the user's functions unchanged, as a `Follow` for plain runs."""
    return function


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
        one_by_one: whether JAX must run loops and branches as Python does.
        count: of the runs since it was last set to 0.
    """

    build: Build
    home: Home
    args: tuple[tuple[Any, ...], tuple[Any, ...]]
    target: Target
    one_by_one: bool = True
    count: int = 0
    instrument: Instrument = field(default_factory=Instrument)
    unread: dict[str, str] = field(default_factory=dict)
    recorder: Recorder = field(default_factory=Recorder)
    hook: Callable[[int, Any], Any] | None = None

    def __post_init__(self) -> None:
        self.twins = Twins(self.home, self.instrument, self._tell, self.unread)
        self.candidate = self.build(self.twins.root)

    @property
    def sites(self) -> Sequence[Site]:
        """Every expression that was reached."""
        return self.instrument.sites

    def _tell(self, number: int, value: Any) -> Any:
        if self.hook is not None:
            return self.hook(number, value)
        if callable(value):
            return self.twins.of(value)
        return self.recorder.tell(number, value)

    def record(self, where: int) -> dict[Key, np.ndarray]:
        """Runs the candidate and keeps every value.

        Raises:
            UnreadableError: It fails, or computes something else when it is instrumented.
        """
        self.recorder = Recorder()
        try:
            plain = self._quietly(self.build(as_it_is), where)
            answer = self._quietly(self.candidate, where)
        except UnreadableError:
            raise
        except Exception as error:  # whatever it is, the reader is told
            raise UnreadableError(
                f"run eagerly in float64, it raises {type(error).__name__}: {error}"
            ) from error
        if not same(plain, answer):
            raise UnreadableError("with every value recorded it returns other numbers")
        return self.recorder.values

    def replayed(self, replacements: Replacements, where: int) -> dict[Key, np.ndarray]:
        """Returns every value of a run with some replaced."""
        self.recorder = Recorder(replacements)
        self._quietly(self.candidate, where)
        return self.recorder.values

    def settle(self, recorded: Mapping[Key, Any]) -> None:
        """Lets JAX run loops and branches as it does if that shows the same values."""
        self.one_by_one = False
        self.recorder = Recorder()
        try:
            self._quietly(self.candidate, 0)
            self.one_by_one = self.recorder.values.keys() != recorded.keys()
        except Exception:  # whatever it is: one by one it has run
            self.one_by_one = True

    def answer(self, replacements: Replacements, where: int) -> list[Any] | None:
        """Returns the leaves with some values replaced, or None if it then fails."""
        self.count += 1
        self.recorder = Recorder(replacements, recording=False)
        try:
            return self._quietly(self.candidate, where)
        except Exception:  # whatever it is: this replacement does not repair it
            return None

    def environments(
        self, site: int, replacements: Replacements, where: int
    ) -> list["Environment"]:
        """Returns the variables around every pass through a site, with some values replaced."""
        found: list[Environment] = []

        def tell(number: int, value: Any) -> Any:
            if callable(value):
                return self.twins.of(value)
            turn = self.recorder.turns[number]
            new = self.recorder.tell(number, value)
            traced = isinstance(value, jax.core.Tracer)  # whose variables have no numbers
            if number == site and self.recorder.turns[number] > turn and not traced:
                frame = sys._getframe(2)  # ours, then the user's
                found.append(
                    Environment(
                        Key(number, turn),
                        np.array(value, np.float64),
                        self.sites[site].function,
                        frame.f_globals,
                        _copied(frame.f_locals),
                    )
                )
            return new

        self.recorder, self.hook = Recorder(replacements), tell
        try:
            self._quietly(self.candidate, where)
        finally:
            self.hook = None
        return found

    def edited(
        self, edits: Mapping[ast.AST, ast.expr], replacements: Replacements, where: int
    ) -> list[Any] | None:
        """Returns the leaves of the candidate with another source, or None if it then fails."""
        known = self.instrument
        instrument = Instrument(edits, list(known.sites), dict(known.known))
        recorder = Recorder(replacements, recording=False)

        def tell(number: int, value: Any) -> Any:
            return twins.of(value) if callable(value) else recorder.tell(number, value)

        twins = Twins(self.home, instrument, tell)
        try:
            return self._quietly(self.build(twins.root), where)
        except Exception:  # whatever it is: this edit does not repair it
            return None

    def _quietly(self, candidate: Callable[..., Any], where: int) -> list[Any]:
        """Runs a candidate without its output and its warnings."""
        uncompiled = jax.disable_jit() if self.one_by_one else nullcontext()
        with redirect_stdout(io.StringIO()), uncompiled, np.errstate(all="ignore"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = candidate(*jax.tree.map(_fresh, self.args[where]))
            return trees.answer(result, self.target.leaves).leaves


class Environment(NamedTuple):
    """The variables around one pass through a site.

    Attributes:
        key: the pass.
        value: that the expression has, before it is replaced.
        function: the name of the function it stands in.
        scope: the globals.
        variables: the locals, JAX arrays as NumPy arrays.
    """

    key: Key
    value: np.ndarray
    function: str
    scope: dict[str, Any]
    variables: dict[str, Any]


def _copied(variables: Mapping[str, Any]) -> dict[str, Any]:
    def copied(leaf: Any) -> Any:
        return np.array(leaf) if isinstance(leaf, (jax.Array, np.ndarray)) else leaf

    return {
        name: jax.tree.map(copied, value)
        for name, value in variables.items()
        if not name.startswith("_jaxpercep")
    }


def _fresh(leaf: Any) -> Any:
    """Copies an array that the candidate may write into."""
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Returns True if two answers are equal bit for bit."""
    return all(
        (a is None) == (b is None) and (a is None or np.array_equal(a, b, equal_nan=True))
        for a, b in zip(some, others, strict=True)
    )


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
