"""A model whose layers are read: the user's own, or all of them if they are the library's."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from types import FunctionType
from typing import Any

from jaxpercep.compare.candidate.backward import Candidate
from jaxpercep.compare.candidate.instrumented import Follow
from jaxpercep.compare.candidate.source import file_of
from jaxpercep.compare.program.places import is_library
from jaxpercep.gradients import chain_rule
from jaxpercep.layer import Layer, Params
from jaxpercep.losses import Loss


def candidate_of(model: Layer, loss: Loss) -> Candidate:
    """Describes the chain rule of a model: layers and losses of the user's, or else all, are read.

    Combinators of the library only pass on what the layers in them return.
    """
    every = [*_parts(model), loss]
    leaves = [part for part in every if not list(_inner(part))]
    read = [part for part in every if _is_users(type(part))] or leaves
    methods = [method for part in read for method in (part.forward, part.backward)]
    inherited = tuple(method for method in methods if is_library(file_of(method)))

    def build(follow: Follow) -> Callable[..., Any]:
        rule = chain_rule(_followed(model, read, follow), _followed(loss, read, follow))

        def gradient(params: Params, x: Any, y: Any) -> Params:
            return rule(params, x, y)[1]

        return gradient

    return Candidate(build, read[0].backward, ("params", "x", "y"), inherited)


def _is_users(kind: type) -> bool:
    """Returns True for a class with a method that is written in a file of the user's."""
    methods = [f for c in kind.__mro__ for f in vars(c).values() if isinstance(f, FunctionType)]
    files = {method.__code__.co_filename for method in methods}
    return any(not is_library(file) for file in files - {"<string>"})  # by dataclass


@dataclass(frozen=True)
class _Followed:
    """A layer or a loss whose two passes report their values."""

    of: Any
    forward: Callable[..., Any]
    backward: Callable[..., Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of, name)


def _followed(part: Any, read: list[Any], follow: Follow) -> Any:
    """Returns a layer or a loss with those that are read replaced, inside it too."""
    is_read = any(part is other for other in read)
    if inner := {name: _mapped(value, read, follow) for name, value in _inner(part)}:
        part = copy.copy(part)
        for name, value in inner.items():
            object.__setattr__(part, name, value)  # the same class, although its layers are not
    return _Followed(part, follow(part.forward), follow(part.backward)) if is_read else part


def _mapped(value: Any, read: list[Any], follow: Follow) -> Any:
    if isinstance(value, tuple):
        return tuple(_followed(layer, read, follow) for layer in value)
    return _followed(value, read, follow)


def _parts(layer: Any) -> Iterator[Any]:
    """Yields a layer, and all layers in it."""
    yield layer
    for _, value in _inner(layer):
        for part in value if isinstance(value, tuple) else (value,):
            yield from _parts(part)


def _inner(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yields the fields of a layer that are layers, or tuples of them."""
    for field in fields(layer) if is_dataclass(layer) else ():
        value = getattr(layer, field.name)
        of = value if isinstance(value, tuple) else (value,)
        if of and all(isinstance(part, Layer) for part in of):
            yield field.name, value
