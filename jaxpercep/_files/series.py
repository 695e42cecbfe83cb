"""A series of checkpoints in one folder, written and read by Orbax, each with a checksum.

The folder `300` is the checkpoint of step 300: named arrays, and a description that says which run
they are of. Orbax writes it under a temporary name and renames it when it is complete. A lock file
keeps other processes out; the operating system releases it even if the process is killed.
"""

import hashlib
import importlib.metadata
import logging
import os
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from jaxpercep._checks import counted
from jaxpercep._files.writing import writing

VERSION = 2

LOCK = ".lock"
_LEFTOVER = "*.orbax-checkpoint-tmp*"  # of a save that was killed; Orbax removes them

Arrays: TypeAlias = Mapping[str, NDArray[Any]]


class UnusableError(ValueError):
    """Checkpoints that no run can go on from, or a folder that cannot take any."""


class AnotherRunError(UnusableError):
    """Checkpoints of a run that differs from the one that is to go on."""


class DamagedError(UnusableError):
    """A checkpoint that is not what was written."""


class Header(msgspec.Struct, frozen=True):
    """The fields by which every version recognizes a checkpoint."""

    format: Literal["jaxpercep checkpoint"]
    version: int
    jaxpercep: str


class Description(Header, frozen=True, forbid_unknown_fields=True):
    """What is written beside the arrays.

    Attributes:
        run: What identifies the run.
        place: Where the run goes on in a stream of batches.
        sha256: The checksum of both and of the arrays.
    """

    run: dict[str, str]
    place: dict[str, Any]
    sha256: str


class Checkpoint(NamedTuple):
    """A whole checkpoint: its step, what identifies its run, where that goes on, its arrays."""

    step: int
    run: Mapping[str, str]
    place: Mapping[str, Any]
    arrays: Arrays


@contextmanager
def opened(folder: Path, keep: int) -> Generator["Series"]:
    """Yields the checkpoints in `folder`, which no other process can open meanwhile.

    Raises:
        UnusableError: `folder` holds something else, cannot be written, or is open elsewhere.
        OSError: The folder cannot be created.
    """
    _check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder), closing(Series(folder, keep)) as series:
        yield series


class Series:
    """The checkpoints in a folder; the `keep` newest stay when one is written."""

    def __init__(self, folder: Path, keep: int) -> None:
        import orbax.checkpoint as ocp  # takes half a second

        self.folder = folder
        self._keep = keep
        self._args = ocp.args
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=False,
            save_root_metadata=False,
            lightweight_initialize=True,  # reads nothing yet that may be damaged
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def close(self) -> None:
        """Ends what Orbax does in the background."""
        self._manager.close()

    def write(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint; it is there whole, or not at all.

        Raises:
            WriteError: The disk is full, or the folder gone.
        """
        about = Description(
            format="jaxpercep checkpoint",
            version=VERSION,
            jaxpercep=importlib.metadata.version("jaxpercep"),
            run=dict(checkpoint.run),
            place=dict(checkpoint.place),
            sha256=_checksum(checkpoint),
        )
        args = self._args.Composite(
            arrays=self._args.StandardSave(dict(checkpoint.arrays)),
            description=self._args.JsonSave(msgspec.to_builtins(about)),
        )
        with writing(self.folder, f"the checkpoint of step {checkpoint.step}"), _raised_only():
            self._manager.save(checkpoint.step, args=args, force=True)

    def newest(self) -> tuple[Checkpoint | None, dict[int, str]]:
        """Returns the newest whole checkpoint, and step -> damage of those after it.

        Raises:
            UnusableError: There are checkpoints, and none is whole; or one was written by another
                version of the format.
        """
        damages: dict[int, str] = {}
        for step in reversed(self._manager.all_steps()):
            try:
                return self.read(step), damages
            except DamagedError as error:
                damages[step] = str(error)
        if damages:
            listed = "; ".join(f"{step}: {damage}" for step, damage in damages.items())
            raise UnusableError(
                f"folder={str(self.folder)!r} holds {counted(len(damages), 'checkpoint')} that "
                f"cannot be read ({listed}). Restore the folder from a copy, or train anew in "
                "another one."
            )
        return None, {}

    def read(self, step: int) -> Checkpoint:
        """Reads a checkpoint.

        Raises:
            DamagedError: It is not what was written.
            UnusableError: It was written by another version of the format.
        """
        with _naming_damage():
            content = self._restored(step, "description", self._args.JsonRestore())
            header = msgspec.convert(content, Header)
        if header.version != VERSION:
            raise UnusableError(
                f"{self.folder / str(step)} has format version {header.version}, this jaxpercep "
                f"reads {VERSION}; it was written by jaxpercep {header.jaxpercep}: use that, or "
                "train anew in another folder."
            )
        with _naming_damage():
            about = msgspec.convert(content, Description)
            arrays = self._restored(step, "arrays", self._args.StandardRestore())
            found = Checkpoint(step, about.run, about.place, arrays)
            if _checksum(found) != about.sha256:
                raise ValueError("its arrays are not those that were written")
        return found

    def remove(self, steps: Iterable[int]) -> None:
        """Removes these checkpoints, and older ones that a killed process had no time to remove."""
        for step in steps:
            self._manager.delete(step)
        for step in sorted(self._manager.all_steps())[: -self._keep]:
            self._manager.delete(step)

    def _restored(self, step: int, item: str, args: Any) -> Any:
        return self._manager.restore(step, args=self._args.Composite(**{item: args}))[item]


@contextmanager
def _raised_only() -> Generator[None]:
    """Has an error at writing be raised, as an `OSError`, and not printed by threads besides."""
    logger, hook = logging.getLogger("absl"), sys.unraisablehook
    disabled, logger.disabled = logger.disabled, True  # Orbax logs what it raises

    def heard(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    sys.unraisablehook = heard
    try:
        yield
    except ValueError as error:  # of TensorStore; the system's own words are at the end
        logging.getLogger("asyncio").addFilter(_not_of_tensorstore)
        raise OSError(str(error).rpartition(": ")[2].partition(" [")[0]) from error
    finally:
        logger.disabled = disabled
    # After an error the hook and the filter stay: what else was being written fails later, in
    # threads, and nobody waits for it.
    sys.unraisablehook = hook


def _not_of_tensorstore(record: logging.LogRecord) -> bool:
    return "OCDBT" not in record.getMessage()  # the name of its format


@contextmanager
def _naming_damage() -> Generator[None]:
    try:
        yield
    except Exception as error:  # Orbax and TensorStore fail at damaged files in many ways
        reason = str(error).partition("\n")[0].rstrip(".:") or type(error).__name__
        raise DamagedError(reason[:200]) from error


def _checksum(checkpoint: Checkpoint) -> str:
    about = dict(checkpoint.run), dict(checkpoint.place)
    digest = hashlib.sha256(msgspec.json.encode(about, order="sorted"))
    for name, array in sorted(checkpoint.arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _check_folder(folder: Path) -> None:
    """Raises an `UnusableError` unless checkpoints may be in `folder`, and nothing else is."""
    came, fix = f"folder={str(folder)!r} of the checkpoints", "choose another folder."
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        raise UnusableError(f"{came}: {place} is not a folder to write in; {fix}")
    for path in folder.iterdir() if place is folder else ():
        known = path.name.startswith(".") or path.match(_LEFTOVER)
        if not known and not (path.name.isdecimal() and path.is_dir()):
            raise UnusableError(
                f"{came} holds {path.name!r}, which is not a checkpoint; move it away, or {fix}"
            )


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise UnusableError(
            f"folder={str(folder)!r} of the checkpoints is in use by another run; wait until "
            "that ends, or choose another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()
