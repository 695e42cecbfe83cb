"""Numbers as text: three significant digits, with their units."""

from humanize import metric

from benchmarks.results import Interval

NOTHING = "-"
"""Stands in a table where there is no number."""


def number(value: float) -> str:
    """Formats three significant digits without an exponent: `0.0123`, `1.50`, `1230`."""
    digits, exponent = f"{value:.2e}".split("e")
    return f"{float(f'{digits}e{exponent}'):.{max(0, 2 - int(exponent))}f}"


def seconds(value: float | None) -> str:
    """Formats a time, such as `9.40 ms`."""
    return NOTHING if value is None else metric(value, "s")


def tick(value: float) -> str:
    """Formats a time on an axis, such as `20 μs`."""
    digits, unit = metric(value, "s").split()
    return f"{float(digits):g} {unit}"


def bytes_(value: float | None) -> str:
    """Formats a size in powers of 1000, such as `34.0 MB`."""
    return NOTHING if value is None else metric(value, "B")


def rate(value: float | None) -> str:
    """Formats a count or a number per second, such as `1.23 M`."""
    return NOTHING if value is None else metric(value)


def percent(fraction: float | None) -> str:
    """Formats a fraction of 1, such as `3.2 %`."""
    return NOTHING if fraction is None else f"{100 * fraction:.1f} %"


def timed(interval: Interval) -> str:
    """Formats a time with its interval: `9.40 ms (9.31 ms to 9.52 ms)`."""
    low, median, high = map(seconds, (interval.low, interval.median, interval.high))
    return f"{median} ({low} to {high})"


def ratio(interval: Interval) -> str:
    """Formats a ratio with its interval: `0.620 (0.601 to 0.634)`."""
    return f"{number(interval.median)} ({span(interval)})"


def span(interval: Interval) -> str:
    """Formats the ends of an interval: `0.601 to 0.634`."""
    return f"{number(interval.low)} to {number(interval.high)}"


def whole(n: int) -> str:
    """Formats a whole number, in full below a million: `12,000`."""
    return f"{n:,}" if n < 1_000_000 else rate(n)


def count(n: int, noun: str) -> str:
    """Formats `1 cell`, `2 cells`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
