"""Nothing of the user's is lost: files, runs that are interrupted or killed, pipes that close."""

import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import msgspec
import numpy as np
import pytest
from helpers import python, run
from matplotlib.figure import Figure

from jaxpercep.commands import checkpoint
from jaxpercep.commands.checkpoint import Trained

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


def test_help_into_a_closed_pipe_is_silent(tmp_path: Path) -> None:
    with start(tmp_path, "--help") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.slow
def test_a_terminal_that_cannot_show_a_character_shows_the_rest(tmp_path: Path) -> None:
    words = ("compare", str(ROOT / "examples" / "right_mlp.py"))
    with start(tmp_path, *words, env={"PYTHONIOENCODING": "cp1252"}) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert "match" in out


def test_lines_reach_a_pipe_as_they_come() -> None:
    program = """
import sys
from jaxpercep import __main__, cli
cli.main = lambda: print("first") or input() and print("second") or 0
sys.exit(__main__.main())
"""
    with python(program, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "first\n"
        assert process.communicate("go on\n", timeout=60) == ("second\n", "")
    assert process.returncode == 0


# A full disk: what could not be written is named, in one line, and the code is 1.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "size", "message"),
    [
        (TRAIN, 2, ".npz: the file cannot be written: File too large"),
        ((*TRAIN, "--checkpoints"), 2, "model/checkpoints: the checkpoint of step 5 cannot be wr"),
        (
            (*TRAIN, "--checkpoints", "--hidden", "400", "400"),
            20,
            "model/checkpoints: the checkpoint of step 5 cannot be written: File too large\n",
        ),
        (
            ("train", "long.csv", *TRAIN[2:], "--stream"),
            2,
            "read.x: a scratch file cannot be written: File too large",
        ),
        (
            ("sweep", "xor", "--networks", "1", "--steps", "1", "--out", "model"),
            2,
            "model: the sweep cannot be written: File too large",
        ),
        (("predict", "trained", "long.csv", "--out", "p.csv"), 2, "p.csv: the file cannot be wr"),
    ],
)
def test_what_a_full_disk_cannot_take_is_named(
    trained: Path, tmp_path: Path, words: tuple[str, ...], size: int, message: str
) -> None:
    shutil.copytree(trained / "model", tmp_path / "trained")
    (tmp_path / "long.csv").write_text("a,b,y\n" + 500 * ROWS.partition("\n")[2])
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (512 * {size},))"
    command = f"{limit}\nimport sys\nfrom jaxpercep.__main__ import main\nsys.exit(main())"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_ENABLE_COMPILATION_CACHE": "0"}
    with python(command, *words, cwd=tmp_path, env=environment) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert f"jaxpercep {words[0]}: error: " in err.splitlines()[-1]
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob(".*"))


def test_a_standard_output_that_is_full_is_named(trained: Path) -> None:
    words = ("predict", "model", "rows.csv")
    with Path("/dev/full").open("w") as full, start(trained, *words, stdout=full) as process:
        _, err = process.communicate()
    assert process.returncode == 1
    assert err.endswith("error: standard output: No space left on device\n")
    assert "Traceback" not in err


# Compiled programs are kept.


def kept_programs(folder: Path, *words: str, **changes: str) -> list[Path]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    del environment["JAX_COMPILATION_CACHE_DIR"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "jaxpercep", *TRAIN, *words]
    environment |= {"PYTHONPATH": path, **changes}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    assert b"cache" not in done.stderr
    return [file for file in folder.rglob("*") if file.name.endswith("-cache")]


@pytest.mark.slow
def test_programs_are_kept_for_the_next_run(tmp_path: Path) -> None:
    programs = kept_programs(tmp_path)
    assert programs
    assert {file.parent for file in programs} == {tmp_path / "cache" / "jaxpercep" / "programs"}
    for file in programs:
        file.write_bytes(b"cut off")
    assert set(kept_programs(tmp_path)) >= set(programs)  # and nothing was said of it


@pytest.mark.slow
def test_programs_are_not_kept_if_that_is_asked_for(tmp_path: Path) -> None:
    assert not kept_programs(tmp_path, "--no-cache")
    own = str(tmp_path / "own")
    assert {
        file.parent.name for file in kept_programs(tmp_path, JAX_COMPILATION_CACHE_DIR=own)
    } == {"own"}


# Signals, at random moments spread from the start of a process to its end. `make test` tries a few:
#
#     pytest tests/test_command_safety.py --moments 100

LONG = ("train", "digits", "--epochs", "100000", "--out", "model")
ANNOUNCED = """
import signal, sys
from jaxpercep.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
print("started", file=sys.stderr, flush=True)
sys.exit(main())
"""
SEEDS = (11, 12)  # of two models that take turns
SAVING = """
import itertools, sys
from pathlib import Path
import jax
from matplotlib.figure import Figure
from msgspec.structs import replace
from jaxpercep.commands import checkpoint
model, *seeds = sys.argv[1:]
network, _, description = checkpoint.load(Path(model))
models = [
    checkpoint.Trained(network, network.init(jax.random.key(seed)), replace(description, seed=seed))
    for seed in map(int, seeds)
]
print("started", file=sys.stderr, flush=True)
for trained in itertools.cycle(models):
    checkpoint.save(Path("model"), trained, Figure())
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Draws a moment from each of equal parts of the time, as a share of it."""
    moments = metafunc.config.getoption("moments")
    if metafunc.function is test_a_closed_pipe_ends_the_printing_and_not_the_work:
        moments = max(1, moments // 2)
    rng = random.Random(0)
    drawn = [(turn, (turn + rng.random()) / moments) for turn in range(moments)]
    if "turn" in metafunc.fixturenames:
        metafunc.parametrize(("turn", "moment"), drawn)
    elif "moment" in metafunc.fixturenames:
        metafunc.parametrize("moment", [moment for _, moment in drawn])


@contextmanager
def begin(folder: Path, program: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """Starts a program, and waits until it says that Python has started."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with python(program, *words, cwd=folder, env={**os.environ, "PYTHONPATH": path}) as process:
        try:
            assert process.stderr.readline() == "started\n"
            yield process
        finally:
            process.kill()  # one that did not end when it should have


@pytest.fixture(scope="module")
def duration(trained: Path) -> float:
    """Seconds of a short run, beside which there is a little time after its end."""
    start = time.perf_counter()
    with begin(trained, ANNOUNCED, *TRAIN[:-1], "timed") as process:
        process.communicate()
    return 1.1 * (time.perf_counter() - start)


def check_folder(folder: Path) -> None:
    """A model is there whole or not at all, and nothing beside it."""
    if (folder / "model").exists():
        checkpoint.load(folder / "model")
    assert [path.name for path in folder.iterdir()] in ([], ["model"])


@pytest.mark.slow
def test_an_interrupted_run_ends_in_order(
    tmp_path: Path, turn: int, moment: float, duration: float
) -> None:
    """Interrupts by Ctrl-C and SIGTERM in turn, runs that would not end, and runs that do."""
    number = (signal.SIGINT, signal.SIGTERM)[turn % 2]
    words = (LONG, TRAIN)[turn // 2 % 2]
    with begin(tmp_path, ANNOUNCED, *words) as process:
        time.sleep(moment * duration)
        process.send_signal(number)
        err = process.communicate(timeout=120)[1]
    finished = words is TRAIN and process.returncode == 0
    assert finished or (process.returncode == 130 and "interrupted" in err), err
    assert "Traceback" not in err
    assert (tmp_path / "model").exists() or not finished
    check_folder(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_after_the_end_changes_nothing(number: signal.Signals) -> None:
    program = f"""
import atexit, os, runpy, sys
atexit.register(os.kill, os.getpid(), {number.value})
sys.argv[1:] = ["--version"]
runpy.run_module("jaxpercep", run_name="__main__")
"""
    with python(program) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.startswith("jaxpercep ")


@pytest.mark.slow
def test_a_closed_pipe_ends_the_printing_and_not_the_work(
    tmp_path: Path, moment: float, duration: float
) -> None:
    with begin(tmp_path, ANNOUNCED, *TRAIN) as process:
        time.sleep(moment * duration)
        process.stdout.close()
        err = process.stderr.read()
        process.wait()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    check_folder(tmp_path)
    assert (tmp_path / "model").exists()


IN_A_CALLBACK = """
import gc, os, signal, time
from jaxpercep import __main__, cli

def interrupt(phase, info):
    if phase == "start":
        gc.callbacks.remove(interrupt)
        os.kill(os.getpid(), signal.{signal})

def work():
    gc.callbacks.append(interrupt)
    gc.collect()
    time.sleep(60)
    return 0

cli.main = work
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
raise SystemExit(__main__.main())
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_is_not_lost_in_a_callback(name: str) -> None:
    with python(IN_A_CALLBACK.format(signal=name)) as process:
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "jaxpercep: interrupted\n")


@pytest.mark.slow
def test_sigterm_ends_a_job_in_the_background_that_ignores_ctrl_c(
    tmp_path: Path, duration: float
) -> None:
    program = f"trap '' INT; exec {shlex.join([sys.executable, '-m', 'jaxpercep', *LONG])}"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        ["sh", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
    ) as process:
        time.sleep(duration)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.slow
def test_a_killed_run_loses_no_model(
    trained: Path, tmp_path: Path, moment: float, duration: float
) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    before = checkpoint.load(tmp_path / "model").description
    with begin(tmp_path, ANNOUNCED, *TRAIN, "--seed", "2") as process:
        time.sleep(moment * duration)
        process.kill()
    found = checkpoint.load(tmp_path / "model").description
    assert found.seed in (before.seed, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
def test_a_killed_save_loses_no_model_and_the_next_one_tidies_up(
    trained: Path, tmp_path: Path, moment: float
) -> None:
    network = checkpoint.load(trained / "model")
    seconds = [saved(tmp_path, network, seed) for seed in SEEDS]
    with begin(tmp_path, SAVING, trained / "model", *SEEDS) as process:
        time.sleep(4 * moment * sum(seconds))
        process.kill()
    found = checkpoint.load(tmp_path / "model")
    seed = found.description.seed
    assert seed in SEEDS
    jax.tree.map(np.testing.assert_array_equal, found.params, drawn(network, seed).params)
    saved(tmp_path, network, SEEDS[0])
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert [name[:7] for name in names] == ["loss.pn", "model.j", "params-"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def drawn(network: Trained, seed: int) -> Trained:
    """The network with the parameters of a seed."""
    description = msgspec.structs.replace(network.description, seed=seed)
    return Trained(network.model, network.model.init(jax.random.key(seed)), description)


def saved(folder: Path, network: Trained, seed: int) -> float:
    """Saves a model, and returns the seconds that it took."""
    start = time.perf_counter()
    checkpoint.save(folder / "model", drawn(network, seed), Figure())
    return time.perf_counter() - start
