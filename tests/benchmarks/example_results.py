"""A run of the suite that never took place: `Results` as a default run leaves them, by seed."""

from functools import cache
from typing import NamedTuple

import numpy as np

from benchmarks.results import (
    SCHEMA,
    Absence,
    Cell,
    Goal,
    Interval,
    Measurement,
    Reason,
    Results,
    Setting,
)

BLOCKS, ROUNDS = 3, 15


class Speed(NamedTuple):
    """The made-up speed of a method: seconds a call, FLOP/s, seconds to compile a layer."""

    call: float
    rate: float
    compile: float | None


METHODS = {
    "jaxpercep autodiff": Speed(14e-6, 2.9e11, 0.02),
    "jaxpercep manual": Speed(14e-6, 3.0e11, 0.02),
    "jaxpercep autodiff, one program": Speed(1e-6, 2.85e11, 0.024),
    "jaxpercep manual, one program": Speed(1e-6, 3.05e11, 0.024),
    "c++": Speed(1e-8, 3.1e11, 0.02),
    "numpy": Speed(45e-6, 1.6e11, None),
    "optax": Speed(15e-6, 2.9e11, 0.02),
    "flax linen": Speed(19e-6, 2.9e11, 0.022),
    "flax nnx (nnx.jit)": Speed(330e-6, 2.85e11, 0.03),
    "flax nnx (jax.jit)": Speed(60e-6, 2.85e11, 0.026),
    "equinox": Speed(122e-6, 2.95e11, 0.022),
    "torch": Speed(140e-6, 3.3e11, None),
    "torch.compile": Speed(197e-6, 3.2e11, 0.9),
    "scikit-learn": Speed(90e-6, 1.2e11, None),
}
OURS = [name for name in METHODS if name.startswith("jaxpercep")]
PEERS = [name for name in METHODS if name not in (*OURS, "c++")]


@cache
def settings() -> list[Setting]:
    """Some forty cells: the three curves, the grid, and a few that stand alone."""
    found: dict[str, Setting] = {}

    def add(workload: str, sizes: tuple[int, ...], batch: int, *sweeps: str) -> None:
        setting = Setting(workload, sizes, batch)
        sweeps = (*found.get(setting.key, setting).sweeps, *sweeps)
        found[setting.key] = Setting(workload, sizes, batch, sweeps)

    for batch in (1, 4, 16, 64, 256, 1024, 4096, 8192):
        add("classification", _sizes(), batch, "batch")
    for depth in (1, 2, 4, 8, 16, 32, 64, 256, 1024):
        add("classification", _sizes(depth), 256, "depth")
    for width in (16, 32, 64, 128, 256, 512, 1024):
        add("classification", _sizes(width=width), 256, "width")
    for depth in (1, 4, 16, 64):
        for batch in (1, 16, 256, 4096):
            add("classification", _sizes(depth), batch, "grid")
    for batch in (1, 256, 4096):
        add("classification-adam", _sizes(), batch)
        add("regression", (16, 128, 128, 128, 128, 1), batch)
    add("xor", (2, 2, 1), 4)
    add("xor", (2, 10, 10, 10, 1), 4)
    return list(found.values())


def _sizes(depth: int = 4, width: int = 128) -> tuple[int, ...]:
    return (64, *(width,) * depth, 10)


def example(seed: int = 0, *, cells: int | None = None, noise: float = 0.02) -> Results:
    """Makes up a run.

    Args:
        seed: of everything random; two seeds are two runs of the same code.
        cells: how many of the planned cells were reached before Ctrl-C; None for all.
        noise: standard deviation of a sample, relative.
    """
    rng = np.random.default_rng(seed)
    planned = settings()
    done = [_cell(rng, setting, noise) for setting in planned[:cells]]
    complete = len(done) == len(planned)
    return Results(
        schema=SCHEMA,
        name="example",
        command=f"python -m benchmarks --name example --seed {seed}",
        profile="default",
        started="2026-01-31T09:30:00+00:00",
        seconds=1012.5,
        complete=complete,
        interrupted=None if complete else "Ctrl-C",
        planned=[setting.key for setting in planned],
        seed=seed,
        environment=_environment(),
        warnings=[],
        peak_gflops=412.0,
        copy_bandwidth=18.4e9,
        methods={name: f"{name}, as its users write it" for name in METHODS}
        | {"mxnet": "mxnet, as its users wrote it"},
        ours=OURS,
        limits=["c++"],
        absences=[Absence("mxnet", Reason.NOT_INSTALLED, "not installed: mxnet")],
        cells=done,
        goals=_goals(rng) if complete else [],
    )


def _cell(rng: np.random.Generator, setting: Setting, noise: float) -> Cell:
    pairs = list(zip(setting.sizes[:-1], setting.sizes[1:], strict=True))
    products = sum(2 * setting.batch * a * b for a, b in pairs)
    flops = 3 * products - 2 * setting.batch * setting.sizes[0] * setting.sizes[1]
    moved = 4 * sum(3 * a * b + 4 * setting.batch * b for a, b in pairs)
    load = rng.lognormal(0, 0.01, ROUNDS)  # of the machine, common to the methods of a round
    absences = list(_absences(setting))
    absent = {absence.method for absence in absences}
    cell = Cell(setting, flops, moved, [], absences)
    for method, speed in METHODS.items():
        if method not in absent:
            cell.measurements.append(_measurement(rng, cell, method, speed, load, noise))
    cell.best_peer = min(
        (m for m in cell.measurements if m.method in PEERS), key=lambda m: m.seconds.median
    ).method
    best = cell.of(cell.best_peer)
    assert best is not None
    limit = cell.of("c++")
    for measurement in cell.measurements:
        if limit is not None and measurement is not limit:
            measurement.to_limit = interval(np.divide(measurement.times, limit.times))
        if measurement is not best:
            measurement.ratio = interval(np.divide(measurement.times, best.times))
    again = rng.lognormal(0, noise, ROUNDS) / rng.lognormal(0, noise, ROUNDS)
    cell.null, cell.null_method, cell.blocks = interval(again), "jaxpercep manual", BLOCKS
    return cell


def _measurement(
    rng: np.random.Generator,
    cell: Cell,
    method: str,
    speed: Speed,
    load: np.ndarray,
    noise: float,
) -> Measurement:
    setting = cell.setting
    rate = speed.rate * setting.width / (setting.width + 40) * setting.batch / (setting.batch + 30)
    true = speed.call * (1 + setting.depth / 20) + cell.flops / rate
    times = true * load * rng.lognormal(0, noise, ROUNDS)
    seconds = interval(times)
    gflops = cell.flops / seconds.median / 1e9
    compiled = None if speed.compile is None else 0.04 + speed.compile * (setting.depth + 1)
    used = 0.0 if compiled is None else compiled
    return Measurement(
        method=method,
        times=times.reshape(BLOCKS, -1).tolist(),
        passes=max(1, int(0.02 / true)),
        seconds=seconds,
        trace=None if compiled is None else 0.3 * compiled,
        compile=compiled,
        first_call=1.4 * used + true + 1e-3,
        dispatch=speed.call,
        samples_per_second=setting.batch / seconds.median,
        gflops=gflops,
        peak_fraction=gflops / 412,
        bandwidth_fraction=cell.bytes / seconds.median / 18.4e9,
        bound="overhead" if speed.call > true / 2 else "compute",
        temporary_bytes=None if compiled is None else int(cell.bytes / 2),
        peak_rss=None if setting.workload == "xor" else int(2.1e8 + 3 * cell.bytes),
        error=float(rng.uniform(1e-7, 4e-6)),
        notes=["peak RSS was not measured"] if setting.workload == "xor" else [],
    )


def interval(samples: np.ndarray) -> Interval:
    """The median and a rough interval, that of a notched box plot."""
    samples = samples.ravel()
    places = np.multiply([0.25, 0.5, 0.75], len(samples) - 1)
    low, median, high = np.interp(places, range(len(samples)), np.sort(samples))
    half = 1.57 * (high - low) / np.sqrt(len(samples))
    return Interval(float(median), float(median - half), float(median + half))


def _absences(setting: Setting) -> list[Absence]:
    found = []
    if setting.depth > 64:
        found.append(Absence("torch.compile", Reason.LONG_FIRST_CALL, "over 30 s"))
        found.append(Absence("flax nnx (nnx.jit)", Reason.FAILED, "RecursionError: maximum depth"))
    if setting.workload == "xor":
        found.append(
            Absence("scikit-learn", Reason.WRONG, "w of layer 1 is off by 3.1e-02, bound 1e-03")
        )
    if setting.workload == "classification-adam":
        found.append(Absence("numpy", Reason.UNSUITABLE, "it cannot train this workload"))
    return found


def _goals(rng: np.random.Generator) -> list[Goal]:
    found = []
    for target, steps in (("test accuracy 0.95", 340), ("train loss 0.1", 620)):
        for batch, learning_rate in ((32, 0.1), (256, 0.4)):
            for method, speed in METHODS.items():
                taken = int(steps * (1 + batch / 512))
                seconds = taken * (speed.call + batch * 1.2e-7) * rng.lognormal(0, 0.02)
                compiled = 0.0 if speed.compile is None else 0.04 + 3 * speed.compile
                missed = method == "scikit-learn" and target.startswith("train")
                found.append(
                    Goal(
                        method,
                        batch,
                        learning_rate,
                        target,
                        steps=None if missed else taken,
                        seconds=None if missed else seconds,
                        with_compile=None if missed else seconds + compiled,
                        reached=0.13 if missed else 0.951 if "accuracy" in target else 0.0998,
                    )
                )
    return found


def _environment() -> dict[str, object]:
    return {
        "cpu": "Example CPU @ 2.60GHz",
        "cpu_flags": ["avx2", "avx512f", "avx512_bf16", "amx_tile", "fma", *map(str, range(90))],
        "cores": 2,
        "affinity": [0, 1],
        "cgroup_quota": None,
        "governor": "performance",
        "load_before": [0.12, 0.2, 0.3],
        "load_after": [1.9, 1.2, 0.7],
        "threads": {"jax": 2, "torch": 2, "numpy": 2},
        "versions": {"jax": "0.10.1", "jaxlib": "0.10.1", "flax": "0.12.9", "torch": "2.13.0"},
        "xla_flags": "",
        "python": "3.11.9",
    }
