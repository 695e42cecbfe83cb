"""The machine of a run: the processor, the share of it that we may use, its load, and versions.

Nothing here names a user, a host or a path.
"""

import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.instructions import refusal

ROOT = Path("/")

PACKAGES = (
    "jaxpercep",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "equinox",
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
)
VARIABLES = (
    "JAX_",
    "XLA_",
    "OMP_",
    "OPENBLAS_",
    "MKL_",
    "KMP_",
    "GOMP_",
    "TORCH",
    "PJRT_",
    "NPROC",
)
ESSENTIALS = ("cpu", "cores", "python", "versions", "variables")
"""Facts that must agree for a run to be resumed."""


def cores() -> list[int]:
    """Lists the cores that methods may use: of the affinity, as many as the quota allows.

    More threads than that would be stopped now and then, in the middle of a sample.
    """
    allowed = affinity()
    limit = quota()
    return allowed if limit is None else allowed[: max(1, round(limit))]


def affinity() -> list[int]:
    """Lists the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def quota(root: Path = ROOT) -> float | None:
    """Returns the cores' worth of time of the process's control group; None if not limited.

    Version 2 keeps it in `cpu.max`, version 1 in `cpu.cfs_quota_us`; the tightest group above
    counts.
    """
    found: list[float] = []
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = Path(path.lstrip("/"))
        for folder in (group, *group.parents):
            found.extend(_group_quota(mount / folder))
    return min(found, default=None)


def _group_quota(folder: Path) -> list[float]:
    names = "cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"  # "200000 100000" in one or two
    limits = " ".join(_read(folder / name) or "" for name in names).split()[:2]
    if len(limits) != 2 or limits[0] in ("max", "-1"):  # not limited
        return []
    return [int(limits[0]) / int(limits[1])]


def describe(root: Path = ROOT) -> dict[str, Any]:
    """Records a run's environment, as far as it is known before the run."""
    first, _, _ = (_read(root / "proc/cpuinfo") or "").partition("\n\n")  # processor of several
    governor = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    lines = (line.partition(":") for line in first.splitlines())
    info = {name.strip(): value.strip() for name, _, value in lines}
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cpu_flags": sorted(info.get("flags", "").split()),
        "cores": len(cores()),
        "affinity": affinity(),
        "cgroup_quota": quota(root),
        "governor": (governor or "unknown").strip(),
        "load_before": load(),
        "versions": _versions(),
        "variables": {
            name: without_paths(value)
            for name, value in sorted(os.environ.items())
            if name.startswith(VARIABLES)
        },
        "xla_flags": without_paths(os.environ.get("XLA_FLAGS", "")),
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()}",
        "garbage_collection": "before each sample, and not during it",
        "instructions": refusal() or "counted",
    }


def without_paths(text: str) -> str:
    """Cuts each absolute path in a text to its last name; a home folder becomes `~`."""

    def cut(found: re.Match[str]) -> str:
        return "~" if found[0] == str(Path.home()) else found[1]

    return re.sub(r"(?<![\w.])/(?:[^\s/:,;='\"]+/)*([^\s/:,;='\"]+)", cut, text)


def load() -> list[float]:
    """Returns the mean number of running processes in the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


class Usage(NamedTuple):
    """Processor time in seconds, up to a moment.

    Attributes:
        moment: on a monotonic clock.
        machine: of all processes of the machine; None where the system does not report it.
        ours: of this process and its ended children.
    """

    moment: float
    machine: float | None
    ours: float

    @classmethod
    def now(cls, root: Path = ROOT) -> "Usage":
        """Returns the usage up to now."""
        first = (_read(root / "proc/stat") or "").partition("\n")[0].split()[1:]
        ticks = [*map(int, first[:8])]  # user nice system idle iowait irq softirq steal
        busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK") if ticks else None
        return cls(time.monotonic(), busy, sum(os.times()[:4]))


def background(before: Usage, after: Usage) -> float | None:
    """Returns how many cores others kept busy in between, on average."""
    if before.machine is None or after.machine is None:
        return None
    others = (after.machine - before.machine) - (after.ours - before.ours)
    return round(max(0.0, others / (after.moment - before.moment)), 3)


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lists the differences between two records that make their times incomparable."""
    found = []
    for name in ESSENTIALS:
        was, now = old.get(name), new.get(name)
        if isinstance(was, dict) and isinstance(now, dict):
            keys = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
            found.extend(f"{key} was {was.get(key)}, now {now.get(key)}" for key in keys)
        elif was != now:
            found.append(f"{name} was {was}, now {now}")
    return found


def _versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a peer that is not installed is listed among the methods
    return found


def _read(path: Path) -> str | None:
    """Reads a file; None where this system has no such file."""
    try:
        return path.read_text("utf-8")
    except OSError:
        return None
