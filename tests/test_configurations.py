"""The contract of every layer and loss holds however Python and JAX are configured."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

pytestmark = pytest.mark.slow

CONTRACT = Path(__file__).with_name("contract.py")
CACHE = {  # of compiled programs, which this process shares
    "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
# Settings that can be combined share a process, for most of its time goes into starting.
COMBINATIONS = {
    "types": [
        "JAX_ENABLE_X64=1",
        "JAX_NUMPY_DTYPE_PROMOTION=strict",
        "JAX_NUMPY_RANK_PROMOTION=raise",
        "JAX_DEBUG_NANS=1",
        "JAX_NUM_CPU_DEVICES=8",
    ],
    "without jit": ["JAX_DISABLE_JIT=1", "-O"],
    "leaks": ["JAX_CHECK_TRACER_LEAKS=1"],
}
# Without jit every operation is compiled alone; leaks are looked for at every trace.
SLOW = dict.fromkeys(("without jit", "leaks"), pytest.mark.corpus)


def failure(settings: list[str], program: Path = CONTRACT) -> str:
    """Returns what the contract prints under these settings if it does not hold."""
    options = [setting for setting in settings if setting.startswith("-")]
    variables = dict(setting.split("=") for setting in settings if "=" in setting)
    done = subprocess.run(
        [sys.executable, *options, str(program)],
        env={**os.environ, **CACHE, "PYTHONPATH": str(CONTRACT.parents[1]), **variables},
        capture_output=True,
        text=True,
    )
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize(
    "settings",
    [pytest.param(s, id=n, marks=SLOW.get(n, ())) for n, s in COMBINATIONS.items()],
)
def test_the_contract_holds_under(settings: list[str]) -> None:
    if found := failure(settings):
        alone = {setting: failure([setting]) for setting in settings}
        blamed = [setting for setting, message in alone.items() if message]
        pytest.fail(f"under {blamed or settings}: {next(filter(None, alone.values()), found)}")
