"""Every way to train, on every workload, beside float64 truth; and one that a contributor adds."""

import dataclasses
import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks import truth
from benchmarks.peers import METHODS, Method
from benchmarks.results import Setting
from benchmarks.workloads import WORKLOADS, network_of, sampled

ROOT = Path(__file__).parents[2]
BY_NAME = {method.name: method for method in METHODS}
COMPILED = BY_NAME["torch.compile"]  # takes seconds to compile: it has a test of its own
POPULATIONS = [method for method in METHODS if method.populations]
ALONE = [method for method in METHODS if not method.populations]
EAGER = [method for method in ALONE if method is not COMPILED]
SHUFFLED = {"jaxpercep fit"}  # in every pass but the first
IN_JAX = [m for m in ALONE if m.process == "jax" and m.name not in SHUFFLED]  # fit has no `prepare`
SETTINGS = {
    "classification": Setting("classification", (6, 12, 9, 5), 8),
    "classification-adam": Setting("classification-adam", (6, 12, 9, 5), 8),
    "regression": Setting("regression", (6, 12, 9, 3), 8),
    "xor": Setting("xor", (2, 10, 10, 10, 1), 4),
}
STEPS = 3

PAIRS = [
    pytest.param(method, name, id=f"{method.name}: {name}")
    for method in EAGER
    for name in method.workloads or WORKLOADS
]


@pytest.fixture(autouse=True)
def _standard_promotion():
    """As a user has it: optax raises a float to an integer power."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def fitting(method, setting):
    """The setting, with three hidden layers of one width where a method repeats one."""
    first, width, *_, last = setting.sizes
    alike = replace(setting, sizes=(first, width, width, width, last))
    return alike if method.least_depth else setting


def build(method, setting, seed=0, steps=STEPS):
    """A trainer, its batches, and the drawn case; skips if the framework is not installed."""
    if missing := method.missing():
        pytest.skip(f"{' and '.join(missing)} not installed: an optional peer")
    setting = fitting(method, setting)
    workload = WORKLOADS[setting.workload]
    initial = workload.initial(setting, seed)
    given = [(w.copy(), b.copy()) for w, b in initial]
    x, y = workload.batches(setting, steps, seed)
    trainer = method.build(workload, setting, given)
    return trainer, trainer.place(x, y), (workload, initial, x, y)


def passes_over(case, passes):
    workload, initial, x, y = case
    return workload, initial, np.tile(x, (passes, 1, 1)), np.concatenate([y] * passes)


def assert_same(parameters, expected):
    for (w, b), (v, c) in zip(parameters, expected, strict=True):
        np.testing.assert_array_equal(w, v)
        np.testing.assert_array_equal(b, c)
        assert (w.dtype, b.dtype) == (np.float32, np.float32)


def assert_true(trainer, losses, case, passes=1):
    """The parameters after some passes, and the losses of the last one, are those of truth."""
    workload, initial, x, y = passes_over(case, passes)
    reference = truth.reference(workload, initial, x, y)
    losses = np.concatenate([reference.losses[: -len(losses)], losses])
    assert truth.check(initial, trainer.parameters(), losses, reference) is None


# Training


@pytest.mark.parametrize(("method", "name"), PAIRS)
def test_a_method_trains_as_float64_does(method, name):
    trainer, batches, case = build(method, SETTINGS[name])
    trainer.prepare(batches)
    assert_same(trainer.parameters(), case[1])  # bit for bit what it was given
    losses = trainer.losses(trainer.run(batches, 1))
    assert_true(trainer, losses, case)
    if method.name in SHUFFLED and name != "xor":
        return
    parameters, kept = trainer.parameters(), losses.copy()
    copies = [(w.copy(), b.copy()) for w, b in parameters]
    result = trainer.run(batches, 2)  # continues from there
    assert_true(trainer, trainer.losses(result), case, passes=3)
    assert_same(parameters, copies)  # copies, not views of what trains further
    np.testing.assert_array_equal(losses, kept)


@pytest.mark.parametrize("method", EAGER, ids=lambda method: method.name)
def test_two_trainers_do_not_meet(method):
    """The A/A run trains two instances of one method in turns."""
    setting = SETTINGS["xor" if method.name in SHUFFLED else "classification-adam"]
    one, batches, case = build(method, setting)
    other, other_batches, other_case = build(method, setting, seed=1)
    one.run(batches, 1)
    other.run(other_batches, 1)
    assert_true(one, one.losses(one.run(batches, 1)), case, passes=2)
    assert_true(other, other.losses(other.run(other_batches, 1)), other_case, passes=2)


@pytest.mark.parametrize("method", EAGER, ids=lambda method: method.name)
def test_single_samples_need_no_preparation(method):
    trainer, batches, case = build(method, Setting("classification", (2, 3, 3), 1))
    assert_true(trainer, trainer.losses(trainer.run(batches, 1)), case)


@pytest.mark.parametrize("networks", [1, 130])
@pytest.mark.parametrize("method", POPULATIONS, ids=lambda method: method.name)
def test_a_population_trains_as_float64_does(method, networks):
    setting = Setting("xor", (2, 3, 1), 4, networks=networks)
    trainer, batches, (workload, initial, x, y) = build(method, setting)
    rows = sampled(networks)
    assert_same(trainer.parameters(), [(w[rows], b[rows]) for w, b in initial])
    losses, parameters = trainer.losses(trainer.run(batches, 1)), trainer.parameters()
    assert losses.shape == (len(rows), STEPS)
    for i, row in enumerate(rows):
        first = network_of(initial, row)
        reference = truth.reference(workload, first, x, y)
        assert truth.check(first, network_of(parameters, i), losses[i], reference) is None
    trained = method.networks(setting)
    assert trained == (len(rows) if method.process == "torch" else networks)


def test_networks_of_a_population_are_sampled_from_the_first_to_the_last():
    assert [sampled(n) for n in (1, 2, 130)] == [[0], [0, 1], [0, 64, 129]]


# Compilation


class Compilations(logging.Handler):
    """Counts the programs that XLA compiles, by what `jax.log_compiles` says of each."""

    def __init__(self):
        super().__init__()
        self.programs = []

    def emit(self, record):
        message = record.getMessage()
        if message.startswith("Compiling "):
            self.programs.append(message)


@pytest.fixture
def compilations():
    logger, handler = logging.getLogger("jax"), Compilations()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    with jax.log_compiles():
        yield handler.programs
    logger.removeHandler(handler)
    logger.propagate = propagate


@pytest.mark.parametrize("method", IN_JAX, ids=lambda method: method.name)
def test_a_method_in_jax_compiles_once_and_leaves_nothing_running(method, compilations):
    trainer, batches, _ = build(method, Setting("classification-adam", (64, 512, 512, 10), 256))
    compilations.clear()
    preparation = trainer.prepare(batches)
    assert len(compilations) == 1
    assert preparation.trace > 0
    assert preparation.compile > 0
    assert preparation.temporary_bytes > 0
    for passes in (1, 2, 3):
        result = trainer.run(batches, passes)
        leaves = jax.tree.leaves((result, trainer.state))
        arrays = [leaf for leaf in leaves if isinstance(leaf, jax.Array)]
        assert all(array.is_ready() for array in arrays)
        assert len(arrays) > 3 * 6  # three layers with w and b, and Adam's two means of each
    assert len(compilations) == 1


def test_torch_compile():
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("torch.compile needs a C++ compiler")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch imports what it has deprecated
        trainer, batches, case = build(COMPILED, SETTINGS["classification-adam"])
        preparation = trainer.prepare(batches)
        assert preparation.trace is None
        assert preparation.compile > 0.01
        assert_same(trainer.parameters(), case[1])
        assert_true(trainer, trainer.losses(trainer.run(batches, 1)), case)
        assert_true(trainer, trainer.losses(trainer.run(batches, 2)), case, passes=3)


# The table


def test_names_are_unique_and_every_method_says_what_it_is():
    assert len(BY_NAME) == len(METHODS)
    assert all(method.summary and "\n" not in method.summary for method in METHODS)
    assert all(set(method.workloads or WORKLOADS) <= set(WORKLOADS) for method in METHODS)
    assert {method.process for method in METHODS} == {
        "jax",
        "c++",
        "numpy",
        "torch",
        "scikit-learn",
    }
    assert [method.name for method in METHODS if method.ours] == [
        "jaxpercep autodiff",
        "jaxpercep manual",
        "jaxpercep autodiff, one program",
        "jaxpercep manual, one program",
        "jaxpercep manual, repeated",
        "jaxpercep fit",
        "jaxpercep population",
    ]


def test_the_limit_needs_a_compiler_and_is_none_of_large_products(monkeypatch):
    limit = BY_NAME["c++"]
    assert limit.limit
    assert limit.unsuitable(Setting("xor", (2, 2, 1), 4)) is None
    large = Setting("classification", (64, 1024, 10), 1024)
    assert "large products" in limit.unsuitable(large).detail
    monkeypatch.setenv("PATH", "")
    assert limit.not_installed().detail == "not installed: a compiler"


def test_what_is_not_installed_is_named():
    absent = dataclasses.replace(BY_NAME["equinox"], requires=("numpy", "no_such_framework"))
    assert absent.missing() == ["no_such_framework"]
    assert BY_NAME["numpy"].missing() == []


def test_a_framework_is_imported_when_it_is_needed():
    """The table alone imports none of them: `python -m benchmarks --help` answers at once."""
    program = (
        "import sys, benchmarks.peers\n"
        "heavy = {'jax', 'torch', 'flax', 'equinox', 'sklearn', 'optax'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_scikit_learn_refuses_two_classes():
    with pytest.raises(ValueError, match="one logit for two classes"):
        build(BY_NAME["scikit-learn"], Setting("classification", (4, 3, 2), 8))


# Adding one

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
_, PEER = re.findall(r"^```python\n(.*?)^```", CONTRIBUTING, re.DOTALL | re.MULTILINE)


def added(tmp_path, monkeypatch, code):
    """The method of one file and one line."""
    (tmp_path / "plain_jax.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "plain_jax", raising=False)
    workloads = ("classification", "regression", "xor")
    return Method("jax", "gradient descent by hand", "plain_jax", "jax", workloads=workloads)


def test_a_peer_is_one_file_and_one_line(tmp_path, monkeypatch):
    method = added(tmp_path, monkeypatch, PEER)
    for name in method.workloads:
        trainer, batches, case = build(method, SETTINGS[name])
        trainer.prepare(batches)
        assert_true(trainer, trainer.losses(trainer.run(batches, 1)), case)


FAULTS = {
    "a bias off by a hundredth": ("rate * g", "rate * g * (1.01 if p.ndim == 1 else 1)", "b of"),
    "a loss that is summed": ("mean_loss(", "len(y) * mean_loss(", ""),
    "a bias without a gradient": ("@ v + c", "@ v + jax.lax.stop_gradient(c)", "b of layer "),
    "no update": ("p - rate * g", "p", ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_peer_with_a_wrong_gradient_is_refused(tmp_path, monkeypatch, fault):
    right, wrong, said = FAULTS[fault]
    assert right in PEER
    method = added(tmp_path, monkeypatch, PEER.replace(right, wrong))
    trainer, batches, (workload, initial, x, y) = build(method, SETTINGS["classification"])
    result = trainer.run(batches, 1)
    reference = truth.reference(workload, initial, x, y)
    reason = truth.check(initial, trainer.parameters(), trainer.losses(result), reference)
    assert reason.startswith(said)
    assert "of how far it moves in float64, bound" in reason
