"""Plain C++, the limit: `limit.cpp`, compiled for the sizes of a cell."""

import ctypes
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import COMPILERS, Preparation, Trainer
from benchmarks.results import Setting
from benchmarks.workloads import Floats, Parameters, Workload

SOURCE = Path(__file__).with_name("limit.cpp")


def build(workload: Workload, setting: Setting, initial: Parameters) -> "CppTrainer":
    """Compiles the step for this setting, and loads it."""
    return CppTrainer(workload, setting, initial)


class CppTrainer(Trainer):
    """Calls a compiled loop over the batches."""

    def __init__(self, workload: Workload, setting: Setting, initial: Parameters) -> None:
        self._rate, self._shapes = workload.learning_rate, [(w.shape, b.shape) for w, b in initial]
        leaves = np.concatenate([leaf.ravel() for layer in initial for leaf in layer])
        self._count = len(leaves)
        start = time.perf_counter()
        self._library = _compiled(workload, setting)
        self._seconds = time.perf_counter() - start
        self._library.set(_pointer(np.ascontiguousarray(leaves, np.float32)))

    def place(self, x: Floats, y: np.ndarray) -> Any:
        """Returns contiguous arrays."""
        return np.ascontiguousarray(x), np.ascontiguousarray(y)

    def prepare(self, batches: Any) -> Preparation:
        """Says how long compiling took."""
        del batches
        return Preparation(compile=self._seconds)

    def run(self, batches: Any, passes: int) -> np.ndarray:
        """Calls the loop."""
        x, y = batches
        losses = np.empty(len(x), np.float32)
        rate = ctypes.c_float(self._rate)
        arguments = len(x), y[0].nbytes, passes, rate, _pointer(losses)
        self._library.run(_pointer(x), _pointer(y), *arguments)
        return losses

    def losses(self, result: np.ndarray) -> np.ndarray:
        """Returns them."""
        return result

    def parameters(self) -> Parameters:
        """Returns copies of them."""
        leaves = np.empty(self._count, np.float32)
        self._library.get(_pointer(leaves))
        parts = iter(
            np.split(leaves, np.cumsum([np.prod(s) for pair in self._shapes for s in pair]))
        )
        return [(next(parts).reshape(w), next(parts).reshape(b)) for w, b in self._shapes]


def _compiled(workload: Workload, setting: Setting) -> ctypes.CDLL:
    """Compiles and loads the source with the constants of a setting."""
    constants = {
        "SIZES": ",".join(map(str, setting.sizes)),
        "BATCH": setting.batch,
        "ACTIVATION": workload.activation.upper(),
        "LOSS": workload.loss.upper(),
        "OPTIMIZER": workload.optimizer.upper(),
    }
    defined = [f"-D{name}={value}" for name, value in constants.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "limit"
        compiler = next(filter(None, map(shutil.which, COMPILERS)))
        # -ffast-math lets sums, tanh and exp be vectorized. Linked with it, the library would have
        # the whole process take the smallest numbers for zero.
        options = "-std=c++17", "-O3", "-march=native", "-ffast-math", "-fPIC", "-c", "-o"
        compile_ = [compiler, *options, path.with_suffix(".o"), *defined, SOURCE]
        link = [compiler, "-shared", "-o", path.with_suffix(".so"), path.with_suffix(".o")]
        for command in (compile_, link):
            subprocess.run(command, check=True)
        return ctypes.CDLL(str(path.with_suffix(".so")))


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
