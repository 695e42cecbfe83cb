"""Writing what a user keeps: a file or a folder is there whole, or as it was before.

Nothing here imports JAX: arguments are checked before it is.
"""

import os
import shutil
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class WriteError(OSError):
    """A file cannot be written. What was read, or asked for, is not at fault."""


@contextmanager
def writing(path: Path, what: str = "the file") -> Generator[None]:
    """Names, in an error of the operating system, the path and what was written to it.

    Raises:
        WriteError: It cannot be written.
    """
    try:
        yield
    except OSError as error:  # that of a full disk does not name the file
        reason = f"{what} cannot be written: {error.strerror or error}"
        raise WriteError(error.errno, reason, str(path)) from error


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes a file whole or not at all. Text is written as UTF-8."""
    with writing(path), _replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_whole(path: Path) -> Generator[IO[bytes]]:
    """Yields a file to write, which is there whole when the block ends, or else not at all."""
    with writing(path), _replacing(path) as partial, partial.open("wb") as file:
        yield file


@contextmanager
def _replacing(path: Path) -> Generator[Path]:
    """Yields a temporary name beside a file, which is then renamed. Missing folders are made."""
    path = path.resolve()  # a symbolic link stays one; what it points to is replaced
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_replaceable(
    folder: Path, what: str, marker: str, content: Collection[str], leftovers: Collection[str] = ()
) -> None:
    """Raises a `ValueError` unless `folder` may be written, or replaced, without losing anything.

    That is so where nothing is there, or an empty folder, or one that holds the file `marker` and
    nothing but the files named in `content`; and where its parent can be written to.

    Args:
        folder: the folder to write.
        what: what is written there, such as `"saved model"`, for the message.
        marker: the file by which such a folder is recognized.
        content: every name that such a folder may contain.
        leftovers: patterns of the names that an interrupted save leaves behind; they do not count.
    """
    parent = next(path for path in folder.absolute().parents if path.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise ValueError(f"{folder} cannot be created: {parent} is not a folder to write in.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; move it away, or choose another folder.")
    names = {path.name for path in folder.iterdir() if not any(map(path.match, leftovers))}
    if names and marker not in names:
        raise ValueError(
            f"{folder} is not a {what}: it has no {marker}. Move it away, or choose another folder."
        )
    if strangers := names - set(content):
        raise ValueError(
            f"{folder} holds a {what} and also {min(strangers)!r}, which would be lost; move it "
            "away, or choose another folder."
        )


def replace_folder(new: Path, folder: Path) -> None:
    """Puts the complete folder `new` in the place of `folder`, which stays whole until then."""
    old = folder.with_name(f".{folder.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)  # left by a process that ended between these lines
    if folder.exists():
        folder.replace(old)
    try:
        new.replace(folder)
    except BaseException:
        if old.exists():
            old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
