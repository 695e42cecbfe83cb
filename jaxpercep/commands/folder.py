"""The folder of a saved model: what is in it, and whether one may be written.

Nothing here imports JAX: arguments are checked before it is.
"""

import json
import os
from pathlib import Path
from typing import Any

FORMAT = "jaxpercep model"
VERSION = 1

DESCRIPTION, PARAMS, CURVE = "model.json", "params", "loss.png"


def read_json(folder: Path) -> dict[str, Any]:
    """Returns the content of `model.json`; raises a `ValueError` if that is not what it is."""
    try:
        fields = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"{folder} is no saved model: it has no {DESCRIPTION}.") from error
    except ValueError as error:
        raise ValueError(f"{folder / DESCRIPTION} is damaged: {error}.") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT or "version" not in fields:
        raise ValueError(f"{folder / DESCRIPTION} does not describe a {FORMAT}.")
    return fields


def check_replaceable(folder: Path) -> None:
    """Raises a `ValueError` unless a model may be written to `folder`.

    It may if nothing is there, an empty folder, or a saved model with no other files beside it; in
    a folder that can be written.
    """
    parent = next(path for path in folder.absolute().parents if path.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise ValueError(f"{folder} cannot be made: {parent} is no folder to write in.")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    read_json(folder)
    strangers = {path.name for path in folder.iterdir()} - {DESCRIPTION, PARAMS, CURVE}
    if strangers:
        raise ValueError(
            f"{folder} holds a model and also {min(strangers)!r}, which would be lost; "
            "move it away, or save to another folder."
        )
