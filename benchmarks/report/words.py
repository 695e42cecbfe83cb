"""Numbers as text: three significant digits, with their units."""

from benchmarks.results import Interval

TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
RATE = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
SIZE = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
NOTHING = "-"  # what a table shows where there is no number


def number(value: float) -> str:
    """Three significant digits, never in exponential notation: `0.0123`, `1.50`, `1230`."""
    digits, exponent = f"{value:.2e}".split("e")
    return f"{float(f'{digits}e{exponent}'):.{max(0, 2 - int(exponent))}f}"


def seconds(value: float | None) -> str:
    """A time, as `9.40 ms`."""
    return _scaled(value, TIME)


def tick(value: float) -> str:
    """A time on an axis, as `20 µs`."""
    scale, unit = _unit(value, TIME)
    return f"{value / scale:.3g} {unit}"


def bytes_(value: float | None) -> str:
    """A size in powers of 1000, as `34.0 MB`."""
    return _scaled(value, SIZE)


def rate(value: float | None) -> str:
    """A number a second or a count, as `1.23 M`."""
    return _scaled(value, RATE)


def percent(fraction: float | None) -> str:
    """A fraction of 1, as `3.2 %`."""
    return NOTHING if fraction is None else f"{100 * fraction:.1f} %"


def timed(interval: Interval) -> str:
    """A time with its interval, all in the unit of the median: `9.40 ms (9.31 to 9.52)`."""
    scale, _ = _unit(interval.median, TIME)
    return f"{seconds(interval.median)} ({span(interval, scale)})"


def ratio(interval: Interval) -> str:
    """A ratio with its interval: `0.620 (0.601 to 0.634)`."""
    return f"{number(interval.median)} ({span(interval)})"


def span(interval: Interval, scale: float = 1.0) -> str:
    """The ends of an interval, divided by the scale: `0.601 to 0.634`."""
    return f"{number(interval.low / scale)} to {number(interval.high / scale)}"


def whole(n: int) -> str:
    """A whole number in full below a million, as `12,000`."""
    return f"{n:,}" if n < 1_000_000 else rate(n)


def count(n: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _scaled(value: float | None, units: tuple[tuple[float, str], ...]) -> str:
    if value is None:
        return NOTHING
    scale, unit = _unit(value, units)
    return f"{number(value / scale)} {unit}".strip()


def _unit(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    """The largest unit that the rounded value reaches, or the smallest there is."""
    rounded = float(f"{value:.2e}")
    return next((unit for unit in units if rounded >= unit[0]), units[-1])
