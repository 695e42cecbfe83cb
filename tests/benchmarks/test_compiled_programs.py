"""Counts of what is compiled, and of instructions: exact, and of the right program."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from benchmarks import instructions, programs
from benchmarks.measure.messages import Task
from benchmarks.measure.worker import Worker
from benchmarks.peers import METHODS
from benchmarks.results import Program, Setting
from benchmarks.workloads import workload_of

HLO = """HloModule jit_step, is_scheduled=true, entry_computation_layout={(f32[4]{0})->f32[4]{0}}

%fused_computation (param_0: f32[4]) -> f32[4] {
  %param_0 = f32[4]{0} parameter(0)
  %exponential.1 = f32[4]{0} exponential(%param_0)
  ROOT %add.3 = f32[4]{0} add(%exponential.1, %param_0)
}

%body.2 (arg: (s32[], f32[4])) -> (s32[], f32[4]) {
  %arg = (s32[], /*index=1*/f32[4]{0}) parameter(0)
  %get-tuple-element.1 = s32[] get-tuple-element(%arg), index=0
  %fusion.4 = f32[4]{0} fusion(%get-tuple-element.1), kind=kLoop, calls=%fused_computation
  %dot.1 = f32[4]{0} dot(%fusion.4, %fusion.4), metadata={op_name="while(body)/dot(general)"}
  ROOT %tuple.7 = (s32[], f32[4]{0}) tuple(%get-tuple-element.1, %dot.1)
}

%condition (arg.1: (s32[], f32[4])) -> pred[] {
  %arg.1 = (s32[], f32[4]{0}) parameter(0)
  ROOT %compare = pred[] compare(%arg.1, %arg.1), direction=LT
}

ENTRY %main.5 (Arg_0.1: f32[4]) -> f32[4] {
  %Arg_0.1 = f32[4]{0} parameter(0), metadata={op_name="x"}
  %constant.1 = s32[] constant(0)
  %copy = f32[4]{0} copy(%Arg_0.1)
  %tuple.1 = (s32[], f32[4]{0}) tuple(%constant.1, %copy)
  %while.1 = (s32[], f32[4]{0}) while(%tuple.1), condition=%condition, body=%body.2
  ROOT %get-tuple-element.9 = f32[4]{0} get-tuple-element(%while.1), index=1
}
"""


def test_operations_are_those_that_are_dispatched() -> None:
    assert programs.operations(HLO) == (2, 2)  # copy and while; fusion and dot
    more = HLO.replace("  ROOT %tuple.7", "  %negate.1 = f32[4]{0} negate(%dot.1)\n  ROOT %tuple.7")
    assert programs.operations(more) == (2, 3)


def new(function: Any, *args: Any) -> Program:
    known = programs.executables()
    jax.block_until_ready(jax.jit(function)(*args))
    found = programs.largest([e for e in programs.executables() if not any(e is k for k in known)])
    assert found is not None
    return found


def test_a_program_is_counted_as_it_was_compiled() -> None:
    x = jnp.ones((8, 8))
    one, two = new(lambda x: x @ x, x), new(lambda x: jnp.tanh(x @ x) @ x, x)
    assert one.operations < two.operations
    assert one.flops == pytest.approx(2 * 8**3, rel=0.1)
    assert two.flops > 2 * one.flops * 0.95
    assert one.bytes >= 2 * 4 * 8**2
    assert one.looped == 0


def test_the_body_of_a_loop_is_counted_apart() -> None:
    def loop(step: Any, x: Any) -> Any:
        return lax.fori_loop(0, 5, lambda _, x: step(x), x)

    x = jnp.ones((64, 64))
    once, twice = new(partial(loop, lambda x: x @ x), x), new(partial(loop, lambda x: x @ x @ x), x)
    assert once.operations == twice.operations
    assert once.looped < twice.looped


OF_XLA = [m for m in METHODS if m.process == "jax" and not m.requires]


@pytest.mark.slow
@pytest.mark.parametrize("method", OF_XLA, ids=lambda method: method.name)
def test_every_method_of_xla_has_a_program_that_a_new_process_repeats(method: Any) -> None:
    depth, networks = max(2, method.least_depth), 4 if method.populations else None
    name, sizes = (
        ("xor", (2, *(3,) * depth, 1))
        if method.populations
        else ("classification", (6, *(12,) * depth, 5))
    )
    setting = Setting(name, sizes, 4 if method.populations else 8, networks=networks)
    task = Task(method, workload_of(setting), setting, 4, 0)
    worker = Worker()
    first = worker.build("one", task).program
    assert first is not None
    assert first.operations + first.looped > 3
    assert worker.build("two", task).program == first  # though nothing is compiled again
    jax.clear_caches()
    assert Worker().build("one", task).program == first


def test_methods_without_xla_have_no_program() -> None:
    setting = Setting("classification", (6, 12, 5), 8)
    numpy = next(method for method in METHODS if method.name == "numpy")
    ours = jax.jit(jnp.sin)
    ours(1.0)
    assert programs.executables()
    assert Worker().build("one", Task(numpy, workload_of(setting), setting, 4, 0)).program is None


# Instructions.


def test_where_instructions_cannot_be_counted_the_reason_is_said() -> None:
    why = instructions.refusal()
    if why is None:
        few, many = (instructions.counted(partial(work, n)) for n in (10, 1000))
        assert many > 20 * few
    else:
        assert why.startswith("instructions cannot be counted here: ")
        with pytest.raises(OSError, match=why.rpartition(": ")[2]):
            instructions.counted(float)


SOFTWARE, TASK_CLOCK = 1, 1  # an event that needs no counter of the processor: nanoseconds at work


def test_an_event_is_counted_in_every_thread() -> None:
    try:
        instructions.counted(float, SOFTWARE, TASK_CLOCK)
    except OSError as error:
        pytest.skip(f"this system counts no events: {error}")
    with ThreadPoolExecutor(1) as threads:
        threads.submit(float).result()  # a thread that was there before
        spent: list[float] = []

        def both() -> float:
            start = time.process_time()
            threads.submit(work, 100).result()
            work(100)
            spent.append(time.process_time() - start)
            return 0.0

        found = [instructions.counted(both, SOFTWARE, TASK_CLOCK) for _ in range(5)]
    ratios = [count / (1e9 * seconds) for count, seconds in zip(found, spent, strict=True)]
    assert statistics.median(ratios) == pytest.approx(1, rel=0.3)  # one clock counts stolen time


def work(n: int) -> float:
    return sum(float(i) for i in range(1000 * n))
