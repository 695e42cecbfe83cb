"""Calls of the functions that users pass, which JAX has to trace."""

from collections.abc import Callable
from typing import Any

import jax

_UNTRACEABLE = (
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
)


def value_of(name: str, function: Callable[..., Any], *arguments: jax.Array) -> Any:
    """Returns the array that a user's function makes of arrays.

    Raises:
        TypeError: JAX cannot trace the function, or it returns something else.
    """
    try:
        value = function(*arguments)
    except _UNTRACEABLE as error:
        raise TypeError(
            f"{name} cannot be traced by JAX, for it asks for the numbers of its arguments, as "
            "NumPy, float(), `if` and x[x > 0] do; compute with jax.numpy, jnp.where for instance."
        ) from error
    if not hasattr(value, "dtype") and not isinstance(value, float):
        raise TypeError(
            f"{name} returned a {type(value).__name__}, expected one array; compute it with "
            "jax.numpy."
        )
    return value
