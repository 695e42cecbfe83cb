"""A trained network on disk: `model.json` says what it is, `params` holds its parameters.

The parameters are written by orbax. It does not notice every changed byte of them, and reports
the others from its threads, so `model.json` also holds the SHA-256 of each of its files.
"""

import hashlib
import importlib.metadata
import io
import itertools
import math
import secrets
import shutil
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

import jax
import jax.numpy as jnp
import msgspec
import orbax.checkpoint as ocp
from matplotlib.figure import Figure

from jaxpercep import activations
from jaxpercep._files.json import decode_json
from jaxpercep._files.layout import Layout
from jaxpercep._files.unpacking import check_unpacked
from jaxpercep._files.writing import write_whole
from jaxpercep.commands.arguments import ActivationName
from jaxpercep.commands.folder import (
    CURVE,
    DESCRIPTION,
    PARAMS,
    PARTIAL,
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


# What msgspec, orbax and JAX raise for a description, or parameters, that `save` did not write.
_DAMAGES = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError)


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything about a trained network but its parameters.

    Attributes:
        sizes: Features from input to output.
        activation: The name of the hidden layers' function.
        head: The meaning of the outputs.
        scale: The standardization of the features, or None.
        layout: How the features of an example lay in the data.
        data: The data that it was trained on, as the command line names it.
        seed: The seed of everything that was drawn.
        test_fraction: The share of the samples that was held out.
    """

    sizes: tuple[int, ...]
    activation: ActivationName
    head: Head
    scale: Scale | None
    layout: Layout
    data: str
    seed: int
    test_fraction: float

    def __post_init__(self) -> None:
        if self.sizes[-1:] != (self.head.outputs,):
            raise ValueError(f"sizes {self.sizes} do not end in {self.head.outputs} outputs")
        if self.layout.features != self.sizes[0]:
            raise ValueError(f"sizes {self.sizes} do not open with {self.layout.features} features")
        if self.scale is not None and len(self.scale.mean) != self.sizes[0]:
            raise ValueError(f"there are {self.sizes[0]} features, {len(self.scale.mean)} scaled")

    def model(self) -> Serial:
        """Returns the network."""
        return mlp(self.sizes, getattr(activations, self.activation))


class Document(Header, frozen=True, forbid_unknown_fields=True):
    """The content of `model.json`.

    Attributes:
        jax: The version that trained the network.
        metrics: Its metrics.
        model: A `Model`, as JSON.
        sha256: The checksum of that JSON.
    """

    jax: str
    metrics: Metrics
    model: msgspec.Raw
    sha256: str


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a prediction.

    Attributes:
        description: The network.
        params: The name of the folder of its parameters.
        files: The SHA-256 of each file in it.
    """

    description: Description
    params: str
    files: dict[str, str]

    def __post_init__(self) -> None:
        if not fnmatchcase(self.params, PARAMS) or "/" in self.params:
            raise ValueError(f"{self.params!r} is not a folder of parameters")


def save(
    folder: Path, description: Description, params: Params, metrics: Metrics, curve: Figure
) -> None:
    """Writes a model; one that is there is replaced, at once, when the new one is complete.

    The parameters get a folder of a new name beside the old ones; the file `model.json` that names
    it then takes the place of the old one, and what is no longer needed is removed. A process that
    is killed in between leaves the old model and files that the next `save` removes.

    Raises:
        OSError: The folder cannot be written.
        ValueError: There is something else at `folder`.
    """
    check_replaceable(folder)
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"params-{secrets.token_hex(4)}"
    picture = io.BytesIO()
    try:
        curve.savefig(picture, format="png")
        with ocp.StandardCheckpointer() as checkpointer:
            # As NumPy arrays, for those of JAX are tied to the devices of this machine.
            checkpointer.save(written, jax.device_get(params))
        write_whole(folder / DESCRIPTION, _document(description, metrics, written))
    except Exception:  # an interrupt may come after the switch: then the next save tidies up
        shutil.rmtree(written, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    write_whole(folder / CURVE, picture.getvalue())
    for path in [*folder.glob(PARAMS), *folder.glob(PARTIAL)]:
        if path != written:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def load(folder: Path) -> tuple[Description, Params]:
    """Reads a model that `save` wrote.

    Raises:
        OSError: A file is missing or not readable.
        ValueError: There is something else at `folder`, or from a newer version, or it is damaged.
    """
    folder = folder.resolve()
    content = read_description(folder)
    try:
        document = decode_json(content, Document)
        if document.sha256 != hashlib.sha256(document.model).hexdigest():
            raise ValueError(f"{DESCRIPTION} is not what was saved")
        model = decode_json(document.model, Model)
        if model.files != _digests(folder / model.params):
            raise ValueError("the files of its parameters are not those that were saved")
        description = model.description
        params = _restored(folder / model.params, description)
    except _DAMAGES as error:
        reason = str(error).partition("\n")[0].rstrip(".:")
        raise ValueError(f"{folder} is damaged: {reason}. Train it again.") from error
    return description, jax.tree.map(jnp.asarray, params)


def _restored(folder: Path, description: Description) -> Params:
    """Reads the parameters, once what the files announce is what the network has."""
    with ocp.StandardCheckpointer() as checkpointer:
        announced = jax.tree.leaves(checkpointer.metadata(folder).item_metadata.tree)
        sizes = sum(math.prod(leaf.shape) for leaf in announced)
        stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        check_unpacked(stored, 4 * sizes, "parameters do not compress so far")
        if sizes == sum((n + 1) * m for n, m in itertools.pairwise(description.sizes)):
            target = jax.eval_shape(description.model().init, jax.random.key(0))
            params = checkpointer.restore(folder, target)
            if _shapes(params) == _shapes(target):  # orbax compares the trees only
                return params
    raise ValueError(f"the parameters' shapes are not those of sizes {description.sizes}")


def _document(description: Description, metrics: Metrics, params: Path) -> bytes:
    model = msgspec.json.encode(Model(description, params.name, _digests(params)))
    document = Document(
        format="jaxpercep model",
        version=VERSION,
        jaxpercep=importlib.metadata.version("jaxpercep"),
        jax=jax.__version__,
        metrics=metrics,
        model=msgspec.Raw(model),
        sha256=hashlib.sha256(model).hexdigest(),
    )
    return msgspec.json.encode(document) + b"\n"


def _shapes(params: Params) -> list[tuple[int, ...]]:
    return [leaf.shape for leaf in jax.tree.leaves(params)]


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
