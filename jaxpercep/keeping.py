"""The hook by which a run of `fit` is kept, and gone on from; the one here keeps nothing."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from jaxpercep._checks import shown
from jaxpercep.validation import Watch


class Run(NamedTuple):
    """A call of `fit`: what decides every bit of its result, and how it takes its steps.

    The order of the samples is not listed, for it follows from the key and `state.step`.

    Attributes:
        settings: name -> what is compared by its `repr`.
        arrays: name -> arrays, or None, that are compared by their bytes.
        lower: lowers the program that takes the steps.
        take: takes steps: (state, count) -> (state, losses).
        total: the number of steps.
    """

    settings: Mapping[str, Any]
    arrays: Mapping[str, Any]
    lower: Callable[[], Any]
    take: Callable[[Any, int], tuple[Any, np.ndarray]]
    total: int


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
    """What `fit` takes as `checkpoints`."""

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
