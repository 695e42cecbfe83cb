"""`Checkpoints`: runs of `fit` that are killed, or interrupted, and go on where they were."""

import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import as_path, check_positive_int, check_real, counted
from jaxpercep._extras import needed_by
from jaxpercep._identity import difference, identity, raw
from jaxpercep.keeping import Keeper, Keeping, Run
from jaxpercep.validation import Watch

with needed_by("jaxpercep.Checkpoints"):
    from jaxpercep._files.series import Arrays, Checkpoint, Series, UnusableError, opened


@dataclass(frozen=True)
class Checkpoints(Keeping):
    """Keeps what a run of `fit` reaches in a folder, from which the same call goes on.

    A checkpoint holds parameters, optimizer state and step, the losses so far, and what validation
    and early stopping know. It is written between compiled calls, so when it is written depends on
    the clock, but no result does: a run that was killed at any moment, and called again, returns
    the bits of one that was not, with the same JAX on the same machine.

    A run is the same if everything is that decides its bits: model, loss, optimizer, method, batch
    size, key, data, weights, first state and validation. More `steps` or `epochs` train it on. One
    that Ctrl-C or a callback ended goes on; one that early stopping ended is over, and is returned
    as it was. A run that diverges keeps the checkpoints from before.

    A checkpoint that is damaged is removed with a `RuntimeWarning`, and the one before is taken. If
    none is whole, `fit` raises: it never starts anew where there was something.

    Attributes:
        folder: a folder for this run alone; it is made if it is missing.
        every_seconds: the time between checkpoints; one more is written when the run ends.
        keep: how many stay, the newest.

    Raises:
        ValueError: `every_seconds` is negative or not finite, or `keep` below 1. By `fit`: the
            folder holds checkpoints of another run, or of another version of the format, or only
            damaged ones, or more steps than are asked for; it holds something else, cannot be
            written, or another call of `fit` is using it.
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
        check_positive_int("keep", self.keep)

    @contextmanager
    def opened(self, run: Run) -> Generator[Keeper]:
        """Yields what keeps this run; it raises what `fit` raises."""
        with opened(Path(self.folder), self.keep) as series:
            yield _Saver(series, run, self.every_seconds)


class _Saver(Keeper):
    """Keeps one run."""

    def __init__(self, series: Series, run: Run, every_seconds: float) -> None:
        self._series, self._run, self._every = series, run, every_seconds
        self._identity = identity(run)
        self._found = self._whole()
        self._saved = self._found.step if self._found else None
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
        step = int(state.step)
        if step == self._saved or not losses or not self._is_good(state):
            return
        arrays = {**_named("state", state), **_named("best", watch.best)}
        arrays["losses"] = np.concatenate(losses)
        arrays["validation"] = np.asarray(watch.losses)
        arrays["validated"] = np.asarray(watch.steps, np.int64)
        self._series.write(step, self._identity, {k: v for k, v in arrays.items() if v.size})
        self._saved, self._clock = step, time.monotonic()

    def _is_good(self, state: Any) -> bool:
        """Returns False if the next loss is NaN: then `fit` needs the state before this one."""
        return bool(np.isfinite(self._run.take(state, 1)[1]).all())

    def _whole(self) -> Checkpoint | None:
        """Returns the newest whole checkpoint, if there are any, and removes the damaged ones."""
        found, damages = self._series.newest()
        if found is None:
            return None
        self._check(found)
        for step, damage in damages.items():
            warnings.warn(
                f"the checkpoint of step {step} in {self._series.folder} is damaged ({damage}) and "
                f"was removed; the run goes on from the one of step {found.step}.",
                RuntimeWarning,
                stacklevel=7,
            )
        self._series.remove(damages)
        return found

    def _check(self, found: Checkpoint) -> None:
        """Raises unless the run can go on from this checkpoint."""
        folder = f"folder={str(self._series.folder)!r}"
        if differs := difference(found.run, self._identity):
            raise UnusableError(
                f"{folder} holds checkpoints of another run: {differs}. Call fit as that run was "
                "called to go on with it, or choose another folder for this one."
            )
        done = len(found.arrays["losses"])
        if done > self._run.total:
            raise UnusableError(
                f"{folder} holds a run of {counted(done, 'step')} already, and fit was asked for "
                f"{self._run.total} in all; ask for more, or choose another folder."
            )


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
