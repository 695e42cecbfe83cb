"""Cells and arrays as numbers, and which cells are missing."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import check_finite

MISSING = ("", "?", "na", "nan", "+nan", "-nan")
"""What stands for a missing cell, in either case."""


def is_missing(cell: str) -> bool:
    """Returns True for a cell that is empty, or one of `MISSING`."""
    return cell.strip().lower() in MISSING


def number(cell: str) -> float | None:
    """Returns the cell as a number, or None, which NumPy reads as NaN."""
    try:
        return float(cell)
    except ValueError:
        return None


def marked(cell: str) -> str:
    """Returns the fix for a number with a comma, between thousands or decimal; else ""."""
    if number(re.sub("[,.]", "", cell)) is None or "," not in cell:
        return ""
    return (
        " If it is a number, write it with a decimal point, and without a mark between thousands: "
        "1000.5."
    )


class Decimals:
    """Reads the numbers of a file that is separated by semicolons: 1,5 or 1.5, but not both.

    In a file with both, one of them may separate thousands, and nothing says which.
    """

    def __init__(self) -> None:
        self._first: dict[str, str] = {}  # mark -> the first number that has it

    def __call__(self, cell: str) -> float | None:
        """Returns the cell as a number, or None.

        Raises:
            ValueError: It has the other decimal mark than a number before.
        """
        value = number(cell.replace(",", ".", 1))
        for mark in ",." if value is not None else "":
            if mark in cell:
                self._first.setdefault(mark, cell.strip())
        if len(self._first) > 1:
            comma, point = self._first[","], self._first["."]
            raise ValueError(
                f"{comma!r} has a decimal comma and {point!r} a decimal point; write all numbers "
                "of the file with the same mark, and none between thousands."
            )
        return value


def number_classes(labels: NDArray[Any]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Numbers the labels 0 to C-1 in sorted order, and returns the name of each."""
    names, y = np.unique(labels, return_inverse=True)
    return y.astype(np.int32), tuple(str(name) for name in names)


def finite_float32(argument: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Returns the values as float32, or raises a `ValueError` that names the argument."""
    result = as_float32(values)
    check_finite(f"{argument}, as float32,", result)
    return result


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Returns the values as float32, where overflow becomes infinity."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)
