"""Runs an instrumented candidate: records its values, or puts others in their place."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from jaxpercep.compare.candidate.source import UnreadableError

LONGEST = 50_000  # values of one run


class Key(NamedTuple):
    """One value of a run: a site, and which pass through it."""

    site: int
    turn: int


Replacements: TypeAlias = Mapping[Key, np.ndarray]
"""Values to put in the place of others."""

Run: TypeAlias = Callable[..., Any]


@dataclass
class Recorder:
    """Is told every value of a run.

    Attributes:
        replacements: what to go on with instead.
        recording: keep the values.
        values: floating-point ones, in the order of execution.
        traced: sites whose values were abstract.
    """

    replacements: Replacements = field(default_factory=dict)
    recording: bool = True
    values: dict[Key, np.ndarray] = field(default_factory=dict)
    traced: set[int] = field(default_factory=set)
    turns: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.replaced = {key.site for key in self.replacements}

    def tell(self, number: int, value: Any) -> Any:
        """Returns the value to go on with."""
        if not self.recording and number not in self.replaced:
            return value
        if isinstance(value, jax.core.Tracer):
            return self.tell_tracer(number, value)
        if not _is_number(value):
            return value
        key = Key(number, self.turns[number])
        self.turns[number] += 1
        if key in self.replacements:
            value = _like(value, self.replacements[key])
        if self.recording:
            if len(self.values) >= LONGEST:
                raise UnreadableError(f"it computes more than {LONGEST} values")
            self.values[key] = np.array(value, np.float64)
        return value

    def tell_tracer(self, number: int, value: Any) -> Any:
        """Tells the batch of values inside `jax.vmap`; other traced values stay unknown."""
        self.traced.add(number)
        batched = type(value).__name__ in ("BatchTracer", "VmapTracer")
        if not batched or not jnp.issubdtype(value.dtype, jnp.floating):
            return value

        @custom_vmap
        def tap(value: Any) -> Any:
            return value

        @tap.def_vmap
        def _batched(size: int, batched: Any, value: Any) -> Any:
            del size
            new = self.tell(number, value)
            if new.shape != value.shape:
                raise ValueError("a batch can only be replaced by one of the same shape")
            return new, batched[0]

        return tap(value)


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
