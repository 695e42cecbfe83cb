"""Every test runs with strict dtype promotion, and on the CPU alone.

Compiling takes most of the tests' time. Programs are kept in `.pytest_cache/xla`, where other
tests, workers and runs find them. They run once, so the oldest supported JAX, which can, compiles
them without optimizations in a third of the time; newer ones compile them as they do for users.
"""

import importlib.metadata
import os
import signal
from pathlib import Path
from zlib import crc32

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    # XLA splits the code of a program to compile it in several threads: small ones only lose by it.
    "--xla_cpu_parallel_codegen_split_count=1"
    + (
        " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
        if importlib.metadata.version("jaxlib").startswith("0.10.")
        else ""
    ),
)

# In the environment, so that the commands that tests start find it too.
os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": str(Path(__file__).parents[1] / ".pytest_cache/xla"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # as in `keep_programs`
}

import jax
import pytest
from hypothesis import settings

jax.config.update("jax_numpy_dtype_promotion", "strict")

# A shell has its background jobs ignore Ctrl-C, and with them all that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("thorough", max_examples=8000)  # a sample by default: 100


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--moments", type=int, default=3, help="at which runs and saves are killed, at random"
    )
    parser.addoption("--part", default="1/1", help="1/3, 2/3 and 3/3 run a third of the tests each")


@pytest.hookimpl(trylast=True)  # of those that -m and -k have chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part, parts = map(int, config.getoption("--part").split("/"))
    # By name, so that the parts make up the whole whatever else each of them leaves out.
    chosen = [item for item in items if crc32(item.nodeid.encode()) % parts == part - 1]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture
def x64():
    """Runs a test in double precision."""
    with jax.enable_x64(True):
        yield
