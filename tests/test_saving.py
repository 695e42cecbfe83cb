"""`save` and `load`: every model comes back bit for bit, what is wrong is refused by name."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import FOREIGN, LAYERS, draw_params
from helpers import run

import jaxpercep as jp
from jaxpercep import checkpoints
from jaxpercep._files import unpacking
from jaxpercep.activations import activation
from jaxpercep.datasets import load_mnist
from jaxpercep.idx import load_idx
from jaxpercep.tables import load_csv, load_features, load_npz

MODEL = jp.mlp([2, 3, 1], jp.tanh)
KEY = jax.random.key(0)
OWN = [case for case in LAYERS if "AutodiffLayer" not in repr(case.layer)]
OPTIONS: list[dict[str, Any]] = [
    {"w_init": "torch_linear", "b_init": "normal"},
    {"use_bias": False},
    {"dtype": "bfloat16"},
    {"dtype": jnp.float64},
    {"dtype": np.dtype("float16")},
]


def bits(tree: Any) -> list[tuple[str, tuple[int, ...], bytes]]:
    """What `==` does not see: types, signed zeros and the bits of NaN."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return [(leaf.dtype.name, leaf.shape, leaf.tobytes()) for leaf in leaves]


def assert_comes_back(folder: Path, model: Any, params: Any) -> None:
    jp.save(folder, model, params)
    loaded, read = jp.load(folder)
    assert loaded == model
    assert repr(loaded) == repr(model)
    assert jax.tree.structure(read) == jax.tree.structure(params)
    assert bits(read) == bits(params)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(read))


def stored(folder: Path, seed: int = 0) -> Any:
    params = MODEL.init(jax.random.key(seed))
    jp.save(folder, MODEL, params)
    return params


def params_of(folder: Path) -> Path:
    (path,) = folder.glob("params-*.npz")
    return path


# What comes back


@pytest.mark.parametrize("case", OWN, ids=lambda case: case.name)
def test_every_layer_comes_back(tmp_path: Path, case: Any) -> None:
    params = draw_params(case.layer, np.random.default_rng(0), np.float32)
    assert_comes_back(tmp_path / "model", case.layer, params)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_of_a_dense_layer_comes_back(tmp_path: Path, options: Any) -> None:
    layer = jp.Dense(np.int64(2), 3, **options)
    assert_comes_back(tmp_path, layer, layer.init(KEY))


def any_bits(dtype: str, unsigned: str) -> Any:
    """Parameters of random bits; -0, the smallest number and a signalling NaN are among them."""
    rng, form = np.random.default_rng(0), jax.eval_shape(MODEL.init, KEY)
    size = jnp.dtype(dtype).itemsize
    infinity = int(np.array(np.inf).astype(jnp.dtype(dtype)).view(unsigned))
    special = [1 << (8 * size - 1), 1, infinity + 1]

    def fill(leaf: Any) -> jax.Array:
        raw = np.frombuffer(rng.bytes(size * leaf.size), unsigned).copy()
        raw[:3] = special[: leaf.size]
        return jnp.asarray(raw.view(jnp.dtype(dtype)).reshape(leaf.shape))

    return jax.tree.map(fill, form)


@pytest.mark.parametrize(
    ("dtype", "unsigned"), [("float16", "u2"), ("bfloat16", "u2"), ("float32", "u4")]
)
def test_every_type_comes_back_bit_for_bit(tmp_path: Path, dtype: str, unsigned: str) -> None:
    params = any_bits(dtype, unsigned)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {dtype}
    assert_comes_back(tmp_path, MODEL, params)


def test_double_precision_comes_back_or_is_refused(tmp_path: Path) -> None:
    with jax.enable_x64(True):
        params = any_bits("float64", "u8")
        assert_comes_back(tmp_path / "model", MODEL, params)
    with pytest.raises(ValueError, match=r"params\[0\]\.w has dtype float64.*jax_enable_x64"):
        jp.load(tmp_path / "model")
    wide = jax.tree.map(lambda leaf: np.zeros(leaf.shape), params)
    with pytest.raises(TypeError, match=r"params\[0\]\.w has dtype float64, which JAX does not"):
        jp.save(tmp_path / "other", MODEL, wide)


def test_arrays_of_numpy_are_saved_in_the_byte_order_of_the_machine(tmp_path: Path) -> None:
    params = MODEL.init(KEY)
    swapped = jax.tree.map(lambda leaf: np.asarray(leaf).astype(">f4"), params)
    jp.save(tmp_path, MODEL, swapped)
    assert bits(jp.load(tmp_path)[1]) == bits(params)


def test_the_parameters_are_a_file_that_numpy_reads(tmp_path: Path) -> None:
    params = stored(tmp_path)
    with np.load(params_of(tmp_path)) as arrays:
        np.testing.assert_array_equal(arrays["params[2].w"], params[2].w)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.json",
        params_of(tmp_path).name,
    ]


# What cannot be saved


@dataclass(frozen=True)
class Mine(jp.Dense):
    """A layer of the user's own."""


@activation(jnp.sin, keeps="input")
def sine(x: jax.Array) -> jax.Array:
    """y = sin x."""
    return jnp.cos(x)


def norm_init(key: Any, shape: Any, dtype: Any) -> jax.Array:
    return jax.random.normal(key, shape, dtype)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (jp.Serial(jp.tanh, FOREIGN), r"model\.layers\[1\]=AutodiffLayer\(.*numpy\.savez"),
        (
            jp.Residual(Mine(2, 2)),
            r"model\.layer=.* cannot be saved: its class Mine is code",
        ),
        (sine, r"model=sine cannot be saved: .* Dense, LayerNorm, Repeat, Residual, Serial and"),
        (
            jp.Repeat(jp.Dense(2, 2, w_init=norm_init), 3),
            r"model\.layer\.w_init=<function norm_init.*'glorot_uniform'",
        ),
        (jp.Dense(2, 2, b_init=norm_init), r"model\.b_init=.* is a function, .* no file can hold"),
    ],
)
def test_code_is_not_saved(tmp_path: Path, model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        jp.save(tmp_path / "model", model, model.init(KEY))
    assert not (tmp_path / "model").exists()


def test_another_layer_of_the_name_of_an_activation_is_refused(tmp_path: Path) -> None:
    def tanh(x: jax.Array) -> jax.Array:
        return jnp.cos(x)

    other = activation(jnp.sin, keeps="input")(tanh)
    with pytest.raises(ValueError, match="model=tanh cannot be saved: its class Activation"):
        jp.save(tmp_path / "model", other, ())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (list, ValueError, r"params=\[.* do not have the structure of those of model=Serial\("),
        (lambda params: params[:2], ValueError, "do not have the structure"),
        (
            lambda params: (params[0]._replace(b=None), *params[1:]),
            ValueError,
            "do not have the structure",
        ),
        (
            lambda _: jp.mlp([2, 4, 1], jp.tanh).init(KEY),
            ValueError,
            r"params\[0\]\.w has shape \[2, 4\], that of model=.* has \[2, 3\]; pass those that",
        ),
        (
            lambda params: jax.tree.map(lambda leaf: leaf.astype(int), params),
            TypeError,
            r"params\[0\]\.w has dtype int32, expected floating point",
        ),
        (
            lambda params: jax.tree.map(lambda leaf: leaf.astype(jnp.float8_e4m3fn), params),
            TypeError,
            r"params\[0\]\.w has dtype float8_e4m3fn, .*no saved model does; convert it with",
        ),
    ],
)
def test_other_parameters_are_not_saved(
    tmp_path: Path, change: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        jp.save(tmp_path / "model", MODEL, change(MODEL.init(KEY)))
    assert not (tmp_path / "model").exists()


def test_traced_parameters_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"params\[0\]\.w is traced: save cannot run under jit"):
        jax.jit(lambda params: jp.save(tmp_path / "model", MODEL, params))(MODEL.init(KEY))


# Folders


def test_a_model_is_replaced_and_an_empty_folder_filled(tmp_path: Path) -> None:
    stored(tmp_path, seed=1)
    params = stored(tmp_path, seed=2)
    assert bits(jp.load(str(tmp_path))[1]) == bits(params)
    assert len(list(tmp_path.iterdir())) == 2


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"is not a saved model: it has no model\.json\. Move it"):
        stored(tmp_path)
    with pytest.raises(ValueError, match=r"notes\.txt is a file; move it away"):
        stored(tmp_path / "notes.txt")
    stored(tmp_path / "model")
    (tmp_path / "notes.txt").rename(tmp_path / "model" / "notes.txt")
    with pytest.raises(ValueError, match=r"also 'notes\.txt', which would be lost"):
        stored(tmp_path / "model")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.json").write_text('{"format": "another program\'s"}')
    for function in (stored, jp.load):
        with pytest.raises(ValueError, match=r"model\.json does not describe a jaxpercep model"):
            function(tmp_path / "other")
    with pytest.raises(ValueError, match=r"is not a saved model: .*jaxpercep\.save"):
        jp.load(tmp_path / "nowhere")


# Paths: every function takes them alike.

WRITING = {"save": stored, "Checkpoints": lambda path: Path(jp.Checkpoints(path).folder).mkdir()}
READING: dict[str, Callable[[str], Any]] = {
    "load": jp.load,
    "load_idx": load_idx,
    "load_mnist": load_mnist,
    "load_csv": load_csv,
    "load_npz": load_npz,
    "load_features": lambda path: load_features(path, 1),
    "sweep": lambda path: run("sweep", path),
    "train": lambda path: run("train", path),
    "compare": lambda path: run("compare", path),
    "predict": lambda path: run("predict", path, "xor"),
}


@pytest.mark.parametrize("path", ["~/model", "missing/../model", "./missing/../other/../model"])
@pytest.mark.parametrize("write", WRITING.values(), ids=WRITING)
def test_what_is_written_to_a_path_is_found_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, write: Callable[[str], Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    write(path)
    assert [found.name for found in tmp_path.iterdir()] == ["model"]
    if write is stored:
        assert jp.load(path)[0] == MODEL


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(("", name) for name in [*WRITING, *READING]),
        *((path, name) for path in ("~/nowhere.py", "missing/../nowhere.py") for name in READING),
    ],
)
def test_a_path_that_is_none_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, name: str
) -> None:
    """An empty path is the current folder nowhere, and what is missing is said in full."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        result = (WRITING | READING)[name](path)
    except (OSError, ValueError) as error:
        message = str(error)
    else:
        assert result.code == 2
        message = " ".join(result.err.replace("│", "").split())
    assert (str(tmp_path) if path else "='' is empty; name a file, or a folder") in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("train", "xor", "--epochs", 1),
        ("train", "~/rows.csv", "--stream", "--epochs", 1, "--test-fraction", 0),
        ("sweep", "~/rows.csv", "--networks", 1, "--steps", 1, "--hidden", 2),
        ("predict", "~/model", "xor"),
    ],
)
def test_an_option_that_the_shell_does_not_expand_is_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rows.csv").write_text("a,b,y\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n")
    if words[0] == "predict":
        assert run("train", "xor", "--epochs", 1, "--out", tmp_path / "model").code == 0
    result = run(*words, "--out=~/written")
    assert result.code == 0, result.err
    assert (tmp_path / "written").exists()
    assert list(Path.cwd().iterdir()) == []


class Killed(BaseException):
    """The end of the process."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("moment", range(4))
def test_a_save_that_is_killed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, after: bool
) -> None:
    """At each of the operations on files, before and after it: two writes, two switches."""
    old, new, left = stored(tmp_path), MODEL.init(jax.random.key(1)), [moment]

    def killing(operation: Callable[..., Any]) -> Callable[..., Any]:
        def operate(path: Path, *arguments: Any) -> Any:
            left[0] -= 1
            if left[0] < -1 or (left[0] == -1 and not after):
                raise Killed
            result = operation(path, *arguments)
            if left[0] == -1:
                raise Killed
            return result

        return operate

    with monkeypatch.context() as patched:
        for name in ("write_bytes", "replace"):
            patched.setattr(Path, name, killing(getattr(Path, name)))
        patched.setattr(Path, "unlink", lambda *_, **__: None)  # a killed process tidies nothing up
        with pytest.raises(Killed):
            jp.save(tmp_path, MODEL, new)
    switched = moment == 3 and after
    assert bits(jp.load(tmp_path)[1]) == bits(new if switched else old)
    assert bits(stored(tmp_path, seed=2)) == bits(jp.load(tmp_path)[1])
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path)
    read, seeds = checkpoints._params, [1, 2]

    def replaced(*arguments: Any) -> Any:
        if seeds:
            stored(tmp_path, seed=seeds.pop())
        return read(*arguments)

    monkeypatch.setattr(checkpoints, "_params", replaced)
    assert bits(jp.load(tmp_path)[1]) == bits(MODEL.init(jax.random.key(1)))


def test_a_first_save_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        stored(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# What is damaged


def refused_or_the_same(folder: Path, path: Path, params: Any) -> bool:
    """Loads, and returns whether an error named the folder and the file."""
    try:
        model, read = jp.load(folder)
    except ValueError as error:
        return str(folder) in str(error) and path.name in str(error)
    assert model == MODEL
    assert bits(read) == bits(params)
    return False


def test_any_damage_of_a_file_is_noticed(tmp_path: Path) -> None:
    params = stored(tmp_path)
    for path in tmp_path.iterdir():
        content, refused = path.read_bytes(), []
        for at in range(0, len(content), 101):
            flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            for damaged in (content[:at], flipped, content[:at] + content[at + 1 :]):
                path.write_bytes(damaged)
                refused.append(refused_or_the_same(tmp_path, path, params))
        assert refused.count(False) <= (path.name == "model.json")  # the version of JAX, say
        path.unlink()
        assert refused_or_the_same(tmp_path, path, params)
        path.write_bytes(content)
    assert not refused_or_the_same(tmp_path, tmp_path, params)


def test_files_of_another_model_are_refused(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        stored(tmp_path / name, seed)
    shutil.copy(params_of(tmp_path / "b"), params_of(tmp_path / "a"))
    with pytest.raises(ValueError, match=r"npz is not the file that was saved: .* another model's"):
        jp.load(tmp_path / "a")
    shutil.copy(tmp_path / "b" / "model.json", tmp_path / "a")
    with pytest.raises(ValueError, match=r"npz is missing, which model\.json names\. Copy it and"):
        jp.load(tmp_path / "a")


@pytest.mark.parametrize(("version", "writer"), [(3, "0.1.0"), (4, "0.1.0"), (6, "9.9")])
def test_another_version_is_refused_by_name(tmp_path: Path, version: int, writer: str) -> None:
    stored(tmp_path)
    path = tmp_path / "model.json"
    fields = json.loads(path.read_text("utf-8")) | {"version": version, "jaxpercep": writer}
    path.write_text(json.dumps(fields), "utf-8")
    (tmp_path / "params-0123abcd").mkdir()  # where version 3 had its parameters
    message = rf"format version {version}, this jaxpercep reads 5; .* by jaxpercep {writer}: use"
    for function in (stored, jp.load):
        with pytest.raises(ValueError, match=message):
            function(tmp_path)


def sealed(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Edits what `model.json` says, and gives it the right checksum."""
    path = folder / "model.json"
    fields = json.loads(path.read_text("utf-8"))
    change(fields["model"])
    model = json.dumps(fields["model"], separators=(",", ":"))
    fields["sha256"] = hashlib.sha256(model.encode()).hexdigest()
    path.write_text(json.dumps(fields, separators=(",", ":")), "utf-8")


def setting(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


DENSE, LAST = ("layers", "layers", 0), ("layers", "layers", -1)
NONSENSE = [
    (setting("layers", to=None), r"model\.json is damaged: None is not a layer"),
    (setting("layers", to={"class": "Conv"}), "is damaged: class='Conv' is not one of Dense"),
    (setting("layers", to={"class": ["Dense"]}), "is damaged: class=.*'Dense'"),
    (setting("layers", to={"class": "Dense"}), "is damaged: Dense has the fields"),
    (setting("layers", to={"class": "tanh", "x": 1}), "is damaged: tanh has the fields"),
    (setting("layers", "layers", to=3), "is damaged"),
    (setting("layers", "layers", to=[]), "is damaged: layers=.*at least one layer"),
    (setting("layers", "layers", to=["tanh"]), "is damaged: 'tanh' is not a layer"),
    (setting(*DENSE, "colour", to=1), "is damaged: Dense has the fields"),
    (setting(*DENSE, "in_features", to=0), "is damaged: in_features=0 must be at least 1"),
    (setting(*DENSE, "in_features", to=10**30), "is damaged|holds"),
    (
        setting(*DENSE, "out_features", to=10**9),
        r"is damaged: layers\[2\]=Dense.* takes 3 features",
    ),
    (setting(*LAST, "out_features", to=10**9), r"npz: it holds .*save the model again"),
    (setting(*DENSE, "use_bias", to=False), r"npz: it holds .*save the model again"),
    (setting(*DENSE, "w_init", to="Orthogonal"), "is damaged: w_init='Orthogonal'"),
    (setting(*DENSE, "w_init", to={"class": "tanh"}), "is damaged: w_init="),
    (setting(*DENSE, "dtype", to="int32"), "is damaged: dtype='int32'"),
    (setting(*DENSE, "dtype", to="(1e999,)f4"), "is damaged"),
    (setting("dtypes", "params[0].w", to="float16"), r"npz: params\[0\]\.w has dtype float32"),
    (setting("dtypes", "params[0].w", to="O"), r"is damaged: Invalid enum value 'O'"),
    (setting("dtypes", to={}), r"npz: it holds"),
    (setting("params", to="../model.json"), r"is damaged: '\.\./model\.json' is not a file of"),
    (setting("params", to="params-01234567.npz"), r"params-01234567\.npz is missing"),
]


@pytest.mark.parametrize(("change", "message"), NONSENSE)
def test_a_description_that_makes_no_sense_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    stored(tmp_path)
    sealed(tmp_path, change)
    with pytest.raises(ValueError, match=message) as raised:
        jp.load(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    stored(tmp_path)
    path = tmp_path / "model.json"
    fields = json.loads(path.read_text("utf-8"))
    for depth in (300, 10**5):
        opened, closed = '{"class":"Residual","layer":' * depth, "}" * depth
        model = json.dumps(fields["model"] | {"layers": 0}, separators=(",", ":"))
        model = model.replace('"layers":0', f'"layers":{opened}{{"class":"tanh"}}{closed}')
        head = json.dumps(
            fields | {"model": 0, "sha256": hashlib.sha256(model.encode()).hexdigest()}
        )
        path.write_text(head.replace('"model": 0', f'"model":{model}'), "utf-8")
        with pytest.raises(ValueError, match=r"model\.json is damaged|npz: it holds"):
            jp.load(tmp_path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_of_other_sizes_is_refused(
    tmp_path: Path, save: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "_ALWAYS", 1000)
    stored(tmp_path)
    path = params_of(tmp_path)
    save(path, **{"params[0].w": np.zeros(10**5)})

    def seal(model: dict[str, Any]) -> None:
        model["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()

    sealed(tmp_path, seal)
    with pytest.raises(ValueError, match=r"npz: its arrays cannot be read: .*bomb|npz: it holds"):
        jp.load(tmp_path)


# The command line


def test_a_trained_network_is_loaded_and_a_saved_model_does_not_predict(tmp_path: Path) -> None:
    trained, saved = tmp_path / "trained", tmp_path / "saved"
    words = ("--hidden", 3, "--epochs", 1, "--activation", "relu", "--out", trained)
    assert run("train", "xor", *words).code == 0
    model, params = jp.load(trained)
    assert repr(model).startswith("Serial(Dense(2, 3), relu, Dense(3, ")
    with pytest.raises(ValueError, match=r"also 'loss\.png', which would be lost"):
        jp.save(trained, model, params)
    jp.save(saved, model, params)
    result = run("predict", saved, "xor")
    assert (result.code, result.out) == (2, "")
    assert f"model, params = jaxpercep.load('{saved}')" in result.err
