"""`pytest benchmarks`, run as its users run it, with planted methods."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.flops import step_flops
from benchmarks.results import Setting

pytestmark = pytest.mark.slow

pytest.importorskip("pytest_benchmark")

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
CELL = Setting("xor", (2, 2, 1), 4)


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
    """Its output, its JSON, and the file that holds it."""
    folder = tmp_path_factory.mktemp("speed")
    file = folder / "speed.json"
    options = ("-p", "speed_plugin", "-p", "no:cacheprovider", "--benchmark-only")
    finished = run(
        "pytest", "benchmarks", *options, "-k", "xor and 2-2-1", f"--benchmark-json={file}"
    )
    assert file.exists(), finished.stdout + finished.stderr
    return finished.stdout, json.loads(file.read_text("utf-8")), file


def test_cells_are_groups_of_what_is_right_and_there(done: Any) -> None:
    out, document, _ = done
    found = document["benchmarks"]
    assert {b["group"] for b in found} == {CELL.key}
    assert [b["param"].rpartition("-")[2] for b in found] == ["peer", "ours"]
    assert f"benchmark '{CELL.key}': 2 tests" in out
    assert "2 passed, 1 skipped" in out.splitlines()[-1].replace("1 failed, ", "")


def test_a_wrong_method_is_refused_before_it_is_timed(done: Any) -> None:
    out, document, _ = done
    assert "AssertionError: wrong is refused: w of layer" in out
    assert "1 failed" in out
    assert "wrong" not in json.dumps(document["benchmarks"])


def test_what_is_not_installed_is_skipped_with_the_reason(done: Any) -> None:
    assert "not installed: no_such_module" in done[0]


def test_rates_and_ratios_are_extra_information(done: Any) -> None:
    peer, ours = done[1]["benchmarks"]
    for benchmark in (peer, ours):
        seconds = benchmark["stats"]["median"] / 64
        extra = benchmark["extra_info"]
        assert extra["gflops"] == pytest.approx(step_flops(CELL) / seconds / 1e9)
        assert 0 < extra["peak_fraction"] < 1
    assert "ratio" not in peer["extra_info"]
    assert ours["extra_info"]["ratio_to"] == "peer"
    ratio = ours["stats"]["median"] / peer["stats"]["median"]
    assert ours["extra_info"]["ratio"] == pytest.approx(ratio)


def test_two_of_its_files_can_be_compared_and_drawn(done: Any, tmp_path: Path) -> None:
    file = done[2]
    compared = run("pytest_benchmark", "compare", file, "--columns=median", cwd=tmp_path)
    assert compared.returncode == 0
    assert "test_step[xor 2-2-1 batch 4-ours]" in compared.stdout
    if find_spec("pygal") is None:  # not imported: its import hook would stay in this process
        pytest.skip("pygal, which draws for pytest-benchmark, is not installed")
    drawn = run(
        "pytest_benchmark", "compare", file, "--histogram", tmp_path / "speed", cwd=tmp_path
    )
    assert "Generated histogram" in drawn.stdout + drawn.stderr
    assert list(tmp_path.glob("*.svg"))
