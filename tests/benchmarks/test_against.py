"""This checkout against another side: what each side runs, and what is seen of a change."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

import proof
import pytest

from benchmarks import against
from benchmarks.__main__ import main
from benchmarks.arguments import UsageError
from benchmarks.machine import cores
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.sides import NEW, OLD, ROOT, prepare
from benchmarks.measure.worker import Worker
from benchmarks.peers import METHODS, Method
from benchmarks.plan import quick
from benchmarks.results import Setting

TINY = Setting("xor", (2, 2, 1), 4)


def checkout(folder: Path, edit: tuple[str, str] = ("", "")) -> Path:
    """Copies jaxpercep, with one piece of its `update.py` replaced."""
    shutil.copytree(ROOT / "jaxpercep", folder / "jaxpercep")
    path = folder / "jaxpercep" / "update.py"
    text = path.read_text("utf-8")
    assert edit[0] in text
    path.write_text(text.replace(*edit), "utf-8")
    return folder


# The sides.


def repository(folder: Path) -> Path:
    """A repository of two commits: in the first one, jaxpercep is a stub."""
    package = folder / "jaxpercep"
    package.mkdir(parents=True)
    shutil.copytree(ROOT / "benchmarks" / "measure", folder / "benchmarks" / "measure")
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for text in ("first = True\n", "first = False\n"):
        (package / "__init__.py").write_text(text)
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
            subprocess.run([*git, *words], check=True)
    return folder


def test_a_commit_is_taken_from_git_and_leaves_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = repository(tmp_path / "repository")
    monkeypatch.setattr("benchmarks.measure.sides.ROOT", place)
    homes = prepare("HEAD~1", tmp_path / "sides")
    (package,) = Path(homes[OLD].path[0]).iterdir()  # and no other benchmarks
    assert [path.name for path in package.iterdir()] == ["__init__.py"]
    assert (package / "__init__.py").read_text() == "first = True\n"
    assert not (place / ".git" / "worktrees").exists()
    assert len(str(homes[OLD].path[0])) == len(str(homes[NEW].path[0]))


@pytest.mark.parametrize("side", ["no-such-commit", "0.1.0", "--output=x", "HEAD:jaxpercep"])
def test_what_is_no_side_is_refused(side: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", f"--against={side}"]) == 2
    err = capsys.readouterr().err
    assert f"--against {side!r}: expected a commit of this checkout that has jaxpercep" in err
    assert "'jaxpercep[bench]==VERSION'" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--against . --cells nowhere", "--cells nowhere: expected parts of xor 2-2-1"),
        ("--against . --methods fit", "--methods 'fit': expected one of "),
        ("--against . --methods optax", "--methods optax: expected some of jaxpercep autodiff, "),
        ("--against . OLD NEW", "expected no OLD and NEW beside it"),
        ("--cells xor . .", "--methods and --cells choose what --against runs"),
        (".", "NEW is missing: expected OLD and NEW, or --against SIDE"),
    ],
)
def test_words_that_cannot_work(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *words.split()]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_each_side_imports_its_own_jaxpercep_and_our_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the folder in which we were started has both."""
    monkeypatch.chdir(ROOT)
    other = checkout(tmp_path / "other")
    (other / "benchmarks").mkdir()
    (other / "benchmarks" / "__init__.py").write_text("raise RuntimeError('the old suite')\n")
    homes = prepare(str(other), tmp_path / "sides")
    (other / "jaxpercep" / "__init__.py").write_text("raise RuntimeError('edited since')\n")
    with WorkerPool(cores(), 60, homes) as pool:
        found = [pool.call(side, Worker.environment)["jaxpercep"] for side in (OLD, NEW)]
    assert found == [str(tmp_path / "sides" / side / "jaxpercep") for side in (OLD, NEW)]


@pytest.mark.slow
def test_a_python_environment_runs_its_own_interpreter(tmp_path: Path) -> None:
    place = tmp_path / "environment"
    venv.create(place, symlinks=True)
    homes = prepare(str(place), tmp_path / "sides")
    assert Path(homes[OLD].python).is_relative_to(place)
    assert homes[OLD].path == [str(tmp_path / "sides" / "suite")]
    with pytest.raises(UsageError, match=r"old side cannot run the benchmarks: .*No module named"):
        against.compare(str(place), quick(), [], 0.05)


# What is seen.


def compared(
    old: Path, methods: list[tuple[Method, Method]], monkeypatch: pytest.MonkeyPatch
) -> against.Comparison:
    monkeypatch.setattr(against, "BLOCKS", 3)
    monkeypatch.setattr(against, "ROUNDS", 3)
    profile = dataclasses.replace(quick(), settings=(TINY,))
    return against.compare(str(old), profile, methods, 0.05)


FIT, STEP = (
    next(m for m in METHODS if m.name == name) for name in ("jaxpercep fit", proof.PLANTED)
)


@pytest.mark.slow
def test_a_planted_slowdown_is_seen_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = [(FIT, FIT), (STEP, proof.slowed(STEP, 4.0))]  # seen on a machine with other work
    found = compared(ROOT, methods, monkeypatch)
    (change,) = found.having("slower")
    assert (change.pair.setting, change.pair.method) == (TINY.key, STEP.name)
    assert change.finding.ratio.median > 2
    assert len(found.changes) == 2
    assert len(found.controls) == 1
    assert found.programs == []  # it is more work, and no other program
    assert (found.only_old, found.only_new, found.unjudged) == ([], [], [])


SORTS = (
    "        return step(state, x, y)\n",
    "        new, loss = step(state, x, y)\n"
    "        return new, loss + 0 * jax.numpy.sort(x.ravel())[0]\n",
)


@pytest.mark.slow
def test_what_the_old_side_lacks_is_listed_and_what_it_compiles_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old side has no `fit`, and its step sorts."""
    stub = checkout(tmp_path / "old", SORTS) / "jaxpercep" / "__init__.pyi"
    text = stub.read_text("utf-8")
    stub.write_text(text.replace("from .training import fit\n", ""), "utf-8")
    found = compared(tmp_path / "old", [(FIT, FIT), (STEP, STEP)], monkeypatch)
    assert [change.pair.method for change in found.changes] == [STEP.name]
    (line,) = found.only_new
    assert line.startswith(f"{TINY.key}: jaxpercep fit (AttributeError: ")
    (line,) = found.programs
    was, now = re.search(r"looped (\d+), now (\d+)", line).groups()  # type: ignore[union-attr]
    assert int(was) > int(now)


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "compare", "--against", str(ROOT)]
    with subprocess.Popen(
        [*command, "--cells", "xor 2-2-1"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("block 0 of 5: xor 2-2-1 batch 4")
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            _, err = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err == "python -m benchmarks compare: interrupted\n"
    assert list(tmp_path.iterdir()) == []
