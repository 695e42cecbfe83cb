"""Runs over streams of batches go on to the same bits; other batches are refused."""

import os
import shutil
import signal
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import kill
import numpy as np
import optax
import pytest
from runs import (
    Killed,
    assert_same,
    files_of,
    killing,
    quick,
    rewritten,
    steps_in,
    truncated,
)

import jaxpercep as jp
from jaxpercep import batches, loop, streaming

# TensorStore may answer when Orbax has closed its event loop, if it failed to read another array.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MODEL, LOSS, SGD = jp.mlp([2, 3, 1], jp.tanh), jp.SquaredError(), optax.sgd(0.1, momentum=0.5)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2)).astype(np.float32)
Y = np.sin(X.sum(-1, keepdims=True))
NOISY = optax.chain(optax.add_noise(0.1, 0.5, key=jax.random.key(1)), optax.sgd(0.1))


def shuffled(epochs=2, seed=1, size=8):
    """Five batches an epoch."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), size):
            rows = order[start : start + size]
            yield X[rows], Y[rows]


BATCHES = list(shuffled())


class Stateful:
    """An iterator with a state, which counts the batches that are taken from it."""

    def __init__(self, items=BATCHES, state=lambda at: {"at": at}, place=lambda state: state["at"]):
        self.items, self.at, self.taken = items, 0, 0
        self._state, self._place = state, place

    def __iter__(self):
        return self

    def __next__(self):
        if self.at == len(self.items):
            raise StopIteration
        self.at, self.taken = self.at + 1, self.taken + 1
        return self.items[self.at - 1]

    def get_state(self):
        return self._state(self.at)

    def set_state(self, state):
        self.at = self._place(state)


def grain_batches(epochs=2):
    grain = pytest.importorskip("grain", reason="Grain is in the extra data")
    rows = grain.MapDataset.range(len(X)).shuffle(seed=3).batch(8).repeat(epochs)
    read = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    return rows.map(lambda rows: (X[rows], Y[rows])).to_iter_dataset(read)


def grain_windows(epochs=2):
    """Shuffled in a window, and put into batches of another size than those read."""
    grain = pytest.importorskip("grain", reason="Grain is in the extra data")
    rows = grain.MapDataset.range(len(X)).repeat(epochs).to_iter_dataset()
    shuffle = grain.experimental.WindowShuffleIterDataset
    return shuffle(rows, window_size=9, seed=2).batch(8).map(lambda rows: (X[rows], Y[rows]))


def grain_loader():
    """Its state is bytes."""
    grain = pytest.importorskip("grain", reason="Grain is in the extra data")

    class Rows:
        def __repr__(self):
            return "rows"  # by which the loader knows its data

        def __len__(self):
            return len(X)

        def __getitem__(self, row):
            return X[row], Y[row]

    sampler = grain.samplers.IndexSampler(len(X), shuffle=True, seed=3, num_epochs=2)
    return grain.DataLoader(
        data_source=Rows(), sampler=sampler, operations=[grain.transforms.Batch(8)]
    )


def torch_loader():
    torch = pytest.importorskip("torch", reason="PyTorch is one of the optional peers")
    data = pytest.importorskip("torch.utils.data")
    tensors = data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    seeded = torch.Generator().manual_seed(0)
    two_epochs = data.RandomSampler(tensors, num_samples=2 * len(X), generator=seeded)
    return data.DataLoader(tensors, batch_size=8, sampler=two_epochs, generator=seeded)


def of_bytes():
    return Stateful(state=lambda at: bytes([255, at]), place=lambda state: state[1])


def nested():
    return Stateful(
        state=lambda at: {"": [{"at": at}, None, b"\xff"], "π": 2**70},
        place=lambda state: (
            state[""][0]["at"] if (state[""][2], state["π"]) == (b"\xff", 2**70) else None
        ),
    )


STREAMS = {
    "list": lambda: BATCHES,
    "generator": shuffled,
    "sizes": lambda: shuffled(size=9),  # of which the last has 4
    "stateful": Stateful,
    "state of bytes": of_bytes,
    "nested state": nested,
    "Grain": grain_batches,
    "Grain, in windows": grain_windows,
    "Grain's DataLoader": grain_loader,
    "PyTorch's DataLoader": torch_loader,
    "jax": lambda: [tuple(map(jnp.asarray, pair)) for pair in BATCHES],
    "bfloat16": lambda: [(jnp.asarray(x, jnp.bfloat16), y) for x, y in BATCHES],
}
every_stream = pytest.mark.parametrize("make", quick(STREAMS, "sizes", "Grain"))
slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def single_steps(monkeypatch):
    """Cuts runs after each step."""
    for module in (loop, batches):
        monkeypatch.setattr(module, "SECONDS_PER_CALL", 0)


@pytest.fixture
def long_calls(monkeypatch):
    """Calls are as long as they can get: of 1, 10, 100 steps."""
    for module in (loop, batches):
        monkeypatch.setattr(module, "SECONDS_PER_CALL", 1e9)


def fit(folder, stream, *, every=0, keep=2, **options):
    """Trains, with a checkpoint after each step if there is a folder."""
    given = {"model": MODEL, "loss": LOSS, "optimizer": SGD, "batches": stream, **options}
    if "state" not in given:
        given["state"] = jp.init_state(given["model"], given["optimizer"], jax.random.key(0))
    if folder is not None:
        given["checkpoints"] = jp.Checkpoints(folder, every_seconds=every, keep=keep)
    return jp.fit_batches(**given)


# The same bits


@every_stream
@pytest.mark.parametrize("at", [slow(1), slow(2), 4, slow(10)])
def test_a_run_that_was_killed_ends_in_the_same_bits(tmp_path, make, at):
    with pytest.raises(Killed):
        fit(tmp_path, make(), callback=partial(killing, at))
    assert steps_in(tmp_path) == [step for step in (at - 2, at - 1) if step > 0]
    seen = []
    callback = lambda state, _: seen.append(int(state.step))  # noqa: E731
    resumed = fit(tmp_path, make(), every=1e9, callback=callback)
    assert seen[0] == at  # the last step is taken again
    assert_same(resumed, fit(None, make()))


@pytest.mark.usefixtures("long_calls")
@pytest.mark.parametrize("make", quick(STREAMS, "state of bytes"))
def test_a_run_of_long_calls_ends_in_the_same_bits(tmp_path, make):
    expected = fit(None, make())
    at = len(expected[1].loss)  # in calls of 1 and of all the others
    with pytest.raises(Killed):
        fit(tmp_path, make(), callback=partial(killing, at))
    assert steps_in(tmp_path) == [at - 1]
    assert_same(fit(tmp_path, make()), expected)


@pytest.mark.slow
def test_a_run_is_killed_again_and_again(tmp_path):
    for at in (1, 2, 3, 3, 6, 9):
        with pytest.raises(Killed):
            fit(tmp_path, shuffled(), callback=partial(killing, at))
    assert_same(fit(tmp_path, shuffled()), fit(None, shuffled()))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"method": "manual"}, {"optimizer": NOISY}])
def test_method_and_optimizer_go_on(tmp_path, options):
    with pytest.raises(Killed):
        fit(tmp_path, shuffled(), **options, callback=partial(killing, 4))
    assert_same(fit(tmp_path, shuffled(), **options), fit(None, shuffled(), **options))


@pytest.mark.parametrize("leaf", [slow(jnp.asarray), np.asarray])
def test_a_resumed_run_is_one_of_the_state_that_it_began_with(tmp_path, leaf):
    start = jax.tree.map(leaf, fit(None, BATCHES[:4])[0])
    with pytest.raises(Killed):
        fit(tmp_path, BATCHES, state=start, callback=partial(killing, 8))
    assert steps_in(tmp_path) == [6, 7]
    resumed = fit(tmp_path, BATCHES, state=start)
    assert resumed[1].first == 4
    assert_same(resumed, fit(None, BATCHES, state=start))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_double_precision_comes_back(tmp_path):
    stream = [(x.astype(float), y.astype(float)) for x, y in BATCHES]
    with pytest.raises(Killed):
        fit(tmp_path, stream, callback=partial(killing, 4))
    resumed = fit(tmp_path, stream)
    assert resumed[0].params[0].w.dtype == np.float64
    assert_same(resumed, fit(None, stream))


def test_a_run_goes_on_without_compiling_again(tmp_path):
    optimizer = optax.sgd(0.2)
    with pytest.raises(Killed):
        fit(tmp_path, BATCHES, optimizer=optimizer, callback=partial(killing, 2))
    before = streaming._step._cache_size()
    fit(tmp_path, BATCHES, optimizer=optimizer)
    assert streaming._step._cache_size() == before


@pytest.mark.parametrize("before", [0, slow(1), slow(2)])
def test_a_run_that_diverges_does_so_again(tmp_path, before):
    steep = {"optimizer": optax.sgd(1e2)}
    stream = [(x, 1e2 * y) for x, y in shuffled(epochs=10)]
    with pytest.warns(RuntimeWarning, match="training diverged"):
        expected = fit(None, stream, **steep)
    at = expected[1].diverged - before  # 0: the state whose loss is not finite any more
    assert at > 3
    with pytest.raises(Killed):
        fit(tmp_path, stream, **steep, callback=partial(killing, at))
    assert steps_in(tmp_path)[-1] == at - 1
    for _ in range(2):  # from there, and from the last checkpoint that it left
        with pytest.warns(RuntimeWarning, match=f"diverged: at step {expected[1].diverged} "):
            resumed = fit(tmp_path, stream, **steep)
        assert_same(resumed, expected)
    assert max(steps_in(tmp_path)) < expected[1].diverged


# What is taken from the iterable


def test_an_iterator_with_a_state_is_set_back(tmp_path):
    with pytest.raises(Killed):
        fit(tmp_path, Stateful(), callback=partial(killing, 7))
    stream = Stateful()
    assert_same(fit(tmp_path, stream), fit(None, BATCHES))
    assert stream.taken == 4  # the last one again, and the others


def test_the_batches_trained_on_are_dropped_unseen(tmp_path):
    with pytest.raises(Killed):
        fit(tmp_path, BATCHES, callback=partial(killing, 7))
    stream = [None] * 6 + BATCHES[6:]
    assert_same(fit(tmp_path, iter(stream)), fit(None, BATCHES))


@pytest.mark.parametrize(
    ("calls", "at"),
    [slow("single_steps", 0), slow("single_steps", 4), ("long_calls", 0), ("long_calls", 4)],
)
def test_a_callback_sees_as_many_steps_as_batches_were_taken(tmp_path, at, calls, request):
    request.getfixturevalue(calls)
    if at:
        with pytest.raises(Killed):
            fit(tmp_path, BATCHES[:at], callback=partial(killing, at))
    stream, steps = Stateful(), []

    def callback(state, _):
        assert int(state.step) == stream.at
        steps.append(int(state.step))

    assert_same(fit(tmp_path, stream, callback=callback), fit(None, BATCHES))
    assert steps[-1] == 10


# How runs end


@every_stream
def test_a_run_that_is_over_is_returned_as_it_was(tmp_path, make):
    first = fit(tmp_path, make(), every=1e9)
    last = len(first[1].loss) - 1
    assert steps_in(tmp_path) == [last]
    for _ in range(2):
        assert_same(fit(tmp_path, make()), first)
        assert steps_in(tmp_path) == [last]


@pytest.mark.parametrize("make", [shuffled, slow(grain_batches)])
def test_more_batches_train_on(tmp_path, make):
    fit(tmp_path, make(epochs=1), every=1e9)
    assert_same(fit(tmp_path, make(epochs=3)), fit(None, make(epochs=3)))


def test_an_iterator_that_is_used_up_is_over(tmp_path):
    iterator = iter(grain_batches())
    first = fit(tmp_path, iterator)
    assert_same(fit(tmp_path, iterator), first)


def test_a_callback_ends_a_run_with_a_checkpoint(tmp_path):
    stop = lambda state, _: bool(state.step == 4)  # noqa: E731
    _, history = fit(tmp_path, shuffled(), every=1e9, callback=stop)
    assert (history.stopped, steps_in(tmp_path)) == (4, [3])
    assert_same(fit(tmp_path, shuffled()), fit(None, shuffled()))


@pytest.mark.parametrize("make", [slow(shuffled), grain_batches])
def test_ctrl_c_ends_a_run_with_a_checkpoint(tmp_path, make):
    def interrupt(state, _):
        if int(state.step) == 4:
            os.kill(os.getpid(), signal.SIGINT)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        state, history = fit(tmp_path, make(), every=1e9, callback=interrupt)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert (history.interrupted, int(state.step), steps_in(tmp_path)) == (True, 4, [3])
    assert_same(fit(tmp_path, make()), fit(None, make()))


# Damage and refusals


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The checkpoints of steps 2 and 3 of a run."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for module in (loop, batches):
            patch.setattr(module, "SECONDS_PER_CALL", 0)
        with pytest.raises(Killed):
            fit(folder, Stateful(), callback=partial(killing, 4))
    assert steps_in(folder) == [2, 3]
    return folder


@pytest.fixture
def folder(kept, tmp_path):
    return Path(shutil.copytree(kept, tmp_path / "run"))


DAMAGES = {
    "arrays cut off": truncated,
    "another place": partial(rewritten, r"{\"at\": 3}", r"{\"at\": 1}"),
    "another batch": partial(rewritten, "of sha256 ", "of sha256 0"),
    "no place": partial(rewritten, '"place"', '"palce"'),
}


@pytest.mark.parametrize("damage", quick(DAMAGES, "another place"))
def test_a_damaged_checkpoint_is_passed_over(folder, damage):
    damage(folder / "3")
    message = r"checkpoint of step 3 .*is damaged \(.+\) and was removed.* from the one of step 2"
    state = jp.init_state(MODEL, SGD, jax.random.key(0))
    checkpoints = jp.Checkpoints(folder, every_seconds=1e9)
    with pytest.warns(RuntimeWarning, match=message) as caught:
        resumed = jp.fit_batches(MODEL, LOSS, SGD, state, Stateful(), checkpoints=checkpoints)
    assert [warning.filename for warning in caught] == [__file__]
    assert_same(resumed, fit(None, BATCHES))


def other(stream=None, **options):
    """Another run in the same folder; the batches of the kept one if none are given."""
    return lambda folder: fit(folder, Stateful() if stream is None else stream(), **options)


def given(checkpoints):
    return lambda _: fit(None, BATCHES, checkpoints=checkpoints)


def consumed(count):
    def stream():
        iterator = iter(BATCHES)
        for _ in range(count):
            next(iterator)
        return iterator

    return stream


def with_third(pair):
    return lambda: [*BATCHES[:3], pair, *BATCHES[4:]]


def by_fit(folder):
    """`fit` is called where `fit_batches` was."""
    state = jp.init_state(MODEL, SGD, jax.random.key(0))
    jp.fit(MODEL, LOSS, SGD, state, X, Y, steps=9, checkpoints=jp.Checkpoints(folder))


def after_fit(folder):
    """`fit_batches` is called where `fit` was."""
    shutil.rmtree(folder)
    by_fit(folder)
    fit(folder, BATCHES)


def broken(damage):
    def call(folder):
        for step in (2, 3):
            damage(folder / str(step))
        fit(folder, BATCHES)

    return call


def with_a_file(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    fit(folder, BATCHES)


def inside_itself(folder):
    fit(folder, BATCHES, callback=lambda *_: fit(folder, BATCHES) and None)


def stubborn():
    def refuse(state):
        raise KeyError(state["at"])

    return Stateful(place=refuse)


(X3, Y3), NAN = BATCHES[3], float("nan")
CHANGED = (np.where(X3[2, 1] == X3, 0, X3), Y3)
ANOTHER = r"folder='.*run' holds checkpoints of another run: {}.*Call fit_batches as that run was"
MOVED = (
    r"folder='.*run' holds a run that goes on at batches\[3\], which was float32\[8, 2\], "
    r"float32\[8, 1\] of sha256 \w{{16}} and is {}\. The same batches have to come in the same "
    r"order: .*seeded generator .*generator=torch\.Generator\(\)\.manual_seed\(0\)\), or choose"
)
CAME = MOVED.format(r"float32\[8, 2\], float32\[8, 1\] of sha256 \w{16}")
ONLY = "missing, for there are only {} batch"
REFUSED = {
    # arguments
    "a name": (given("runs"), TypeError, r"checkpoints='runs' is not a Checkpoints; Checkpoints\("),
    "a path": (given(Path("a")), TypeError, r"checkpoints=PosixPath\('a'\) is not a Checkpoints"),
    "True": (given(True), TypeError, r"checkpoints=True is not a Checkpoints"),
    "the class": (given(jp.Checkpoints), TypeError, r"checkpoints=<class .* is not a Checkpoints"),
    "a dict": (given({"folder": "a"}), TypeError, r"checkpoints=\{'folder': 'a'\} is not a"),
    # the batches
    "another order": (other(lambda: shuffled(seed=2)), ValueError, CAME),
    "no seed": (other(lambda: shuffled(seed=None)), ValueError, CAME),
    "one number": (other(with_third(CHANGED)), ValueError, CAME),
    "one bit": (other(with_third((X3, -Y3))), ValueError, CAME),
    "consumed": (other(consumed(4)), ValueError, CAME),
    "type": (
        other(with_third((X3.astype(np.float16), Y3))),
        ValueError,
        MOVED.format(r"float16\[8, 2\], float32\[8, 1\] of sha256 \w{16}"),
    ),
    "size": (
        other(with_third((X3[:7], Y3[:7]))),
        ValueError,
        MOVED.format(r"float32\[7, 2\], float32\[7, 1\] of sha256 \w{16}"),
    ),
    "too few": (other(lambda: BATCHES[:2]), ValueError, MOVED.format(ONLY.format(2) + "es")),
    "one too few": (other(lambda: BATCHES[:3]), ValueError, MOVED.format(ONLY.format(3) + "es")),
    "one": (other(lambda: BATCHES[:1]), ValueError, MOVED.format(ONLY.format(1))),
    "none": (other(list), ValueError, MOVED.format(ONLY.format(0) + "es")),
    "used up": (other(consumed(10)), ValueError, MOVED.format(ONLY.format(0) + "es")),
    "too few with a state": (
        other(lambda: Stateful(BATCHES[:3])),
        ValueError,
        MOVED.format(ONLY.format(3) + "es"),
    ),
    "other data with a state": (other(lambda: Stateful(BATCHES[::-1])), ValueError, CAME),
    "another state": (
        other(stubborn),
        ValueError,
        r"folder='.*run' holds a state that the iterator of batches, a Stateful, does not take: 3",
    ),
    "no pair": (other(with_third(None)), TypeError, r"batches\[3\]=None is not a pair; batches, a"),
    "no number": (
        other(with_third((X3 * NAN, Y3))),
        ValueError,
        r"batches\[3\]: x holds 16 values that are NaN",
    ),
    "no iterable": (other(lambda: 3), TypeError, r"batches=3 cannot be iterated over"),
    "no JSON": (
        other(lambda: Stateful(state=lambda at: {"rng": np.random.default_rng(at)})),
        TypeError,
        r"iterator of batches, a Stateful, cannot be kept, .* it holds Generator.*Pass a generator",
    ),
    "names that are no text": (
        other(lambda: Stateful(state=lambda at: {(1, 2): at})),
        TypeError,
        r"state of the iterator of batches, a Stateful, cannot be kept, for JSON does not take it",
    ),
    # another run
    "model": (other(model=jp.mlp([2, 4, 1], jp.tanh)), ValueError, ANOTHER.format("model was Ser")),
    "loss": (other(loss=jp.SquaredError(2.0)), ValueError, ANOTHER.format("loss was SquaredErr")),
    "method": (other(method="manual"), ValueError, ANOTHER.format("method was 'auto.*'manual'")),
    "rate": (other(optimizer=optax.sgd(0.2, momentum=0.5)), ValueError, ANOTHER.format("the upd")),
    "optimizer": (other(optimizer=optax.adam(0.1)), ValueError, ANOTHER.format("state was")),
    "state": (
        other(state=jp.init_state(MODEL, SGD, jax.random.key(1))),
        ValueError,
        ANOTHER.format(r"state was .*float32.2, 3."),
    ),
    "by fit": (
        by_fit,
        ValueError,
        r"of another run: function was fit_batches, is fit; .*Call fit as that run was called",
    ),
    "after fit": (after_fit, ValueError, ANOTHER.format("function was fit, is fit_batches")),
    # the folder
    "a stranger": (with_a_file, ValueError, r"holds 'thesis\.txt', .*move it away, or"),
    "in use": (inside_itself, ValueError, r"run' .* is in use by another run; wait until"),
    "version": (
        broken(partial(rewritten, '"version": 2', '"version": 99')),
        ValueError,
        r"3 has format version 99, this jaxpercep reads 2; it was written by .*: use that, or",
    ),
    # every checkpoint is broken
    **{
        name: (broken(damage), ValueError, r"holds 2 checkpoints that cannot be read \(3: .+; 2: ")
        for name, damage in DAMAGES.items()
        if name != "another place"  # which one of them has not
    },
}


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused(folder, call, error, message):
    with pytest.raises(error, match=message):
        call(folder)


def test_what_is_refused_is_not_touched(folder):
    truncated(folder / "3")
    before = {path: path.read_bytes() for path in files_of(folder)}
    for options in ({"method": "manual"}, {"stream": shuffled(seed=2)}):
        with pytest.raises(ValueError, match=r"folder='.*run' holds"):
            fit(folder, **{"stream": BATCHES, **options})
        assert {path: path.read_bytes() for path in files_of(folder)} == before


def test_a_generator_that_fails_while_batches_are_dropped_is_not_hidden(folder):
    def failing():
        yield BATCHES[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(folder, failing())
    assert steps_in(folder) == [2, 3]


# Killed processes: `python tests/kill.py --kills 100 --cases generator Grain`


@pytest.mark.slow
@pytest.mark.parametrize("case", ["generator", "Grain"])
def test_a_killed_process_goes_on_to_the_same_bits(case):
    pytest.importorskip("grain", reason="Grain is in the extra data")
    counts = kill.main(2, seed=1, cases=[case])
    assert counts["all"] == 2
    assert counts["runs"] >= 1
