"""The record of the environment, read from files that a machine might have."""

import getpass
import json
import os
import platform
from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.machine import Usage, background, describe, differences, quota, without_paths

CPUINFO = """\
processor\t: 0
model name\t: Example CPU @ 2.60GHz
flags\t\t: sse2 avx2 fma

processor\t: 1
model name\t: Another
flags\t\t: none
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/a/b\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            },
            2.0,  # the tightest one counts
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        (
            {
                "proc/self/cgroup": "3:memory:/m\n2:cpu,cpuacct:/d\n0::/\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            3.0,
        ),
    ],
)
def test_quota(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    assert quota(write(tmp_path, files)) == expected


def test_the_quota_limits_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "affinity", lambda: [0, 2, 3, 5])
    for limit, expected in ((None, [0, 2, 3, 5]), (2.0, [0, 2]), (0.5, [0]), (9.0, [0, 2, 3, 5])):
        monkeypatch.setattr(machine, "quota", lambda limit=limit: limit)
        assert machine.cores() == expected


def test_the_processor_and_its_governor(tmp_path: Path) -> None:
    governor = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    found = describe(write(tmp_path, {"proc/cpuinfo": CPUINFO, governor: "performance\n"}))
    assert found["cpu"] == "Example CPU @ 2.60GHz"
    assert found["cpu_flags"] == ["avx2", "fma", "sse2"]
    assert found["governor"] == "performance"
    assert describe(tmp_path / "nothing")["governor"] == "unknown"


def test_the_record_is_complete_and_has_no_names_of_users_or_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_to={Path.home()}/dump --xla_cpu_x=/tmp/b")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = describe()
    assert set(machine.ESSENTIALS) <= found.keys()
    assert found["cores"] == len(machine.cores())
    assert found["versions"]["jax"]
    assert found["variables"]["OMP_NUM_THREADS"] == "2"
    assert found["xla_flags"] == "--xla_dump_to=dump --xla_cpu_x=b"
    assert found["python"] == platform.python_version()
    text = json.dumps(found)
    for secret in (str(Path.home()), getpass.getuser(), platform.node(), str(Path.cwd())):
        assert f'"{secret}"' not in text
        assert f"{secret}/" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No such file: /home/me/a.py", "No such file: a.py"),
        ("'/usr/lib/libx.so': 3 / 4", "'libx.so': 3 / 4"),
        (f"in {Path.home()}: x", "in ~: x"),
        ("w [64, 10] and/or b", "w [64, 10] and/or b"),
    ],
)
def test_paths_are_cut(text: str, expected: str) -> None:
    assert without_paths(text) == expected


def test_background_is_what_others_use(tmp_path: Path) -> None:
    tick = os.sysconf("SC_CLK_TCK")
    stat = "cpu {user} 0 {system} 777 55 0 0 0 0 0\ncpu0 1 2 3\n"
    write(tmp_path, {"proc/stat": stat.format(user=10 * tick, system=5 * tick)})
    before = Usage.now(tmp_path)
    assert before.machine == 15
    after = Usage(before.moment + 10, 15 + 12.0, before.ours + 7)
    assert background(before, after) == 0.5
    assert background(before, after._replace(machine=20.0)) == 0
    assert Usage.now(tmp_path / "nothing").machine is None
    assert background(before, Usage.now(tmp_path / "nothing")) is None


def test_differences_between_machines() -> None:
    here = describe()
    assert differences(here, here | {"load_before": [9, 9, 9], "governor": "other"}) == []
    versions = here["versions"] | {"jax": "0.0", "torch": "9"}
    other = here | {"cpu": "Z80", "versions": versions}
    found = differences(here, other)
    assert found[0] == f"cpu was {here['cpu']}, now Z80"
    assert f"jax was {here['versions']['jax']}, now 0.0" in found
    assert len(found) == 3
