"""Type-checking needs no optional peer, and still reports a required module that is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def check_where_nothing_is_installed(folder, source):
    file = folder / "module.py"
    file.write_text(source)
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("pyrefly"), "check", file),
            *("--config", ROOT / "pyproject.toml", "--min-severity=warn"),
            *("--skip-interpreter-query", "--site-package-path", folder),
        ],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "source", ["import torch\nfrom torch.nn import functional\n", "import equinox as eqx\n"]
)
def test_a_missing_peer_is_no_error(tmp_path, source):
    done = check_where_nothing_is_installed(tmp_path, source)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("module", ["jax", "optax", "jaxpercep_typo", "torchy"])
def test_a_missing_required_module_is_an_error(tmp_path, module):
    done = check_where_nothing_is_installed(tmp_path, f"import {module}\n")
    assert done.returncode == 1
    assert f"Cannot find module `{module}`" in done.stdout + done.stderr
