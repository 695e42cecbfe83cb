"""Plants the methods that `benchmarks/test_speed.py` times, and a clock; a plugin of pytest."""

import dataclasses
from itertools import count

from planted import planted

from benchmarks import peers

WELL = planted()
peers.METHODS = (
    dataclasses.replace(WELL, name="ours", ours=True),
    dataclasses.replace(WELL, name="peer"),
    dataclasses.replace(WELL, name="gone", requires=("no_such_module",)),
    dataclasses.replace(WELL, name="deep", least_depth=16),
    planted("wrong"),
)

_SECONDS = count()


def clock() -> float:
    """Takes a second from one reading to the next, so that every round takes one."""
    return float(next(_SECONDS))
