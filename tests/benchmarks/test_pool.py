"""Real processes: their answers, their end, and their threads and memory."""

import gc
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import planted

from benchmarks import truth
from benchmarks.instructions import refusal
from benchmarks.machine import cores
from benchmarks.measure.messages import Built, CallError, Task
from benchmarks.measure.pool import POOL_SIZES, WorkerPool
from benchmarks.measure.worker import WARM_UP, Worker, settle
from benchmarks.results import Reason, Setting
from benchmarks.workloads import WORKLOADS

SETTING = Setting("classification", (8, 16, 4), 32)
WORKLOAD = WORKLOADS["classification"]


def task(habit: str = "", setting: Setting = SETTING, steps: int = 3) -> Task:
    return Task(planted(habit), WORKLOAD, setting, steps, 5)


@pytest.fixture(scope="module")
def pool() -> Generator[WorkerPool]:
    with WorkerPool(cores(), patience=60) as found:
        yield found


def build(pool: WorkerPool, habit: str = "") -> Built:
    return pool.call("planted", Worker.build, "one", task(habit))


def test_a_method_is_built_and_timed(pool: WorkerPool) -> None:
    built = build(pool)
    initial = WORKLOAD.initial(SETTING, 5)
    reference = truth.reference(WORKLOAD, initial, *WORKLOAD.batches(SETTING, 3, 5))
    assert truth.check(initial, built.parameters, built.losses, reference) is None
    assert built.first_call > 0
    passes, turn, instructions = pool.call("planted", Worker.calibrate, "one", 0.01)
    assert (instructions is None) is (refusal() is not None)
    assert passes >= 1
    assert WARM_UP < turn < 1
    assert pool.call("planted", Worker.sample, "one", passes, WARM_UP) > 0
    x, y = WORKLOAD.batches(SETTING, 2, 6)
    seconds, parameters = pool.call("planted", Worker.train, "one", x, y)
    assert seconds > 0
    assert not np.array_equal(parameters[0][0], built.parameters[0][0])
    pool.call("planted", Worker.drop, "one")
    with pytest.raises(CallError, match="KeyError: 'one'"):
        pool.call("planted", Worker.sample, "one", 1, WARM_UP)


def test_what_a_library_prints_stays_in_its_process(
    pool: WorkerPool, capfd: pytest.CaptureFixture[str]
) -> None:
    build(pool)
    assert capfd.readouterr() == ("", "")


def test_an_error_is_told_in_one_line_without_paths(pool: WorkerPool) -> None:
    build(pool)
    with pytest.raises(CallError) as caught:
        build(pool, "raises")
    assert caught.value.detail == "RuntimeError: no file planted.py, says the compiler"
    assert not caught.value.ended
    pool.call("planted", Worker.sample, "one", 1, WARM_UP)  # the process lives on


@pytest.mark.parametrize(
    ("habit", "reason"),
    [
        ("ends", "its process ended with exit code 3: Fatal: out of patience"),
        ("killed", "its process ended by SIGKILL, as when memory runs out"),
    ],
)
def test_a_process_that_ends(pool: WorkerPool, habit: str, reason: str) -> None:
    with pytest.raises(CallError) as caught:
        build(pool, habit)
    assert caught.value.detail.startswith(reason)
    assert caught.value.ended
    build(pool)  # in a new one


def test_a_process_that_does_not_answer_is_ended() -> None:
    with WorkerPool(cores(), patience=1) as pool:
        with pytest.raises(CallError, match="no answer within 1 s") as caught:
            build(pool, "hangs")
        assert (caught.value.ended, caught.value.reason) == (True, Reason.NO_ANSWER)
        assert pool._processes == {}


def test_a_process_has_our_cores_and_that_many_threads(pool: WorkerPool) -> None:
    build(pool)
    (worker,) = pool._processes.values()
    pid = worker._process.pid
    assert sorted(os.sched_getaffinity(pid)) == cores()
    variables = dict(
        entry.split("=", 1) for entry in Path(f"/proc/{pid}/environ").read_text().split("\0")[:-1]
    )
    assert {variables[name] for name in POOL_SIZES} == {str(len(cores()))}


def test_threads_at_work_are_counted(pool: WorkerPool) -> None:
    big = task(setting=Setting("classification", (64, 512, 4), 1024), steps=2)
    pool.call("planted", Worker.build, "burst", big)
    pools = pool.call("planted", Worker.pools, "burst", 0.5)
    assert 1 <= max(pools.values()) <= len(cores())
    pool.call("planted", Worker.drop, None)
    assert any("blas" in library for library in pool.call("planted", Worker.libraries))


def test_peak_memory_is_that_of_a_fresh_process(pool: WorkerPool) -> None:
    build(pool, "fat")
    found = pool.peak_memories([task(), task("fat"), task("ends"), task()])
    thin, fat, failed, again = found
    assert isinstance(thin, int)
    assert isinstance(fat, int)
    assert isinstance(again, int)
    assert isinstance(failed, CallError)
    assert abs(fat - thin - 2**28) < 2**26
    assert abs(again - thin) < 2**25


def test_ctrl_c_is_not_for_the_workers(pool: WorkerPool) -> None:
    build(pool)
    (worker,) = pool._processes.values()
    assert os.getpgid(worker._process.pid) != os.getpgid(0)
    worker._process.send_signal(signal.SIGINT)
    assert pool.call("planted", Worker.sample, "one", 1, WARM_UP) > 0


def test_workers_end_with_the_block() -> None:
    with WorkerPool(cores(), patience=60) as pool:
        build(pool)
        (worker,) = pool._processes.values()
        os.kill(worker._process.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(worker._process.pid, 0)


def test_workers_end_with_a_parent_that_is_killed() -> None:
    program = """
import time
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.worker import Worker
pool = WorkerPool([0], patience=60)
pool.call("jax", Worker.peak_memory)
print(pool._processes["jax"]._process.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while _running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _running(pid)


def _running(pid: int) -> bool:
    try:
        state = re.search(r"State:\t(\w)", Path(f"/proc/{pid}/status").read_text())
    except FileNotFoundError:
        return False
    return state is not None and state[1] != "Z"


class Watchful:
    """A trainer that notes whether garbage may be collected while it runs.

    Its first two runs take 3 times as long, as those of threads that have slept.
    """

    def __init__(self) -> None:
        self.now, self.collecting, self.diverges = 0.0, list[bool](), False

    def run(self, batches: Any, passes: int) -> Any:
        del batches
        self.now += WARM_UP / 5 * passes * (3 if len(self.collecting) < 2 else 1)
        self.collecting.append(gc.isenabled())
        return np.array([np.nan if self.diverges else 1.0])

    def losses(self, result: Any) -> Any:
        return result


def test_garbage_is_collected_between_samples_only_and_the_warm_up_is_not_timed() -> None:
    trainer = Watchful()
    worker = Worker(lambda: trainer.now)
    worker._ready["one"] = trainer, None  # type: ignore[assignment]
    assert worker.sample("one", 1, WARM_UP) == pytest.approx(WARM_UP / 5)
    assert gc.isenabled()
    assert trainer.collecting == [True, True, False]
    trainer.diverges = True
    with pytest.raises(ValueError, match="diverged while it was timed"):
        worker.sample("one", 6, WARM_UP)
    assert gc.isenabled()
    assert trainer.collecting[3:] == [True, False]


def test_a_turn_is_a_warm_up_and_a_sample() -> None:
    trainer = Watchful()
    worker = Worker(lambda: trainer.now)
    worker._ready["one"] = trainer, None  # type: ignore[assignment]
    trainer.collecting = [True] * 2  # threads are awake
    passes, turn, _ = worker.calibrate("one", 0.6 * WARM_UP)
    assert passes == 3
    before = trainer.now
    worker.sample("one", passes, WARM_UP)
    assert trainer.now - before == pytest.approx(turn) == pytest.approx(1.8 * WARM_UP)


def test_settling_waits_for_rest_and_no_longer() -> None:
    start = time.monotonic()
    settle(limit=30.0)
    assert time.monotonic() - start < 10


def test_settling_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter(range(10**6))
    monkeypatch.setattr(time, "process_time", lambda: next(busy))
    settle(limit=0.05)
    assert next(busy) > 2
