"""Plants the methods that `benchmarks/test_speed.py` times; a plugin of pytest."""

import dataclasses

from planted import planted

from benchmarks import peers

WELL = planted()
peers.METHODS = (
    dataclasses.replace(WELL, name="ours", ours=True),
    dataclasses.replace(WELL, name="peer"),
    dataclasses.replace(WELL, name="gone", requires=("no_such_module",)),
    planted("wrong"),
)
