"""How long a cell takes, roughly: to divide the time limit, and to tell the time left."""

from collections.abc import Sequence

from benchmarks.flops import step_flops
from benchmarks.peers import Method
from benchmarks.plan import Profile, distinct_batches, refusal
from benchmarks.results import Setting

RATE = 1e11  # floating point operations a second
TURN = 0.015  # seconds between two samples
START = 0.4  # seconds to build, compile and check a method
START_PER_LAYER = 0.006
FRESH = 1.5  # seconds to start a process and train in it, with one on each core
GOAL = 2.0  # seconds for each method and batch size


def cost(profile: Profile, setting: Setting, methods: Sequence[Method]) -> float:
    """Seconds that a cell takes."""
    return contest_cost(profile, setting, methods) + beside_cost(profile, setting, methods)


def contest_cost(profile: Profile, setting: Setting, methods: Sequence[Method]) -> float:
    """The part of it in which the methods are built, checked and timed in turn."""
    sample = max(profile.sample, distinct_batches(setting) * step_flops(setting) / RATE) + TURN
    each = _start(setting) + (3 + profile.rounds) * sample
    return (_present(profile, setting, methods) + 1) * each


def beside_cost(profile: Profile, setting: Setting, methods: Sequence[Method]) -> float:
    """The rest: dispatch in the first cell of each depth, and memory where it is measured."""
    each = FRESH if setting.key in profile.memory else 0.0
    kind = setting.workload, setting.depth
    first = next(s for s in profile.settings if (s.workload, s.depth) == kind)
    if kind in profile.dispatch and setting.key == first.key:
        each += _start(setting)
    return _present(profile, setting, methods) * each


def goals_cost(profile: Profile, methods: Sequence[Method]) -> float:
    """What comes after all cells: the time to an accuracy."""
    return GOAL * len(methods) * len(profile.goals)


def _present(profile: Profile, setting: Setting, methods: Sequence[Method]) -> int:
    return sum(refusal(profile, method, setting) is None for method in methods)


def _start(setting: Setting) -> float:
    return START + START_PER_LAYER * setting.depth
