"""Estimates of the time that a cell takes: to divide the time limit, and to tell the time left.

And of the time that a first call takes, from those of shallower networks.
"""

from collections.abc import Sequence

from benchmarks.flops import step_flops
from benchmarks.measure.worker import WARM_UP
from benchmarks.peers import Method
from benchmarks.plan import REPEATS, Profile, distinct_batches, goal_setting, repeated
from benchmarks.results import Cell, Setting

RATE = 1e11  # floating point operations a second
TURN = 0.015  # seconds between two samples
SMALL_RATE = 5e9  # the same in populations of small networks
ONE_BY_ONE = 2e-4  # seconds a step, where networks are trained one after the other
START = 0.5  # seconds to build, compile and check a method
START_PER_LAYER = 0.02
AGAIN = 0.25  # of that, where what JAX compiles is kept
SLOW = 9.0  # seconds more for a method that is slow to compile
FRESH = 5.0  # seconds to start a process, with one on each core
GOAL = 2.0  # seconds for each method and batch size


def cost(profile: Profile, setting: Setting, methods: Sequence[Method], block: int) -> float:
    """Estimates the seconds that a cell takes in a block, counted from 0."""
    beside = 0.0 if block else beside_cost(profile, setting, methods)
    return sampling_cost(profile, setting, methods, block) + beside


def sampling_cost(
    profile: Profile, setting: Setting, methods: Sequence[Method], block: int = 0
) -> float:
    """Estimates the part of it in which the methods are built, checked and timed in turn."""
    rounds, start = (REPEATS, AGAIN) if block else (1 + profile.rounds, 1.0)
    found = [m for m in profile.planned(setting, methods) if not block or repeated(m, None)]
    found += found[:1]  # takes part twice
    turns = sum(_turn(profile, setting, method) for method in found)
    return start * _start(profile, setting, found) + rounds * turns


def beside_cost(profile: Profile, setting: Setting, methods: Sequence[Method]) -> float:
    """Estimates the rest: dispatch in the first cell of each depth, memory where it is measured."""
    present, seconds = profile.planned(setting, methods), 0.0
    if setting.key in profile.memory:
        seconds += FRESH * len(present) + _start(profile, setting, present) / 2
    kind = setting.workload, setting.depth
    first = next(s for s in profile.settings if (s.workload, s.depth) == kind)
    if profile.has_dispatch(setting) and setting.key == first.key:
        seconds += _start(profile, setting, present)
    return seconds


def goals_cost(profile: Profile, methods: Sequence[Method]) -> float:
    """Estimates the time to an accuracy, which is measured after all cells."""
    settings = [goal_setting(batch) for batch, _ in profile.goals]
    return GOAL * sum(len(profile.planned(setting, methods)) for setting in settings)


def expected_first_call(cells: Sequence[Cell], method: str, setting: Setting) -> float:
    """Predicts the seconds of a method's first call from smaller depths; 0 if none is known.

    Compiling an unrolled network takes a + b depth: the line through the two deepest ones, and
    never less than the deepest. A single one says nothing about b.
    """
    found = {
        cell.setting.depth: measurement.first_call
        for cell in cells
        if cell.setting.workload == setting.workload and cell.setting.depth < setting.depth
        if (measurement := cell.of(method))
    }
    if not found:
        return 0.0
    deepest, *others = sorted(found, reverse=True)
    slope = 0.0
    if others:
        slope = (found[deepest] - found[others[0]]) / (deepest - others[0])
    return found[deepest] + max(slope, 0.0) * (setting.depth - deepest)


def _turn(profile: Profile, setting: Setting, method: Method) -> float:
    """Estimates the time of a sample, with the warm-up before it."""
    step = step_flops(setting) / (SMALL_RATE if method.populations else RATE)
    steps = distinct_batches(setting) * method.networks(setting)
    one_pass = steps * (ONE_BY_ONE if method.one_by_one else step)
    return max(WARM_UP, one_pass) + max(profile.sample, one_pass) + TURN


def _start(profile: Profile, setting: Setting, methods: Sequence[Method]) -> float:
    """Estimates the time of building, compiling and checking them; few compile what is too deep."""
    slow = sum(method.slow_to_compile for method in methods)
    layers = START_PER_LAYER * setting.depth
    each = START + (layers if layers < profile.first_call else 0.0)
    return len(methods) * each + slow * SLOW
