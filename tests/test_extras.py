"""A missing package of an extra is answered by the command that installs it."""

import importlib.metadata
import re
import subprocess
import sys

import pytest

from jaxpercep._extras import EXTRA_OF

pytestmark = pytest.mark.slow

NEEDED = {
    "tyro": ("runpy.run_module('jaxpercep', run_name='__main__')", "the command line"),
    "msgspec": ("jaxpercep.save", "jaxpercep.save"),
    "filelock": ("jaxpercep.Checkpoints", "jaxpercep.Checkpoints"),
    "pyarrow": (
        "from jaxpercep import tables; tables.load_features('x.parquet', 1)",
        "a Parquet file",
    ),
    "jinja2": ("runpy.run_module('jaxpercep', run_name='__main__')", "the command line"),
    "matplotlib": ("jaxpercep.plots.loss_curves", "jaxpercep.plots"),
    "sklearn moons": ("jaxpercep.datasets.moons(10)", "moons"),
    "sklearn circles": ("jaxpercep.datasets.circles(10)", "circles"),
    "sklearn digits": ("jaxpercep.datasets.digits()", "digits"),
    "sklearn estimators": ("jaxpercep.estimators.MLPClassifier", "jaxpercep.estimators"),
    "sklearn network": (
        "import jax; d = jaxpercep.Dense(2, 1)\n"
        "jaxpercep.interop.to_sklearn(d, d.init(jax.random.key(0)))",
        "to_sklearn",
    ),
    "sklearn split": (
        "jaxpercep.datasets.train_test_split(jaxpercep.datasets.spirals(10))",
        "train_test_split",
    ),
}
ARGUMENTS = {"jinja2": "['tour']"}

CORE = """
import jax, optax, jaxpercep as jp
data = jp.datasets.logic_gate("XOR")
model, loss, optimizer = jp.mlp([2, 3, 1], jp.tanh), jp.BinaryCrossEntropy(), optax.adam(0.1)
state = jp.init_state(model, optimizer, jax.random.key(0))
state, _ = jp.fit(model, loss, optimizer, state, data.x, data.y, steps=2)
print(jp.compare_model(model, loss, state.params, data.x, data.y))
print(jp.certify(data.x, 2 * data.y[:, 0] - 1), jp.interop.to_linen, jp.perceptron_rule)
print(jp.interop.from_sklearn, jp.interop.to_sklearn)
"""


def run_without(packages, code):
    """Runs code in a fresh interpreter in which these packages cannot be imported."""
    blocked = "".join(f"sys.modules[{package!r}] = None; " for package in packages)
    program = f"import runpy, sys; {blocked}import jaxpercep\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.parametrize("case", NEEDED)
def test_a_missing_package_is_answered_by_the_command_that_installs_it(case):
    package, (code, what) = case.split()[0], NEEDED[case]
    done = run_without([package], f"sys.argv[1:] = {ARGUMENTS.get(package, [])}\n{code}")
    expected = f"{what} needs the package {package}, which is not installed. Install it with: pip "
    assert f'{expected}install "jaxpercep[{EXTRA_OF[package]}]"' in done.stderr
    assert done.returncode == (2 if what == "the command line" else 1)
    assert ("Traceback" in done.stderr) == (what != "the command line")


def test_the_core_needs_no_extra():
    done = run_without(EXTRA_OF, CORE)
    assert done.returncode == 0, done.stderr
    assert "match" in done.stdout


def test_the_error_names_what_the_extra_installs():
    imports = importlib.metadata.packages_distributions()
    required = [
        re.match(r'([\w.-]+).*extra == "(\w+)"', line)
        for line in importlib.metadata.requires("jaxpercep") or ()
    ]
    extras = {
        (match[1].lower(), match[2]) for match in required if match and "jaxpercep" not in match[1]
    }
    for package, extra in EXTRA_OF.items():
        distributions = {name.lower() for name in imports[package]}
        installed_with_it = {"markupsafe"}  # Jinja2's own requirement
        assert package in installed_with_it or distributions & {n for n, e in extras if e == extra}
    assert {extra for _, extra in extras} >= set(EXTRA_OF.values())
    for name, extra in extras:
        if extra == "cli":
            modules = {module for module, names in imports.items() if name in map(str.lower, names)}
            assert modules & EXTRA_OF.keys(), f"{name} is missing from EXTRA_OF"
