"""A trained network on disk: a saved model that says what its inputs and outputs mean.

`jaxpercep.load` reads its model and parameters too.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jax
import msgspec
import numpy as np
from matplotlib.figure import Figure

from jaxpercep import checkpoints
from jaxpercep._files.json import decode_json
from jaxpercep._files.layout import Layout
from jaxpercep._files.saved import DESCRIPTION
from jaxpercep.commands.folder import CURVE, check_replaceable
from jaxpercep.commands.heads import Head
from jaxpercep.commands.sources import Fill, Scale
from jaxpercep.layer import Layer, Params

Metrics: TypeAlias = Mapping[str, dict[str, float]]
"""By part of the data, then by name."""


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything about a trained network but its layers and parameters.

    Attributes:
        head: The meaning of the outputs.
        fill: What a missing feature counts as, before it is standardized; None refuses it.
        scale: The standardization of the features, or None.
        layout: How the features of an example lay in the data.
        data: The data that it was trained on, as the command line names it.
        seed: The seed of everything that was drawn.
        test_fraction: The share of the samples that was held out.
        metrics: The network's metrics.
    """

    head: Head
    fill: Fill | None
    scale: Scale | None
    layout: Layout
    data: str
    seed: int
    test_fraction: float
    metrics: Metrics

    def __post_init__(self) -> None:
        features = self.layout.inputs
        if self.scale is not None and len(self.scale.mean) != features:
            raise ValueError(f"there are {features} features, {len(self.scale.mean)} scaled")
        if self.fill is not None and len(self.fill.mean) != features:
            raise ValueError(f"there are {features} features, {len(self.fill.mean)} means of them")


class Trained(NamedTuple):
    """A network, its parameters, and what they are for."""

    model: Layer
    params: Params
    description: Description


def save(folder: Path, trained: Trained, curve: Figure) -> None:
    """Writes a network; one that is there is replaced, at once, when the new one is complete.

    Raises:
        OSError: The folder cannot be written.
        ValueError: There is something else at `folder`.
    """
    check_replaceable(folder)
    picture = io.BytesIO()
    curve.savefig(picture, format="png")
    checkpoints.write(folder, *trained, {CURVE: picture.getvalue()})


def load(folder: Path) -> Trained:
    """Reads a network that `save` wrote.

    Raises:
        OSError: A file is missing or not readable.
        ValueError: There is something else at `folder`, or from another version, or it is damaged.
    """
    model, params, about = checkpoints.read(folder)
    if about == b"null":
        raise ValueError(
            f"{folder} was saved by jaxpercep.save, which does not know what the outputs mean; use "
            f"model, params = jaxpercep.load({str(folder)!r}) in Python."
        )
    with checkpoints.naming_damage(folder / DESCRIPTION):
        description = decode_json(about, Description)
        _check_fits(model, params, description)
    return Trained(model, params, description)


def _check_fits(model: Layer, params: Params, description: Description) -> None:
    """Raises unless the network takes the features and returns the outputs that are described."""
    x = jax.ShapeDtypeStruct((1, description.layout.inputs), np.float32)
    outputs = jax.eval_shape(model.apply, params, x).shape[1:]
    if outputs != (description.head.outputs,):
        raise ValueError(f"it describes {description.head.outputs} outputs, there are {outputs}")
