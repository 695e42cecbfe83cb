"""Runs that are interrupted go on to the same bits; what cannot be gone on with is refused."""

import logging
import os
import shutil
import signal
import sys
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import kill
import numpy as np
import optax
import pytest
from helpers import python, run
from runs import (
    Killed,
    arrays_of,
    assert_same,
    bits,
    description_of,
    files_of,
    killing,
    quick,
    rewritten,
    steps_in,
    truncated,
)

import jaxpercep as jp
from jaxpercep import loop, resuming
from jaxpercep import steps as program
from jaxpercep._files import series
from jaxpercep._identity import program_digest

# TensorStore may answer when Orbax has closed its event loop, if it failed to read another array.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MODEL, LOSS, SGD = jp.mlp([2, 3, 1], jp.tanh), jp.SquaredError(), optax.sgd(0.1, momentum=0.5)
KEY = jax.random.key(5)
BATCHES = {"batch_size": 3, "key": KEY}  # three an epoch
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(10, 2)), np.float32)
Y = jnp.sin(X.sum(-1, keepdims=True))
HELD_OUT = (X[:4] + 1, Y[:4] ** 2)
OPPOSITE = (X, -Y)  # what is learned makes it worse
NOISY = optax.chain(optax.add_noise(0.1, 0.5, key=jax.random.key(1)), optax.sgd(0.1))
STOPPING = {"early_stopping": jp.EarlyStopping(2), "validation": OPPOSITE, "validate_every": 2}
RUNS = {
    "full batch": {"steps": 6},
    "manual": {"steps": 6, "method": "manual", "optimizer": optax.adam(0.1)},
    "batches": {"epochs": 2, **BATCHES, "sample_weight": np.arange(10)},
    "validation": {"steps": 7, "validation": HELD_OUT, "validate_every": 3, **BATCHES},
    "best": {"steps": 7, **STOPPING, "early_stopping": jp.EarlyStopping(9)},
    "early stopping": {"steps": 99, **STOPPING, **BATCHES},
    "random keys": {"steps": 6, "optimizer": NOISY},
}


@pytest.fixture(autouse=True)
def single_steps(monkeypatch):
    """Cuts runs after each step."""
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)


def fit(folder=None, *, every=0, keep=2, **options):
    """Trains, with a checkpoint after each step if there is a folder."""
    given = {"model": MODEL, "loss": LOSS, "optimizer": SGD, "x": X, "y": Y, **options}
    if "state" not in given:
        given["state"] = jp.init_state(given["model"], given["optimizer"], jax.random.key(0))
    if folder is not None:
        given["checkpoints"] = jp.Checkpoints(folder, every_seconds=every, keep=keep)
    return jp.fit(**given)


# The same bits


@pytest.mark.parametrize("at", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("options", quick(RUNS, "batches", "best", "random keys"))
def test_a_run_that_was_killed_ends_in_the_same_bits(tmp_path, options, at):
    with pytest.raises(Killed):
        fit(tmp_path, **options, callback=partial(killing, at))
    seen = []
    callback = lambda state, _: seen.append(int(state.step))  # noqa: E731
    resumed = fit(tmp_path, every=1e9, **options, callback=callback)
    assert_same(resumed, fit(**options))
    assert (seen or [at + 1])[0] == at + 1


def test_a_run_goes_on_with_the_same_settings_as_numbers_of_numpy(tmp_path):
    def run(folder, whole, real):
        model = jp.Serial(
            jp.Dense(whole(2), whole(3)),
            jp.LayerNorm(whole(3), real(0.5)),
            jp.Repeat(jp.mlp([whole(3), whole(3)]), whole(2)),
            jp.Dense(whole(3), whole(1)),
        )
        return fit(
            folder,
            model=model,
            loss=jp.SquaredError(real(0.5)),
            steps=whole(4),
            batch_size=whole(3),
            key=KEY,
            validation=HELD_OUT,
            validate_every=whole(2),
            early_stopping=jp.EarlyStopping(whole(3), real(0.25)),
            keep=whole(2),
            every=real(0),
        )

    assert_same(run(tmp_path, int, float), run(tmp_path, np.int64, np.float32))


def test_a_run_is_killed_again_and_again(tmp_path):
    options = RUNS["best"]
    for at in (1, 2, 4, 5):
        with pytest.raises(Killed):
            fit(tmp_path, **options, callback=partial(killing, at))
    assert_same(fit(tmp_path, **options), fit(**options))


def test_a_resumed_run_is_one_of_the_state_that_it_began_with(tmp_path):
    start, _ = fit(steps=4, **BATCHES)
    with pytest.raises(Killed):
        fit(tmp_path, state=start, steps=7, **BATCHES, callback=partial(killing, 8))
    assert steps_in(tmp_path) == [7, 8]
    resumed = fit(tmp_path, state=start, steps=7, **BATCHES)
    assert resumed[1].first == 4
    assert_same(resumed, fit(state=start, steps=7, **BATCHES))


@pytest.mark.parametrize("dtype", quick({d: d for d in ("bfloat16", "float16", "float64")}))
def test_every_type_comes_back(tmp_path, dtype):
    with jax.enable_x64(dtype == "float64"):
        state = jp.init_state(MODEL, SGD, KEY)
        params = jax.tree.map(lambda leaf: leaf.astype(dtype), state.params)
        state = jp.TrainState.create(params, SGD)
        options = {"state": state, "x": X.astype(dtype), "y": Y.astype(dtype), "steps": 4}
        with pytest.raises(Killed):
            fit(tmp_path, **options, callback=partial(killing, 2))
        resumed = fit(tmp_path, **options)
        assert resumed[0].params[0].w.dtype == dtype
        assert_same(resumed, fit(**options))


def test_a_run_goes_on_without_compiling_again(tmp_path):
    optimizer = optax.sgd(0.2)
    with pytest.raises(Killed):
        fit(tmp_path, optimizer=optimizer, steps=4, callback=partial(killing, 2))
    before = program.run_steps._cache_size()
    fit(tmp_path, optimizer=optimizer, steps=4)
    assert program.run_steps._cache_size() == before


@pytest.mark.slow
def test_when_it_is_written_changes_nothing(tmp_path):
    expected = fit(**RUNS["best"])
    for every in (0, 1e-3, 1e9):
        assert_same(fit(tmp_path / str(every), every=every, **RUNS["best"]), expected)


@pytest.mark.parametrize("before", [0, 2])
def test_a_run_that_diverges_does_so_again(tmp_path, before):
    steep = {"optimizer": optax.sgd(1e3), "x": X, "y": 1e3 * Y, "steps": 99}
    with pytest.warns(RuntimeWarning, match="training diverged"):
        expected = fit(**steep)
    at = expected[1].diverged - before  # 0: the state whose loss is not finite any more
    assert at > 2
    with pytest.raises(Killed):
        fit(tmp_path, **steep, callback=partial(killing, at))
    for _ in range(2):  # from there, and from the last checkpoint that it left
        with pytest.warns(RuntimeWarning, match=f"diverged: at step {expected[1].diverged} "):
            resumed = fit(tmp_path, **steep)
        assert_same(resumed, expected)
    assert max(steps_in(tmp_path)) < expected[1].diverged


@dataclass(frozen=True)
class Foreign(jp.AutodiffLayer):
    """A layer whose `repr` shows the addresses of its functions, which no other process has."""


def foreign_model(factor):
    layer = Foreign(lambda _: (), lambda _, x: factor * jnp.sin(x))
    return jp.Serial(jp.Dense(2, 3), layer, jp.Dense(3, 1))


def test_functions_are_known_by_what_they_do(tmp_path):
    assert " at 0x" in repr(foreign_model(1.0))
    with pytest.raises(Killed):
        fit(tmp_path, model=foreign_model(2.0), steps=4, callback=partial(killing, 2))
    resumed = fit(tmp_path, model=foreign_model(2.0), steps=4)
    assert_same(resumed, fit(model=foreign_model(2.0), steps=4))
    with pytest.raises(ValueError, match="the update is another: its optimizer, or a function"):
        fit(tmp_path, model=foreign_model(3.0), steps=4)


MODULE = """
module @jit_run {
  func.func public @main(%arg0: tensor<f32>) -> tensor<f32> {
    %0 = call @FIRST(%arg0) : (tensor<f32>) -> tensor<f32>
    %1 = call @SECOND(%0) : (tensor<f32>) -> tensor<f32>
    return %1 : tensor<f32>
  }
FUNCTIONS}
"""
FUNCTION = """  func.func private @{}(%arg0: tensor<f32>) -> tensor<f32> {{
    %0 = stablehlo.{} %arg0 : tensor<f32>
    return %0 : tensor<f32>
  }}
"""


def digest_of(first, second, **functions):
    text = "".join(FUNCTION.format(name, does) for name, does in functions.items())
    text = MODULE.replace("FIRST", first).replace("SECOND", second).replace("FUNCTIONS", text)
    return program_digest(text)


def test_a_program_is_what_its_functions_do():
    shared = digest_of("f", "f", f="sine")
    assert digest_of("f", "f_1", f="sine", f_1="sine") == shared
    assert digest_of("f_9", "f", f="sine", f_9="sine") == shared
    assert digest_of("f", "g", f="sine", g="cosine") != shared
    assert digest_of("f", "g", f="cosine", g="sine") != digest_of("f", "g", f="sine", g="cosine")
    assert digest_of("g", "f", f="cosine", g="sine") == digest_of("f", "g", f="sine", g="cosine")


def test_what_was_traced_before_changes_no_program(tmp_path):
    options = {"optimizer": optax.adam(0.1), **RUNS["batches"]}
    with pytest.raises(Killed):
        fit(tmp_path, **options, callback=partial(killing, 4))
    with jax.numpy_dtype_promotion("standard"):  # under which nothing is shared with before
        assert_same(fit(tmp_path, **options), fit(**options))


# How runs end


@pytest.mark.parametrize("options", quick(RUNS, "validation", "early stopping"))
def test_a_run_that_is_over_is_returned_as_it_was(tmp_path, options):
    first = fit(tmp_path, every=1e9, **options)
    assert steps_in(tmp_path) == [len(first[1].loss)]

    def never(*_):
        raise AssertionError("a step was taken")

    assert_same(fit(tmp_path, **options, callback=never), first)


@pytest.mark.parametrize("options", quick(RUNS, "validation")[:-1])
def test_more_steps_train_on(tmp_path, options):
    shorter = {**options, "steps": 5, "epochs": None}
    longer = {**shorter, "steps": 11}
    fit(tmp_path, every=1e9, **shorter)
    assert_same(fit(tmp_path, **longer), fit(**longer))


def test_a_callback_ends_a_run_with_a_checkpoint(tmp_path):
    _, history = fit(tmp_path, every=1e9, steps=9, callback=lambda state, _: state.step == 4)
    assert (history.stopped, steps_in(tmp_path)) == (4, [4])
    assert_same(fit(tmp_path, steps=9), fit(steps=9))


def test_ctrl_c_ends_a_run_with_a_checkpoint(tmp_path):
    def interrupt(state, _):
        if int(state.step) == 4:
            os.kill(os.getpid(), signal.SIGINT)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        state, history = fit(tmp_path, every=1e9, steps=9, callback=interrupt)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert (history.interrupted, int(state.step), steps_in(tmp_path)) == (True, 4, [4])
    assert_same(fit(tmp_path, steps=9), fit(steps=9))


# The folder


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_are_kept_and_leftovers_removed(tmp_path, keep):
    leftover = tmp_path / "99.orbax-checkpoint-tmp"
    (leftover / "arrays.orbax-checkpoint-tmp").mkdir(parents=True)
    (leftover / "file").write_text("half")
    fit(tmp_path, keep=keep, steps=5)
    assert steps_in(tmp_path) == [1, 2, 3, 4, 5][-keep:]
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == set(
        map(str, steps_in(tmp_path))
    )


def test_a_run_that_is_over_is_tidied_up_after_a_kill(tmp_path):
    fit(tmp_path, keep=3, steps=5)
    fit(tmp_path, keep=2, steps=5)
    assert steps_in(tmp_path) == [4, 5]


def test_a_relative_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit("runs/first", steps=2)
    assert steps_in(tmp_path / "runs" / "first") == [1, 2]


def test_every_seconds_is_the_time_between_checkpoints(tmp_path, monkeypatch):
    written, clock = [], iter(range(10**6))
    monkeypatch.setattr(resuming, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    write = series.Series.write

    def watched(self, checkpoint):
        written.append(checkpoint.step)
        write(self, checkpoint)

    monkeypatch.setattr(series.Series, "write", watched)
    fit(tmp_path, every=4, steps=14)
    assert written == [4, 8, 12, 14]


HOLDING = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_use_a_folder_at_once(tmp_path):
    with python(HOLDING, tmp_path / series.LOCK, stdin=-1) as process:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match="is in use by another run; wait until"):
            fit(tmp_path, steps=2)
        process.kill()
    assert len(fit(tmp_path, steps=2)[1].loss) == 2


# Damage


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The checkpoints of steps 3 and 4 of a run."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SECONDS_PER_CALL", 0)
        with pytest.raises(Killed):
            fit(folder, steps=6, callback=partial(killing, 4))
    assert steps_in(folder) == [3, 4]
    return folder


@pytest.fixture
def folder(kept, tmp_path):
    return Path(shutil.copytree(kept, tmp_path / "run"))


def flipped(checkpoint):
    path = arrays_of(checkpoint)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def foreign(checkpoint):
    import orbax.checkpoint as ocp

    shutil.rmtree(checkpoint)
    with ocp.StandardCheckpointer() as writer:
        writer.save(checkpoint, {"w": np.ones(3)})


def exchanged(checkpoint):
    """The arrays are those of the other checkpoint."""
    shutil.rmtree(checkpoint / "arrays")
    other = next(path for path in checkpoint.parent.glob("[34]") if path != checkpoint)
    shutil.copytree(other / "arrays", checkpoint / "arrays")


def emptied(path):
    shutil.rmtree(path)
    path.mkdir()


DAMAGES = {
    "arrays cut off": truncated,
    "a bit of an array flipped": flipped,
    "no arrays": lambda path: shutil.rmtree(path / "arrays"),
    "arrays of another": exchanged,
    "no file of arrays": lambda path: arrays_of(path).unlink(),
    "an empty file of arrays": lambda path: arrays_of(path).write_bytes(b""),
    "no description": lambda path: shutil.rmtree(path / "description"),
    "no file of the description": lambda path: description_of(path).unlink(),
    "an empty description": lambda path: description_of(path).write_text(""),
    "a description cut off": lambda path: description_of(path).write_text('{"format": "jaxp'),
    "another format": partial(rewritten, "jaxpercep checkpoint", "other checkpoint"),
    "a field more": partial(rewritten, '"version"', '"field": 1, "version"'),
    "a field less": partial(rewritten, '"sha256"', '"sha512"'),
    "another run in the description": partial(rewritten, "autodiff", "manual"),
    "an empty checkpoint": emptied,
    "another program's": foreign,
}


@pytest.mark.parametrize(
    "damage", quick(DAMAGES, "arrays cut off", "a bit of an array flipped", "arrays of another")
)
def test_a_damaged_checkpoint_is_passed_over(folder, damage):
    damage(folder / "4")
    message = r"checkpoint of step 4 .*is damaged \(.+\) and was removed.* from the one of step 3"
    with pytest.warns(RuntimeWarning, match=message) as caught:
        resumed = fit(folder, every=1e9, steps=6)
    assert len(caught) == 1
    assert_same(resumed, fit(steps=6))
    assert steps_in(folder) == [3, 6]


def test_the_warning_points_at_the_call_of_fit(folder):
    flipped(folder / "4")
    checkpoints = jp.Checkpoints(folder)
    state = jp.init_state(MODEL, SGD, jax.random.key(0))
    with pytest.warns(RuntimeWarning) as caught:
        jp.fit(MODEL, LOSS, SGD, state, X, Y, steps=6, checkpoints=checkpoints)
    assert caught[0].filename == __file__


@pytest.mark.slow
def test_no_bit_of_a_checkpoint_can_flip_unseen(kept, tmp_path):
    """Goes on from the checkpoint before, or from this one if the bit is of no consequence."""
    expected, rng, passed = fit(steps=6), np.random.default_rng(0), 0
    for turn in range(60):
        copy = Path(shutil.copytree(kept, tmp_path / str(turn)))
        files = files_of(copy / "4")
        path = files[turn % len(files)]
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert_same(fit(copy, every=1e9, steps=6), expected)
        passed += len(caught)
    assert passed > 10


# Refusals: every call is answered by what came, what was expected, and the fix


def spoil(damage):
    """Every checkpoint is damaged."""

    def call(folder):
        for step in (3, 4):
            damage(folder / str(step))
        fit(folder, steps=6)

    return call


def other(**options):
    """Another run in the same folder."""
    return lambda folder: fit(folder, **{"steps": 6, **options})


def stranger(make):
    """Something else is in the folder, or in its place."""

    def call(folder):
        shutil.rmtree(folder)
        fit(make(folder), steps=6)

    return call


def a_file(folder):
    folder.write_text("mine")
    return folder


def under_a_file(folder):
    folder.write_text("mine")
    return folder / "runs" / "first"


def with_a_file(folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    return folder


def with_a_folder(folder):
    (folder / "photos").mkdir(parents=True)
    return folder


def with_a_file_that_is_called_like_a_checkpoint(folder):
    folder.mkdir()
    (folder / "300").write_text("mine")
    return folder


def read_only(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        fit(folder, steps=6)


def inside_itself(folder):
    fit(folder, steps=6, callback=lambda *_: fit(folder, steps=6) and None)


def under(**changes):
    """The same call in another environment."""

    def call(folder):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in changes.items():
                patch.setenv(name, value) if name.isupper() else patch.setattr(name, value)
            fit(folder, steps=6)

    return call


def made(**options):
    return lambda folder: jp.Checkpoints(**{"folder": folder, **options})


def given(checkpoints):
    return lambda _: fit(steps=6, checkpoints=checkpoints)


ANOTHER = r"folder='.*run' holds checkpoints of another run: {}.*Call fit as that run was called"
UNREADABLE = r"folder='.*run' holds 2 checkpoints that cannot be read \(4: .+; 3: .+\)\. Restore"
NOT_A_NUMBER = r"every_seconds={} must be a number, not "
SHORT = jp.init_state(MODEL, SGD, jax.random.key(1))
VALIDATED = {"validation": HELD_OUT, "validate_every": 2}
REFUSED = {
    # arguments
    "folder None": (made(folder=None), TypeError, r"folder=None must be a string or a Path"),
    "folder 3": (made(folder=3), TypeError, r"folder=3 must be a string or a Path, not int"),
    "folder bytes": (made(folder=b"a"), TypeError, r"folder=b'a' must be a string or a Path"),
    "folder list": (made(folder=["a"]), TypeError, r"folder=\['a'\] must be a string or a Path"),
    "folder zero": (made(folder="a\0b"), ValueError, r"folder='a\\x00b' holds a zero byte"),
    "seconds text": (made(every_seconds="9"), TypeError, NOT_A_NUMBER.format("'9'")),
    "seconds None": (made(every_seconds=None), TypeError, NOT_A_NUMBER.format("None")),
    "seconds True": (made(every_seconds=True), TypeError, NOT_A_NUMBER.format("True")),
    "seconds -1": (made(every_seconds=-1), ValueError, r"every_seconds=-1 must be at least 0"),
    "seconds nan": (made(every_seconds=np.nan), ValueError, r"every_seconds=nan must be finite"),
    "seconds inf": (made(every_seconds=np.inf), ValueError, r"every_seconds=inf must be finite"),
    "keep 0": (made(keep=0), ValueError, r"keep=0 must be at least 1"),
    "keep -3": (made(keep=-3), ValueError, r"keep=-3 must be at least 1"),
    "keep 1.5": (made(keep=1.5), TypeError, r"keep=1\.5 must be an integer, not float"),
    "keep text": (made(keep="2"), TypeError, r"keep='2' must be an integer, not str"),
    "keep None": (made(keep=None), TypeError, r"keep=None must be an integer"),
    "keep True": (made(keep=True), TypeError, r"keep=True must be an integer, not bool"),
    "a name": (given("runs"), TypeError, r"checkpoints='runs' is not a Checkpoints; Checkpoints\("),
    "a path": (given(Path("a")), TypeError, r"checkpoints=PosixPath\('a'\) is not a Checkpoints"),
    "a number": (given(60), TypeError, r"checkpoints=60 is not a Checkpoints"),
    "True": (given(True), TypeError, r"checkpoints=True is not a Checkpoints"),
    "the class": (given(jp.Checkpoints), TypeError, r"checkpoints=<class .* is not a Checkpoints"),
    "a dict": (given({"folder": "a"}), TypeError, r"checkpoints=\{'folder': 'a'\} is not a"),
    # the folder
    "a file": (
        stranger(a_file),
        ValueError,
        r"folder='.*run'.*is not a folder to write in; choose",
    ),
    "under a file": (
        stranger(under_a_file),
        ValueError,
        r"run is not a folder to write in; choose",
    ),
    "a stranger": (stranger(with_a_file), ValueError, r"holds 'thesis\.txt', .*move it away, or"),
    "a folder": (stranger(with_a_folder), ValueError, r"holds 'photos', which is not a checkpoint"),
    "a number's file": (
        stranger(with_a_file_that_is_called_like_a_checkpoint),
        ValueError,
        r"holds '300', which is not a checkpoint; move it away, or choose another folder",
    ),
    "read-only": (read_only, ValueError, r"folder='.*run'.*is not a folder to write in; choose"),
    "in use": (inside_itself, ValueError, r"run' .* is in use by another run; wait until"),
    # another run
    "model": (other(model=jp.mlp([2, 4, 1], jp.tanh)), ValueError, ANOTHER.format("model was Ser")),
    "activation": (other(model=jp.mlp([2, 3, 1], jp.relu)), ValueError, ANOTHER.format("model")),
    "loss": (other(loss=jp.SquaredError(2.0)), ValueError, ANOTHER.format("loss was SquaredErr")),
    "method": (other(method="manual"), ValueError, ANOTHER.format("method was 'auto.*'manual'")),
    "rate": (other(optimizer=optax.sgd(0.2, momentum=0.5)), ValueError, ANOTHER.format("the upd")),
    "optimizer": (other(optimizer=optax.adam(0.1)), ValueError, ANOTHER.format("state was")),
    "batch size": (other(**BATCHES), ValueError, ANOTHER.format("batch_size was None, is 3")),
    "x": (other(x=X.at[0, 0].add(1)), ValueError, ANOTHER.format("x was float32.10, 2. of sha256")),
    "one bit of y": (other(y=Y.at[0].multiply(-1)), ValueError, ANOTHER.format("y was float32")),
    "weights": (other(sample_weight=np.ones(10)), ValueError, ANOTHER.format("sample_weight was")),
    "fewer samples": (other(x=X[:9], y=Y[:9]), ValueError, ANOTHER.format("x was float32.10, 2.")),
    "state": (other(state=SHORT), ValueError, ANOTHER.format("state was .*float32.2, 3.")),
    "validation": (other(**VALIDATED), ValueError, ANOTHER.format("validate_every was 1, is 2")),
    "stopping": (other(**STOPPING), ValueError, ANOTHER.format(".*early_stopping was None, is E")),
    "XLA": (under(XLA_FLAGS="--xla_a"), ValueError, ANOTHER.format("XLA_FLAGS was .*is '?--xla_a")),
    "jax": (under(**{"jax.__version__": "9"}), ValueError, ANOTHER.format("jax was .*, is 9")),
    "fewer steps": (
        other(steps=2),
        ValueError,
        r"folder='.*run' holds a run of 4 steps already, and fit was asked for 2 in all; ask for",
    ),
    "version": (
        spoil(partial(rewritten, '"version": 2', '"version": 99')),
        ValueError,
        r"4 has format version 99, this jaxpercep reads 2; it was written by .*: use that, or",
    ),
    # every checkpoint is broken
    **{
        name: (spoil(damage), ValueError, UNREADABLE)
        for name, damage in DAMAGES.items()
        if damage is not exchanged  # of two, one has its own arrays again
    },
}


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused(folder, call, error, message):
    with pytest.raises(error, match=message):
        call(folder)


def test_at_least_forty_calls_are_refused():
    assert len(REFUSED) >= 40


def test_what_is_refused_is_not_touched(folder):
    before = {path: path.read_bytes() for path in files_of(folder)}
    with pytest.raises(ValueError, match="another run"):
        fit(folder, steps=6, method="manual")
    truncated(folder / "3")
    flipped(folder / "4")
    damaged = {path: path.read_bytes() for path in files_of(folder)}
    with pytest.raises(ValueError, match="cannot be read"):
        fit(folder, steps=6)
    assert {path: path.read_bytes() for path in files_of(folder)} == damaged
    assert before.keys() == damaged.keys()


# The command line

TRAIN = ("train", "moons", "--hidden", 4, "--batch-size", 32)


@pytest.mark.slow
def test_the_command_resumes_and_trains_on(tmp_path):
    out, whole = tmp_path / "model", tmp_path / "whole"
    assert run(*TRAIN, "--epochs", 2, "--out", out, "--checkpoints").code == 0
    assert steps_in(out / "checkpoints")
    assert run(*TRAIN, "--epochs", 4, "--out", out, "--resume").code == 0
    assert run(*TRAIN, "--epochs", 4, "--out", whole).code == 0
    (model, params), (expected, due) = jp.load(out), jp.load(whole)
    assert model == expected
    assert bits(params) == bits(due)
    assert not (whole / "checkpoints").exists()


def test_a_schedule_of_another_length_is_another_run(tmp_path):
    out = tmp_path / "model"
    options = (*TRAIN, "--out", out, "--schedule", "cosine")
    assert run(*options, "--epochs", 2, "--checkpoints").code == 0
    result = run(*options, "--epochs", 4, "--resume")
    assert result.code == 2
    assert result.err.endswith(" --schedule cosine depends on --epochs.\n")
    (out / "checkpoints" / "notes.txt").touch()
    result = run(*options, "--epochs", 2, "--resume")
    assert result.code == 2
    assert "--schedule" not in result.err


def test_the_command_resumes_from_checkpoints_alone(tmp_path):
    result = run(*TRAIN, "--out", tmp_path / "model", "--resume")
    assert (result.code, result.out) == (2, "")
    assert "--resume: there are no checkpoints in" in result.err
    assert "Start anew with --checkpoints." in result.err
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_the_command_says_what_cannot_be_resumed(tmp_path):
    words = (*TRAIN, "--epochs", 2, "--out", tmp_path / "model")
    assert run(*words, "--checkpoints").code == 0
    for flags in ((), ("--checkpoints",)):
        again = run(*words, *flags)
        assert again.code == 2
        assert "holds the checkpoints of a run; add --resume to go on with it" in again.err
    changed = run(*words, "--resume", "--learning-rate", 0.1)
    assert changed.code == 2
    assert "of another run: the update is another" in changed.err


INTERRUPTED = """
import signal, sys
from jaxpercep import loop, resuming
from jaxpercep.__main__ import main

def told(self, state, *rest, sees=resuming._Saver.sees):
    print("step", state.step, file=sys.stderr, flush=True)
    sees(self, state, *rest)

resuming._Saver.sees = told
loop.SECONDS_PER_CALL = 0.05
signal.signal(signal.SIGINT, signal.{answer})  # a job in the background ignores it
sys.exit(main())
"""
STREAM = ["train", "rows.csv", "--stream", "--batch-size", 20, "--missing", "mean"]
STREAM += ["--class-weight", "balanced", "--schedule", "cosine", "--warmup-epochs", 1]


@pytest.mark.slow
@pytest.mark.parametrize("train", [TRAIN, STREAM], ids=["memory", "stream"])
@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (signal.SIGINT, "default_int_handler"),
        (signal.SIGTERM, "default_int_handler"),
        (signal.SIGTERM, "SIG_IGN"),
    ],
)
def test_an_interrupted_command_resumes(tmp_path, monkeypatch, train, number, answer):
    monkeypatch.chdir(tmp_path)
    rows = (f"{i % 7 or ''},{i % 5},{'rgb'[i % 3]},{'np'[i % 4 == 0]}" for i in range(100))
    Path("rows.csv").write_text("\n".join(["a,b,colour,y", *rows]))
    words = [*train, "--epochs", 1000, "--out", tmp_path / "model"]
    path, line = {**os.environ, "PYTHONPATH": str(kill.ROOT)}, ""
    with python(INTERRUPTED.format(answer=answer), *words, "--checkpoints", env=path) as process:
        while not (line.startswith("step ") and int(line.split()[1]) > 1):
            line = process.stderr.readline()
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the state reached is saved, and --resume goes on from it" in err
    (step,) = steps_in(tmp_path / "model" / "checkpoints")
    assert step < 5000
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 1)  # 5000 calls of one step take long
    assert run(*words, "--resume").code == 0
    assert run(*words[:-1], tmp_path / "whole").code == 0
    assert bits(jp.load(tmp_path / "model")[1]) == bits(jp.load(tmp_path / "whole")[1])


# A full disk


def test_only_what_tensorstore_says_after_an_error_is_not_printed(monkeypatch, caplog):
    heard, logger = [], logging.getLogger("asyncio")
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    monkeypatch.setattr(logger, "filters", [])
    with pytest.raises(OSError, match=r"^File too large$"), series._raised_only():
        raise ValueError("OUT_OF_RANGE: Error writing: File too large [os_error_code='27']")
    for error in (RuntimeError("Event loop is closed"), RuntimeError("another")):
        sys.unraisablehook(SimpleNamespace(exc_value=error))
    logger.error("Task exception was never retrieved: in OCDBT database")
    logger.error("Task exception was never retrieved: of another")
    assert [str(unraisable.exc_value) for unraisable in heard] == ["another"]
    assert caplog.messages == ["Task exception was never retrieved: of another"]


def test_a_checkpoint_that_is_written_leaves_the_hooks_as_they_were():
    hook, filters = sys.unraisablehook, list(logging.getLogger("asyncio").filters)
    with series._raised_only():
        assert sys.unraisablehook is not hook
    assert sys.unraisablehook is hook
    assert logging.getLogger("asyncio").filters == filters


# Killed processes: `python tests/kill.py --kills 100`


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bits():
    counts = kill.main(3, seed=1)
    assert counts["all"] == 3
    assert counts["runs"] >= 1
