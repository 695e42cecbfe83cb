"""Trained networks on disk: round trips, damage of every kind, and what may be replaced."""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxpercep import activations, checkpoints
from jaxpercep._files.layout import Layout
from jaxpercep._files.writing import write_whole
from jaxpercep.commands.checkpoint import Description, Trained, load, save
from jaxpercep.commands.folder import check_replaceable
from jaxpercep.commands.heads import Bits, Classes, Head, Values
from jaxpercep.commands.sources import Scale
from jaxpercep.compose import mlp

METRICS = {"train": {"loss": 0.25, "accuracy": 0.75}}


def network(head: Head, scale: Scale | None = None, seed: int = 0) -> Trained:
    model = mlp([2, 5, head.outputs], activations.tanh)
    description = Description(head, None, scale, Layout((2,)), "moons", 7, 0.25, METRICS)
    return Trained(model, model.init(jax.random.key(seed)), description)


def stored(folder: Path, seed: int = 0) -> Trained:
    trained = network(Classes(("no", "yes, ü")), seed=seed)
    save(folder, trained, Figure())
    return trained


def assert_same(actual: object, expected: object) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, jax.Array)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("head", "scale"),
    [
        (Classes(("no", "yes, ü", "3")), None),
        (Bits(("0", "1"), 2), Scale((0.1, 1e30), (1.0, 1 / 3))),
        (Values((1e5,), (1e-7,)), Scale((0.0, -1.5), (2.0, 1.0))),
    ],
)
def test_what_is_saved_is_loaded(tmp_path: Path, head: Head, scale: Scale | None) -> None:
    trained = network(head, scale, seed=3)
    save(tmp_path / "a" / "model", trained, Figure())
    loaded = load(tmp_path / "a" / "model")
    assert (loaded.model, loaded.description) == (trained.model, trained.description)
    assert_same(loaded.params, trained.params)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["model"]


def test_the_description_is_complete(tmp_path: Path) -> None:
    stored(tmp_path / "model")
    fields = json.loads((tmp_path / "model" / "model.json").read_text("utf-8"))
    assert fields["format"] == "jaxpercep model"
    assert fields["version"] == 5
    assert fields["jax"] == jax.__version__
    about = fields["model"]["about"]
    assert about["head"] == {"loss": "softmax", "names": ["no", "yes, ü"]}
    assert about["seed"] == 7
    assert about["metrics"] == METRICS
    assert (tmp_path / "model" / "loss.png").read_bytes().startswith(b"\x89PNG")


def changed(folder: Path, change: dict, *, sealed: bool) -> None:
    """Edits `model.json`, its outer fields or the description; sealed, with a right checksum."""
    path = folder / "model.json"
    fields = json.loads(path.read_text("utf-8"))
    for name, value in change.items():
        inner = fields if name in fields else fields["model"]["about"]
        inner[name] = value
    if sealed:
        model = json.dumps(fields["model"], separators=(",", ":"), ensure_ascii=False)
        fields["sha256"] = hashlib.sha256(model.encode()).hexdigest()
    path.write_text(json.dumps(fields, separators=(",", ":"), ensure_ascii=False), "utf-8")


INNER = [
    ({"head": {"loss": "none"}}, "is damaged"),
    ({"head": {"loss": "softmax", "names": ["a", "a"]}}, "is damaged: the classes a, a are not"),
    ({"head": {"loss": "squared", "mean": [0, 1], "std": [1]}}, "is damaged: there are 2 means"),
    ({"scale": {"mean": [0]}}, r"is damaged: .*`std` - at `\$\.scale`"),
    ({"scale": {"mean": [0, 0], "std": [1, 0]}}, "is damaged: .*deviation not above 0"),
    ({"scale": {"mean": [0, 0], "std": [1, -1]}}, "is damaged: .*deviation not above 0"),
    ({"scale": {"mean": [0], "std": [1]}}, "is damaged: there are 2 features, 1 scaled"),
    ({"scale": []}, "is damaged"),
    ({"fill": {"mean": [0]}}, "is damaged: there are 2 features, 1 means of them"),
    ({"fill": {"mean": [0, 1e39]}}, "is damaged: .*not a finite float32 number"),
    ({"fill": {}}, r"is damaged: .*`mean` - at `\$\.fill`"),
    ({"layout": {"shape": [2], "target": 2, "categories": [[]]}}, "is damaged: there are 1 colu"),
    ({"layout": {"shape": [2], "target": 2, "categories": [["a", "a"], []]}}, "not different tex"),
    ({"layout": {"shape": [2], "target": 2, "categories": [["a", ""], []]}}, "not different tex"),
    (
        {"layout": {"shape": [2], "target": 2, "categories": [["a", "b"], []]}},
        r"is damaged: Dense\(2, 5\): x has shape \[1, 3\]",
    ),
    ({"layout": {"shape": [2], "target": 2, "dropped": [2]}}, "damaged: .*cannot be left out"),
    ({"layout": {"shape": [2], "target": 2, "dropped": [0, 0]}}, "damaged: .*cannot be left out"),
    ({"layout": {"shape": [2], "target": 2, "dropped": [4]}}, "damaged: .*cannot be left out"),
    ({"layout": {"shape": [2], "dropped": [0]}}, "is damaged: .*cannot be left out"),
    ({"scale": {"mean": [], "std": []}}, "is damaged"),
    ({"layout": {"shape": [3]}}, r"is damaged: Dense\(2, 5\): x has shape \[1, 3\]"),
    ({"head": {"loss": "softmax", "names": ["a", "b", "c"]}}, "is damaged: it describes 3 outputs"),
    ({"layout": {"shape": [2], "columns": ["a", "b"], "target": 1}}, "is damaged: the columns"),
    ({"layout": {"shape": [1, 2, 0]}}, "is damaged: the shape"),
    ({"colour": "blue"}, r"is damaged: .*unknown field `colour`"),
]


@pytest.mark.parametrize(("change", "message"), INNER)
def test_a_description_that_makes_no_sense_is_refused(
    tmp_path: Path, change: dict, message: str
) -> None:
    stored(tmp_path)
    changed(tmp_path, change, sealed=True)
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        *(change for change, _ in INNER),
        {"seed": 8},
        {"head": {"loss": "softmax", "names": ["yes", "no"]}},
        {"scale": {"mean": [0.0, 0.0], "std": [2.0, 1.0]}},
        {"fill": {"mean": [0.0, 0.0]}},
        {"layout": {"shape": [2], "target": 2, "dropped": [3], "categories": [[], []]}},
    ],
)
def test_any_change_of_what_decides_a_prediction_is_noticed(tmp_path: Path, change: dict) -> None:
    stored(tmp_path)
    load(tmp_path)
    changed(tmp_path, change, sealed=False)
    with pytest.raises(ValueError, match=r"model\.json is damaged: its content is not"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"version": 6, "jaxpercep": "9.9"},
            "format version 6.*by jaxpercep 9.9: use that, or train",
        ),
        (
            {"version": 4, "jaxpercep": "0.1"},
            "format version 4, this jaxpercep reads 5; it was written by jaxpercep 0.1: use that",
        ),
        ({"format": "other"}, "does not describe a jaxpercep model"),
    ],
)
def test_another_format_is_refused_by_name(tmp_path: Path, change: dict, message: str) -> None:
    stored(tmp_path)
    changed(tmp_path, change, sealed=False)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '"jaxpercep model"', "\xff"])
def test_files_that_are_no_description_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.json").write_text(content, "latin-1")
    for function in (load, check_replaceable):
        with pytest.raises(ValueError, match=r"model\.json (is damaged|does not describe)"):
            function(tmp_path)


@pytest.mark.parametrize(
    "place", ["[" * 100_000, '{"metrics": ' + '{"a":' * 100_000, '{"model": ' + "[" * 100_000]
)
def test_deep_nesting_is_refused(tmp_path: Path, place: str) -> None:
    stored(tmp_path)
    content = (tmp_path / "model.json").read_text("utf-8")
    for damaged in (place, content.replace("{", place, 1), content[:-3] + ', "x": ' + place):
        (tmp_path / "model.json").write_text(damaged, "utf-8")
        for function in (load, check_replaceable):
            with pytest.raises(ValueError, match=r"is damaged|does not describe"):
                function(tmp_path)


def test_other_places_are_no_model(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(ValueError, match=r"is not a saved model: it has no model\.json"):
            load(path)
    with pytest.raises(ValueError, match=r"is not a saved model: it has no model\.json"):
        stored(tmp_path)
    with pytest.raises(ValueError, match=r"file is a file; move it away"):
        stored(tmp_path / "file")
    with pytest.raises(ValueError, match="is not a saved model"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="file is not a folder to write in"):
        stored(tmp_path / "file" / "model")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_model_is_replaced_and_an_empty_folder_filled(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    stored(folder, seed=0)
    params = stored(folder, seed=1).params
    assert_same(load(folder).params, params)
    assert list(tmp_path.iterdir()) == [folder]


def test_files_of_the_user_are_never_lost(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    stored(folder)
    (folder / "predictions.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"also 'predictions\.csv', which would be lost"):
        stored(folder)
    assert (folder / "predictions.csv").read_text() == "mine"


def test_a_failure_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    trained = stored(folder)

    class NoSpaceLeft(Figure):
        def savefig(self, *_: object, **__: object) -> None:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        save(folder, trained, NoSpaceLeft())

    def refuse(path: Path, target: Path) -> Path:
        del path, target
        raise OSError("gone")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="gone"):
        save(folder, trained, Figure())
    assert_same(load(folder).params, trained.params)
    assert len(list(folder.iterdir())) == 3
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(OSError, match="gone"):
        save(tmp_path / "other", trained, Figure())
    assert list(tmp_path.iterdir()) == [folder]


def test_an_interrupt_just_after_the_switch_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    head = stored(folder).description.head
    trained = network(head, seed=1)

    def interrupted(path: Path, content: bytes) -> None:
        write_whole(path, content)
        if path.name == "model.json":
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write_whole", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(folder, trained, Figure())
    assert_same(load(folder).params, trained.params)


def test_the_next_save_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "params-0123abcd.npz").write_bytes(b"")  # of a first save: no model.json yet
    with pytest.raises(ValueError, match="is not a saved model"):
        load(folder)
    params = stored(folder).params
    for name in ("params-0123abcd.npz", ".model.json.partial", ".loss.png.partial"):
        (folder / name).write_text("{")
    assert_same(load(folder).params, params)
    params = stored(folder, seed=1).params
    assert_same(load(folder).params, params)
    names = sorted(path.name.partition("-")[0] for path in folder.iterdir())
    assert names == ["loss.png", "model.json", "params"]
