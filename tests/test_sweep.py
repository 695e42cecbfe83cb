"""`jaxpercep sweep` counts what `fit` learns, and says how sure that is."""

import csv
import io
import itertools
import os
import re
import signal
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from helpers import python, run

import jaxpercep as jp
from jaxpercep.commands import pictures, sweep
from jaxpercep.commands.learned import Cell, as_csv
from jaxpercep.commands.levels import Level, levels, occupied
from jaxpercep.datasets import logic_gate

ROOT = Path(__file__).parents[1]
QUICK = ("--hidden", 2, "--networks", 10, "--steps", 400)
FILES = ["learned.png", "losses.png", "sweep.csv"]


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "sweep.csv").read_text())))


def cell(learned: int, networks: int, **changes) -> Cell:
    fields = {
        "hidden": 2,
        "learning_rate": 0.3,
        "losses": np.linspace(0, 0.5, networks, dtype=np.float32),
        "learned": np.arange(networks) < learned,
        "diverged": np.zeros(networks, bool),
    }
    return Cell(**fields | changes)


# What is counted.


def test_a_row_is_what_fit_makes_of_its_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "LANES", 4)  # groups of 4, the last of which is padded
    out = tmp_path / "new" / "sweep"
    result = run("sweep", "xor", *QUICK, "--learning-rates", 1, 0.1, "--seed", 3, "--out", out)
    assert (result.code, result.err) == (0, "")
    low, high = rows(out)
    assert (low["learning_rate"], high["learning_rate"]) == ("0.1", "1")
    assert {row["networks"] for row in (low, high)} == {"10"}
    x, y, _ = logic_gate("XOR")
    model, loss, optimizer = jp.mlp([2, 2, 1], jp.tanh), jp.BinaryCrossEntropy(), optax.sgd(1.0)
    found = []
    for key in jax.random.split(jax.random.key(3), 10):
        state, _ = jp.fit(
            model, loss, optimizer, jp.init_state(model, optimizer, key), x, y, steps=400
        )
        z = model.apply(state.params, x)
        found.append((float(loss.apply(z, y)), bool(((z > 0) == (y > 0)).all())))
    losses, learned = map(np.array, zip(*found, strict=True))
    assert 0 < learned.sum() < 10
    assert int(high["learned"]) == learned.sum()
    assert float(high["fraction"]) == learned.mean()
    assert float(high["median_loss"]) == pytest.approx(np.median(losses), rel=1e-3)
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert [path.name for path in out.parent.iterdir()] == ["sweep"]
    assert f"{high['fraction'][2:4]}.0 %" in result.out


@pytest.mark.slow
def test_samples_that_may_be_wrong(tmp_path: Path) -> None:
    options = (*QUICK, "--learning-rates", 1, "--out", tmp_path / "sweep")
    counts = {}
    for accuracy in (0.5, 1.0):
        assert run("sweep", "xor", *options, "--accuracy", accuracy).code == 0
        counts[accuracy] = int(rows(tmp_path / "sweep")[0]["learned"])
    assert counts[1.0] < counts[0.5] == 10


@pytest.mark.slow
def test_classes_and_files_are_learnt_too(tmp_path: Path) -> None:
    x = np.array([[100, 0], [200, 0], [300, 0], [400, 0], [500, 0], [600, 0]])
    lines = [f"{a},{b},{'low' if a < 350 else 'high'}" for a, b in x]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    options = ("--hidden", 3, "--layers", 2, "--networks", 5, "--steps", 100)
    more = ("--learning-rates", 0.1, "--optimizer", "adam", "--out", tmp_path / "sweep")
    result = run("sweep", tmp_path / "rows.csv", *options, *more)
    assert (result.code, result.err) == (0, "")
    assert "rows.csv: 6 samples, 2 features\n5 networks of 1 kind, 100 steps each" in result.out
    assert rows(tmp_path / "sweep")[0]["learned"] == "5"  # standardized, or they would not be


def test_networks_that_diverge_are_counted_and_leave_others_alone(tmp_path: Path) -> None:
    training = ("--hidden", 4, "--networks", 20, "--steps", 50, "--activation", "relu")
    options = (*training, "--accuracy", 0.5)  # as many as NaN would get right
    out = ("--out", tmp_path / "both")
    result = run("sweep", "xor", *options, "--learning-rates", 0.5, 1e38, *out)
    assert (result.code, result.err) == (0, "")
    good, bad = rows(tmp_path / "both")
    assert int(bad["diverged"]) > 10
    assert int(bad["learned"]) <= 20 - int(bad["diverged"])
    assert bad["median_loss"] == "inf"
    assert f"{bad['diverged']} networks diverged" in result.out
    alone = run("sweep", "xor", *options, "--learning-rates", 0.5, "--out", tmp_path / "alone")
    assert "diverged" not in alone.out
    assert rows(tmp_path / "alone") == [good]
    assert good["diverged"] == "0"


# Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
@pytest.mark.parametrize(
    ("learned", "networks", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)],
)
def test_the_interval_is_wilsons(learned: int, networks: int, low: float, high: float) -> None:
    assert cell(learned, networks).interval() == pytest.approx((low, high), abs=5e-5)
    (row,) = csv.DictReader(io.StringIO(as_csv([cell(learned, networks)])))
    assert (float(row["low"]), float(row["high"])) == pytest.approx((low, high), abs=5e-5)


# The losses at which networks get stuck.


def test_levels_are_the_least_losses_of_shared_outputs() -> None:
    y, loss = logic_gate("XOR").y, jp.BinaryCrossEntropy()
    due = set()
    for groups in itertools.product(range(4), repeat=4):  # the group of each sample
        share = np.array([y[np.equal(groups, group)].mean() for group in groups])
        logits = np.log(np.maximum(share, 1e-12) / np.maximum(1 - share, 1e-12))
        due.add(round(float(loss.apply(logits[:, None].astype(np.float32), y)), 5))
    found = levels([2, 2])
    assert sorted(due) == pytest.approx([0, *found], abs=1e-5)
    assert found == {
        0.346574: "2 right, 2 at odds 1:1",
        0.477386: "1 right, 3 at odds 2:1",
        0.693147: "4 at odds 1:1",
    }
    assert levels([500, 500]) == {0.693147: "1000 at odds 1:1"}
    assert levels([1, 1, 1])[round(np.log(3), 6)] == "3 at odds 1:1:1"


def test_losses_are_counted_to_the_nearest_level_unless_rare() -> None:
    losses = np.array([0.348] * 30 + [0.479] + [0.01] * 270 + [np.inf, 0.4], np.float32)
    assert occupied(losses, [2, 2]) == [Level(0.346574, "2 right, 2 at odds 1:1", 30)]


# The pictures.


def test_the_map_writes_shares_intervals_and_what_diverged() -> None:
    diverged = np.arange(20) > 12
    cells = [
        cell(0, 20),
        cell(5, 20, hidden=3, diverged=diverged),
        cell(20, 20, learning_rate=1.0),
    ]
    axes = pictures.learned_map(cells, "XOR").axes[0]
    texts = {text.get_text(): text.get_position() for text in axes.texts}
    assert texts["0.0 %"][0] == 0
    assert {"0.0 to 16.1", "25.0 %", "100.0 %", "83.9 to 100.0"} < set(texts)
    assert round(texts["7 diverged"][1]) == 1
    (frame,) = axes.patches
    assert frame.get_xy() == pytest.approx((-0.47, 0.53))
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0, 1], [0.25, np.nan]])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.3", "1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2", "3"]


def test_the_histogram_counts_every_loss_and_marks_levels() -> None:
    losses = np.array([0, 0.346, 0.347, 5, np.inf], np.float32)
    level = Level(0.346574, "2 right, 2 at odds 1:1", 2)
    cells = [cell(0, 5, losses=losses), cell(0, 5, learning_rate=0.1, losses=losses)]
    figure = pictures.final_losses(cells, [level], 0.8, "2-2-1")
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["rate 0.1", "rate 0.3"]
    for axes in figure.axes:
        heights = [bar.get_height() for bar in axes.patches]
        assert (heights[0], sum(heights), heights[-1]) == (1, 5, 2)
        assert axes.lines[0].get_xdata() == [0.346574] * 2
    (text,) = figure.legends[0].get_texts()
    assert text.get_text() == "0.3466: 2 right, 2 at odds 1:1"


# Refused, replaced, interrupted.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mons", "DATA='mons' is not a dataset"),
        ("xor --hidden", "--hidden : expected one size or more, of at least 1"),
        ("xor --hidden 2 0", "--hidden 2 0: expected one size or more, of at least 1"),
        (f"xor --hidden {10**9} --layers 2", "the parameters and their gradient take"),
        ("xor --layers 0", "--layers 0: expected at least 1 and at most 1000"),
        ("xor --learning-rates", "--learning-rates : expected float32 numbers above 0, at least"),
        ("xor --learning-rates 1 nan", "--learning-rates 1.0 nan: expected float32 numbers above"),
        ("xor --networks 1000001", "--networks 1000001: expected at least 1 and at most 1000000"),
        ("xor --steps 0", "--steps 0: expected at least 1 and below 2**31"),
        ("xor --accuracy 0", "--accuracy 0.0: expected above 0 and at most 1"),
        ("xor --accuracy 1.01", "--accuracy 1.01: expected above 0 and at most 1"),
        ("xor --seed -1", "--seed -1: expected at least 0 and below 2**32"),
        ("xor --activation step", "--activation step: its derivative is 0 everywhere"),
        ("values.npz", "DATA='values.npz': its targets are values, or several labels a sample"),
        ("labels.npz", "DATA='labels.npz': its targets are values, or several labels a sample"),
        ("ones.npz", "DATA='ones.npz': every target is the same"),
        ("xor --out .", "--out . is not a sweep: it has no sweep.csv"),
    ],
)
def test_what_cannot_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("values.npz", x=np.eye(3), y=np.array([0.5, 1.5, 2.5]))
    np.savez("labels.npz", x=np.eye(3), y=np.array([[0, 1], [1, 1], [0, 0]]))
    np.savez("ones.npz", x=np.eye(3), y=np.ones((3, 1)))
    result = run("sweep", *words.split())
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1].startswith("jaxpercep sweep: error: ")
    assert message in result.err
    assert not Path("out").exists()


def test_an_earlier_sweep_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    options = (*QUICK, "--learning-rates", 1, "--out", out)
    assert run("sweep", "xor", *options).code == 0
    before = (out / "sweep.csv").read_bytes()
    assert run("sweep", "xor", *options, "--seed", 4).code == 0
    assert (out / "sweep.csv").read_bytes() != before
    (out / "mine.txt").write_text("mine")
    result = run("sweep", "xor", *options)
    assert result.code == 2
    assert "holds a sweep and also 'mine.txt', which would be lost" in result.err
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "mine.txt"])


@pytest.mark.slow
def test_a_sweep_that_cannot_be_saved_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sweep"
    options = (*QUICK, "--learning-rates", 1, "--out", out)
    assert run("sweep", "xor", *options).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sweep, "as_csv", full)
    assert run("sweep", "xor", *options, "--seed", 4).code == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from jaxpercep.__main__ import main
from jaxpercep.commands import experiment, sweep
sweep.LANES = 4
train = experiment.Experiment.train
def announce(*arguments):
    outcome = train(*arguments)
    sys.stderr.write("under way\\n")
    return outcome
experiment.Experiment.train = announce
sys.exit(main())
"""


def test_an_interrupt_keeps_the_networks_that_are_done(tmp_path: Path) -> None:
    words = ("sweep", "xor", "--hidden", 2, "--learning-rates", 1, 2, "--networks", 40000)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    with python(INTERRUPTIBLE, *words, "--out", tmp_path / "sweep", env=environment) as process:
        try:
            for _ in range(8):
                assert process.stderr.readline() == "under way\n"
            process.send_signal(signal.SIGTERM)  # which does what Ctrl-C does
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert "saved: " in out
    counts = [int(row["networks"]) for row in rows(tmp_path / "sweep")]
    assert len(counts) == 2
    assert abs(counts[0] - counts[1]) <= 4  # the map grows evenly
    assert f"jaxpercep sweep: interrupted; the {sum(counts):,} networks done are saved\n" in err
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


@pytest.mark.slow
def test_an_interrupt_before_any_network_is_done_saves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_train", lambda *_: [])
    result = run("sweep", "xor", *QUICK, "--out", tmp_path / "sweep")
    assert (result.code, result.err) == (130, "jaxpercep sweep: interrupted\n")
    assert not list(tmp_path.iterdir())


# The page.


@pytest.mark.slow
def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    """Some of its fields: the others have other networks, or learning rates too high to repeat."""
    page = (ROOT / "docs" / "populations.md").read_text()
    assert "\njaxpercep sweep xor\n" in page
    header, shares = re.search(r"┃ hidden ┃(.*)┃\n.*\n│ +2 │(.*)│\n", page).groups()
    shown = dict(zip(header.split("┃"), shares.split("│"), strict=True))
    shown = {float(rate): float(share.rstrip(" %")) for rate, share in shown.items()}
    options = ("--hidden", 2, "--learning-rates", 0.03, 0.1, 0.3, 1, 3)
    assert run("sweep", "xor", *options, "--out", tmp_path / "sweep").code == 0
    for row in rows(tmp_path / "sweep"):
        found = 100 * float(row["fraction"])
        assert found == pytest.approx(shown[float(row["learning_rate"])], abs=0.3)
