"""Reading JSON that others may have written."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode_json(content: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Returns the document, checked against its type.

    Raises:
        msgspec.ValidationError: It is JSON, but not of this type; a `ValueError`.
        ValueError: It is not JSON, or nested too deeply.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
