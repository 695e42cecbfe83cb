"""Methods with habits of their own, for processes that are real."""

import os
import signal
import sys
import time
from typing import Any

import numpy as np

from benchmarks import truth
from benchmarks.peers import Method, Preparation
from benchmarks.results import Setting
from benchmarks.workloads import Parameters, Workload


class Trainer:
    """Trains in NumPy, with a habit."""

    def __init__(self, workload: Workload, initial: Parameters, habit: str) -> None:
        self._workload, self._parameters, self._habit = workload, initial, habit
        print("a library says hello")
        print("and warns", file=sys.stderr)
        self._ballast = np.ones(2**25 if habit == "fat" else 1)  # 256 MiB

    def place(self, x: Any, y: Any) -> Any:
        return x, y

    def prepare(self, batches: Any) -> Preparation:
        del batches
        if self._habit == "raises":
            raise RuntimeError(f"no file {__file__}, says the compiler\nand more")
        if self._habit == "ends":
            print("Fatal: out of patience", file=sys.stderr, flush=True)
            os._exit(3)
        if self._habit == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._habit == "hangs":
            time.sleep(600)
        return Preparation()

    def run(self, batches: Any, passes: int) -> Any:
        losses = np.empty(0)
        for _ in range(passes):
            losses, trained = truth.train(self._workload, self._parameters, *batches)
            self._parameters = [(w.astype(np.float32), b.astype(np.float32)) for w, b in trained]
        return losses

    def losses(self, result: Any) -> Any:
        return result

    def parameters(self) -> Parameters:
        off = 1.01 if self._habit == "wrong" else 1.0
        return [(w * np.float32(off), b) for w, b in self._parameters]


def build(workload: Workload, setting: Setting, initial: Parameters, habit: str = "") -> Trainer:
    del setting
    return Trainer(workload, initial, habit)


def planted(habit: str = "", process: str = "planted") -> Method:
    name = habit or "well-behaved"
    return Method(name, "planted", __name__, process, (), (("habit", habit),))
