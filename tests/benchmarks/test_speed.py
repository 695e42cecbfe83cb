"""`pytest benchmarks`, run as its users run it, with planted methods."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.plan import default
from benchmarks.results import Setting

pytestmark = pytest.mark.slow

pytest.importorskip("pytest_benchmark")

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
CELL = Setting("xor", (2, 2, 1), 4)
PLUGIN = ("-p", "speed_plugin", "-p", "no:cacheprovider")


def run(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, words)]
    path = os.pathsep.join([str(ROOT), str(HERE), *sys.path])
    # The variables of pytest-xdist would switch the timing off.
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=own | {"PYTHONPATH": path},
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    """Its output, its JSON, and the file that holds it; every round takes a second."""
    file = tmp_path_factory.mktemp("speed") / "speed.json"
    options = ("--benchmark-only", "--benchmark-min-rounds=7", "--benchmark-max-time=0")
    clock, saved = "--benchmark-timer=speed_plugin.clock", f"--benchmark-json={file}"
    finished = run("pytest", "benchmarks", *PLUGIN, *options, "-k", "xor and 2-2-1", clock, saved)
    assert file.exists(), finished.stdout + finished.stderr
    return finished.stdout, json.loads(file.read_text("utf-8")), file


def test_cells_are_groups_of_what_is_right_and_there(done: Any) -> None:
    out, document, _ = done
    found = document["benchmarks"]
    assert {b["group"] for b in found} == {CELL.key}
    assert [b["params"]["method"] for b in found] == ["ours", "peer"]
    assert f"benchmark '{CELL.key}': 2 tests" in out
    assert "2 passed, 1 skipped" in out.splitlines()[-1].replace("1 failed, ", "")


def test_times_are_those_of_one_step(done: Any) -> None:
    for benchmark in done[1]["benchmarks"]:
        stats = benchmark["stats"]
        assert stats["rounds"] == 7  # as the options say
        assert stats["iterations"] % 8 == 0  # whole passes over 8 batches
        assert stats["iterations"] > 8  # of as many as it takes to fill a round
        assert stats["data"] == [1 / stats["iterations"]] * 7


def test_a_wrong_method_is_refused_before_it_is_timed(done: Any) -> None:
    out, document, _ = done
    assert "AssertionError: wrong is refused: w of layer" in out
    assert "1 failed" in out
    assert "wrong" not in json.dumps(document["benchmarks"])


def test_what_is_not_installed_is_skipped_with_the_reason(done: Any) -> None:
    assert "not installed: no_such_module" in done[0]


def test_nothing_is_timed_where_timing_is_switched_off() -> None:
    words = (*PLUGIN, "--benchmark-disable", "-k", "xor and 2-2-1 and peer")
    assert "1 passed" in run("pytest", "benchmarks", *words).stdout


@pytest.mark.parametrize("sweep", ["batch", "depth", "width", "grid"])
def test_a_sweep_is_chosen_by_its_mark(sweep: str) -> None:
    out = run("pytest", "benchmarks", *PLUGIN, "--collect-only", "-q", "-m", sweep).stdout
    found = {line.rpartition("[")[2] for line in out.splitlines() if "[" in line}
    cells = [s for s in default().settings if sweep in s.sweeps and s.depth <= 64]
    names = [(cell, ["ours", "peer", "gone", "wrong"]) for cell in cells]
    deep = {f"{cell.key}-deep]" for cell in cells if cell.depth >= 16}
    assert found == {f"{cell.key}-{name}]" for cell, some in names for name in some} | deep
    assert len(cells) > 3


def test_its_files_can_be_grouped_compared_and_drawn(done: Any, tmp_path: Path) -> None:
    def compare(*words: object) -> subprocess.CompletedProcess[str]:
        return run("pytest_benchmark", "compare", *words, cwd=tmp_path)

    other = tmp_path / "other.json"
    other.write_text(done[2].read_text("utf-8"), "utf-8")
    beside = compare(done[2], other, "--between=median")
    assert beside.returncode == 0
    assert beside.stdout.count("+0.0%") == 2
    for name, value in (("depth", 1), ("batch", 4), ("workload", "xor"), ("network", "2-2-1")):
        grouped = compare(done[2], f"--group-by=param:{name}", "--columns=median")
        assert f"benchmark '{name}={value}': 2 tests" in grouped.stdout
        assert "test_step[xor 2-2-1 batch 4-ours]" in grouped.stdout
    assert "'method=peer': 1 tests" in compare(done[2], "--group-by=param:method").stdout
    if find_spec("pygal") is None:  # not imported: its import hook would stay in this process
        pytest.skip("pygal, which draws for pytest-benchmark, is not installed")
    drawn = compare(done[2], "--histogram", tmp_path / "speed")
    assert "Generated histogram" in drawn.stdout + drawn.stderr
    assert list(tmp_path.glob("*.svg"))
