"""A candidate that JAX can trace: one program, which takes other values in the place of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.candidate.instrumented import Instrumented
from jaxpercep.compare.candidate.record import Recorder, Replacements
from jaxpercep.compare.candidate.variables import Key, Sighting
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.trees import Leaves
from jaxpercep.compare.program.graph import RUN_ONCE
from jaxpercep.compare.program.jaxprs import outline, tracing

MOST = 600  # values of one program


@dataclass(eq=False)
class Symbolic(Recorder):
    """Is told the abstract values of a run that is traced.

    Attributes:
        trace: whose values stand for numbers.
        slots: whether to go on with another value, and with which.
    """

    trace: Any = None
    slots: Mapping[Key, tuple[Any, Any]] = field(default_factory=dict)

    def is_own(self, value: jax.core.Tracer) -> bool:
        """Returns True for abstract values of this run."""
        return tracing(value) is self.trace

    def kept(self, value: Any) -> Any:
        """Returns what to remember of a value."""
        return value if isinstance(value, jax.core.Tracer) else super().kept(value)

    def replacement(self, key: Key, value: Any) -> Any:
        """Returns what to go on with."""
        if key not in self.slots or not isinstance(value, jax.core.Tracer):
            return super().replacement(key, value)
        chosen, other = self.slots[key]
        return jnp.where(chosen, other.astype(value.dtype), value)


class Layout(NamedTuple):
    """The values of a candidate that is traced.

    Attributes:
        order: of all of them.
        fixed: those that do not depend on the arguments.
        unchanged: for each other value, not to replace it, and an array of its shape.
    """

    order: list[Key]
    fixed: dict[Key, np.ndarray]
    unchanged: dict[Key, tuple[jax.Array, jax.Array]]

    @classmethod
    def of(cls, values: Mapping[Key, Any]) -> "Layout":
        """Describes the values that were told while tracing."""
        layout = cls(list(values), {}, {})
        for key, value in values.items():
            if isinstance(value, jax.core.Tracer):
                layout.unchanged[key] = jnp.array(False), jnp.zeros(value.shape, value.dtype)
            else:
                layout.fixed[key] = value
        return layout


@dataclass(frozen=True, eq=False)
class Compiled:
    """A candidate as one program of its arguments, and of values to go on with instead.

    Attributes:
        instrumented: the candidate.
        args: two sets of arguments.
        leaves: to differentiate by.
        layout: of its values.
    """

    instrumented: Instrumented
    args: tuple[tuple[Any, ...], tuple[Any, ...]]
    leaves: Leaves
    layout: Layout

    @classmethod
    def of(
        cls,
        instrumented: Instrumented,
        plain: Callable[..., Any],
        args: tuple[tuple[Any, ...], tuple[Any, ...]],
        leaves: Leaves,
    ) -> "Compiled | None":
        """Traces a candidate; None if it needs numbers or has too many values.

        It must consist of the same operations as without instruments.
        """
        recorder = Symbolic()

        def recorded(*args: Any) -> Any:
            nonlocal recorder
            recorder = Symbolic(trace=tracing(args))
            return _unrolled(instrumented.run, recorder, *args)

        def bare(*args: Any) -> Any:
            return _unrolled(plain, *args)

        try:
            same = outline(recorded, args[0]) == outline(bare, args[0])
        except Exception:  # whatever it is: run eagerly, it may go well, or is reported
            return None
        if not same or len(recorder.values) > MOST:
            return None
        return cls(instrumented, args, leaves, Layout.of(recorder.values))

    def values(self, replacements: Replacements, where: int) -> dict[Key, np.ndarray]:
        """Returns every value of a run with some replaced."""
        _, arrays = self.program(self.args[where], self.slots(replacements))
        told = {key: np.asarray(v, np.float64) for key, v in arrays.items()} | self.layout.fixed
        return {key: told[key] for key in self.layout.order}

    def answer(self, replacements: Replacements, where: int) -> list[Any] | None:
        """Returns the leaves with some values replaced, or None if it then fails."""
        unchanged = self.layout.unchanged
        if not replacements.keys() <= unchanged.keys():
            return None
        if any(np.shape(new) != unchanged[key][1].shape for key, new in replacements.items()):
            return self.edited(self.instrumented, replacements, where)
        result, _ = self.program(self.args[where], self.slots(replacements))
        return trees.answer(result, self.leaves).leaves

    def edited(
        self, instrumented: Instrumented, replacements: Replacements, where: int
    ) -> list[Any] | None:
        """Returns the leaves of another candidate, or None if it then fails."""

        def program(args: tuple[Any, ...]) -> Any:
            recorder = Symbolic(replacements, recording=False, trace=tracing(args))
            return _unrolled(instrumented.run, recorder, *args)

        try:
            return trees.answer(RUN_ONCE(program)(self.args[where]), self.leaves).leaves
        except Exception:  # whatever it is: this edit does not repair it
            return None

    def sightings(self, site: int, replacements: Replacements, where: int) -> list[Sighting]:
        """Returns every pass through a site, with the variables around it."""
        program, seen = self.watching(site)
        outputs = iter(program(self.args[where], self.slots(replacements)))

        def number(leaf: Any) -> Any:
            return next(outputs) if _is_own(leaf, seen.trace) else leaf

        found = []
        for sighting in seen.sightings:
            value, variables = jax.tree.map(number, (sighting.value, sighting.variables))
            found.append(sighting._replace(value=value, variables=variables).with_numbers())
        return found

    def watching(self, site: int) -> tuple[Callable[..., Any], Symbolic]:
        """Returns a program that returns what is seen at a site, and where in it."""
        if site not in self.watched:
            seen = Symbolic(watched=site, recording=False)

            def program(args: tuple[Any, ...], slots: Any) -> list[Any]:
                seen.trace, seen.slots = tracing(args), slots
                _unrolled(self.instrumented.run, seen, *args)
                leaves = jax.tree.leaves([(s.value, s.variables) for s in seen.sightings])
                return [leaf for leaf in leaves if _is_own(leaf, seen.trace)]

            self.watched[site] = RUN_ONCE(program), seen
        return self.watched[site]

    @cached_property
    def watched(self) -> dict[int, tuple[Callable[..., Any], Symbolic]]:
        """The programs of `watching`."""
        return {}

    @cached_property
    def program(self) -> Callable[..., Any]:
        """`program(args, slots) -> (result, values)`."""

        def program(args: tuple[Any, ...], slots: Mapping[Key, tuple[Any, Any]]) -> Any:
            recorder = Symbolic(trace=tracing(args), slots=slots)
            result = _unrolled(self.instrumented.run, recorder, *args)
            return result, {key: recorder.values[key] for key in slots}

        return RUN_ONCE(program)

    def slots(self, replacements: Replacements) -> dict[Key, tuple[Any, Any]]:
        """Returns for each value whether to go on with another, and with which."""
        return self.layout.unchanged | {key: (True, new) for key, new in replacements.items()}


def _is_own(leaf: Any, trace: Any) -> bool:
    return isinstance(leaf, jax.core.Tracer) and tracing(leaf) is trace


def _unrolled(run: Callable[..., Any], *args: Any) -> Any:
    """Runs a function with the loops and the branches of JAX as Python runs them."""
    with jax.disable_jit():
        return run(*args)
