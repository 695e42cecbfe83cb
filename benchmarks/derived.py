"""Numbers that follow from the times: ratios, rates, a cell's limit, when compiling pays off."""

import math
from collections.abc import Sequence

from benchmarks.peaks import Peaks
from benchmarks.results import Blocks, Cell, Interval, Measurement
from benchmarks.statistics import median_interval, paired_ratio


def speed(cell: Cell, times: Blocks, seed: int) -> tuple[Interval, float, float]:
    """Returns the seconds of a step, the samples a second, and the GFLOP/s."""
    seconds = median_interval([time for block in times for time in block], seed)
    return seconds, cell.setting.batch / seconds.median, cell.flops / seconds.median / 1e9


def add_limits(cell: Cell, measurement: Measurement, peaks: Peaks) -> None:
    """Fills in the fractions of the machine's peaks, and the limit of the cell."""
    seconds = measurement.seconds.median
    measurement.peak_fraction = cell.flops / seconds / 1e9 / peaks.gflops
    measurement.bandwidth_fraction = cell.bytes / seconds / peaks.copy_bandwidth
    measurement.bound = bound(cell.flops, cell.bytes, measurement.dispatch, peaks)


def bound(flops: float, moved: float, dispatch: float | None, peaks: Peaks) -> str:
    """Returns what takes longest at the machine's best: computing, moving memory, or the call.

    The roofline: a step takes at least flops / peak, and bytes / bandwidth. Where the same call on
    the smallest possible problem takes longer than both, it is `"overhead"`.
    """
    least = {
        "compute": flops / (peaks.gflops * 1e9),
        "memory": moved / peaks.copy_bandwidth,
        "overhead": dispatch or 0.0,
    }
    return max(least, key=lambda name: least[name])


def add_ratios(cell: Cell, ours: Sequence[str], limits: Sequence[str], seed: int) -> None:
    """Finds the best peer, and fills in each method's ratio to it and to the limit, and the A/A."""
    for limit in (m for m in cell.measurements if m.method in limits):
        for measurement in cell.measurements:
            if measurement is not limit:
                measurement.to_limit = _ratio(measurement.times, limit.times, seed)
    if (first := cell.of(cell.null_method or "")) is not None:
        cell.null = _ratio(cell.again, first.times, seed)
    peers = [m for m in cell.measurements if m.method not in (*ours, *limits)]
    if not peers:
        return
    best = min(peers, key=lambda measurement: measurement.seconds.median)
    cell.best_peer, best.ratio = best.method, None
    for measurement in cell.measurements:
        if measurement is not best:
            measurement.ratio = _ratio(measurement.times, best.times, seed)


def _ratio(a: Blocks, b: Blocks, seed: int) -> Interval | None:
    """Returns the ratio of the rounds that both took part in; None if there are none."""
    shared = [(x, y) for x, y in zip(a, b, strict=True) if x and y]
    if not shared:
        return None
    x, y = ([time for block in side for time in block] for side in zip(*shared, strict=True))
    return paired_ratio(x, y, seed)


def steps_to_break_even(ours: Measurement, peer: Measurement) -> int | None:
    """Returns the least n at which n steps, compiling included, take us no longer than the peer.

    With f the seconds of the first call and t those of a step, the two are level where
    f_ours + n t_ours = f_peer + n t_peer:

        n = (f_ours - f_peer) / (t_peer - t_ours)

    Returns:
        0 if our first call is no slower; None if it is, and our steps are not faster.
    """
    later = ours.first_call - peer.first_call
    gain = peer.seconds.median - ours.seconds.median
    if later <= 0:
        return 0
    return math.ceil(later / gain) if gain > 0 else None
