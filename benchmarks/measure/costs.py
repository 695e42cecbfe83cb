"""Estimates of the time that a cell takes: to divide the time limit, and to tell the time left."""

from collections.abc import Sequence

from benchmarks.flops import step_flops
from benchmarks.measure.worker import WARM_UP
from benchmarks.peers import Method
from benchmarks.plan import Profile, distinct_batches, left_out
from benchmarks.results import Setting

RATE = 1e11  # floating point operations a second
TURN = 0.015  # seconds between two samples
START = 0.35  # seconds to build, compile and check a method
START_PER_LAYER = 0.006
SLOW = 5.0  # seconds more for a method that is slow to compile
FRESH = 1.0  # seconds to start a process, with one on each core
GOAL = 1.0  # seconds for each method and batch size


def cost(profile: Profile, setting: Setting, methods: Sequence[Method]) -> float:
    """Estimates the seconds that a cell takes."""
    return sampling_cost(profile, setting, methods) + beside_cost(profile, setting, methods)


def sampling_cost(profile: Profile, setting: Setting, methods: Sequence[Method]) -> float:
    """Estimates the part of it in which the methods are built, checked and timed in turn."""
    present = _present(profile, setting, methods)
    one_pass = distinct_batches(setting) * step_flops(setting) / RATE
    turn = max(WARM_UP, one_pass) + max(profile.sample, one_pass) + TURN
    twin = _start(setting, present[:1])
    return _start(setting, present) + twin + (len(present) + 1) * (1 + profile.rounds) * turn


def beside_cost(profile: Profile, setting: Setting, methods: Sequence[Method]) -> float:
    """Estimates the rest: dispatch in the first cell of each depth, memory where it is measured."""
    present, seconds = _present(profile, setting, methods), 0.0
    if setting.key in profile.memory:
        seconds += FRESH * len(present) + _start(setting, present) / 2
    kind = setting.workload, setting.depth
    first = next(s for s in profile.settings if (s.workload, s.depth) == kind)
    if kind in profile.dispatch and setting.key == first.key:
        seconds += _start(setting, present)
    return seconds


def goals_cost(profile: Profile, methods: Sequence[Method]) -> float:
    """Estimates the time to an accuracy, which is measured after all cells."""
    return GOAL * len(methods) * len(profile.goals)


def _present(profile: Profile, setting: Setting, methods: Sequence[Method]) -> list[Method]:
    return [method for method in methods if left_out(profile, method, setting) is None]


def _start(setting: Setting, methods: Sequence[Method]) -> float:
    """Estimates the time of building, compiling and checking them."""
    slow = sum(method.slow_to_compile for method in methods)
    return len(methods) * (START + START_PER_LAYER * setting.depth) + slow * SLOW
