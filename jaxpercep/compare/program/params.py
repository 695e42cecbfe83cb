"""The parameters of an equation: jaxprs, types and much else, in containers of any kind."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def parts(value: Any) -> Iterator[Any]:
    """Yields what a parameter holds: itself, or the parts of a container, at any depth."""
    if (inside := _inside(value)) is None:
        yield value
        return
    for part in inside.values():
        yield from parts(part)


def rebuilt(change: Callable[[Any], Any], value: Any) -> Any:
    """Applies `change` to each part, and rebuilds the containers in which something has changed."""
    if (inside := _inside(value)) is None:
        return change(value)
    new = {key: rebuilt(change, part) for key, part in inside.items()}
    if all(new[key] is part for key, part in inside.items()):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **new)
    if isinstance(value, Mapping):
        return new
    make = getattr(value, "_make", type(value))  # a named tuple takes one argument per part
    return make(new.values())


def _inside(value: Any) -> Mapping[Any, Any] | None:
    """Returns the parts of a container by their keys; None if it is not a container."""
    if isinstance(value, (tuple, list)):
        return dict(enumerate(value))
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value) if field.init)
        return {name: getattr(value, name) for name in fields}
    return None
