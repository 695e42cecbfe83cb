"""A trained network on disk: `model.json` says what it is, `params` holds its parameters.

The parameters are written by orbax. It does not notice every changed byte of them, and reports
the others from its threads, so `model.json` also holds the SHA-256 of each of its files.
"""

import hashlib
import importlib.metadata
import json
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
from jaxpercep.commands.folder import (
    CURVE,
    DESCRIPTION,
    FORMAT,
    PARAMS,
    VERSION,
    check_replaceable,
    read_json,
)
from jaxpercep.commands.heads import Head, head_from_dict, head_to_dict
from jaxpercep.commands.sources import Scale
from jaxpercep.compose import Serial, mlp
from jaxpercep.layer import Params

Metrics: TypeAlias = Mapping[str, Mapping[str, float]]
"""By part of the data, then by name."""


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
    fields = read_json(folder)
    if fields["version"] != VERSION:
        raise ValueError(
            f"{folder} has format version {fields['version']}, this jaxpercep reads {VERSION}; "
            f"it was written by jaxpercep {fields.get('jaxpercep')}."
        )
    try:
        if fields["files"] != _digests(folder / PARAMS):
            raise ValueError("the files of its parameters are not those that were saved")
        description = _description(fields)
        target = jax.eval_shape(description.model().init, jax.random.key(description.seed))
        with ocp.StandardCheckpointer() as checkpointer:
            params = checkpointer.restore(folder / PARAMS, target)
        if _shapes(params) != _shapes(target):  # orbax compares the trees only
            raise ValueError(f"the parameters' shapes are not those of sizes {description.sizes}")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".:")
        raise ValueError(f"{folder} is damaged: {reason}. Train it again.") from error
    return description, jax.tree.map(jnp.asarray, params)


def _write(
    folder: Path, description: Description, params: Params, metrics: Metrics, curve: Figure
) -> None:
    folder.mkdir()
    with ocp.StandardCheckpointer() as checkpointer:
        # As NumPy arrays, for those of JAX are tied to the devices of this machine.
        checkpointer.save(folder / PARAMS, jax.device_get(params))
    fields = {
        "format": FORMAT,
        "version": VERSION,
        **{package: importlib.metadata.version(package) for package in ("jaxpercep", "jax")},
        **asdict(description),
        "head": head_to_dict(description.head),
        "metrics": metrics,
        "files": _digests(folder / PARAMS),
    }
    (folder / DESCRIPTION).write_text(json.dumps(fields, indent=1, allow_nan=False), "utf-8")
    curve.savefig(folder / CURVE)


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
