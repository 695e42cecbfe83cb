"""A trained network on disk: `model.json` says what it is, `params` holds its parameters.

The parameters are written by orbax. It does not notice every changed byte of them, and reports
the others from its threads, so `model.json` also holds the SHA-256 of each of its files.
"""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from matplotlib.figure import Figure

from jaxpercep import activations
from jaxpercep.commands.heads import Head, head_from_dict, head_to_dict
from jaxpercep.commands.sources import Scale
from jaxpercep.compose import Serial, mlp
from jaxpercep.layer import Params

Metrics: TypeAlias = Mapping[str, Mapping[str, float]]
"""By part of the data, then by name."""

FORMAT = "jaxpercep model"
VERSION = 1

_DESCRIPTION, _PARAMS, _CURVE = "model.json", "params", "loss.png"


@dataclass(frozen=True)
class Description:
    """What there is to know about a trained network, besides its parameters.

    Attributes:
        sizes: Features from input to output.
        activation: The name of the hidden layers' function.
        head: What the outputs stand for.
        scale: How features are standardized, or None.
        data: What it was trained on.
        target: The target column of that file, as it was named.
        seed: What everything was drawn with.
        test_fraction: The share of the samples that was held out.
    """

    sizes: tuple[int, ...]
    activation: str
    head: Head
    scale: Scale | None
    data: str
    target: int | str | None
    seed: int
    test_fraction: float

    OPTIONS: ClassVar = ("activation", "data", "target", "seed", "test_fraction")

    def model(self) -> Serial:
        """Returns the network."""
        return mlp(self.sizes, getattr(activations, self.activation))


def save(
    folder: Path, description: Description, params: Params, metrics: Metrics, curve: Figure
) -> None:
    """Writes a model; one that is there is replaced once the new one is complete.

    Raises:
        OSError: The folder cannot be written.
        ValueError: There is something else at `folder`.
    """
    check_replaceable(folder)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        new, old = Path(temporary, "new"), Path(temporary, "old")
        _write(new, description, params, metrics, curve)
        try:
            if folder.exists():
                folder.replace(old)
            new.replace(folder)
        finally:
            if old.exists() and not folder.exists():
                old.replace(folder)


def load(folder: Path) -> tuple[Description, Params]:
    """Reads a model that `save` wrote.

    Raises:
        OSError: A file is missing or not readable.
        ValueError: There is something else at `folder`, or from a newer version, or it is damaged.
    """
    folder = folder.resolve()
    fields = _read_json(folder)
    if fields["version"] != VERSION:
        raise ValueError(
            f"{folder} has format version {fields['version']}, this jaxpercep reads {VERSION}; "
            f"it was written by jaxpercep {fields.get('jaxpercep')}."
        )
    try:
        if fields["files"] != _digests(folder / _PARAMS):
            raise ValueError("the files of its parameters are not those that were saved")
        description = _description(fields)
        target = jax.eval_shape(description.model().init, jax.random.key(description.seed))
        with ocp.StandardCheckpointer() as checkpointer:
            params = checkpointer.restore(folder / _PARAMS, target)
        if _shapes(params) != _shapes(target):  # orbax compares the trees only
            raise ValueError(f"the parameters' shapes are not those of sizes {description.sizes}")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".:")
        raise ValueError(f"{folder} is damaged: {reason}. Train it again.") from error
    return description, jax.tree.map(jnp.asarray, params)


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
    _read_json(folder)
    strangers = {path.name for path in folder.iterdir()} - {_DESCRIPTION, _PARAMS, _CURVE}
    if strangers:
        raise ValueError(
            f"{folder} holds a model and also {min(strangers)!r}, which would be lost; "
            "move it away, or save to another folder."
        )


def _write(
    folder: Path, description: Description, params: Params, metrics: Metrics, curve: Figure
) -> None:
    folder.mkdir()
    with ocp.StandardCheckpointer() as checkpointer:
        # As NumPy arrays, for those of JAX are tied to the devices of this machine.
        checkpointer.save(folder / _PARAMS, jax.device_get(params))
    fields = {
        "format": FORMAT,
        "version": VERSION,
        **{package: importlib.metadata.version(package) for package in ("jaxpercep", "jax")},
        **asdict(description),
        "head": head_to_dict(description.head),
        "metrics": metrics,
        "files": _digests(folder / _PARAMS),
    }
    (folder / _DESCRIPTION).write_text(json.dumps(fields, indent=1, allow_nan=False), "utf-8")
    curve.savefig(folder / _CURVE)


def _read_json(folder: Path) -> dict[str, Any]:
    """The content of `model.json`, if that is what it is."""
    try:
        fields = json.loads((folder / _DESCRIPTION).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"{folder} is no saved model: it has no {_DESCRIPTION}.") from error
    except ValueError as error:
        raise ValueError(f"{folder / _DESCRIPTION} is damaged: {error}.") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT or "version" not in fields:
        raise ValueError(f"{folder / _DESCRIPTION} does not describe a {FORMAT}.")
    return fields


def _description(fields: dict[str, Any]) -> Description:
    scale = fields["scale"]
    described = Description(
        sizes=tuple(fields["sizes"]),
        head=head_from_dict(fields["head"]),
        scale=scale and Scale(tuple(scale["mean"]), tuple(scale["std"])),
        **{name: fields[name] for name in Description.OPTIONS},
    )
    if described.head.outputs != described.sizes[-1]:
        raise ValueError(f"sizes {described.sizes} do not end in {described.head.outputs} outputs")
    return described


def _shapes(params: Params) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(params)]


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
