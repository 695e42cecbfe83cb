"""The whole run in simulated time, with Ctrl-C and after it; the answers of the command line."""

import dataclasses
import json
import os
import platform
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import without_jax
from simulation import TIME, Simulation, method

from benchmarks import arguments, machine, peers, plan, run
from benchmarks.__main__ import main
from benchmarks.derived import add_ratios
from benchmarks.measure import cells, goals, runner
from benchmarks.measure.messages import CallError
from benchmarks.measure.worker import Worker
from benchmarks.peers import Method
from benchmarks.plan import REPEATS, Profile
from benchmarks.results import Reason, Results, Setting, load, unfinished

SMALL = [(8, 16, 4), (8, 16, 16, 4), (8, 32, 4)]
SETTINGS = tuple(Setting("classification", sizes, 16, ("width",)) for sizes in SMALL)
METHODS = (
    method("jaxpercep manual", 1e-5, ours=True),
    method("optax", 2e-5),
    method("torch", 1e-4, process="torch"),
)
PROFILE = Profile(
    name="quick",
    settings=SETTINGS,
    seconds=100,
    rounds=8,
    blocks=3,
    sample=0.01,
    first_call=10,
    patience=60,
    memory=frozenset(),
    dispatch=frozenset(),
    compiling=frozenset(),
    goals=(),
)

AGAIN = 3 * REPEATS  # samples of a cell in a later block: ours, its second instance, the best peer


class Suite:
    """The suite with methods, profile and workers of its own.

    Attributes:
        out: where results go.
        pool: the workers of the next run.
        methods: those of the next run.
        profile: that of the next run.
    """

    def __init__(self, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.out, self.pool, self.methods = out, Simulation(), METHODS
        self.profile = PROFILE
        self._monkeypatch = monkeypatch

    def __call__(self, *words: object, pool: Simulation | None = None) -> int:
        self.pool = pool or Simulation()
        with self._monkeypatch.context() as patch:
            patch.setattr(run, "WorkerPool", self._start)
            patch.setattr(run, "METHODS", self.methods)
            patch.setattr(peers, "METHODS", self.methods)
            patch.setitem(plan.PROFILES, "quick", lambda: self.profile)
            patch.setattr(run.report, "write", self._write)
            patch.setattr(runner, "BURSTING", SETTINGS[0])
            return main(["--quick", "--out", str(self.out), *map(str, words)])

    def _start(self, cores: list[int], patience: float) -> Simulation:
        assert (cores, patience) == (machine.cores(), self.profile.patience)
        return self.pool

    def _write(self, results: Results, folder: Path) -> None:
        self.reported = results
        (folder / "report.md").write_text(f"{len(results.cells)} cells", "utf-8")

    @property
    def folder(self) -> Path:
        return self.out / "quick"

    def results(self, folder: Path | None = None) -> Results:
        return load((folder or self.folder) / "results.json")


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    return Suite(tmp_path / "results", monkeypatch)


def content(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# A run.


def test_a_run_leaves_its_results(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite("--seed", 3) == 0
    results = suite.results()
    assert (results.complete, results.interrupted) == (True, None)
    assert results.command == "python -m benchmarks --quick --seed 3"
    assert results.planned == [setting.key for setting in SETTINGS]
    assert [cell.setting for cell in results.cells] == list(SETTINGS)
    assert all(len(cell.measurements) == 3 for cell in results.cells)
    assert (results.peak_gflops, results.copy_bandwidth) == (100, 1e10)
    assert results.ours == ["jaxpercep manual"]
    assert results.environment["threads"] == {"jax": 2, "torch": 2}
    assert results.environment["load_after"]
    assert results.warnings == []
    assert suite.reported == results  # to the last digit
    assert content(suite.out) == {"quick"}
    assert content(suite.folder) == {"results.json", "report.md"}
    out, err = capsys.readouterr()
    assert f"measuring on Python {platform.python_version()}, JAX {version('jax')}" in out
    assert "jaxpercep manual" in out
    assert f"saved: {suite.folder}" in out
    assert "3/3 classification 8-32-4 batch 16: jaxpercep manual" in err


def test_too_many_threads_are_a_warning(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite(pool=Simulation(pools=99)) == 0
    warnings = suite.results().warnings
    assert len(warnings) == 2
    assert warnings[0].startswith("jax works with 99 threads, allowed are ")
    assert warnings[0] in capsys.readouterr().err


def test_a_run_in_the_place_of_another(suite: Suite) -> None:
    assert suite("--seed", 1) == 0
    assert suite("--seed", 2) == 0
    assert suite.results().seed == 2
    assert content(suite.out) == {"quick"}


def test_methods_that_do_not_take_part_are_listed(suite: Suite) -> None:
    absent = Method("mxnet", "gone", "nowhere", "jax", requires=("no_such_module",))
    suite.methods = (*METHODS, absent)
    assert suite("--methods", "jaxpercep manual", "optax", "mxnet") == 0
    results = suite.results()
    assert {a.method: (a.reason, a.detail) for a in results.absences} == {
        "torch": (Reason.NOT_SELECTED, "not among --methods"),
        "mxnet": (Reason.NOT_INSTALLED, "not installed: no_such_module"),
    }
    assert set(results.methods) == {*(m.name for m in METHODS), "mxnet"}
    assert [m.method for m in results.cells[0].measurements] == ["jaxpercep manual", "optax"]


# The time limit.


def test_cells_for_which_there_is_no_time(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite("--time-limit", "2.5") == 0
    kept = unfinished(suite.folder)
    results = suite.results(kept)
    assert (results.complete, results.interrupted) == (False, "time limit")
    assert [cell.setting for cell in results.cells] == list(SETTINGS)
    first, *_, last = results.cells
    assert first.measurements
    assert not last.measurements
    assert [a.method for a in last.absences] == [m.name for m in METHODS]
    assert {(a.kind, a.reason) for a in last.absences} == {("skipped", Reason.OUT_OF_TIME)}
    assert not suite.folder.exists()
    assert re.search("ended by time limit after [12] of 3 cells", capsys.readouterr().out)
    assert suite("--resume") == 0
    assert all(cell.measurements for cell in suite.results().cells)
    assert not kept.exists()


def test_a_cell_whose_methods_are_too_slow_does_not_interrupt_the_run(suite: Suite) -> None:
    large = Setting("classification", (8, 16, 4), 4096)
    suite.profile = dataclasses.replace(PROFILE, settings=(large, *SETTINGS))
    suite.methods = tuple(method(name, 1e-5, 2e-4) for name in "abc")  # 0.8 s a step in one cell
    assert suite() == 0
    results = suite.results()
    assert (results.complete, results.interrupted) == (True, None)
    slow, *others = results.cells
    assert slow.measurements == []
    assert [absence.reason for absence in slow.absences] == 3 * [Reason.TOO_SLOW]
    assert all(len(cell.measurements) == 3 for cell in others)


@pytest.mark.parametrize("limit", [8, 16, 64])
def test_a_run_keeps_to_its_time(suite: Suite, limit: int) -> None:
    settings = [Setting("classification", (8, 16, 4), 2**i, ("batch",)) for i in range(10)]
    suite.profile = dataclasses.replace(PROFILE, settings=tuple(settings))
    suite.methods = (*METHODS, method("slow", 0.05, noise=0.3))
    assert suite("--time-limit", limit) == 0
    assert 0.5 * limit < TIME.now < 1.2 * limit
    results = suite.results(suite.folder if limit == 64 else unfinished(suite.folder))
    assert len(results.cells) == 10
    assert all(len(cell.measurements) + len(cell.absences) == 4 for cell in results.cells)
    assert all(cell.of("slow") is None for cell in results.cells[:2])


def test_later_blocks_leave_time_for_the_goals(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(goals, "MAX_EPOCHS", 2)
    suite.profile = dataclasses.replace(PROFILE, goals=((256, 0.5),))
    assert suite("--time-limit", 16) == 0
    results = suite.results(unfinished(suite.folder))
    assert (results.complete, results.interrupted) == (False, "time limit")
    assert min(cell.blocks for cell in results.cells) < PROFILE.blocks
    assert {goal.method for goal in results.goals} == {m.name for m in METHODS}


# Ctrl-C, and resuming.


def test_ctrl_c_keeps_what_is_done(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    samples = 4 * PROFILE.rounds
    assert suite(pool=Simulation(interrupt_at=2 * samples)) == 130
    kept = unfinished(suite.folder)
    results = suite.results(kept)
    assert (results.complete, results.interrupted) == (False, "Ctrl-C")
    assert [cell.setting for cell in results.cells] == list(SETTINGS[:1])
    assert (kept / "report.md").read_text("utf-8") == "1 cells"
    assert "ended by Ctrl-C after 1 of 3 cells" in capsys.readouterr().out
    first = results.cells[0]

    assert suite() == 2
    assert "holds a run that was interrupted: continue it with --resume" in capsys.readouterr().err

    assert suite("--resume") == 0
    results = suite.results()
    assert (results.complete, results.interrupted) == (True, None)
    assert results.cells[0].measurements[0].times[:1] == first.measurements[0].times
    assert [cell.setting for cell in results.cells] == list(SETTINGS)
    assert content(suite.out) == {"quick"}
    assert suite.pool.samples == 2 * samples + 2 * 3 * AGAIN
    assert ("jax", "peaks", "") not in suite.pool.calls


def test_ctrl_c_in_a_later_block_keeps_whole_blocks(suite: Suite) -> None:
    samples = 4 * PROFILE.rounds
    assert suite(pool=Simulation(interrupt_at=3 * samples + 2 * AGAIN)) == 130
    results = suite.results(unfinished(suite.folder))
    assert [cell.blocks for cell in results.cells] == [2, 1, 1]
    for cell in results.cells:
        assert {len(m.times) for m in cell.measurements} == {len(cell.again)} == {cell.blocks}
    before = results.cells[0]
    assert suite("--resume") == 0
    assert suite.pool.samples == 5 * AGAIN
    results = suite.results()
    assert [cell.blocks for cell in results.cells] == [PROFILE.blocks] * 3
    assert results.cells[0].measurements[0].times[:2] == before.measurements[0].times


def test_ctrl_c_at_the_end_of_a_block_leaves_the_cell_as_it_was(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 5  # the second cell of the second block

    def interrupted(*args: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        add_ratios(*args)

    monkeypatch.setattr(cells, "add_ratios", interrupted)
    assert suite() == 130
    results = suite.results(unfinished(suite.folder))
    assert [cell.blocks for cell in results.cells] == [2, 1, 1]
    assert [len(cell.measurements[0].times) for cell in results.cells] == [2, 1, 1]


def test_blocks_have_processes_of_their_own_and_share_what_jax_compiles(suite: Suite) -> None:
    assert suite() == 0
    first, second, third, *others = suite.pool.kept
    assert first is not None
    assert first == second == third
    assert not first.exists()  # it went with the run
    assert others == [None, None]  # the time to an accuracy counts compiling
    assert [cell.blocks for cell in suite.results().cells] == [PROFILE.blocks] * 3
    orders = [name for _, function, name in suite.pool.calls if function == "sample"]
    later = orders[3 * 4 * PROFILE.rounds :]
    assert len(later) == 2 * 3 * AGAIN
    assert later[:AGAIN] != later[3 * AGAIN : 4 * AGAIN]
    assert set(later) == {"jaxpercep manual", "jaxpercep manual, again", "optax"}
    calibrated = [name for _, function, name in suite.pool.calls if function == "calibrate"]
    assert len(calibrated) == 3 * 4


def test_numbers_are_those_of_all_blocks(suite: Suite) -> None:
    assert suite() == 0
    for cell in suite.results().cells:
        for m in cell.measurements:
            assert len(m.times) == PROFILE.blocks
            times = np.concatenate(m.times)
            assert m.seconds.median == pytest.approx(np.median(times), rel=1e-4)
            assert m.gflops == pytest.approx(cell.flops / m.seconds.median / 1e9, rel=1e-4)
        first, best = cell.measurements[0], cell.of(cell.best_peer or "")
        assert best is not None
        assert first.ratio is not None
        assert cell.null is not None
        ratios = np.concatenate(first.times) / np.concatenate(best.times)
        assert first.ratio.median == pytest.approx(np.median(ratios), rel=1e-4)
        again = np.concatenate(cell.again) / np.concatenate(first.times)
        assert cell.null.median == pytest.approx(np.median(again), rel=1e-4)


def test_a_method_that_fails_in_a_later_block_lacks_that_block(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Simulation.call

    def failing(self: Simulation, process: str, function: Any, *args: Any) -> Any:
        if len(self.kept) == 2 and function is Worker.build and args[0] == "optax":
            raise CallError("out of memory")
        return call(self, process, function, *args)

    monkeypatch.setattr(Simulation, "call", failing)
    assert suite() == 0
    for cell in suite.results().cells:
        optax, torch = cell.of("optax"), cell.of("torch")
        assert optax is not None
        assert torch is not None
        assert [len(block) for block in optax.times] == [8, 0, 2]
        assert optax.notes == ["block 2: out of memory"]
        assert [len(block) for block in torch.times] == [8, 0, 0]  # it is not the best
        assert cell.measurements[0].ratio is not None


def test_ctrl_c_leaves_the_results_of_an_earlier_run(suite: Suite) -> None:
    assert suite("--seed", 1) == 0
    before = suite.results()
    assert suite("--seed", 2, pool=Simulation(interrupt_at=50)) == 130
    assert suite.results() == before
    assert suite("--seed", 2, "--resume") == 0
    assert suite.results().seed == 2


def test_ctrl_c_before_the_first_cell(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite(pool=Simulation(interrupt_at=3)) == 130
    assert "interrupted before the first cell: nothing to keep" in capsys.readouterr().err
    assert content(suite.out) == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 9}, "seed was 9, now 0"),
        ({"planned": ["x"]}, "other planned"),
        ({"absences": [{"method": "m", "reason": "failed", "detail": "x"}]}, "other absences"),
        ({"cpu": "Z80"}, "cpu was Z80, now "),
        ({"versions": {"numpy": "0.1"}}, "numpy was 0.1, now "),
    ],
)
def test_another_run_is_not_resumed(
    suite: Suite, capsys: pytest.CaptureFixture[str], change: dict[str, Any], message: str
) -> None:
    assert suite(pool=Simulation(interrupt_at=50)) == 130
    path = unfinished(suite.folder) / "results.json"
    document = json.loads(path.read_text("utf-8"))
    place = document if change.keys() <= document.keys() else document["environment"]
    place.update(change)
    path.write_text(json.dumps(document), "utf-8")
    assert suite("--resume") == 2
    err = capsys.readouterr().err
    assert "--resume: the run that was interrupted was another one" in err
    assert message in err
    assert path.exists()


INTERRUPTIBLE = """
import dataclasses, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = sys.argv.pop(1).split(",")
from planted import planted
from test_main import PROFILE
from benchmarks import peers, plan, run
from benchmarks.__main__ import main
from benchmarks.measure import runner
runner.BURSTING = PROFILE.settings[0]
peers.METHODS = run.METHODS = (planted(), dataclasses.replace(planted("thin"), process="other"))
plan.PROFILES["quick"] = lambda: dataclasses.replace(PROFILE, seconds=600, rounds=12)
sys.exit(main())
"""


@pytest.mark.slow
def test_ctrl_c_in_real_processes(tmp_path: Path) -> None:
    folders = Path(__file__).parents[:2]  # of `planted` and of `helpers`
    words = [",".join(map(str, folders)), "--quick", "--out", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            assert process.stderr is not None
            while not (line := process.stderr.readline()).startswith("1/3"):
                assert line.startswith("warning") or process.poll() is None
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "ended by Ctrl-C after 1 of 3 cells" in out
    assert "Traceback" not in err
    kept = tmp_path / "quick.unfinished"
    assert content(kept) == {"results.json", "report.html", "report.md"}
    results = load(kept / "results.json")
    assert results.interrupted == "Ctrl-C"
    (cell,) = results.cells
    assert {m.method for m in cell.measurements} == {"well-behaved", "thin"}
    assert results.peak_gflops > 1
    assert max(results.environment["threads"].values()) <= results.environment["cores"]


# Two runs.


def compare(suite: Suite, *words: object) -> int:
    old, new = (suite.out / name for name in ("old", "new"))
    return main(["compare", str(old), str(new / "results.json"), *map(str, words)])


def test_two_runs_of_the_same_code_are_silent(
    suite: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite("--name", "old", "--seed", 1) == 0
    assert suite("--name", "new", "--seed", 2, pool=Simulation(noise_seed=9)) == 0
    capsys.readouterr()
    assert compare(suite) == 0
    assert "0 slower, 0 faster" in capsys.readouterr().out


def test_a_planted_slowdown_is_loud(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert suite("--name", "old") == 0
    slower = method("jaxpercep manual", 1.15e-5, 1.15e-6, ours=True)
    suite.methods = (slower, *METHODS[1:])
    assert suite("--name", "new", pool=Simulation(noise_seed=9)) == 0
    old, new = (suite.results(suite.out / name) for name in ("old", "new"))
    for before, after in zip(old.cells, new.cells, strict=True):
        for name, expected in (("jaxpercep manual", 1.15), ("optax", 1.0)):
            first, second = before.of(name), after.of(name)
            assert first is not None
            assert second is not None
            ratio = second.seconds.median / first.seconds.median
            assert ratio == pytest.approx(expected, abs=0.04)
    capsys.readouterr()
    assert compare(suite) == 1
    assert "3 slower, 0 faster, 0 without a difference" in capsys.readouterr().out
    assert compare(suite, "--threshold", 0.3) == 0


# Time to accuracy.


def test_goals_are_pursued_by_those_who_are_right(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(goals, "MAX_EPOCHS", 40)
    suite.profile = dataclasses.replace(PROFILE, settings=SETTINGS[:1], goals=((256, 0.5),))
    learner = method("learner", learns=True, noise=0.01)
    slow = method("slow", slow_to_compile=True)
    suite.profile = dataclasses.replace(suite.profile, compiling=frozenset([SETTINGS[0].key]))
    suite.methods = (METHODS[0], learner, method("wrong", gradient=1.1), slow)
    assert suite("--seed", 4) == 0
    results = suite.results()
    assert [(goal.method, goal.batch) for goal in results.goals] == [
        ("jaxpercep manual", 256),
        ("jaxpercep manual", 256),
        ("learner", 256),
        ("learner", 256),
    ]
    assert [goal.steps is None for goal in results.goals] == [True, True, False, False]
    assert results.warnings == []


def test_goals_are_resumed(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.profile = dataclasses.replace(PROFILE, settings=SETTINGS[:1], goals=((256, 0.5),))
    suite.methods = tuple(method(name, learns=True, noise=0.01) for name in "ab")
    monkeypatch.setattr(goals, "MAX_EPOCHS", 5)
    rounds, first = 3 * PROFILE.rounds + 2 * 2 * REPEATS, 4
    assert suite(pool=Simulation(interrupt_at=rounds + first + 2)) == 130
    kept = suite.results(unfinished(suite.folder))
    assert len(kept.cells) == 1
    assert [goal.method for goal in kept.goals] == ["a", "a"]
    assert suite("--resume") == 0
    assert [goal.method for goal in suite.results().goals] == ["a", "a", "b", "b"]


# Answers of the command line.

ANSWERS = {
    "--help": (0, "--time-limit SECONDS"),
    "compare --help": (0, "--threshold FLOAT"),
    "--quick --full": (2, "--quick and --full are not allowed together"),
    "--methods torhc": (2, "--methods 'torhc': expected one of "),
    "--name a/b": (2, "error: --name 'a/b': expected letters, digits, '.', '-' and '_'."),
    "--time-limit 0": (2, "error: --time-limit 0.0: expected above 0 seconds."),
    "--time-limit nan": (2, "error: --time-limit nan: expected above 0 seconds."),
    "--seed -1": (2, "error: --seed -1: expected at least 0 and below 2**32."),
    "--resume --out nowhere": (2, "error: --resume: there is no run to continue at nowhere"),
    "compare nowhere .": (2, "compare: error: OLD='nowhere': there is no such file or folder."),
    "compare . . --threshold 2": (2, "error: --threshold 2.0: expected at least 0 and below 1."),
}


def test_help_and_wrong_arguments_are_answered_without_jax(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no run
    results = without_jax("benchmarks.__main__", *ANSWERS)
    for (code, expected), result in zip(ANSWERS.values(), results, strict=True):
        assert result.code == code
        assert expected in (result.err if code else result.out)
        assert not (result.out if code else result.err)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"quick/thesis.tex": ""}, "is not a benchmark run: it has no results.json"),
        (
            {"quick/results.json": "{}"},
            "is not a benchmark run: Object missing required field `schema`",
        ),
        ({"quick": ""}, "is a file; move it away"),
    ],
)
def test_folders_that_are_not_ours_are_refused(
    suite: Suite, capsys: pytest.CaptureFixture[str], files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        path = suite.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert suite() == 2
    assert message in capsys.readouterr().err
    assert all((suite.out / name).read_text("utf-8") == text for name, text in files.items())


def test_files_beside_the_results_are_not_lost(
    suite: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite() == 0
    (suite.folder / "notes.txt").write_text("mine", "utf-8")
    assert suite() == 2
    assert (
        "holds a benchmark run and also 'notes.txt', which would be lost" in capsys.readouterr().err
    )


def test_the_files_of_two_runs(tmp_path: Path) -> None:
    compare = arguments.Compare(tmp_path, tmp_path / "x.json")
    assert compare.files() == (tmp_path / "results.json", tmp_path / "x.json")
