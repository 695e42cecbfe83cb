"""The folder of a saved model: its files, and whether it may be replaced.

Nothing here imports JAX: arguments are checked before it is.
"""

from pathlib import Path
from typing import Literal

import msgspec

from jaxpercep._files import writing
from jaxpercep._files.json import decode_json

VERSION = 3

DESCRIPTION, CURVE = "model.json", "loss.png"
PARAMS = "params-" + 8 * "[0-9a-f]" + "*"
"""The pattern of the names of folders of parameters; `model.json` says which one counts."""
PARTIAL = ".*.partial"
"""The pattern of the names under which files are written before they are whole."""


class Header(msgspec.Struct, frozen=True):
    """The fields of `model.json` by which every version recognizes it."""

    format: Literal["jaxpercep model"]
    version: int
    jaxpercep: str


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
        raise ValueError(f"{folder} is not a saved model: it has no {DESCRIPTION}.") from error
    except msgspec.ValidationError as error:
        raise ValueError(
            f"{path} does not describe a jaxpercep model: {error}. Move it away."
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. Move it away, and train again.") from error
    if header.version != VERSION:
        raise ValueError(
            f"{folder} has format version {header.version}, this jaxpercep reads {VERSION}; it was "
            f"written by jaxpercep {header.jaxpercep}: use that, or train another one."
        )
    return content


def check_replaceable(folder: Path) -> None:
    """Raises a `ValueError` unless a model may be written to `folder` without losing anything."""
    content, leftovers = (DESCRIPTION, CURVE), (PARAMS, PARTIAL)
    writing.check_replaceable(folder, "saved model", DESCRIPTION, content, leftovers)
    if (folder / DESCRIPTION).exists():
        read_description(folder)
