"""`fit_batches` against a loop of steps: what it takes, when it asks, and how it ends."""

import json
import os
import signal
import threading
from functools import partial
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rich.console import Console

import jaxpercep as jp
from jaxpercep import _interactive, batches, loop, streaming
from jaxpercep.batches import Stream

MODEL, LOSS, SGD = jp.mlp([2, 3, 1], jp.tanh), jp.SquaredError(), optax.sgd(0.1, momentum=0.5)
every_method = pytest.mark.parametrize("method", ["autodiff", "manual"])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 2)).astype(np.float32)
Y = np.sin(X.sum(-1, keepdims=True))


def pairs(count=12, size=8, x=X, y=Y):
    """Batches of `size`, as views of x and y."""
    return [(x[i : i + size], y[i : i + size]) for i in range(0, count * size, size)]


BATCHES = pairs()


def fresh(model=MODEL, optimizer=SGD):
    return jp.init_state(model, optimizer, jax.random.key(0))


def fit(batches, state=None, **options):
    return jp.fit_batches(MODEL, LOSS, SGD, state or fresh(), batches, **options)


def by_steps(batches, state=None, method="autodiff"):
    """A plain loop over `make_step`: what `fit_batches` has to equal."""
    step, losses = jp.make_step(MODEL, LOSS, SGD, method), []
    state = state or fresh()
    for x, y in batches:
        state, loss = step(state, x, y)
        losses.append(loss)
    return state, np.asarray(losses)


def assert_identical(actual, expected):
    """States or losses are equal bit for bit, and of the same types."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.dtype == e.dtype
        np.testing.assert_array_equal(a, e)


@pytest.fixture
def one_step_per_call(monkeypatch):
    """Every step is a call of its own, so that callbacks see each."""
    monkeypatch.setattr(batches, "SECONDS_PER_CALL", 0)


@pytest.fixture
def long_calls(monkeypatch):
    """Calls are as long as they can get: of 1, 10, 100 steps."""
    for module in (loop, batches):
        monkeypatch.setattr(module, "SECONDS_PER_CALL", 1e9)


# The same as a loop of steps


@every_method
def test_it_is_a_loop_of_steps(method):
    batches = [*BATCHES, (X[:5], Y[:5]), *BATCHES[:3], (X[:1], Y[:1])]
    state, history = fit(batches, method=method)
    assert_identical((state, history.loss), by_steps(batches, method=method))
    assert (history.first, history.diverged, history.stopped) == (0, None, None)
    assert not history.interrupted


def memory_mapped(folder):
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy")
    return pairs(x=x, y=y)


KINDS = {
    "generator": lambda _: (pair for pair in BATCHES),
    "lists": lambda _: [[x.tolist(), y.tolist()] for x, y in BATCHES],
    "jax": lambda _: [(jnp.asarray(x), jnp.asarray(y)) for x, y in BATCHES],
    "float64": lambda _: [(x.astype(float), y.astype(float)) for x, y in BATCHES],
    "strided": lambda _: pairs(x=np.repeat(X, 2, axis=1)[:, ::2]),
    "memory-mapped": memory_mapped,
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_takes_any_iterable_of_pairs(kind, tmp_path):
    state, history = fit(KINDS[kind](tmp_path))
    assert_identical((state, history.loss), by_steps(BATCHES))


def test_an_iterable_may_use_its_buffer_again():
    model, optimizer = jp.mlp([256, 64, 1], jp.tanh), optax.sgd(0.01)
    x = np.random.default_rng(1).normal(size=(30, 512, 256)).astype(np.float32)
    y = x[..., :1].copy()

    def reusing():
        buffers = np.empty_like(x[0]), np.empty_like(y[0])
        for batch in zip(x, y, strict=True):
            for buffer, values in zip(buffers, batch, strict=True):
                buffer[:] = values
            yield buffers
            for buffer in buffers:
                buffer[:] = 1e3

    state = fresh(model, optimizer)
    expected = jp.fit_batches(model, LOSS, optimizer, state, zip(x, y, strict=True))
    reused = jp.fit_batches(model, LOSS, optimizer, state, reusing())
    assert_identical((reused[0], reused[1].loss), (expected[0], expected[1].loss))


def test_a_long_list_is_not_written_out():
    class Long(list):
        def __repr__(self):
            raise AssertionError

    assert_identical(fit(Long(BATCHES))[0], by_steps(BATCHES)[0])


def test_it_goes_on_from_a_state_which_stays_usable():
    half, first = fit(BATCHES[:5])
    kept = jax.tree.map(np.array, half)
    state, second = fit(BATCHES[5:], half)
    assert (first.first, second.first) == (0, 5)
    losses = np.concatenate([first.loss, second.loss])
    assert_identical((state, losses), by_steps(BATCHES))
    assert_identical(half, kept)


@pytest.mark.usefixtures("x64")
def test_it_trains_in_double_precision():
    batches = [(x.astype(float), y.astype(float)) for x, y in BATCHES]
    state, history = fit(batches)
    assert history.loss.dtype == np.float64
    assert_identical((state, history.loss), by_steps(batches))


# What is compiled


def test_every_size_of_batch_compiles_once():
    optimizer = optax.sgd(0.1)  # a new one: nothing is compiled for it yet
    before = streaming._step._cache_size()
    epoch = [*BATCHES[:5], (X[:3], Y[:3])]
    state, history = jp.fit_batches(MODEL, LOSS, optimizer, fresh(optimizer=optimizer), epoch * 3)
    assert len(history.loss) == 18
    assert streaming._step._cache_size() == before + 2
    jp.fit_batches(MODEL, LOSS, optimizer, state, iter(epoch))
    assert streaming._step._cache_size() == before + 2


# What is asked for when


def test_the_next_batch_is_asked_for_before_a_loss_is_waited_for():
    events = []

    class Loss:
        def __init__(self, number):
            self.number = number

        def __array__(self, dtype=None, copy=None):
            del dtype, copy
            events.append(("waited for", self.number))
            return np.array(1, np.float32)

    def step(state, number, _):
        events.append(("started", number))
        return state, Loss(number)

    def batches():
        for number in range(12):
            events.append(("asked for", number))
            yield number

    stream = Stream(step, lambda _, number: (number, number), batches(), kept=False)
    stream.take(fresh(), 10)
    when = {event: -i for i, event in enumerate(reversed(events))}  # the first time
    for n in range(9):
        assert when["started", n] < when["asked for", n + 1] < when["waited for", n]
    for n in range(8):
        assert when["waited for", n] < when["asked for", n + 2]
    assert ("asked for", 10) not in when
    assert ("waited for", 9) in when


@pytest.mark.usefixtures("long_calls")
def test_the_next_batch_is_asked_for_while_a_step_is_computed(monkeypatch):
    """Were a step waited for, its loss would be ready each time."""
    losses, ready = [], []
    step = streaming._step

    def recorded(*arguments):
        state, loss = step(*arguments)
        losses.append(loss)
        return state, loss

    def batches():
        for _ in range(11):
            ready.extend(loss.is_ready() for loss in losses[-1:])
            yield np.ones((512, 256), np.float32), np.ones((512, 1), np.float32)

    monkeypatch.setattr(streaming, "_step", recorded)
    model = jp.mlp([256, 512, 512, 1])
    jp.fit_batches(model, LOSS, SGD, fresh(model), batches())
    assert not all(ready)


@pytest.mark.usefixtures("long_calls")
def test_two_batches_are_kept_at_most():
    shape, kept = (1000, 2), []

    def batches():
        for _ in range(30):
            kept.append(sum(array.shape == shape for array in jax.live_arrays()))
            yield jnp.ones(shape), jnp.ones((1000, 1))

    fit(batches())
    assert 1 <= max(kept) <= 2


class Counted:
    """An iterator that counts what was taken from it."""

    def __init__(self, items):
        self.items, self.taken = iter(items), 0

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.items)
        self.taken += 1
        return item


@pytest.mark.parametrize("calls", ["one_step_per_call", "long_calls"])
def test_a_callback_sees_as_many_steps_as_batches_were_taken(calls, request):
    request.getfixturevalue(calls)
    batches, seen = Counted(BATCHES), []

    def callback(state, losses):
        assert int(state.step) == batches.taken
        seen.append(losses)

    state, history = fit(batches, callback=callback)
    assert list(map(len, seen)) == ([1] * 12 if calls == "one_step_per_call" else [1, 10, 1])
    np.testing.assert_array_equal(np.concatenate(seen), history.loss)
    assert_identical((state, history.loss), by_steps(BATCHES))


# How it ends


def stop_at(step):
    return lambda state, _: bool(state.step == step)


@pytest.mark.usefixtures("one_step_per_call")
def test_a_callback_ends_the_run_and_the_iterator_goes_on():
    batches = iter(BATCHES)
    half, first = fit(batches, callback=stop_at(5))
    assert (int(half.step), len(first.loss), first.stopped, first.interrupted) == (5, 5, 5, False)
    assert_identical(half, by_steps(BATCHES[:5])[0])
    state, second = fit(batches, half)
    assert second.stopped is None
    assert_identical(state, by_steps(BATCHES)[0])


@pytest.mark.usefixtures("long_calls")
def test_a_run_that_is_over_is_not_stopped():
    """The calls take 1, 10 and 1 of 12 steps: the last finds the end before its callback."""
    state, history = fit(BATCHES, callback=stop_at(12))
    assert (int(state.step), history.stopped, history.interrupted) == (12, None, False)


@pytest.fixture
def handler():
    """Python's own handler of Ctrl-C before the test, and checked to be there after it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    left = signal.signal(signal.SIGINT, previous)
    assert left is signal.default_int_handler


@pytest.mark.usefixtures("one_step_per_call", "handler")
def test_ctrl_c_loses_no_batch():
    def interrupting():
        for i, pair in enumerate(BATCHES):
            if i == 4:
                os.kill(os.getpid(), signal.SIGINT)
            yield pair

    batches = interrupting()
    half, first = fit(batches)
    assert first.interrupted
    assert first.stopped is None
    assert int(half.step) == len(first.loss) == 5
    state, second = fit(batches, half)
    assert not second.interrupted
    assert_identical(state, by_steps(BATCHES)[0])


@pytest.mark.parametrize("steps_per_call", [1, 2, 3, 100])
def test_a_run_that_diverges_ends_at_the_last_state_whose_loss_was_finite(
    steps_per_call, monkeypatch
):
    monkeypatch.setattr(loop, "STEPS_PER_CALL", steps_per_call)
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 1e9)
    steep, batch = optax.sgd(3e5), (X, 1e3 * Y)
    state, step, losses = fresh(optimizer=steep), jp.make_step(MODEL, LOSS, steep), []
    states = []
    while np.isfinite(losses).all():
        states.append(state)
        state, loss = step(state, *batch)
        losses.append(loss)
    asked = Counted([batch] * 99)
    with pytest.warns(RuntimeWarning, match=r"training diverged: at step \d+ the loss") as warned:
        state, history = jp.fit_batches(MODEL, LOSS, steep, fresh(optimizer=steep), asked)
    assert warned[0].filename == __file__
    assert history.diverged == int(state.step) + 1 == len(losses) - 1 > 2
    assert (history.stopped, history.interrupted) == (None, False)
    assert_identical((state, history.loss), (states[-2], np.asarray(losses)))
    assert asked.taken <= len(losses) + 1


def test_what_the_iterable_raises_is_raised():
    def failing():
        yield BATCHES[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(failing())


def test_it_works_in_a_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(fit(BATCHES)))
    thread.start()
    thread.join()
    assert_identical(results[0][0], by_steps(BATCHES)[0])


def test_a_terminal_shows_progress_without_an_end(monkeypatch, capsys):
    fit(BATCHES)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(_interactive, "Console", partial(Console, force_terminal=True, width=100))
    fit(BATCHES)
    assert "12/?" in capsys.readouterr().err


# Grain and PyTorch


def grain_batches():
    """Two epochs, shuffled each, of 12 batches and one of 4; read ahead in threads."""
    grain = pytest.importorskip("grain", reason="Grain is in the extra data")
    rows = grain.MapDataset.range(len(X)).shuffle(seed=3).batch(8).repeat(2)
    read = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    return rows.map(lambda rows: (X[rows], Y[rows])).to_iter_dataset(read)


def test_a_data_set_of_grain_is_taken_in_its_order():
    batches = list(grain_batches())
    assert [len(x) for x, _ in batches] == [*[8] * 12, 4] * 2
    assert not np.array_equal(batches[0][0], batches[13][0])
    state, history = fit(grain_batches())
    assert_identical((state, history.loss), by_steps(batches))


@pytest.mark.parametrize("calls", ["one_step_per_call", "long_calls"])
@pytest.mark.parametrize("at", [1, 11, 13])
def test_a_run_with_grain_resumes_at_the_next_batch(at, calls, request):
    """The state of the iterator, as JSON, belongs to that of the network."""
    request.getfixturevalue(calls)
    whole, history = fit(grain_batches())
    iterator = iter(grain_batches())
    if calls == "one_step_per_call":
        half, first = fit(iterator, callback=stop_at(at))
    else:
        half, first = fit(islice(iterator, at))
    saved = json.dumps(iterator.get_state())
    next(iterator)  # is lost with the process
    again = iter(grain_batches())
    again.set_state(json.loads(saved))
    state, second = fit(again, half)
    losses = np.concatenate([first.loss, second.loss])
    assert len(first.loss) == at
    assert_identical((state, losses), (whole, history.loss))


def test_a_data_loader_of_pytorch_is_taken():
    data = pytest.importorskip("torch.utils.data", reason="PyTorch is one of the optional peers")
    torch = pytest.importorskip("torch")
    tensors = data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    batches = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 100, 8)]
    state, history = fit(data.DataLoader(tensors, batch_size=8))
    assert_identical((state, history.loss), by_steps(batches))
    tensor = torch.zeros(8, 2, requires_grad=True)
    with pytest.raises(TypeError, match=r"batches\[0\]: x is a Tensor, .*tensor\.detach"):
        fit([(tensor, Y[:8])])


# Refusals


GOOD = (X[:4], Y[:4])
NAN = float("nan")


def used_up():
    generator = (pair for pair in BATCHES)
    list(generator)
    return generator


NOT_A_PAIR = r"is not a pair; batches, a \w+, has to give pairs such as \(x, y\)"
REFUSED = {
    "nothing": ({"batches": None}, TypeError, r"batches=None cannot be iterated over; pass an it"),
    "number": ({"batches": 3}, TypeError, r"batches=3 cannot be iterated over"),
    "function": ({"batches": used_up}, TypeError, r"batches=<fun.*call a function that makes one"),
    "empty": ({"batches": []}, ValueError, r"batches=\[\] gave no batch"),
    "used up": ({"batches": used_up()}, ValueError, r"batches=<gen.* gave no batch.* make a new"),
    "string": ({"batches": "text"}, TypeError, rf"batches\[0\]='t' {NOT_A_PAIR}"),
    "bytes": ({"batches": b"text"}, TypeError, rf"batches\[0\]=116 {NOT_A_PAIR}"),
    "one pair": ({"batches": GOOD}, TypeError, rf"batches\[0\]=float32\[4, 2\] {NOT_A_PAIR}"),
    "an array": ({"batches": X}, TypeError, rf"batches\[0\]=float32\[2\] {NOT_A_PAIR}"),
    "a mapping": ({"batches": {"x": X}}, TypeError, rf"batches\[0\]='x' {NOT_A_PAIR}"),
    "mappings": ({"batches": [{"x": X, "y": Y}]}, TypeError, rf"batches\[0\]=.* {NOT_A_PAIR}"),
    "inputs alone": ({"batches": [(X,)]}, TypeError, rf"batches\[0\]=.* {NOT_A_PAIR}"),
    "weights": ({"batches": [(X, Y, Y)]}, TypeError, rf"batches\[0\]=.* {NOT_A_PAIR}"),
    "hole": ({"batches": [GOOD, None]}, TypeError, rf"batches\[1\]=None {NOT_A_PAIR}"),
    "strings": ({"batches": [("x", "y")]}, TypeError, r"batches\[0\]: x is a str, not an array"),
    "no targets": ({"batches": [(X, None)]}, TypeError, r"batches\[0\]: y is a NoneType"),
    "lengths": (
        {"batches": [GOOD, GOOD, (X, Y[:3])]},
        ValueError,
        r"batches\[2\]: x has shape \[100, 2\] and y \[3, 1\]; expected one target per sample",
    ),
    "features": (
        {"batches": [GOOD, (X[:, :1], Y)]},
        ValueError,
        r"batches\[1\]: .*x has shape \[100, 1\], expected \[\.\.\., 2\]",
    ),
    "scalar": ({"batches": [(np.float32(1), Y)]}, ValueError, r"batches\[0\]: .*shape \[\]"),
    "no samples": ({"batches": [(X[:0], Y[:0])]}, ValueError, r"batches\[0\]: .*an empty batch"),
    "integers": (
        {"batches": [GOOD, (X.astype(int), Y)]},
        TypeError,
        r"batches\[1\]: .*x has dtype int32, expected float.*x\.astype",
    ),
    "complex": ({"batches": [(X, Y * 1j)]}, TypeError, r"batches\[0\]: y has dtype c.*its \.real"),
    "masked": (
        {"batches": [(np.ma.masked_array(X), Y)]},
        TypeError,
        r"batches\[0\]: x is a masked array",
    ),
    "objects": ({"batches": [(X.astype(object), Y)]}, TypeError, r"batches\[0\]: x is a ndarray"),
    "ragged": ({"batches": [([[1.0], [1.0, 2.0]], Y)]}, TypeError, r"batches\[0\]: x is a list"),
    "nan": (
        {"batches": [GOOD, GOOD, GOOD, (np.where(X[3, 1] == X, NAN, X)[:4], Y[:4])]},
        ValueError,
        r"batches\[3\]: x holds 1 value that is NaN or infinite \(the first at index \(3, 1\)\)",
    ),
    "infinite": (
        {"batches": [GOOD, (X[:4], Y[:4] * np.inf)]},
        ValueError,
        r"batches\[1\]: y holds 4 values",
    ),
    "beyond float32": (
        {"batches": [(np.full((4, 2), 1e300), Y[:4])]},
        ValueError,
        r"batches\[0\]: x holds 1e\+300, which float32 cannot hold",
    ),
    "broadcast": ({"batches": [(X, Y[:, 0])]}, ValueError, r"batches\[0\]: .*target has sh.*resha"),
    "labels": (
        {"batches": [(X, np.arange(100))], "loss": jp.SoftmaxCrossEntropy()},
        ValueError,
        r"batches\[0\]: .*value 1, expected labels 0 to 0, for 1 outputs",
    ),
    "bits": (
        {"batches": [(X, np.ones((100, 1))), (X, np.zeros((100, 1)))], "loss": jp.Hinge()},
        ValueError,
        r"batches\[1\]: .*value 0.*, expected targets -1 and \+1",
    ),
    "no probabilities": (
        {"batches": [(X, Y**0)], "loss": jp.BinaryCrossEntropy(from_logits=False)},
        ValueError,
        r"NaN or infinite before the first update: .*takes probabilities",
    ),
    "optimizer": ({"optimizer": 0.1}, TypeError, r"optimizer=0\.1 is not an optax"),
    "other optimizer": (
        {"optimizer": optax.adagrad(0.1)},
        (TypeError, ValueError),
        r"opt_state.*optimizer",
    ),
    "state": (
        {"state": fresh().params},
        TypeError,
        r"state=\(DenseP.* is not a TrainState; .*init",
    ),
    "not a number in the parameters": (
        {"state": fresh()._replace(params=jax.tree.map(lambda p: p * NAN, fresh().params))},
        ValueError,
        r"state\.params\[0\]\.w holds 6 values that are NaN",
    ),
    "other model": (
        {"model": jp.mlp([2, 4, 1])},
        ValueError,
        r"params have shapes w=\(2, 3\), b=\(3,\), expected w=\(2, 4\)",
    ),
    "method": ({"method": "manaul"}, ValueError, r"Did you mean 'manual'\?"),
    "model": ({"model": "mlp"}, TypeError, r"model='mlp' is not a layer"),
    "loss": ({"loss": abs}, TypeError, r"loss=.* is not a loss"),
    "squashed twice": (
        {"model": jp.mlp([2, 3, 1], output=jp.sigmoid), "loss": jp.BinaryCrossEntropy()},
        ValueError,
        r"ends in sigmoid",
    ),
    "callback": ({"callback": 3}, TypeError, r"callback=3 is not callable"),
    "answer": ({"callback": lambda *_: 1}, TypeError, r"callback returned 1, expected None"),
}


@pytest.mark.parametrize(("options", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_fit_batches_refuses(options, error, message):
    given = {"model": MODEL, "loss": LOSS, "optimizer": SGD, "state": fresh(), "batches": [GOOD]}
    with pytest.raises(error, match=message):
        jp.fit_batches(**{**given, **options})


@pytest.mark.parametrize("transform", [jax.jit, jax.vmap])
def test_under_a_transformation_it_says_what_to_do_instead(transform):
    message = r"fit_batches cannot run under jit, vmap or grad: .*jax\.lax\.scan"
    with pytest.raises(TypeError, match=message):
        transform(lambda state: fit([GOOD], state)[0])(jax.tree.map(lambda a: a[None], fresh()))
    with pytest.raises(TypeError, match=message):
        transform(lambda x: fit([(x, Y[:4])])[1].loss)(X[None, :4])
