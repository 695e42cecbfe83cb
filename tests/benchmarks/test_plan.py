"""The cells of each profile, and what they may cost."""

import pytest
from msgspec.structs import replace
from simulation import method

from benchmarks.measure.estimates import cost, goals_cost
from benchmarks.peers import METHODS
from benchmarks.plan import (
    PROFILES,
    Profile,
    distinct_batches,
    goal_setting,
    left_out,
    merged,
    smallest,
)
from benchmarks.results import Absence, Reason, Setting
from benchmarks.workloads import WORKLOADS


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    return PROFILES[request.param]()


def values(profile: Profile, sweep: str, name: str) -> list[int]:
    return [getattr(s, name) for s in profile.settings if sweep in s.sweeps]


def test_settings_are_measured_once_and_can_be_trained(profile: Profile) -> None:
    keys = [setting.key for setting in profile.settings]
    assert len(set(keys)) == len(keys)
    for setting in profile.settings:
        assert set(setting.sweeps) <= {"batch", "depth", "width", "grid"}
        for small in (setting, smallest(setting)):
            workload = WORKLOADS[small.workload]
            initial = workload.initial(small, 0)
            assert [w.shape[-2] for w, _ in initial] == list(small.sizes[:-1])
        assert smallest(setting).depth == setting.depth


def test_sweeps_hold_the_other_two_fixed(profile: Profile) -> None:
    for sweep in ("batch", "depth", "width"):
        on = [s for s in profile.settings if sweep in s.sweeps]
        for workload in {s.workload for s in on}:
            for other in {"batch", "depth", "width"} - {sweep}:
                assert len({getattr(s, other) for s in on if s.workload == workload}) == 1


def test_the_quick_run_has_two_workloads_the_others_all(profile: Profile) -> None:
    few = {"classification", "xor"} if profile.name == "quick" else set(WORKLOADS)
    assert {setting.workload for setting in profile.settings} == few
    xor = {s.sizes for s in profile.settings if s.workload == "xor"}
    assert xor == {(2, 2, 1), (2, 10, 10, 10, 1)}


def test_the_quick_run_is_short() -> None:
    profile = PROFILES["quick"]()
    assert len(profile.settings) == 5
    assert profile.seconds <= 150  # of 3 minutes: imports and the report are not counted
    total = sum(cost(profile, setting, METHODS, 0) for setting in profile.settings)
    assert total < 0.65 * profile.seconds  # a slow machine gets far
    assert (profile.compiling, profile.goals) == (frozenset(), ())
    grid = [(s.batch, s.depth) for s in profile.settings if "grid" in s.sweeps]
    assert sorted(grid) == [(1, 4), (64, 1), (64, 4)]


def test_the_default_run_has_the_curves_and_a_grid() -> None:
    profile = PROFILES["default"]()
    assert profile.seconds < 20 * 60
    batches = [s.batch for s in profile.settings if "batch" in s.sweeps]
    assert batches == [1, 8, 64, 512, 4096]
    assert sorted(values(profile, "depth", "depth")) == [1, 4, 16, 64, 512]
    assert sorted(values(profile, "width", "width")) == [16, 128, 256, 1024]
    grid = {(s.batch, s.depth) for s in profile.settings if "grid" in s.sweeps}
    assert grid >= {(batch, depth) for batch in (1, 64, 512) for depth in (1, 4, 16)}
    assert {batch for batch, _ in grid} == set(batches)
    assert {depth for _, depth in grid} == set(values(profile, "depth", "depth"))


def test_the_full_run_has_all_powers_of_two() -> None:
    profile = PROFILES["full"]()
    assert profile.seconds < 60 * 60
    curve = [s for s in profile.settings if "batch" in s.sweeps and s.workload == "classification"]
    assert sorted(s.batch for s in curve) == [2**i for i in range(14)]
    assert sorted(values(profile, "depth", "depth")) == [1, 2, 4, 8, 16, 32, 64, 512]
    assert sorted(values(profile, "width", "width")) == [16, 32, 64, 128, 256, 512, 1024]
    for workload in ("classification-adam", "regression"):
        assert len([s for s in profile.settings if s.workload == workload]) == 4
    assert len(profile.memory) == 5


def test_cells_that_are_named_are_there(profile: Profile) -> None:
    keys = {setting.key for setting in profile.settings}
    assert profile.memory <= keys
    goals = {goal_setting(batch).key for batch, _ in profile.goals}
    assert profile.compiling <= keys | goals
    assert bool(profile.memory) == (profile.name == "full")
    assert profile.dispatch <= {(s.workload, s.depth) for s in profile.settings}


def test_the_estimate_fits_the_limit(profile: Profile) -> None:
    once, again = (
        sum(cost(profile, s, METHODS, block) for s in profile.settings) for block in (0, 1)
    )
    assert again < once / 2  # fewer rounds and methods, and nothing to compile
    total = once + (profile.blocks - 1) * again
    total += goals_cost(profile, METHODS)
    margin = 0.95 if profile.name == "full" else 0.7  # those two end on slow machines too
    assert total < margin * profile.seconds


def test_populations_have_methods_of_their_own() -> None:
    profile = PROFILES["default"]()
    found = {(s.sizes, s.networks): s for s in profile.settings if s.networks is not None}
    assert {n for sizes, n in found if sizes == (2, 2, 1)} == {1, 64, 1024, 65_536}
    assert ((2, 10, 10, 10, 1), 1024) in found
    alone, many = method("alone"), method("many", populations=True)
    for setting in profile.settings:
        there, other = (many, alone) if setting.networks is not None else (alone, many)
        assert left_out(profile, there, setting) is None
        absence = left_out(profile, other, setting)
        assert absence is not None
        assert absence.reason is Reason.OTHER_KIND
    assert profile.with_methods([many]).settings == tuple(found.values())
    assert profile.with_methods([alone, many]) == profile
    assert not any(profile.has_dispatch(setting) for setting in found.values())


def test_a_training_of_a_population_is_long_enough_to_be_timed() -> None:
    steps = {
        n: distinct_batches(Setting("xor", (2, 2, 1), 4, networks=n)) for n in (1, 1024, 65_536)
    }
    assert steps == {1: 2048, 1024: 2048, 65_536: 136}


def test_slow_compilers_have_few_cells_or_none() -> None:
    slow = method("slow", slow_to_compile=True)
    for name, count, cells in (("quick", 0, "no cell"), ("default", 3, "3 cells")):
        profile = PROFILES[name]()
        alone = [setting for setting in profile.settings if setting.networks is None]
        found = [left_out(profile, slow, setting) for setting in alone]
        assert found.count(None) == count
        detail = f"it compiles for several seconds: a {name} run does so in {cells}"
        assert set(found) - {None} == {Absence("slow", Reason.SLOW_TO_COMPILE, detail)}
    full = PROFILES["full"]()
    curve = [s for s in full.settings if "batch" in s.sweeps]
    assert not any(left_out(full, slow, setting) for setting in curve)


def test_workloads_that_a_method_cannot_train() -> None:
    profile, other = PROFILES["default"](), method("other", workloads=("regression",))
    for setting in (setting for setting in profile.settings if setting.networks is None):
        absence = Absence("other", Reason.UNSUITABLE, f"it cannot train {setting.workload}")
        expected = None if setting.workload == "regression" else absence
        assert left_out(profile, other, setting) == expected


def test_methods_for_deep_networks() -> None:
    profile, deep = PROFILES["default"](), method("deep", least_depth=16)
    for setting in profile.settings:
        if setting.networks is not None:
            continue
        absence = Absence("deep", Reason.UNSUITABLE, "it is for 16 hidden layers or more")
        expected = None if setting.depth >= 16 else absence
        assert left_out(profile, deep, setting) == expected


def test_one_setting_may_be_on_several_sweeps() -> None:
    a, b = Setting("classification", (4, 8, 2), 16, ("batch",)), Setting("xor", (2, 2, 1), 4)
    again = replace(a, sweeps=("depth",))
    found = merged([a, b, again, a])
    assert found == (replace(a, sweeps=("batch", "depth")), b)


def test_few_batches_of_slow_steps() -> None:
    assert distinct_batches(Setting("classification", (64, 128, 10), 1)) == 8
    assert distinct_batches(Setting("classification", (64, 1024, 1024, 10), 8192)) == 2


def test_the_smallest_problem_has_as_many_layers() -> None:
    assert smallest(Setting("classification", (64, 128, 128, 10), 99)) == Setting(
        "classification", (2, 2, 2, 3), 1
    )
    assert smallest(Setting("xor", (2, 10, 10, 1), 4)) == Setting("xor", (2, 1, 1, 1), 4)
