"""Steps along a stream of batches, and the place in it from which a run goes on."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from jaxpercep._checks import counted, shown
from jaxpercep._identity import digest
from jaxpercep.keeping import Place
from jaxpercep.loop import SECONDS_PER_CALL

Batch: TypeAlias = tuple[jax.Array | np.ndarray, jax.Array | np.ndarray]
"""Inputs and targets; those of NumPy are placed on the device by the step, in less time."""

_BYTES = "bytes of an iterator's state"  # as which JSON has them


class _Mark(NamedTuple):
    """A place in a stream: a number of batches taken, and the iterator's state as JSON."""

    taken: int
    state: str | None


class Stream:
    """Takes steps along the batches of an iterable.

    A run goes on at the state before its last step: that step's loss is known to be finite, and its
    batch, which is taken again, shows whether the iterable gives the same ones.

    Attributes:
        total: the number of batches, None until the last has been taken and another asked for.
    """

    def __init__(
        self,
        step: Callable[..., tuple[Any, Any]],
        checked: Callable[[str, Any], Batch],
        batches: Any,
        kept: bool,
    ) -> None:
        """Takes the step, what makes a batch of an item and its name, and the iterable of items.

        `kept` says whether another process may go on from here.
        """
        self.total: int | None = None
        self._step, self._checked, self._items = step, checked, _iterator(batches)
        self._given, self._taken = batches, 0
        self._stateful = kept and _has_state(self._items)
        self._mark = _Mark(0, None)
        self._last: Any = None
        self._ahead: Batch | None = None  # taken, and not yet trained on
        self._before: deque[Any] = deque(maxlen=3)  # the states before the last steps

    def take(self, state: Any, count: int) -> tuple[Any, np.ndarray]:
        """Takes at most `count` steps, for about a second; returns the state and the losses.

        JAX returns from a step before it is computed. Then the loss of the step before is waited
        for, so that one step is computed while the next batch is made; if that loss is not finite,
        no more steps are taken.
        """
        losses: list[jax.Array] = []
        end, mark = time.perf_counter() + SECONDS_PER_CALL, self._marked()
        batch = self._next() if count else None
        while batch is not None:
            self._mark, self._last = mark, batch
            self._before.append(state)
            state, loss = self._step(state, *batch)
            losses.append(loss)
            going_on = len(losses) < count and time.perf_counter() < end
            finite = len(losses) < 2 or np.isfinite(losses[-2])
            batch = self._next() if going_on and finite else None
        return state, np.asarray(jax.device_get(losses))

    def again(self, state: Any, count: int) -> Any:
        """Returns the state `count` steps after this one, which is one of those kept."""
        step = int(state.step) + count
        return next(state for state in self._before if int(state.step) == step)

    def resumable(self, state: Any) -> Any:
        """Returns the state before the last step, or None before the first."""
        del state
        return self._before[-1] if self._before else None

    def place(self) -> Place:
        """Returns what leads to the last batch, and by what to know it."""
        return {
            "iterator": self._mark.state,
            "dropped": self._taken - 1 - self._mark.taken,
            "batch": digest(self._last),
            "forms": [[str(array.dtype), list(array.shape)] for array in self._last],
        }

    def go_to(self, done: int, place: Place) -> str:
        """Goes to a batch, `batches[done]`; returns in words why it cannot, or nothing."""
        mark, dropped = _Mark(0, None), done
        if self._stateful and place["iterator"] is not None:
            dropped = place["dropped"]
            mark = _Mark(done - dropped, place["iterator"])
            if refusal := _set_state(self._items, place["iterator"]):
                return refusal
        self._taken = mark.taken
        while self._taken < done and next(self._items, _END) is not _END:
            self._taken += 1
        self._mark, self._ahead = mark, self._next() if self._taken == done else None
        came = f"missing, for there are only {counted(self._taken, 'batch', 'batches')}"
        if self._ahead is not None:
            came = digest(self._ahead)
        if came == place["batch"]:
            return ""
        return (
            f"holds a run that goes on at batches[{done}], which was {place['batch']} and is "
            f"{came}. The same batches have to come in the same order: make a new iterator for "
            "every call, with a seeded generator (a DataLoader of PyTorch has "
            "generator=torch.Generator().manual_seed(0)), or choose another folder."
        )

    def _marked(self) -> _Mark:
        """Returns the place before the next batch, or the last one that leads to it."""
        if not self._stateful or self._ahead is not None:
            return self._mark
        return _Mark(self._taken, _state_of(self._items))

    def _next(self) -> Batch | None:
        """Returns the next batch, or None at the end."""
        if self._ahead is not None:
            batch, self._ahead = self._ahead, None
            return batch
        pair = next(self._items, _END)
        if pair is not _END:
            batch = self._checked(f"batches[{self._taken}]", pair)
            self._taken += 1
            return batch
        if not self._taken:
            raise ValueError(
                f"batches={shown(self._given)} gave no batch. A generator gives its batches "
                "once: make a new one for every call."
            )
        self.total = self._taken
        return None


_END = object()


def _iterator(batches: Any) -> Iterator[Any]:
    try:
        return iter(batches)
    except TypeError as error:
        raise TypeError(
            f"batches={shown(batches)} cannot be iterated over; pass an iterable of pairs, such as "
            "[(x, y)], and call a function that makes one."
        ) from error


def _has_state(iterator: Any) -> bool:
    return hasattr(iterator, "get_state") and hasattr(iterator, "set_state")


def _state_of(iterator: Any) -> str:
    """Returns the state as JSON; the one of a `DataLoader` of Grain is bytes."""

    def encoded(value: Any) -> Any:
        if isinstance(value, bytes):
            return {_BYTES: value.decode("latin-1")}
        raise TypeError(f"it holds {shown(value)}")

    try:
        return json.dumps(iterator.get_state(), default=encoded)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"the state of the iterator of batches, a {type(iterator).__name__}, cannot be kept, "
            f"for JSON does not take it: {error}. Pass a generator of the same batches instead, "
            "or leave checkpoints out."
        ) from error


def _set_state(iterator: Any, state: str) -> str:
    """Sets an iterator back to a state; returns in words why it cannot, or nothing."""

    def decoded(value: dict[str, Any]) -> Any:
        return value[_BYTES].encode("latin-1") if value.keys() == {_BYTES} else value

    try:
        iterator.set_state(json.loads(state, object_hook=decoded))
    except Exception as error:  # every library refuses a state in its own way
        return (
            f"holds a state that the iterator of batches, a {type(iterator).__name__}, does not "
            f"take: {error}. Pass the data set of that run, or choose another folder."
        )
    return ""
