"""Runs an instrumented candidate: records its values, or puts others in their place."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from jaxpercep.compare.candidate.source import UnreadableError
from jaxpercep.compare.candidate.variables import (
    NOTHING,
    Key,
    Level,
    Sighting,
    Variables,
)

LONGEST = 50_000  # values of one run


Replacements: TypeAlias = Mapping[Key, np.ndarray]
"""Values to put in the place of others."""


@dataclass(eq=False)
class Recorder:
    """Is told every value of a run.

    Attributes:
        replacements: what to go on with instead.
        recording: keep the values.
        watched: the site whose variables are kept at every pass, or None.
        values: floating-point ones, in the order of execution.
        sightings: of the watched site.
        turns: passes so far, by site.
    """

    replacements: Replacements = field(default_factory=dict)
    recording: bool = True
    watched: int | None = None
    values: dict[Key, Any] = field(default_factory=dict)
    sightings: list[Sighting] = field(default_factory=list)
    turns: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.replaced = {key.site for key in self.replacements}

    def tell(self, number: int, value: Any, around: Variables = NOTHING) -> Any:
        """Returns the value to go on with, given the variables around it."""
        if not (self.recording or number in self.replaced or number == self.watched):
            return value
        if isinstance(value, jax.core.Tracer) and not self.is_own(value):
            return self.tell_batch(number, value, around)
        if not _is_number(value):
            return value
        key = Key(number, self.turns[number])
        self.turns[number] += 1
        if number == self.watched:
            self.sightings += around.samples(key, value)
        value = self.replacement(key, value)
        if self.recording:
            if len(self.values) >= LONGEST:
                raise UnreadableError(f"it computes more than {LONGEST} values")
            self.values[key] = self.kept(value)
        return value

    def is_own(self, value: jax.core.Tracer) -> bool:
        """Returns True for abstract values that stand for numbers of this run."""
        del value
        return False

    def kept(self, value: Any) -> Any:
        """Returns what to remember of a value."""
        return np.array(value, np.float64)

    def replacement(self, key: Key, value: Any) -> Any:
        """Returns what to go on with."""
        return _like(value, self.replacements[key]) if key in self.replacements else value

    def tell_batch(self, number: int, value: Any, around: Variables) -> Any:
        """Tells the batch of values inside `jax.vmap`; other traced values stay unknown."""
        batched = type(value).__name__ in ("BatchTracer", "VmapTracer")
        if not batched or not jnp.issubdtype(value.dtype, jnp.floating):
            return value

        @custom_vmap
        def tap(value: Any, leaves: Any) -> Any:
            del leaves
            return value

        @tap.def_vmap
        def _batched(size: int, batched: Any, value: Any, leaves: Any) -> Any:
            outside = around.outside(leaves, Level(size, *batched))
            new = self.tell(number, value, outside)
            if new.shape != value.shape:
                raise ValueError("a batch can only be replaced by one of the same shape")
            return new, batched[0]

        return tap(value, around.arrays)


def _is_number(value: Any) -> bool:
    """Returns True for floating-point arrays and numbers."""
    if isinstance(value, (np.ndarray, np.generic, jax.Array)):
        return jnp.issubdtype(value.dtype, jnp.floating)
    return isinstance(value, float)


def _like(value: Any, new: np.ndarray) -> Any:
    """Converts a replacement to the type of the value that it replaces."""
    if isinstance(value, jax.Array):
        return jnp.asarray(new, value.dtype)
    if isinstance(value, np.ndarray):
        return np.array(new, value.dtype)
    return type(value)(new) if np.ndim(new) == 0 else np.array(new)
