"""IDX files, the format of MNIST: a magic number, the sizes, then the data, all big-endian."""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import as_path

_DTYPES = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_RANK = 64  # NumPy's own limit


def load_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Reads one IDX file, plain or compressed with gzip (told apart by content, not by name).

    The file is `0 0 type rank`, then `rank` sizes as big-endian uint32, then the data in row-major
    order; `type` is 8 (uint8), 9 (int8), 11 (int16), 12 (int32), 13 (float32) or 14 (float64).
    The announced size is compared with the bytes in the file before anything is allocated.

    Args:
        path: The file.

    Returns:
        A writable array of the announced shape and type, in the machine's byte order.

    Raises:
        TypeError: `path` is neither a string nor a path.
        OSError: The file is missing, a directory, or not readable.
        ValueError: The file is not IDX, is truncated, has trailing data, is empty or damaged; the
            message gives its name and the byte counts.

    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
    """
    path = as_path("path", path)
    data = _read(path)
    dtype, shape = _parse_header(path, data)
    start = 4 + 4 * len(shape)
    announced, found = math.prod(shape) * dtype.itemsize, len(data) - start
    if announced != found:
        problem = "truncated" if found < announced else "followed by trailing data"
        raise ValueError(
            f"{path} is {problem}: its header announces shape {shape} of {dtype.name}, that is "
            f"{announced} bytes of data, but {found} bytes are there."
        )
    array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


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
            f"{folder}: {part}-images holds {len(images)} images, {part}-labels {len(labels)} "
            "labels; the counts must agree."
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


def _read(path: Path) -> bytes:
    """Reads the bytes of a file, and decompresses them if they are a gzip stream."""
    data = path.read_bytes()
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} ({len(data)} bytes) is a damaged or truncated gzip stream: {error}."
        ) from error


def _parse_header(
    path: str | os.PathLike[str], data: bytes
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Returns the type and the shape that the header announces."""
    file = f"{path} ({len(data)} bytes)"
    if len(data) < 4:
        raise ValueError(f"{file} is truncated: an IDX file opens with 4 bytes.")
    if data[:2] != b"\0\0":
        raise ValueError(
            f"{file} is not an IDX file: it opens with {data[:2].hex(' ')}, not 00 00."
        )
    code, rank = data[2], data[3]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02X} ({dtype.name})" for known, dtype in _DTYPES.items())
        raise ValueError(
            f"{file} has the unknown IDX type code 0x{code:02X}; known codes are {known}."
        )
    if not 1 <= rank <= _MAX_RANK:
        raise ValueError(f"{file} announces {rank} dimensions, expected 1 to {_MAX_RANK}.")
    if len(data) < 4 + 4 * rank:
        raise ValueError(
            f"{file} is truncated: its header of {rank} dimensions takes {4 + 4 * rank} bytes."
        )
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", rank, offset=4))
    if 0 in shape:
        raise ValueError(f"{file} announces the empty shape {shape}.")
    return _DTYPES[code], shape
