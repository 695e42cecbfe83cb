"""Argument checks of every public function: name, value, expectation and fix in the message."""

import difflib
import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np


def nearest_name(name: str, choices: Iterable[str]) -> str:
    """Returns `" Did you mean 'relu'?"` for the choice nearest to `name`, or nothing."""
    close = difflib.get_close_matches(name, list(choices), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Returns `"1 row"` or `"2 rows"`; the plural is that with an s if none is given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def check_choice(argument: str, value: Any, choices: Iterable[str]) -> None:
    """Raises a `ValueError` unless `value` is one of the names in `choices`."""
    choices = sorted(choices)
    if value not in choices:
        hint = nearest_name(value, choices) if isinstance(value, str) else ""
        raise ValueError(f"{argument}={value!r} is not one of {', '.join(choices)}.{hint}")


def check_positive_int(argument: str, value: Any) -> None:
    """Raises unless `value` is an integer of at least 1 (a bool is not one)."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{argument}={value!r} must be an integer, not {type(value).__name__}.")
    if value < 1:
        raise ValueError(f"{argument}={value} must be at least 1.")


def check_real(argument: str, value: Any) -> float:
    """Returns a real, finite number as a float, or raises (a bool is not a number)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{argument}={value!r} must be a number, not {type(value).__name__}.")
    if not math.isfinite(value):
        raise ValueError(f"{argument}={value} must be finite.")
    return float(value)


def check_bool(argument: str, value: Any) -> None:
    """Raises a `TypeError` unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument}={value!r} must be True or False.")


def check_finite(argument: str, value: Any) -> None:
    """Raises a `ValueError` that counts the NaN and infinite entries of a concrete array."""
    array = np.asarray(value)
    # NumPy does not count bfloat16 among its floats: its kind is "V", but isfinite works on it.
    if array.dtype.kind in "fcV" and not (finite := np.isfinite(array)).all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        bad = counted(np.sum(~finite), "value that is", "values that are")
        raise ValueError(
            f"{argument} holds {bad} NaN or infinite (the first at index {first}); clean the data "
            "first."
        )
