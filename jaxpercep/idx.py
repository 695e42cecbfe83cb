"""IDX files, the format of MNIST: a magic number, the sizes, then the data, all big-endian."""

import gzip
import io
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import as_path, counted
from jaxpercep._files.unpacking import GZIP, check_unpacked

_DTYPES = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MAX_RANK = 64  # NumPy's own limit
_PIECE = 2**20


def load_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Reads one IDX file, plain or compressed with gzip (told apart by content, not by name).

    The file is `0 0 type rank`, then `rank` sizes as big-endian uint32, then the data in row-major
    order; `type` is 8 (uint8), 9 (int8), 11 (int16), 12 (int32), 13 (float32) or 14 (float64).
    No more is read, or unpacked, than the header announces, and no more allocated than is there.

    Args:
        path: The file.

    Returns:
        A writable array of the announced shape and type, in the machine's byte order.

    Raises:
        TypeError: `path` is neither a string nor a path.
        OSError: The file is missing, a directory, or not readable.
        ValueError: The file is not IDX, is truncated, has trailing data, is empty or damaged, or
            announces to unpack to more than 128 MiB and 100 times its size; the message gives its
            name and the byte counts.

    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
    """
    path = as_path("path", path)
    with path.open("rb") as file:
        packed = file.seek(0, os.SEEK_END)
        file.seek(0)
        zipped = file.read(len(GZIP)) == GZIP
        file.seek(0)
        try:
            stream = gzip.GzipFile(fileobj=file) if zipped else file
            return _read_array(f"{path} ({counted(packed, 'byte')})", stream, packed, zipped)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{path} ({counted(packed, 'byte')}) is a damaged or truncated gzip stream: "
                f"{error}."
            ) from error


def read_mnist_folder(folder: Path) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Reads (images uint8 `[n, rows, columns]`, labels uint8 `[n]`) of `train` and of `t10k`.

    `jaxpercep.datasets.load_mnist` states the names of the files and the errors.
    """
    train, test = (_read_part(folder, part) for part in ("train", "t10k"))
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(
            f"{folder}: training images have shape {train[0].shape[1:]}, test images "
            f"{test[0].shape[1:]}; both must be of one size."
        )
    return [train, test]


def _read_part(folder: Path, part: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Reads the images and labels of one part, one label per image."""
    images = _read_ubytes(folder, f"{part}-images", 3)
    labels = _read_ubytes(folder, f"{part}-labels", 1)
    if len(images) != len(labels):
        raise ValueError(
            f"{folder}: {part}-images holds {counted(len(images), 'image')}, {part}-labels "
            f"{counted(len(labels), 'label')}; the counts must agree."
        )
    return images, labels


def _read_ubytes(folder: Path, stem: str, rank: int) -> NDArray[Any]:
    """Reads the uint8 array of the given rank from the file `stem`, under any published name."""
    names = [f"{stem}{mark}idx{rank}-ubyte{gz}" for mark in "-." for gz in ("", ".gz")]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{folder} holds no {stem}: looked for {', '.join(names)}.")
    array = load_idx(found)
    if array.dtype != np.uint8 or array.ndim != rank:
        raise ValueError(
            f"{found} holds {array.dtype} of shape {array.shape}, expected uint8 of rank {rank}."
        )
    return array


def _read_array(file: str, stream: io.BufferedIOBase, packed: int, zipped: bool) -> NDArray[Any]:
    """Reads the array of a stream, no further than its header announces."""
    dtype, shape = _read_header(file, stream)
    announced = math.prod(shape) * dtype.itemsize
    told = f"its header announces shape {shape} of {dtype.name}, that is "
    told += f"{counted(announced, 'byte')} of data"
    if zipped:
        try:
            check_unpacked(packed, announced, "if it is none, unpack it with gunzip")
        except ValueError as error:
            raise ValueError(f"{file} cannot be unpacked: {error}.") from error
    data = _read(stream, announced)
    if len(data) < announced:
        raise ValueError(f"{file} is truncated: {told}, but {len(data)} are there.")
    if stream.read(1):
        raise ValueError(f"{file} is followed by trailing data: {told}, but more are there.")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _read(stream: io.BufferedIOBase, size: int) -> bytes:
    """Reads up to `size` bytes, piece by piece: as many may be announced and not be there."""
    pieces = []
    while size > 0 and (piece := stream.read(min(size, _PIECE))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _read_header(file: str, stream: io.BufferedIOBase) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Returns the type and the shape that the header announces."""
    start = _read(stream, 4)
    if len(start) < 4:
        raise ValueError(f"{file} is truncated: an IDX file opens with 4 bytes.")
    if start[:2] != b"\0\0":
        raise ValueError(
            f"{file} is not an IDX file: it opens with {start[:2].hex(' ')}, not 00 00."
        )
    code, rank = start[2:]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02X} ({dtype.name})" for known, dtype in _DTYPES.items())
        raise ValueError(
            f"{file} has the unknown IDX type code 0x{code:02X}; known codes are {known}."
        )
    if not 1 <= rank <= _MAX_RANK:
        raise ValueError(f"{file} announces {rank} dimensions, expected 1 to {_MAX_RANK}.")
    sizes = _read(stream, 4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError(
            f"{file} is truncated: its header of {counted(rank, 'dimension')} takes {4 + 4 * rank} "
            "bytes."
        )
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if 0 in shape:
        raise ValueError(f"{file} announces the empty shape {shape}.")
    return _DTYPES[code], shape
