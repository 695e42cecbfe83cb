"""The arrays of NPZ files, that is zip archives of NPY files; nothing in them is ever unpickled.

Sizes are compared before anything is unpacked: what the archive announces with the bytes that are
there, and what the header of an array announces with that.
"""

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxpercep._files.npy import check_size, read_header
from jaxpercep._files.unpacking import check_unpacked

_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
# A damaged zip archive makes zipfile and NumPy raise these, an encrypted one RuntimeError.
_DAMAGES = (
    ValueError,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
)


def is_zip(path: str | os.PathLike[str]) -> bool:
    """Returns True for a zip archive, by its first bytes."""
    with Path(path).open("rb") as file:
        return file.read(4) in _ZIP_MAGICS


def read_array(path: str | os.PathLike[str], key: str) -> NDArray[Any] | None:
    """Reads one array of an NPZ file, read-only; None if the file has no array of this name.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        ValueError: The file is not an NPZ file, is damaged, or announces a size that is not there;
            or the array holds objects.
    """
    if not is_zip(path):
        raise ValueError(f"{path} is not an NPZ file; write one with np.savez(path, x=x, y=y).")
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            return _read_member(archive, members[key], path) if key in members else None
    except _DAMAGES as error:
        reason = str(error).partition("\n")[0].rstrip(".") or "it ends early"
        raise ValueError(f"{path}: array {key!r} cannot be read: {reason}.") from error


def read_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Reads every array of an NPZ file, read-only.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        ValueError: The file is not an NPZ file, is damaged, or announces a size that is not there;
            or an array holds objects.
    """
    stored = Path(path).stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            announced = sum(info.file_size for info in members.values())
            check_unpacked(stored, announced, "if it is none, write it with np.savez, uncompressed")
            return {name: _read_member(archive, info, path) for name, info in members.items()}
    except _DAMAGES as error:
        reason = str(error).partition("\n")[0].rstrip(".") or "it ends early"
        raise ValueError(f"its arrays cannot be read: {reason}; restore it from a copy") from error


def names(path: str | os.PathLike[str]) -> list[str]:
    """Returns the names of the arrays of an NPZ file that can be read."""
    with zipfile.ZipFile(path) as archive:
        return list(_members(archive))


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str | os.PathLike[str]
) -> NDArray[Any]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is compressed by another method than those of NumPy")
    packed = min(info.compress_size, Path(path).stat().st_size)
    check_unpacked(packed, info.file_size, "if it is none, write it with np.savez, uncompressed")
    with archive.open(info) as stream:
        shape, fortran, dtype = read_header(stream)
        check_size(shape, dtype, info.file_size - stream.tell())
        return np.ndarray(shape, dtype, stream.read(), order="F" if fortran else "C")
