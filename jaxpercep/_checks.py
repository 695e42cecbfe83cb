"""Argument checks of every public function: name, value, expectation and fix in the message."""

import difflib
import inspect
import math
import os
from collections.abc import Callable, Iterable
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def nearest_name(name: str, choices: Iterable[str]) -> str:
    """Returns `" Did you mean 'relu'?"` for the choice nearest to `name`, or nothing."""
    close = difflib.get_close_matches(name, list(choices), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Returns `"1 row"` or `"2 rows"`; the plural is that with an s if none is given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def shown(value: Any) -> str:
    """Reads as the argument in the call; an array by its type and shape, a long text cut short."""
    text = " ".join(repr(_outlined(value)).split())  # in one line
    return text if len(text) <= 200 else f"{text[:200]}..."


class _Outline(str):
    __slots__ = ()
    __repr__ = str.__str__


def _outlined(value: Any, depth: int = 8) -> Any:
    """Returns the value with each array in its tuples, lists and dicts as its type and shape."""
    if isinstance(shape := getattr(value, "shape", None), tuple) and shape:
        return _Outline(f"{getattr(value, 'dtype', '')}{list(shape)}")
    inner = partial(_outlined, depth=depth - 1)
    if depth and type(value) is dict:
        return {key: inner(part) for key, part in value.items()}
    make = getattr(value, "_make", {tuple: tuple, list: list}.get(type(value)))
    return make(map(inner, value)) if depth and make else value


def check_choice(argument: str, value: Any, choices: Iterable[str]) -> None:
    """Raises a `ValueError` unless `value` is one of the names in `choices`."""
    choices = sorted(choices)
    if not isinstance(value, str) or value not in choices:
        hint = nearest_name(value, choices) if isinstance(value, str) else ""
        raise ValueError(f"{argument}={shown(value)} is not one of {', '.join(choices)}.{hint}")


def is_function(value: Any) -> bool:
    """Returns True for what can be called, but not for a layer, which only answers by the fix."""
    return callable(value) and not hasattr(value, "backward")


def check_callable(argument: str, value: Any, signature: str, count: int | None = None) -> None:
    """Raises a `TypeError` unless `value` is a function, which is called as `signature` says.

    Args:
        argument: its name.
        value: the function.
        signature: in words.
        count: the number of arguments that it has to take, if that is known.
    """
    if not is_function(value):
        raise TypeError(f"{argument}={shown(value)} is not callable; pass a function {signature}.")
    if count is not None and not _takes(value, count):
        raise TypeError(
            f"{argument}={shown(value)} cannot be called with {counted(count, 'argument')}; pass a "
            f"function {signature}."
        )


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Returns False if a function cannot be called with so many arguments, as far as is known."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # it is written in C, and has no signature
        return True
    return True


def check_hashable(argument: str, value: Any, fix: str) -> None:
    """Raises a `TypeError` unless `value`, a part of a static argument of `jax.jit`, has a hash."""
    try:
        hash(value)
    except TypeError as error:
        raise TypeError(f"{argument}={shown(value)} cannot be hashed; {fix}.") from error


def check_text(argument: str, value: Any) -> None:
    """Raises a `TypeError` unless `value` is a string."""
    if not isinstance(value, str):
        came = type(value).__name__
        raise TypeError(f"{argument}={shown(value)} must be a string, not {came}.")


def as_path(argument: str, value: Any) -> Path:
    """Returns a file name as a path, `~` expanded, or raises unless it is a string or a path.

    With `..` in it, it is resolved: a folder before `..` need not exist, to write or to read.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        came = type(value).__name__
        raise TypeError(f"{argument}={shown(value)} must be a string or a Path, not {came}.")
    if "\0" in os.fspath(value):
        raise ValueError(f"{argument}={value!r} holds a zero byte, which no file name can have.")
    if not os.fspath(value):
        raise ValueError(f"{argument}='' is empty; name a file, or a folder ('.' is this one).")
    path = Path(os.path.expanduser(value))  # noqa: PTH111, Path's own refuses `~x` of no user x
    return path.resolve() if ".." in path.parts else path


def check_positive_int(argument: str, value: Any) -> int:
    """Returns an integer of at least 1 as Python's, or raises (a bool is not one)."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        came = type(value).__name__
        raise TypeError(f"{argument}={shown(value)} must be an integer, not {came}.")
    if value < 1:
        raise ValueError(f"{argument}={value} must be at least 1.")
    return int(value)


def check_real(argument: str, value: Any) -> float:
    """Returns a real, finite number as a float, or raises (a bool is not a number)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        came = type(value).__name__
        raise TypeError(f"{argument}={shown(value)} must be a number, not {came}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{argument}={shown(value)} must be finite, as a float.")
    return number


def check_bool(argument: str, value: Any) -> None:
    """Raises a `TypeError` unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{argument}={shown(value)} must be True or False.")


def check_unmasked(argument: str, value: Any) -> None:
    """Raises a `TypeError` for a masked array, or a list of such."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        what = "is" if parts is not value else f"is a {type(value).__name__} that holds"
        raise TypeError(
            f"{argument} {what} a masked array, whose mask would be lost; drop the masked rows, or "
            "use its .filled(number)."
        )


def as_numbers(argument: str, value: Any) -> NDArray[Any]:
    """Returns the value as a NumPy array of real numbers, in this machine's byte order.

    Raises:
        TypeError: It is not an array of real numbers, or it has a mask, which would be lost.
    """
    check_unmasked(argument, value)
    came = f"{argument} is a {type(value).__name__}, not an array of numbers"
    for method in ("toarray", "todense", "collect"):  # sparse, of SciPy or others; not yet computed
        if hasattr(value, method):
            raise TypeError(f"{came}; use its .{method}().")
    try:
        array = np.asarray(value)
        if array.dtype == object and (dtype := _column_type(value)):
            array = value.to_numpy(dtype)
    # A ragged list, random keys, traced numbers; a tensor of PyTorch that requires a gradient.
    except (TypeError, ValueError, RuntimeError) as error:
        fix = "; use its .float()." if "ScalarType" in str(error) else ""  # PyTorch's bfloat16
        raise TypeError(f"{came}: {error}{fix}") from error
    if array.dtype.kind in "OSUTMm" or array.dtype.type is np.void:
        raise TypeError(f"{came}: its dtype is {array.dtype}; {_number_fix(value, array.ndim)}.")
    if array.dtype.kind == "c":
        raise TypeError(
            f"{argument} has dtype {array.dtype}, expected real numbers; use its .real."
        )
    if array.dtype.kind == "f" and array.itemsize > 8:  # a long double, which only NumPy has
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _column_type(value: Any) -> np.dtype[Any] | None:
    """Returns NumPy's type for the numbers that pandas holds in types of its own, such as Int64."""
    kept = [getattr(kind, "numpy_dtype", kind) for kind in np.ravel(getattr(value, "dtypes", []))]
    numbers = kept and all(isinstance(kind, np.dtype) and kind.kind in "iuf" for kind in kept)
    return np.result_type(*kept) if numbers else None


def _number_fix(value: Any, ndim: int) -> str:
    """Returns how to make numbers of what has become an array of objects, texts or times."""
    if not ndim:
        return "pass an array"
    if ndim == 2 and hasattr(value, "dtypes"):  # one for each column
        return "make every column float32 or float64 first"
    return "make it float32, or number labels by numpy.unique(labels, return_inverse=True)[1]"


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


def memory() -> int:
    """Returns the bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
