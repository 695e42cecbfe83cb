"""A trained network on disk: `model.json` says what it is, `params` holds its parameters.

The parameters are written by orbax. It does not notice every changed byte of them, and reports
the others from its threads, so `model.json` also holds the SHA-256 of each of its files.
"""

import hashlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import jax
import jax.numpy as jnp
import msgspec
import orbax.checkpoint as ocp
from matplotlib.figure import Figure

from jaxpercep import activations
from jaxpercep._files import replace_folder
from jaxpercep.commands.arguments import ActivationName
from jaxpercep.commands.folder import (
    CURVE,
    DESCRIPTION,
    PARAMS,
    VERSION,
    Header,
    check_replaceable,
    read_description,
)
from jaxpercep.commands.heads import Head
from jaxpercep.commands.sources import Scale
from jaxpercep.compose import Serial, mlp
from jaxpercep.layer import Params

Metrics: TypeAlias = Mapping[str, dict[str, float]]
"""By part of the data, then by name."""


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything about a trained network but its parameters.

    Attributes:
        sizes: Features from input to output.
        activation: The name of the hidden layers' function.
        head: The meaning of the outputs.
        scale: The standardization of the features, or None.
        data: The data that it was trained on, as the command line names it.
        target: The target column of that file, as it was named.
        seed: The seed of everything that was drawn.
        test_fraction: The share of the samples that was held out.
    """

    sizes: tuple[int, ...]
    activation: ActivationName
    head: Head
    scale: Scale | None
    data: str
    target: int | str | None
    seed: int
    test_fraction: float

    def model(self) -> Serial:
        """Returns the network."""
        return mlp(self.sizes, getattr(activations, self.activation))


class Document(Header, frozen=True, forbid_unknown_fields=True):
    """The content of `model.json`.

    Attributes:
        jax: The version that trained the network.
        description: The network.
        metrics: Its metrics.
        files: The SHA-256 of each file of its parameters.
    """

    jax: str
    description: Description
    metrics: Metrics
    files: dict[str, str]


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
        new = Path(temporary, "new")
        _write(new, description, params, metrics, curve)
        replace_folder(new, folder)


def load(folder: Path) -> tuple[Description, Params]:
    """Reads a model that `save` wrote.

    Raises:
        OSError: A file is missing or not readable.
        ValueError: There is something else at `folder`, or from a newer version, or it is damaged.
    """
    folder = folder.resolve()
    content = read_description(folder)
    try:
        document = msgspec.json.decode(content, type=Document)
        if document.files != _digests(folder / PARAMS):
            raise ValueError("the files of its parameters are not those that were saved")
        description = document.description
        if description.head.outputs != description.sizes[-1]:
            outputs = description.head.outputs
            raise ValueError(f"sizes {description.sizes} do not end in {outputs} outputs")
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
    document = Document(
        format="jaxpercep model",
        version=VERSION,
        jaxpercep=importlib.metadata.version("jaxpercep"),
        jax=jax.__version__,
        description=description,
        metrics=metrics,
        files=_digests(folder / PARAMS),
    )
    content = msgspec.json.format(msgspec.json.encode(document), indent=1)
    (folder / DESCRIPTION).write_bytes(content)
    curve.savefig(folder / CURVE)


def _shapes(params: Params) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(params)]


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
