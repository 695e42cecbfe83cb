"""Nothing of the user's is lost: files, runs that are interrupted or killed, pipes that close."""

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import run

from jaxpercep.commands import checkpoint

ROOT = Path(__file__).parents[1]
TRAIN = ("train", "xor", "--epochs", "5", "--out", "model")
ROWS = "a,b,y\n0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n"


def start(folder: Path, *words: str, **options) -> subprocess.Popen[str]:
    """Starts the command line as a user does."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path} | options.pop("env", {})
    return subprocess.Popen(
        [sys.executable, "-m", "jaxpercep", *words],
        cwd=folder,
        env=environment,
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "rows.csv").write_text(ROWS)
    words = ("--epochs", 2, "--test-fraction", 0, "--out", folder / "model")
    assert run("train", folder / "rows.csv", *words).code == 0
    return folder


# Predictions never replace a file that was read, or one that is not predictions.


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("out", ["rows.csv", "link.csv", "model/model.json"])
def test_predictions_never_replace_what_was_read(trained: Path, out: str, force) -> None:
    if not (trained / "link.csv").exists():
        (trained / "link.csv").symlink_to(trained / "rows.csv")
    before = {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()}
    words = ("predict", trained / "model", trained / "rows.csv", "--out", trained / out, *force)
    result = run(*words)
    assert (result.code, result.out) == (2, "")
    assert f"{out} is an input of this command; choose another file." in result.err
    assert {path: path.read_bytes() for path in trained.rglob("*") if path.is_file()} == before


def test_other_files_are_replaced_by_force_and_predictions_without(trained: Path) -> None:
    out = trained / "thesis.txt"
    words = ("predict", trained / "model", trained / "rows.csv", "--out", out)
    out.write_text("mine")
    result = run(*words)
    assert result.code == 2
    assert "exists, and predict did not write it; choose another file, or add --force" in result.err
    assert out.read_text() == "mine"
    assert run(*words, "--force").code == 0
    assert out.read_text().startswith("prediction,probability\n")
    assert run(*words).code == 0


# Arguments that would train nothing, or not fit.


def test_an_activation_without_a_derivative_is_refused(tmp_path: Path) -> None:
    result = run("train", "xor", "--activation", "step", "--out", tmp_path / "model")
    assert result.code == 2
    assert "its derivative is 0 everywhere" in result.err
    assert "jaxpercep.perceptron_rule" in result.err


def test_a_network_beyond_memory_is_refused_with_its_size(tmp_path: Path) -> None:
    words = ("--hidden", 10**9, 10, "--out", tmp_path / "model")
    result = run("train", "xor", *words)
    assert result.code == 2
    assert "--hidden 1000000000 10: the parameters and their gradient take 104.0 GB" in result.err


# Pipes and terminals.


def test_a_closed_pipe_ends_the_printing_and_not_the_work(tmp_path: Path) -> None:
    with start(tmp_path, *TRAIN) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    checkpoint.load(tmp_path / "model")


def test_help_into_a_closed_pipe_is_silent(tmp_path: Path) -> None:
    with start(tmp_path, "--help") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_terminal_that_cannot_show_a_character_shows_the_rest(tmp_path: Path) -> None:
    words = ("compare", str(ROOT / "examples" / "right_mlp.py"))
    with start(tmp_path, *words, env={"PYTHONIOENCODING": "cp1252"}) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert "match" in out


# Signals, at a few random moments.


MOMENTS = [random.Random(0).uniform(0.5, 8) for _ in range(3)]
LONG = ("train", "digits", "--epochs", "100000", "--out", "model")


@pytest.mark.parametrize(
    ("moment", "number"),
    [*zip(MOMENTS, (signal.SIGINT, signal.SIGTERM, signal.SIGINT), strict=True)],
)
def test_an_interrupted_run_ends_in_order(tmp_path: Path, moment: float, number: int) -> None:
    with start(tmp_path, *LONG) as process:
        time.sleep(moment)
        process.send_signal(number)
        err = process.communicate(timeout=120)[1]
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    if (tmp_path / "model").exists():
        checkpoint.load(tmp_path / "model")
    assert len(list(tmp_path.iterdir())) <= 1


def test_sigterm_ends_a_job_in_the_background_that_ignores_ctrl_c(tmp_path: Path) -> None:
    program = f"trap '' INT; exec {shlex.join([sys.executable, '-m', 'jaxpercep', *LONG])}"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        ["sh", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
    ) as process:
        time.sleep(MOMENTS[0])
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_loses_no_model(tmp_path: Path, moment: float) -> None:
    with start(tmp_path, *TRAIN, "--seed", "1") as process:
        process.communicate()
    before, _ = checkpoint.load(tmp_path / "model")
    with start(tmp_path, *TRAIN, "--seed", "2") as process:
        time.sleep(moment)
        process.kill()
    found, _ = checkpoint.load(tmp_path / "model")
    assert found.seed in (before.seed, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
