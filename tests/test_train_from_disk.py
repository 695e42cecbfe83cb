"""`jaxpercep train --stream`: as from memory, in blocks, in an order that sees every row once."""

import csv
import json
import os
import subprocess
from collections import Counter
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import python, run
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxpercep as jp
from jaxpercep._files import table
from jaxpercep.commands import actions, batches, checkpoint, samples, scratch, stored
from jaxpercep.commands.arguments import Train
from jaxpercep.commands.batches import ShuffledBatches
from jaxpercep.commands.held_out import HeldOut
from jaxpercep.commands.moments import Moments
from jaxpercep.commands.scratch import Stored, scratch_folder
from jaxpercep.weighting import ClassWeighted, Weighted

HEADER = ["id", "age", "colour", "size", "ill"]
OPTIONS = ("--hidden", 5, "--epochs", 30, "--learning-rate", 0.05, "--batch-size", 32)


def rows_of(n: int = 200) -> list[list[Any]]:
    rng = np.random.default_rng(0)
    rows = [
        [
            f"p{i}",
            round(float(rng.normal(40 + 9 * (i % 4 == 0), 9)), 1),
            "rgb"[i % 3],
            "sm"[i // 2 % 2],
            "yes" if i % 4 == 0 else "no",
        ]
        for i in range(n)
    ]
    rows[7][1], rows[11][1], rows[9][3] = "", "NA", "?"
    return rows


def write_csv(path: Path, rows: Any, header: Any = HEADER) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def ill(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "ill.csv", rows_of())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has tables read some rows at a time, and batches drawn from several windows."""
    monkeypatch.setattr(table, "CELLS", 250)
    monkeypatch.setattr(batches, "RUN", 200)
    monkeypatch.setattr(batches, "WINDOW", 700)


def joined(part: Any) -> list[np.ndarray]:
    return [np.concatenate(arrays) for arrays in zip(*part.blocks(), strict=True)]


def both(tmp_path: Path, data: Path, **options: Any) -> list[Any]:
    """The samples of a table in memory, and in scratch files."""
    arguments = Train(str(data), out=tmp_path / "out", **options)
    folder = tmp_path / "scratch"
    folder.mkdir()
    return [samples.prepare(arguments), stored.prepare(arguments, folder)]


def about(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model.json").read_text("utf-8"))["model"]["about"]


# The same samples as in memory.


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "options",
    [
        {"drop": ("id",), "missing": "mean"},
        {"drop": ("id",), "missing": "mean", "loss": "binary"},
        {"drop": ("id", "size", "age"), "target": "colour"},
        {"drop": (0, "ill", "size", "colour"), "target": "level", "loss": "squared"},
        {"drop": ("id", "age", "ill"), "target": "price", "missing": "mean"},
    ],
)
def test_samples_are_those_in_memory(tmp_path: Path, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    rows = [[*row, i % 7, round(float(rng.normal()), 3)] for i, row in enumerate(rows_of())]
    if options.get("missing") is None:
        rows = [row for row in rows if "" not in row and not {"NA", "?"} & set(map(str, row))]
    drop = (*options["drop"], *({"level", "price"} - {options.get("target")}))
    data = write_csv(tmp_path / "rows.csv", rows, [*HEADER, "level", "price"])
    options = {"target": "ill", **options, "drop": drop}
    memory, disk = both(tmp_path, data, test_fraction=0.0, **options)
    assert disk.layout == memory.layout
    for a, b in zip(joined(disk.parts["train"]), memory.parts["train"], strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    for name in ("scale", "fill"):
        a, b = getattr(disk, name), getattr(memory, name)
        if b is None:
            assert a is None
        else:
            np.testing.assert_allclose(a.mean, b.mean, rtol=1e-12, atol=1e-12)
    assert type(disk.head) is type(memory.head)
    assert disk.head.outputs == memory.head.outputs
    assert getattr(disk.head, "names", ()) == getattr(memory.head, "names", ())


@pytest.mark.usefixtures("small")
def test_what_training_measures_is_of_the_part_trained_on(tmp_path: Path, ill: Path) -> None:
    options = {"drop": ("id",), "missing": "mean"}
    memory, disk = both(tmp_path, ill, **options)
    assert {name: part.size for name, part in disk.parts.items()} == {"train": 160, "test": 40}
    raw = np.concatenate([memory.parts[name].x for name in ("train", "test")])
    x, y = joined(disk.parts["train"])
    np.testing.assert_allclose(x[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(x[:, 0].std(), 1, rtol=1e-6)
    assert Counter(y.tolist()) == {0: 120, 1: 40}
    # In the units of the file, both parts are the rows of the file: each of them once.
    found = [disk.scale.invert(joined(disk.parts[name])[0]) for name in ("train", "test")]
    ages = np.sort(np.concatenate(found)[:, 0])
    expected = np.sort(memory.scale.invert(raw)[:, 0])
    filled = np.isclose(expected, memory.fill.mean[0], atol=1e-4)
    assert filled.sum() == 2
    np.testing.assert_allclose(
        np.sort(ages[~np.isclose(ages, disk.fill.mean[0], atol=1e-4)]), expected[~filled], rtol=1e-5
    )


def test_scratch_files_are_removed_as_they_are_used(tmp_path: Path, ill: Path) -> None:
    _, disk = both(tmp_path, ill, drop=("id",), missing="mean")
    names = {path.name for path in (tmp_path / "scratch").iterdir()}
    assert names == {"train.x", "train.y", "test.x", "test.y"}
    assert (tmp_path / "scratch" / "train.x").stat().st_size == 160 * disk.layout.inputs * 4


# What is held out.


@settings(deadline=None, max_examples=50)
@given(
    labels=st.lists(st.integers(0, 3), min_size=30, max_size=80),
    cuts=st.lists(st.integers(0, 80), max_size=5),
    fraction=st.floats(0.1, 0.5),
    seed=st.integers(0, 9),
)
def test_every_class_has_its_share_held_out(
    labels: list[int], cuts: list[int], fraction: float, seed: int
) -> None:
    y = np.array([0, 1, 2, 3] * 5 + labels)
    counts = np.bincount(y)
    held = HeldOut(counts, ("a", "b", "c", "d"), fraction, seed)
    assert held.quotas.sum() == np.ceil(fraction * len(y))
    assert (abs(held.quotas - fraction * counts) < 1.5).all()
    blocks = np.split(y, sorted(cuts))
    masks = [list(map(held.drawer(), blocks)) for _ in range(2)]
    np.testing.assert_array_equal(*map(np.concatenate, masks))
    np.testing.assert_array_equal(
        np.bincount(y[np.concatenate(masks[0])], minlength=4), held.quotas
    )


def test_every_row_is_held_out_as_often_as_the_next() -> None:
    y = np.zeros(40, int)
    masks = []
    for seed in range(2000):
        draw = HeldOut(np.array([40]), (), 0.25, seed).drawer()
        masks.append(np.concatenate([draw(block) for block in np.split(y, [3, 4, 17])]))
    np.testing.assert_allclose(np.mean(masks, axis=0), 0.25, atol=0.05)  # 5 standard deviations


@pytest.mark.parametrize(
    ("counts", "fraction", "message"),
    [
        (
            [9, 1],
            0.2,
            "test_fraction=0.2 cannot split 10 rows: class 'b' has only one; every class",
        ),
        ([2, 2], 0.1, "1 to test on and 3 to train on cannot each have one of 2 classes. Use more"),
        ([2, 2], 0.9, "4 to test on and 0 to train on cannot"),
    ],
)
def test_too_few_rows_leave_no_test_part(counts: list[int], fraction: float, message: str) -> None:
    with pytest.raises(ValueError, match="cannot split") as caught:
        HeldOut(np.array(counts), ("a", "b"), fraction, 0)
    assert message in str(caught.value)


@settings(deadline=None, max_examples=50)
@given(
    cuts=st.lists(st.integers(0, 30), max_size=4),
    holes=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 2)), max_size=20),
    offset=st.sampled_from([0, 1e4]),
)
def test_moments_are_those_of_numpy_however_the_rows_come(
    cuts: list[int], holes: list[tuple[int, int]], offset: float
) -> None:
    x = np.random.default_rng(0).normal(offset, 1, (30, 4)).astype(np.float32)
    x[:, 3] = 0.1
    for hole in holes:
        x[hole] = np.nan
    found, wide = Moments(np.split(x, sorted(cuts))), x.astype(np.float64)
    np.testing.assert_array_equal(found.count, (~np.isnan(x)).sum(0))
    np.testing.assert_allclose(found.mean, np.nanmean(wide, 0), rtol=1e-12)
    np.testing.assert_allclose(found.squares / found.count, np.nanvar(wide, 0), rtol=1e-9)
    assert found.squares[3] == 0


# The order.


def stored_rows(folder: Path, n: int) -> Stored:
    """Samples in files: the number of each row twice, and its negative as the target."""
    rows = np.arange(n, dtype=np.float32)
    found = Stored.create(folder, "rows", 2, np.empty((0, 1), np.float32))
    found.append(np.stack([rows, rows], axis=1), -rows[:, None])
    return found


def order_of(samples: Stored, size: int, epochs: int, seed: int = 0) -> list[list[int]]:
    """The numbers of the rows of each batch, which are whole and have their targets."""
    with ShuffledBatches(samples, size, epochs, seed) as drawn:
        found = list(drawn)
    for x, y in found:
        assert x.dtype == y.dtype == np.float32
        np.testing.assert_array_equal(x, -np.hstack([y, y]))
    return [x[:, 0].astype(int).tolist() for x, _ in found]


def flat(lists: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


@pytest.mark.parametrize(
    ("run_", "window"), [(2**20, 2**26), (200, 700), (40, 40), (1, 1), (90, 500)]
)
def test_an_epoch_has_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_: int, window: int
) -> None:
    monkeypatch.setattr(batches, "RUN", run_)
    monkeypatch.setattr(batches, "WINDOW", window)
    rows = stored_rows(tmp_path, 103)
    for size in (1, 10, 64, 103):
        drawn = order_of(rows, size, 3)
        per_epoch = -(-103 // size)
        epochs = [flat(drawn[i : i + per_epoch]) for i in range(0, len(drawn), per_epoch)]
        assert [sorted(epoch) for epoch in epochs] == 3 * [list(range(103))]
        assert [len(batch) for batch in drawn[:per_epoch]] == [
            min(size, 103 - i) for i in range(0, 103, size)
        ]
        assert epochs[0] != epochs[1] != epochs[2]
        assert flat(order_of(rows, size, 3)) == flat(drawn)
        assert flat(order_of(rows, 7, 3)) == flat(drawn)  # batches only cut the order
        assert flat(order_of(rows, size, 3, seed=1)) != flat(drawn)


@pytest.mark.usefixtures("small")
def test_a_window_mixes_runs_from_all_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def read_into(self: Any, array: np.ndarray, first: int) -> np.ndarray:
        if self.shape == (2,):
            reads.append((first, len(array)))
        return scratch_read(self, array, first)

    scratch_read = scratch.StoredArray.read_into
    monkeypatch.setattr(scratch.StoredArray, "read_into", read_into)
    epoch = flat(order_of(stored_rows(tmp_path, 103), 10, 1))
    assert {count for _, count in reads} == {10, 3}  # of 20 bytes each: 200 in a run
    assert sorted(first for first, _ in reads) == list(range(0, 103, 10))
    runs = [number // 10 for number in epoch]
    first = runs[:30]  # of a window of 700 bytes: 3 runs
    assert len(set(first)) == 3 or 10 in first
    assert sum(a != b for a, b in pairwise(first)) > 10
    assert runs != sorted(runs)


@pytest.mark.usefixtures("small")
def test_a_state_goes_on_with_the_batch_that_followed(tmp_path: Path) -> None:
    rows = stored_rows(tmp_path, 53)
    expected = order_of(rows, 10, 3)
    for taken in range(len(expected) + 1):
        with ShuffledBatches(rows, 10, 3, 0) as before:
            for _ in range(taken):
                next(before)
            state = json.loads(json.dumps(before.get_state()))
        with ShuffledBatches(rows, 10, 3, 0) as after:
            after.set_state(state)
            assert after.get_state() == state
            rest = [x[:, 0].astype(int).tolist() for x, _ in after]
        assert rest == expected[taken:]
    with ShuffledBatches(rows, 10, 3, 0) as drawn:
        for state in ({"taken": 19}, {"taken": -1}, {"taken": "1"}, {}):
            with pytest.raises(ValueError, match="is not one of these batches"):
                drawn.set_state(state)


# Weights of classes.

every_method = pytest.mark.parametrize("method", ["autodiff", "manual"])


@every_method
@pytest.mark.parametrize("loss", [jp.SoftmaxCrossEntropy(), jp.BinaryCrossEntropy()])
def test_weights_of_classes_are_those_of_their_samples(loss: Any, method: Any) -> None:
    rng = np.random.default_rng(0)
    bits = isinstance(loss, jp.BinaryCrossEntropy)
    labels = rng.integers(0, 2 if bits else 3, 9)
    y = jnp.asarray(labels[:, None], jnp.float32) if bits else jnp.asarray(labels)
    x = jnp.asarray(rng.normal(size=(9, 4)), jnp.float32)
    weights = (0.5, 3.0, 1.25)
    model = jp.mlp([4, 5, 1 if bits else 3], jp.tanh)
    params = model.init(jax.random.key(0))
    by_class = ClassWeighted(loss, weights)
    by_sample = Weighted(loss, jnp.asarray(weights, jnp.float32)[labels])
    found, expected = (
        jp.value_and_grad(model, each, method)(params, x, y) for each in (by_class, by_sample)
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    plain = jp.value_and_grad(model, loss, method)(params, x, y)
    assert not np.allclose(found[0], plain[0])


@pytest.mark.usefixtures("small")
def test_balanced_weights_are_those_in_memory(tmp_path: Path, ill: Path) -> None:
    options = {"drop": ("id",), "missing": "mean", "class_weight": "balanced"}
    for fraction in (0.0, 0.2):
        memory, disk = both(tmp_path, ill, test_fraction=fraction, **options)
        labels = memory.parts["train"].y
        weights = [memory.weights[labels == i][0] for i in range(2)]
        assert disk.loss.weights == pytest.approx(weights)
        assert disk.loss.weights == pytest.approx((200 / 300, 2))
        (tmp_path / "scratch").rename(tmp_path / f"scratch{fraction}")


# The command line.


@pytest.mark.usefixtures("small")
def test_a_table_is_learnt_from_disk(tmp_path: Path, ill: Path) -> None:
    words = ("train", ill, "--drop", "id", "--missing", "mean", *OPTIONS, "--stream")
    result = run(*words, "--out", tmp_path / "m")
    assert result.code == 0, result.err
    assert "160 samples to train on, 40 samples to test on, 6 features\n" in result.out
    assert "copied into scratch files beside" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ill.csv", "m"]
    assert about(tmp_path / "m")["metrics"]["train"]["loss"] < 0.5
    assert run("predict", tmp_path / "m", ill).out.count("\n") == 201


@pytest.mark.usefixtures("small")
def test_training_is_fit_batches_over_shuffled_batches(tmp_path: Path, ill: Path) -> None:
    words = ("--schedule", "cosine", "--warmup-epochs", 2, "--class-weight", "balanced")
    options = {"drop": ("id",), "missing": "mean", "class_weight": "balanced"}
    dropped = ("--drop", "id", "--missing", "mean", *OPTIONS)
    assert run("train", ill, *dropped, *words, "--stream", "--out", tmp_path / "m").code == 0
    _, disk = both(tmp_path, ill, **options)
    model = jp.mlp([6, 5, 2], jp.relu)
    rate = actions.learning_rate("cosine", 0.05, 5 * 30, 5 * 2)  # 160 rows in batches of 32
    optimizer = actions.OPTIMIZERS["adam"](rate)
    state = jp.init_state(model, optimizer, jax.random.split(jax.random.key(0))[0])
    with ShuffledBatches(disk.parts["train"], 32, 30, 0) as drawn:
        state, history = jp.fit_batches(model, disk.loss, optimizer, state, drawn)
    assert len(history.loss) == 150
    params = checkpoint.load(tmp_path / "m").params
    jax.tree.map(np.testing.assert_array_equal, params, state.params)


def test_a_batch_has_256_samples_unless_another_size_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    fit_batches = actions.fit_batches

    def counted(*arguments: Any, batches: Any, **options: Any) -> Any:
        pairs = list(batches)
        sizes.extend(len(x) for x, _ in pairs)
        return fit_batches(*arguments, batches=pairs, **options)

    monkeypatch.setattr(actions, "fit_batches", counted)
    np.save(tmp_path / "m.npy", np.random.default_rng(0).normal(size=(600, 3)).round(2))
    options = ("--stream", "--hidden", "--epochs", 1, "--test-fraction", 0, "--out", tmp_path / "m")
    assert run("train", tmp_path / "m.npy", *options).code == 0
    assert sizes == [256, 256, 88]
    sizes.clear()
    assert run("train", tmp_path / "m.npy", *options, "--batch-size", 500).code == 0
    assert sizes == [500, 100]


REFUSED = [
    ("moons --stream", "--stream: DATA='moons' is not a table, which it takes; leave it out."),
    ("FOLDER --stream", "is not a table, which it takes; leave it out."),
    (
        "x.npz --stream",
        "--stream: x.npz is an NPZ file, which is unpacked in memory; write it as P",
    ),
    ("rows.csv --stream --resume", "--resume: there are no checkpoints in"),
    ("rows.csv --stream --batch-size 5", "--batch-size 5: training has 4 samples."),
    ("rows.csv --stream --epochs 2147483648", "expected at most 2147483647 (2**31 - 1 steps)."),
    ("values.csv --stream --class-weight balanced", "the targets of values.csv are values, or sev"),
    ("values.csv --stream --loss softmax", "--loss softmax needs class labels, these are values"),
    (
        "many.csv --stream",
        "--loss auto: the targets are 40 different whole numbers in 40 samples. Use --loss squared",
    ),
    ("holes.csv --stream", "holes.csv, line 3, column 1 ('a'): the cell is empty; fill it in, or"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_streamed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=np.eye(3), y=[0, 1, 0])
    Path("rows.csv").write_text("a,y\n1,no\n2,yes\n3,no\n4,yes\n")
    Path("values.csv").write_text("a,y\n1,0.5\n2,1.5\n")
    Path("many.csv").write_text("a,y\n" + "".join(f"{i},{i}\n" for i in range(40)))
    Path("holes.csv").write_text("a,y\n1,no\n,yes\n")
    before = sorted(Path().iterdir())
    words = words.replace("FOLDER", str(tmp_path))
    result = run("train", *words.split(), "--test-fraction", 0)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert sorted(Path().iterdir()) == before


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("after", [1, 4, 9])
def test_ctrl_c_while_the_table_is_read_leaves_nothing(
    tmp_path: Path, ill: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    import signal

    append, count = scratch.StoredArray.append, iter(range(10**9))

    def interrupting(self: Any, rows: np.ndarray) -> None:
        append(self, rows)
        if next(count) == after:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(scratch.StoredArray, "append", interrupting)
    result = run(
        "train", ill, "--drop", "id", "--missing", "mean", "--stream", "--out", tmp_path / "m"
    )
    assert result.code == 130
    assert result.err.endswith("jaxpercep train: interrupted\n")
    assert next(count) <= after + 4  # the block is finished, and no other begun
    assert list(tmp_path.iterdir()) == [ill]


@pytest.mark.parametrize("after", [0, 20])
def test_ctrl_c_while_it_trains_saves_the_state_reached(
    tmp_path: Path, ill: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    import signal

    following = ShuffledBatches.__next__

    def interrupting(self: ShuffledBatches) -> Any:
        if self.get_state()["taken"] == after:
            signal.raise_signal(signal.SIGINT)
        return following(self)

    monkeypatch.setattr(ShuffledBatches, "__next__", interrupting)
    words = ("train", ill, "--drop", "id", "--missing", "mean", "--epochs", 10**7, "--stream")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        result = run(*words, "--out", tmp_path / "m", "--checkpoints")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.code == 130
    assert "interrupted after" in result.err
    kept = len(list((tmp_path / "m" / "checkpoints").glob("[0-9]*")))
    assert kept == ("--resume goes on from it" in result.err) == (after > 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ill.csv", "m"]
    assert run("predict", tmp_path / "m", ill).code == 0


def test_a_run_from_disk_goes_on_where_it_was(tmp_path: Path, ill: Path) -> None:
    words = ("train", ill, "--drop", "id", "--missing", "mean", "--stream", *OPTIONS)
    out, whole = tmp_path / "model", tmp_path / "whole"
    assert run(*words, "--epochs", 2, "--out", out, "--checkpoints").code == 0
    assert run(*words, "--epochs", 4, "--out", out, "--resume").code == 0
    assert run(*words, "--epochs", 4, "--out", whole).code == 0
    (_, params), (_, due) = jp.load(out), jp.load(whole)
    jax.tree.map(np.testing.assert_array_equal, params, due)
    write_csv(ill, rows_of(180))
    other = run(*words, "--epochs", 6, "--out", out, "--resume")
    assert other.code == 2
    assert "holds a run that goes on at batches[" in other.err


HOLDING = """
import sys
from pathlib import Path
from jaxpercep.commands.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "read.x").write_text("rows")
    print("held", flush=True)
    input()
"""


@pytest.mark.parametrize("name", ["model", "a [b] *", "new/model"])
def test_scratch_files_of_a_killed_run_are_removed_by_the_next(tmp_path: Path, name: str) -> None:
    """But not those of a run that goes on, and nothing that only looks alike."""
    out = tmp_path / name
    (tmp_path / f".{out.name}.mine").mkdir()
    (tmp_path / f".{out.name}.mine.scratch").write_text("a file")
    mine = set(tmp_path.iterdir())
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    holders = [python(HOLDING, out, env=environment, stdin=subprocess.PIPE) for _ in range(2)]
    try:
        for process in holders:
            assert process.stdout.readline() == "held\n"
        left = set(tmp_path.iterdir()) - mine
        assert len(left) == 2
        holders[0].kill()
        holders[0].wait()
        out.parent.mkdir(exist_ok=True)
        with scratch_folder(out) as folder:
            assert folder.parent == out.parent
            (kept,) = left & set(tmp_path.iterdir())
            assert (kept / "read.x").read_text() == "rows"
        assert holders[1].communicate("\n") == ("", "")
    finally:
        for process in holders:
            process.kill()
            process.communicate()
    assert set(tmp_path.iterdir()) - {out.parent} == mine


def test_a_full_disk_is_said_with_the_scratch_file(
    tmp_path: Path, ill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch.Stored, "create", classmethod(full))
    result = run(
        "train", ill, "--stream", "--drop", "id", "--missing", "mean", "--out", tmp_path / "m"
    )
    assert result.code == 1
    message = "/dev/full: a scratch file cannot be written: No space left on device\n"
    assert result.err.endswith(f"jaxpercep train: error: {message}")
    assert list(tmp_path.iterdir()) == [ill]


def full(cls: type[Stored], folder: Path, name: str, features: int, y: np.ndarray) -> Stored:
    """Samples on a disk that is full."""
    del folder, name
    disk = partial(scratch.StoredArray, Path("/dev/full"))
    return cls(disk(np.float32, (features,)), disk(y.dtype, y.shape[1:]))


def test_memory_that_is_too_small_names_the_way_out(
    tmp_path: Path, ill: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> Any:
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr(samples.sources, "load", exhausted)
    result = run("train", ill, "--out", tmp_path / "m")
    assert result.code == 2
    assert "ill.csv does not fit into memory: Unable to allocate 9 GiB. Add --stream" in result.err


# Predictions, some rows at a time.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of 200 rows, and a model."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_csv(folder / "ill.csv", rows_of())
    words = ("--drop", "id", "--missing", "mean", *OPTIONS, "--out", folder / "m")
    assert run("train", data, *words).code == 0
    return folder


def test_predictions_in_blocks_are_those_of_the_whole(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run("predict", trained / "m", trained / "ill.csv")
    monkeypatch.setattr(table, "CELLS", 35)
    result = run("predict", trained / "m", trained / "ill.csv")
    assert [row["prediction"] for row in result.rows()] == [r["prediction"] for r in whole.rows()]
    found, expected = ([float(r["probability"]) for r in s.rows()] for s in (result, whole))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert result.err == whole.err
    out = tmp_path / "predictions.csv"
    assert run("predict", trained / "m", trained / "ill.csv", "--out", out).out == ""
    assert out.read_text() == result.out


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("row", "column", "cell", "message"),
    [
        (150, 4, "maybe", "line 152, column 5 ('ill'): the model does not know the class 'maybe'."),
        (150, 2, "mauve", "line 152, column 3 ('colour'): 'mauve' is a category that the model do"),
        (199, 1, "inf", "line 201, column 2 ('age'): 'inf' is not a finite float32 number"),
    ],
)
def test_a_fault_far_down_leaves_no_predictions(
    trained: Path, tmp_path: Path, row: int, column: int, cell: str, message: str
) -> None:
    rows = rows_of()
    rows[row][column] = cell
    data, out = write_csv(tmp_path / "rows.csv", rows), tmp_path / "out.csv"
    out.write_text("prediction of yore")
    for words in ((), ("--out", out)):
        result = run("predict", trained / "m", data, *words)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
    assert out.read_text() == "prediction of yore"
    assert sorted(tmp_path.iterdir()) == [out, data]


@pytest.mark.usefixtures("small")
def test_a_target_missing_far_down_leaves_the_predictions(trained: Path, tmp_path: Path) -> None:
    rows = rows_of()
    rows[150][4] = ""
    result = run("predict", trained / "m", write_csv(tmp_path / "rows.csv", rows))
    assert result.code == 0
    assert result.out == run("predict", trained / "m", trained / "ill.csv").out
    assert result.err.splitlines()[1:] == [
        f"no metrics: {tmp_path / 'rows.csv'}, line 152, column 5 ('ill'): the target is missing; "
        "fill it in, or leave out the row."
    ]


@pytest.mark.usefixtures("small")
def test_metrics_of_values_in_blocks_are_those_of_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 3))
    np.save(tmp_path / "m.npy", np.column_stack([x, 100 + x.sum(1) + rng.normal(size=100)]))
    options = ("--hidden", "--epochs", 100, "--learning-rate", 0.05, "--out", tmp_path / "m")
    assert run("train", tmp_path / "m.npy", *options, "--stream").code == 0
    result = run("predict", tmp_path / "m", tmp_path / "m.npy")
    predicted = np.array([float(row["prediction"]) for row in result.rows()])
    y = np.load(tmp_path / "m.npy")[:, -1]
    names, values = (line.split() for line in result.err.splitlines()[-2:])
    found = dict(zip(names, map(float, values), strict=True))
    errors = ((y - predicted) ** 2).sum()
    assert found["RMSE"] == pytest.approx(np.sqrt(errors / 100), rel=1e-3)
    assert found["R^2"] == pytest.approx(1 - errors / ((y - y.mean()) ** 2).sum(), rel=1e-3)
    assert found["R^2"] > 0.6
