"""`import jaxpercep` is light, and every public name is documented."""

import ast
import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import jaxpercep as jp
from jaxpercep.activations import Activation

PACKAGE = Path(jp.__file__).parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(jp.__path__, "jaxpercep.")
    if not module.name.endswith("__main__")
)


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter, where nothing is imported yet."""
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False
    )


def assert_runs(code: str) -> None:
    done = python(code)
    assert done.returncode == 0, done.stderr


# Importing


def test_importing_does_not_import_jax():
    assert_runs(
        "import sys, jaxpercep\n"
        "heavy = {'jax', 'numpy', 'scipy', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )


def test_names_are_resolved_when_used():
    assert_runs(
        "import sys, jaxpercep\n"
        "jaxpercep.Dense(2, 1)\n"
        "assert 'jax' in sys.modules and 'matplotlib' not in sys.modules"
    )


def test_every_public_name_resolves():
    assert jp.__all__ == sorted(set(jp.__all__))
    assert set(dir(jp)) >= set(jp.__all__)
    for name in jp.__all__:
        assert getattr(jp, name) is not None


def test_the_stub_lists_what_it_imports():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    imported = {
        alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    (listed,) = [node.value for node in stub.body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(listed) == jp.__all__
    assert imported == set(jp.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="perceptrons"):
        jp.perceptrons  # noqa: B018
    assert not hasattr(jp, "Conv")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EarlyStoping", "EarlyStopping"),
        ("ReLU", "relu"),
        ("MLP", "mlp"),
        *jp._CALLED_ELSEWHERE.items(),
    ],
)
def test_an_unknown_name_is_answered_by_the_one_that_is_meant(name, meant):
    assert meant in jp.__all__
    with pytest.raises(AttributeError, match=f"no attribute '{name}'. Did you mean '{meant}'?"):
        getattr(jp, name)


def test_submodules_are_bound_as_in_any_package():
    assert_runs(
        "import jaxpercep.dense, jaxpercep.compare, jaxpercep.rosenblatt\n"
        "assert jaxpercep.dense.Dense is jaxpercep.Dense\n"
        "assert jaxpercep.compare.compare_model is jaxpercep.compare_model"
    )


# A jaxlib that miscomputes


@pytest.mark.parametrize(
    ("version", "fault"), [("0.10.2", "computes wrong numbers"), ("0.11.0", "can crash")]
)
def test_warns_of_a_jaxlib_that_miscomputes(version, fault, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    message = rf"jaxlib {version} {fault}.*pip install .*jaxlib!=0\.10\.2,!=0\.11\.0"
    with pytest.warns(RuntimeWarning, match=message):
        jp._warn_of_miscomputing_jaxlib()


@pytest.mark.parametrize("version", ["0.10.1", "0.10.20", "0.11.1", "0.12.0"])
def test_says_nothing_of_another(version, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jp._warn_of_miscomputing_jaxlib()


def test_the_warning_comes_with_the_import():
    done = python(
        "import importlib.metadata\n"
        "importlib.metadata.version = lambda _: '0.10.2'\n"
        "import jaxpercep",
        "-Werror::RuntimeWarning",
    )
    assert done.returncode == 1
    assert "RuntimeWarning: jaxlib 0.10.2 computes wrong numbers" in done.stderr


def test_the_pins_exclude_what_is_warned_of():
    required = importlib.metadata.requires("jaxpercep")
    for package in ("jax", "jaxlib"):
        (pin,) = [line for line in required if line.replace(">", "!").split("!")[0] == package]
        assert all(f"!={version}" in pin for version in jp._MISCOMPUTING_JAXLIB)


# Documentation


def documented_names(owner, module_name):
    """Yields (qualified name, object) of every public function, class and method of a module."""
    for name, value in vars(owner).items():
        value = getattr(value, "__func__", value)
        value = value.fget if isinstance(value, property) else value
        if name.startswith("_") or getattr(value, "__module__", None) != module_name:
            continue
        if callable(value) and hasattr(value, "__qualname__"):
            yield f"{module_name}.{value.__qualname__}", value
        if inspect.isclass(value):
            yield from documented_names(value, module_name)


def test_every_public_name_is_documented():
    seen = [
        pair
        for module in map(importlib.import_module, MODULES)
        for pair in [(module.__name__, module), *documented_names(module, module.__name__)]
    ]
    assert len(seen) > 150
    assert [name for name, value in seen if not has_own_docstring(value)] == []


def has_own_docstring(value):
    """Tells a written docstring from an inherited one, and from those of dataclass, NamedTuple."""
    text = value.__doc__ or ""
    generated = inspect.isclass(value) and text.startswith(f"{value.__name__}(")
    return bool(text.strip()) and not generated


def test_public_instances_carry_their_own_documentation():
    """Activations are instances: help() shows what each says, not what their class does."""
    public = [getattr(jp, name) for name in jp.__all__]
    instances = [value for value in public if isinstance(value, Activation)]
    assert len(instances) == 10
    for instance in instances:
        assert instance.__doc__
        assert instance.__doc__ != type(instance).__doc__
