"""The folder of a saved model: its files, and whether it may be replaced.

Nothing here imports JAX: arguments are checked before it is.
"""

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from jaxpercep._files import writing
from jaxpercep._files.json import decode_json

VERSION = 5

DType: TypeAlias = Literal["bfloat16", "float16", "float32", "float64"]

DESCRIPTION = "model.json"
CHECKPOINTS = "checkpoints"
"""The folder that may lie beside a model: checkpoints of the run that trains it."""

PARAMS = "params-" + 8 * "[0-9a-f]" + ".npz"
"""The pattern of the names of files of parameters; `model.json` says which one counts."""


class Header(msgspec.Struct, frozen=True):
    """The fields of `model.json` by which every version recognizes it."""

    format: Literal["jaxpercep model"]
    version: int
    jaxpercep: str


class Document(Header, frozen=True, forbid_unknown_fields=True):
    """The content of `model.json`.

    Attributes:
        jax: The version of JAX at hand when it was written.
        model: A `Content`, as JSON.
        sha256: The checksum of that JSON.
    """

    jax: str
    model: msgspec.Raw
    sha256: str


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a prediction.

    Attributes:
        layers: The model, as JSON.
        params: The name of the file of its parameters.
        sha256: The checksum of that file.
        dtypes: The type of each parameter, for NPZ files know no bfloat16.
        about: What the writer says about the model.
    """

    layers: Any
    params: str
    sha256: str
    dtypes: dict[str, DType]
    about: msgspec.Raw

    def __post_init__(self) -> None:
        if not fnmatchcase(self.params, PARAMS):
            raise ValueError(f"{self.params!r} is not a file of parameters")


def read_description(folder: Path) -> bytes:
    """Returns the content of `model.json`.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is missing, damaged, or not the description of a model of this version.
    """
    path = folder / DESCRIPTION
    try:
        content = path.read_bytes()
        header = decode_json(content, Header)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{folder} is not a saved model: it has no {DESCRIPTION}. Name a folder that "
            "jaxpercep.save or `jaxpercep train` wrote to its end."
        ) from error
    except msgspec.ValidationError as error:
        raise ValueError(
            f"{path} does not describe a jaxpercep model: {error}. Move it away."
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. Move it away, and save again.") from error
    if header.version != VERSION:
        raise ValueError(
            f"{path} has format version {header.version}, this jaxpercep reads {VERSION}; it was "
            f"written by jaxpercep {header.jaxpercep}: use that, or train another one and save it "
            "elsewhere."
        )
    return content


def check_replaceable(folder: Path, others: Collection[str] = ()) -> None:
    """Raises a `ValueError` unless a model may be written to `folder` without losing anything.

    Checkpoints in it stay.

    Args:
        folder: the folder to write.
        others: the names of the files that it may hold besides a model's own.
    """
    if (folder / DESCRIPTION).exists():
        read_description(folder)  # first, for other versions have other files
    content, passed = (DESCRIPTION, *others), [*leftovers(others), CHECKPOINTS]
    writing.check_replaceable(folder, "saved model", DESCRIPTION, content, passed)


def leftovers(others: Collection[str] = ()) -> list[str]:
    """Returns the patterns of what saves leave behind: older parameters, and half-written files."""
    return [PARAMS, *(f".{name}.partial" for name in (DESCRIPTION, PARAMS, *others))]
