"""Parameters of flax nnx modules, to and from jaxpercep."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from flax import nnx

from jaxpercep.interop.flax_layers import FlaxLayers, Path, joined, unsupported
from jaxpercep.interop.matching import match
from jaxpercep.interop.transfer import Transfer, flattened
from jaxpercep.layer import Layer, Params, check_layer

Source: TypeAlias = nnx.Module | nnx.State[Any, Any]
"""A holder of the parameters of an nnx network."""


def from_nnx(model: Layer, source: Source, *, order: Sequence[str] | None = None) -> Params:
    """Returns the parameters of `model` that an nnx module or state has, bit for bit.

    kernel is w, bias is b, scale is scale. The arrays are the very ones given, except those that a
    Repeat stacks and flax has layer by layer.

    Args:
        model: the same network, of Dense, LayerNorm and layers without parameters, in Serial,
            Residual and Repeat.
        source: a module, a state of it, or the gradients of `nnx.grad`. In a module the kinds of
            its layers and each LayerNorm's epsilon are checked too. Random keys are ignored.
        order: paths of the flax layers, or of the modules that contain them, in the order of
            application, as `["embed", "blocks/0", "head"]`: needed if numbers in the names and
            shapes do not tell it.

    Raises:
        TypeError: `source` is neither a module nor a state, a layer of the model has parameters of
            a form of its own, or the arrays that a Repeat stacks differ in dtype.
        ValueError: A flax layer has no counterpart; the numbers of layers, their shapes or an
            epsilon differ; a bias is missing; a variable is not a parameter; or the order is not
            known.
    """
    return _transfer(model, source, order).to_jaxpercep()


def to_nnx(
    model: Layer, params: Params, source: Source, *, order: Sequence[str] | None = None
) -> nnx.State[Any, Any]:
    """Returns the model's parameters as a state of nnx, bit for bit: undoes `from_nnx`.

    `nnx.update(module, state)` puts them into the module.

    Args:
        model: the same network, as in `from_nnx`.
        params: its parameters, or gradients.
        source: the module or a state of it, which gives the paths and the metadata.
        order: as in `from_nnx`.

    Raises:
        TypeError: As in `from_nnx`.
        ValueError: As in `from_nnx`, or `params` are not those of the model.
    """
    return _transfer(model, source, order).to_flax(params)


def _transfer(model: Layer, source: Source, order: Sequence[str] | None) -> Transfer:
    check_layer("model", model)
    epsilons: dict[Path, float] = {}
    if isinstance(source, nnx.Module):
        epsilons = _checked_epsilons(source)
        source = nnx.state(source)
    elif not isinstance(source, nnx.State):
        came = type(source).__name__
        raise TypeError(f"source is a {came}, expected an nnx.Module or an nnx.State.")
    parameters, _, others = nnx.split_state(source, nnx.Param, nnx.RngState, ...)
    for path, variable in nnx.to_flat_state(others):
        raise unsupported(joined(path[:-1]), f"{path[-1]} is a {type(variable).__name__}")
    leaves, structure, numbered = flattened("source", parameters)
    layers = FlaxLayers(nnx.to_pure_dict(numbered), order, epsilons)
    return Transfer(leaves, structure, match(model, layers))


def _checked_epsilons(module: nnx.Module) -> dict[Path, float]:
    """Returns the epsilon of every LayerNorm; refuses other modules that hold parameters."""
    epsilons: dict[Path, float] = {}
    for path, inner in nnx.iter_modules(module):
        if isinstance(inner, nnx.LayerNorm):
            epsilons[tuple(map(str, path))] = inner.epsilon
        elif not isinstance(inner, nnx.Linear) and any(
            isinstance(value, nnx.Param) for value in vars(inner).values()
        ):
            raise unsupported(joined(path), type(inner).__name__)
    return epsilons
