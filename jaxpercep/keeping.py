"""The hook by which a run is kept, and gone on from; the one here keeps nothing."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from jaxpercep._checks import shown
from jaxpercep.validation import Watch

Place: TypeAlias = Mapping[str, Any]
"""Where in its data a run goes on, beyond what follows from its state; JSON."""


class Steps(Protocol):
    """How a run takes its steps, and goes on from those that it took in another process."""

    @property
    def total(self) -> int | None:
        """The number of steps of the whole run; None as long as it is not known."""

    def take(self, state: Any, count: int) -> tuple[Any, np.ndarray]:
        """Takes at most so many steps from a state; returns the state reached, and the losses."""
        ...

    def again(self, state: Any, count: int) -> Any:
        """Returns the state so many steps after one, from which more were taken already."""

    def resumable(self, state: Any) -> Any:
        """Returns the last state, up to this one, whose loss is known to be finite; or None.

        A run that diverges returns the state before the update that led there, so that a run that
        goes on at the state after it would have lost what it has to return.
        """

    def place(self) -> Place:
        """Returns where the run goes on from the resumable state."""
        ...

    def go_to(self, done: int, place: Place) -> str:
        """Goes on at a place after so many steps; returns in words why it cannot, or nothing."""
        ...


class Run(NamedTuple):
    """A call of `fit` or `fit_batches`: what decides every bit of its result, and its steps.

    The order of the samples of `fit` is not listed, for it follows from the key and `state.step`.

    Attributes:
        function: the name of the function that was called.
        settings: name -> what is compared by its `repr`.
        arrays: name -> arrays, or None, that are compared by their bytes.
        lower: lowers the program that takes the steps at a place.
        steps: takes the steps.
    """

    function: str
    settings: Mapping[str, Any]
    arrays: Mapping[str, Any]
    lower: Callable[[Place], Any]
    steps: Steps


class Keeper:
    """Goes on from what is kept of a run, and keeps what the run reaches."""

    def restored(self, state: Any, watch: Watch) -> tuple[Any, list[np.ndarray]]:
        """Returns the state to go on from, with the losses before it, and sets the watch back.

        Args:
            state: the state at the first step, as the compiled program returns it.
            watch: the validation of the run, at its beginning.
        """
        del watch
        return state, []

    def sees(self, state: Any, losses: Sequence[np.ndarray], watch: Watch, last: bool) -> None:
        """Keeps what is reached if it is time, at the end of the run in any case."""


class Keeping:
    """What `fit` and `fit_batches` take as `checkpoints`."""

    @contextmanager
    def opened(self, run: Run) -> Generator[Keeper]:
        """Yields what keeps this run."""
        del run
        yield Keeper()


def checked_keeping(value: Any) -> Keeping:
    """Returns what is to keep the run; None keeps nothing.

    Raises:
        TypeError: `value` is something else.
    """
    if value is None:
        return Keeping()
    if not isinstance(value, Keeping):
        raise TypeError(
            f"checkpoints={shown(value)} is not a Checkpoints; Checkpoints('folder') is one."
        )
    return value
