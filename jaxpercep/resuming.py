"""`Checkpoints`: runs that are killed, or interrupted, and go on where they were."""

import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import as_path, check_positive_int, check_real
from jaxpercep._extras import needed_by
from jaxpercep._identity import PROGRAM, difference, identity, program_digest, raw
from jaxpercep.keeping import Keeper, Keeping, Place, Run
from jaxpercep.validation import Watch

with needed_by("jaxpercep.Checkpoints"):
    from jaxpercep._files.series import (
        AnotherRunError,
        Arrays,
        Checkpoint,
        Series,
        UnusableError,
        opened,
    )


@dataclass(frozen=True)
class Checkpoints(Keeping):
    """Keeps what a run of `fit` or `fit_batches` reaches, and the same call goes on from there.

    A checkpoint holds parameters, optimizer state and step, the losses so far, what validation and
    early stopping know, and the place in a stream of batches. It is written between compiled calls,
    so when it is written depends on the clock, but no result does: a run that was killed at any
    moment, and called again, returns the bits of one that was not, with the same JAX on the same
    machine.

    A run is the same if everything is that decides its bits: model, loss, optimizer, method and
    first state; of `fit` also batch size, key, data, weights and validation. More `steps`, `epochs`
    or batches train it on. One that Ctrl-C or a callback ended goes on; one that early stopping
    ended is over, and is returned as it was. A run that diverges keeps the checkpoints from before.

    Batches are known by a checksum of the last one: a checkpoint of `fit_batches` is of the state
    before it, so that it is taken again, compared, and trained on.

    A checkpoint that is damaged is removed with a `RuntimeWarning`, and the one before is taken. If
    none is whole, a `ValueError` is raised: a run never starts anew where there was something.

    Attributes:
        folder: a folder for this run alone; it is made if it is missing.
        every_seconds: the time between checkpoints; one more is written when the run ends.
        keep: how many stay, the newest.

    Raises:
        ValueError: `every_seconds` is negative or not finite, or `keep` below 1. By `fit` and
            `fit_batches`: the folder holds checkpoints of another run, or of another version of the
            format, or only damaged ones, or more steps than are asked for, or the batches are not
            those that were trained on; it holds something else, cannot be written, or another run
            is using it.
        TypeError: An argument is of the wrong kind.
    """

    folder: str | PathLike[str]
    every_seconds: float = 60.0
    keep: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", as_path("folder", self.folder))
        seconds = check_real("every_seconds", self.every_seconds)
        if seconds < 0:
            raise ValueError(f"every_seconds={self.every_seconds} must be at least 0.")
        object.__setattr__(self, "keep", check_positive_int("keep", self.keep))

    @contextmanager
    def opened(self, run: Run) -> Generator[Keeper]:
        """Yields what keeps this run; it raises what `fit` and `fit_batches` raise."""
        with opened(Path(self.folder), self.keep) as series:
            yield _Saver(series, run, self.every_seconds)


class _Saver(Keeper):
    """Keeps one run."""

    def __init__(self, series: Series, run: Run, every_seconds: float) -> None:
        self._series, self._run, self._every = series, run, every_seconds
        self._texts, self._programs = identity(run), dict[str, str]()
        self._found = self._whole()
        self._saved = self._found.step if self._found else int(run.arrays["state"].step)
        self._clock = time.monotonic()

    def restored(self, state: Any, watch: Watch) -> tuple[Any, list[NDArray[Any]]]:
        if self._found is None:
            return state, []
        arrays, self._found = self._found.arrays, None  # freed, once the run has begun
        best = _placed("best", arrays, state) if "best_0" in arrays else None
        if "validation" in arrays:
            watch.take_over(arrays["validated"].tolist(), arrays["validation"].tolist(), best)
        return _placed("state", arrays, state), [arrays["losses"]]

    def sees(self, state: Any, losses: Sequence[NDArray[Any]], watch: Watch, last: bool) -> None:
        if not last and time.monotonic() - self._clock < self._every:
            return
        kept = None if int(state.step) == self._saved else self._run.steps.resumable(state)
        if kept is None or int(kept.step) == self._saved:
            return
        step, record, place = int(kept.step), np.concatenate(losses), self._run.steps.place()
        before = record[: len(record) - (int(state.step) - step)]
        arrays = _arrays(kept, before, watch)
        self._series.write(Checkpoint(step, self._identity(place), place, arrays))
        self._saved, self._clock = step, time.monotonic()

    def _identity(self, place: Place) -> Mapping[str, str]:
        """Returns what identifies the run; a program is lowered once for each form of batch."""
        form = str(place.get("forms"))
        if form not in self._programs:
            self._programs[form] = program_digest(self._run.lower(place).as_text())
        return {**self._texts, PROGRAM: self._programs[form]}

    def _whole(self) -> Checkpoint | None:
        """Returns the newest whole checkpoint, if there are any, and removes the damaged ones."""
        found, damages = self._series.newest()
        if found is None:
            return None
        self._go_to(found)
        for step, damage in damages.items():
            warnings.warn(
                f"the checkpoint of step {step} in {self._series.folder} is damaged ({damage}) and "
                f"was removed; the run goes on from the one of step {found.step}.",
                RuntimeWarning,
                stacklevel=7,
            )
        self._series.remove(damages)
        return found

    def _go_to(self, found: Checkpoint) -> None:
        """Lets the run go on from this checkpoint, or raises."""
        folder = f"folder={str(self._series.folder)!r}"
        named = {**self._texts, PROGRAM: found.run.get(PROGRAM, "")}
        differs = difference(found.run, named)
        differs = differs or difference(found.run, self._identity(found.place))
        if differs:
            raise AnotherRunError(
                f"{folder} holds checkpoints of another run: {differs}. Call {self._run.function} "
                "as that run was called to go on with it, or choose another folder for this one."
            )
        if problem := self._run.steps.go_to(len(found.arrays["losses"]), found.place):
            raise UnusableError(f"{folder} {problem}")


def _arrays(state: Any, losses: NDArray[Any], watch: Watch) -> Arrays:
    arrays = {
        **_named("state", state),
        **_named("best", watch.best),
        "losses": losses,
        "validation": np.asarray(watch.losses),
        "validated": np.asarray(watch.steps, np.int64),
    }
    return {name: array for name, array in arrays.items() if array.size}


def _named(prefix: str, tree: Any) -> dict[str, NDArray[Any]]:
    return {f"{prefix}_{i}": raw(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def _placed(prefix: str, arrays: Arrays, like: Any) -> Any:
    """Returns the arrays as a tree like this one, of the same kinds and on the same devices."""
    leaves, structure = jax.tree.flatten(like)
    stored = [arrays.get(f"{prefix}_{i}", raw(leaf)) for i, leaf in enumerate(leaves)]
    return structure.unflatten(map(_on_device, stored, leaves))


def _on_device(array: NDArray[Any], like: jax.Array) -> jax.Array:
    if jax.dtypes.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    return jax.device_put(array, like.sharding if like.committed else None)
