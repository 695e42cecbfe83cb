"""From what `json.loads` returns to the dataclasses that it was written from, type by type."""

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any


def decode(hint: Any, value: Any, where: str) -> Any:
    """Returns `value` as a `hint`: a dataclass, list, tuple, dict, a choice with None, or a scalar.

    Args:
        hint: the type; scalars are str, bool, int and float (which takes an int too), and Any.
        value: of JSON.
        where: its place in the document, for errors.

    Raises:
        ValueError: the value is not of that type; a field is missing, or unknown.
    """
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _decode_fields(hint, value, where)
    origin, of = typing.get_origin(hint), typing.get_args(hint)
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](of, value, where)
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise _unexpected(where, value, hint.__name__)
    return value


def _decode_fields(hint: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _unexpected(where, value, f"the fields of a {hint.__name__}")
    fields = {field.name: field for field in dataclasses.fields(hint)}
    if unknown := value.keys() - fields.keys():
        raise ValueError(f"{where}: unknown field {min(unknown)!r}")
    defaulted = (
        name
        for name, field in fields.items()
        if field.default is not dataclasses.MISSING
        or field.default_factory is not dataclasses.MISSING
    )
    if missing := fields.keys() - value.keys() - set(defaulted):
        raise ValueError(f"{where}: field {min(missing)!r} is missing")
    hints = typing.get_type_hints(hint)
    return hint(**{name: decode(hints[name], v, f"{where}.{name}") for name, v in value.items()})


def _decode_list(of: tuple[Any, ...], value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _unexpected(where, value, "a list")
    return [decode(of[0], item, f"{where}[{i}]") for i, item in enumerate(value)]


def _decode_tuple(of: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    return tuple(_decode_list(of, value, where))


def _decode_dict(of: tuple[Any, ...], value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _unexpected(where, value, "an object")
    return {key: decode(of[1], item, f"{where}[{key!r}]") for key, item in value.items()}


def _decode_optional(of: tuple[Any, ...], value: Any, where: str) -> Any:
    return None if value is None else decode(of[0], value, where)


def _unexpected(where: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{where}: expected {expected}, came {str(value)[:40]!r}")


_CONTAINERS: dict[Any, Callable[[tuple[Any, ...], Any, str], Any]] = {
    list: _decode_list,
    tuple: _decode_tuple,
    dict: _decode_dict,
    types.UnionType: _decode_optional,
}
