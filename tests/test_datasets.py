import gzip
import subprocess
import sys

import numpy as np
import pytest

from jaxpercep.datasets import (
    Dataset,
    circles,
    digits,
    load_idx,
    load_mnist,
    logic_gate,
    moons,
    parity,
    spirals,
    train_test_split,
)

INPUTS = [[0, 0], [0, 1], [1, 0], [1, 1]]
TRUTH = {
    "AND": [[0], [0], [0], [1]],
    "OR": [[0], [1], [1], [1]],
    "NAND": [[1], [1], [1], [0]],
    "NOR": [[1], [0], [0], [0]],
    "XOR": [[0], [1], [1], [0]],
    "XNOR": [[1], [0], [0], [1]],
}
SHAPES = [moons, circles, spirals]


def assert_float32(array, expected):
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.array(expected, np.float32))


@pytest.mark.parametrize("name", TRUTH)
@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
def test_logic_gate_is_its_truth_table(name, case):
    gate = logic_gate(case(name))
    assert_float32(gate.x, INPUTS)
    assert_float32(gate.y, TRUTH[name])
    assert gate.classes is None


def test_unknown_gate_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"name='XORR' is not one of AND, .*Did you mean 'XOR'\?"):
        logic_gate("xorr")
    with pytest.raises(ValueError, match="name=3 is not one of"):
        logic_gate(3)


def test_parity_counts_with_the_most_significant_bit_first():
    data = parity(3)
    assert_float32(
        data.x,
        [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]],
    )
    assert_float32(data.y, [[0], [1], [1], [0], [1], [0], [0], [1]])


def test_parity_of_two_bits_is_xor_and_of_one_the_identity():
    assert_float32(parity(2).x, INPUTS)
    assert_float32(parity(2).y, TRUTH["XOR"])
    assert_float32(parity(1).x, [[0], [1]])
    assert_float32(parity(1).y, [[0], [1]])


@pytest.mark.parametrize(
    ("bits", "error", "message"),
    [
        (0, ValueError, "bits=0 must be at least 1"),
        (21, ValueError, r"bits=21 must be at most 20: the table has 2\*\*bits rows"),
        (2.0, TypeError, "bits=2.0 must be an integer"),
        (True, TypeError, "bits=True must be an integer"),
    ],
)
def test_parity_refuses(bits, error, message):
    with pytest.raises(error, match=message):
        parity(bits)


@pytest.mark.parametrize("make", SHAPES)
@pytest.mark.parametrize("n", [2, 7, 100])
def test_planar_shapes_are_balanced_and_reproducible(make, n):
    data, again, other = make(n, seed=3), make(n, seed=3), make(n, seed=4)
    assert data.x.dtype == np.float32
    assert data.y.dtype == np.int32
    assert data.x.shape == (n, 2)
    for sample in (data, other):
        assert sorted(np.bincount(sample.y, minlength=2)) == [n // 2, n - n // 2]
    np.testing.assert_array_equal(data.x, again.x)
    np.testing.assert_array_equal(data.y, again.y)
    assert not np.array_equal(data.x, other.x)


@pytest.mark.parametrize("make", SHAPES)
def test_noise_is_the_standard_deviation_and_moves_no_label(make):
    clean, noisy = make(4000, noise=0.0), make(4000, noise=0.25)
    np.testing.assert_array_equal(clean.y, noisy.y)
    moved = noisy.x - clean.x
    np.testing.assert_allclose(moved.std(axis=0), 0.25, rtol=0.05)
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=0.02)


def test_moons_and_circles_lie_on_their_curves():
    outer = moons(50, noise=0)
    np.testing.assert_allclose(np.hypot(*outer.x[outer.y == 0].T), 1, rtol=1e-6)
    rings = circles(50, noise=0)
    np.testing.assert_allclose(np.hypot(*rings.x.T), np.where(rings.y == 0, 1, 0.5), rtol=1e-6)


@pytest.mark.parametrize("turns", [0.5, 1.5, 3, -2])
def test_spirals_satisfy_their_equation(turns):
    x, y, _ = spirals(500, noise=0, turns=turns)
    t = np.hypot(*x.T)
    assert 0 <= t.min() < 0.2
    assert 0.95 < t.max() <= 1
    angle = 2 * np.pi * turns * t + np.pi * y
    np.testing.assert_allclose(
        x, t[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1), atol=1e-5
    )
    # Even along the arm: as many points per class within t <= 1/2 as its quarter of t^2.
    np.testing.assert_allclose(np.mean(t <= 0.5), 0.25, atol=0.06)


@pytest.mark.parametrize("make", SHAPES)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 1}, ValueError, "n=1 must be at least 2"),
        ({"n": 0}, ValueError, "n=0 must be at least 1"),
        ({"n": 10.0}, TypeError, "n=10.0 must be an integer"),
        ({"noise": -0.1}, ValueError, "noise=-0.1 must be at least 0"),
        ({"noise": float("nan")}, ValueError, "noise=nan must be finite"),
        ({"noise": float("inf")}, ValueError, "noise=inf must be finite"),
        ({"noise": "0.1"}, TypeError, "noise='0.1' must be a number, not str"),
        ({"noise": True}, TypeError, "noise=True must be a number, not bool"),
        ({"seed": -1}, ValueError, "seed=-1 must be at least 0"),
        ({"seed": 2**32}, ValueError, "seed=4294967296 must be at least 0 and below"),
        ({"seed": None}, TypeError, "seed=None must be an integer"),
        ({"seed": True}, TypeError, "seed=True must be an integer"),
    ],
)
def test_planar_shapes_refuse(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(**{"n": 10, **arguments})


def test_spirals_refuse_turns_that_are_no_number():
    with pytest.raises(ValueError, match="turns=nan must be finite"):
        spirals(10, turns=float("nan"))
    with pytest.raises(TypeError, match="turns='2' must be a number"):
        spirals(10, turns="2")


def numbered(counts):
    """Returns rows 0, 1, 2, ..., so that a row tells its origin, with `counts` rows per class."""
    y = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Dataset(np.arange(len(y), dtype=np.float32)[:, None], y, tuple("abc"[: len(counts)]))


def test_split_is_disjoint_complete_stratified_and_keeps_rows_together():
    data = numbered([60, 30, 10])
    train, test = train_test_split(data, test_fraction=0.2, seed=5)
    np.testing.assert_array_equal(np.bincount(train.y), [48, 24, 8])
    np.testing.assert_array_equal(np.bincount(test.y), [12, 6, 2])
    rows = np.concatenate([train.x, test.x])[:, 0].astype(int)
    np.testing.assert_array_equal(np.sort(rows), np.arange(100))
    np.testing.assert_array_equal(data.y[rows], np.concatenate([train.y, test.y]))
    assert train.classes == test.classes == ("a", "b", "c")
    assert train.x.dtype == np.float32
    assert train.y.dtype == np.int32


def test_split_depends_on_the_seed_alone():
    data = numbered([50, 50])
    first, again, other = (train_test_split(data, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test.x, again.test.x)
    assert not np.array_equal(first.test.x, other.test.x)


def test_split_of_real_values_is_not_stratified():
    x = np.arange(10, dtype=np.float32)[:, None]
    split = train_test_split(Dataset(x, 2 * x), test_fraction=0.3)
    assert split.train.x.shape == split.train.y.shape == (7, 1)
    assert split.test.x.shape == (3, 1)
    np.testing.assert_array_equal(split.test.y, 2 * split.test.x)


@pytest.mark.parametrize(
    ("data", "arguments", "error", "message"),
    [
        (numbered([4, 4]), {"test_fraction": 0}, ValueError, "test_fraction=0 must be between"),
        (numbered([4, 4]), {"test_fraction": 1.0}, ValueError, "test_fraction=1.0 must be between"),
        (numbered([4, 4]), {"test_fraction": float("nan")}, ValueError, "test_fraction=nan must"),
        (numbered([4, 4]), {"test_fraction": "0.2"}, TypeError, "test_fraction='0.2' must be a nu"),
        (numbered([4, 4]), {"seed": 0.5}, TypeError, "seed=0.5 must be an integer"),
        (
            numbered([9, 1]),
            {},
            ValueError,
            "test_fraction=0.2 cannot split 10 rows: class 'b' has only one",
        ),
        (numbered([2, 2, 2]), {}, ValueError, "2 to test on .* of 3 classes. Use more rows of ev"),
        (Dataset(np.ones((3, 1)), np.array([5, 5, 7])), {}, ValueError, "class 7 has only one"),
        (Dataset(np.ones((1, 1)), np.ones((1, 1))), {}, ValueError, "1 to test on and 0 to train"),
        (Dataset(np.ones((3, 1)), np.ones(2)), {}, ValueError, r"x of shape \(3, 1\) and y of sh"),
        (Dataset(np.ones((3, 1)), np.float32(1)), {}, ValueError, r"y of shape \(\); their length"),
        (np.ones((3, 1)), {}, TypeError, r"dataset must be a Dataset\(x, y\), not ndarray"),
    ],
)
def test_split_refuses(data, arguments, error, message):
    with pytest.raises(error, match=message):
        train_test_split(data, **arguments)


def test_digits_are_scaled_stratified_disjoint_and_reproducible():
    train, test = digits(seed=1)
    assert (len(train.x), len(test.x)) == (1437, 360)
    x, y = np.concatenate([train.x, test.x]), np.concatenate([train.y, test.y])
    assert x.shape == (1797, 64)
    assert (x.dtype, y.dtype) == (np.float32, np.int32)
    assert (x.min(), x.max()) == (0, 1)
    np.testing.assert_array_equal(x * 16, np.round(x * 16))
    counts = np.bincount(y)
    np.testing.assert_array_equal(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    np.testing.assert_allclose(np.bincount(test.y), 0.2 * counts, atol=1)
    # No two of the 1797 images are equal, so a row tells where it came from.
    assert len(np.unique(x, axis=0)) == 1797
    again, other = digits(seed=1), digits(seed=2)
    np.testing.assert_array_equal(test.x, again.test.x)
    assert not np.array_equal(test.x, other.test.x)
    assert len(digits(test_fraction=0.5).test.x) == 899


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10
MNIST = {
    "train-images": IMAGES,
    "train-labels": np.array([9, 0], np.uint8),
    "t10k-images": IMAGES[:1] + 15,
    "t10k-labels": np.array([255], np.uint8),
}


def idx_bytes(array, code=8):
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder, name="{}-idx{}-ubyte", pack=bytes, **changes):
    """Writes the four files, with other content for those in `changes` (`train_images=...`)."""
    for stem, array in MNIST.items():
        content = changes.get(stem.replace("-", "_"), array)
        if content is not None:
            data = content if isinstance(content, bytes) else idx_bytes(content)
            (folder / name.format(stem, array.ndim)).write_bytes(pack(data))
    return folder


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress)])
def test_mnist_folder_in_each_published_form(tmp_path, mark, suffix, pack):
    train, test = load_mnist(write_mnist(tmp_path, f"{{}}{mark}idx{{}}-ubyte{suffix}", pack))
    assert_float32(train.x, IMAGES.reshape(2, 12) / np.float32(255))
    assert_float32(test.x, MNIST["t10k-images"].reshape(1, 12) / np.float32(255))
    assert train.y.dtype == test.y.dtype == np.int32
    assert (train.y.tolist(), test.y.tolist()) == ([9, 0], [255])


def test_mnist_names_the_missing_file_and_what_was_looked_for(tmp_path):
    write_mnist(tmp_path, t10k_labels=None)
    with pytest.raises(FileNotFoundError) as caught:
        load_mnist(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path} holds no t10k-labels: looked for t10k-labels-idx1-ubyte, "
        "t10k-labels-idx1-ubyte.gz, t10k-labels.idx1-ubyte, t10k-labels.idx1-ubyte.gz."
    )
    with pytest.raises(FileNotFoundError, match="nowhere holds no train-images: looked for"):
        load_mnist(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train_labels": np.array([1, 2, 3], np.uint8)},
            "train-images holds 2 images, train-labels 3 labels",
        ),
        (
            {"t10k_images": IMAGES[:1, :, :3]},
            r"training images have shape \(3, 4\), test images \(3, 3\)",
        ),
        (
            # As many pixels, in other rows and columns.
            {"t10k_images": IMAGES[:1].reshape(1, 4, 3)},
            r"training images have shape \(3, 4\), test images \(4, 3\)",
        ),
        (
            {"train_images": IMAGES[0]},
            r"train-images-idx3-ubyte holds uint8 of shape \(3, 4\), expected uint8 of rank 3",
        ),
        (
            {"t10k_labels": np.array([[1]], np.uint8)},
            r"t10k-labels-idx1-ubyte holds uint8 of shape \(1, 1\), expected uint8 of rank 1",
        ),
        (
            {"train_labels": idx_bytes(np.array([1, 2], np.int32), 0x0C)},
            r"train-labels-idx1-ubyte holds int32 of shape \(2,\), expected uint8",
        ),
        (
            {"train_labels": idx_bytes(np.array([1, 2], np.int8), 0x09)},
            r"train-labels-idx1-ubyte holds int8 of shape \(2,\), expected uint8",
        ),
        (
            {"t10k_images": idx_bytes(IMAGES)[:-5]},
            r"t10k-images-idx3-ubyte \(\d+ bytes\) is truncated: .* but 19 are",
        ),
    ],
)
def test_mnist_refuses(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        load_mnist(write_mnist(tmp_path, **changes))


def test_load_idx_is_here_too(tmp_path):
    write_mnist(tmp_path)
    np.testing.assert_array_equal(load_idx(tmp_path / "train-images-idx3-ubyte"), IMAGES)


def test_importing_the_data_modules_loads_neither_jax_nor_sklearn():
    code = (
        "import sys, jaxpercep.datasets, jaxpercep.idx, jaxpercep.tables\n"
        "print(sorted({'jax', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
