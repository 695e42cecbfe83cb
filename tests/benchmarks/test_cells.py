"""One cell: its methods, their order, and the numbers found; all in simulated time."""

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from simulation import MIB, TIME, Simulation, method

from benchmarks.derived import bound, steps_to_break_even
from benchmarks.measure.cells import CellMeasurer
from benchmarks.measure.estimates import expected_first_call
from benchmarks.measure.sampler import AWAKE, TURNS, Sampler, balanced_order
from benchmarks.measure.worker import WARM_UP, Worker
from benchmarks.peaks import Peaks
from benchmarks.peers import Method
from benchmarks.plan import OUT_OF_TIME, Profile
from benchmarks.results import Cell, Interval, Reason, Setting

SETTING = Setting("classification", (8, 16, 16, 4), 32)
OURS = method("jaxpercep manual", 2e-5, ours=True)
SLOWER = method("optax", 3e-5)
PEERS = [OURS, SLOWER, method("torch", 2e-4, process="torch", compiling=0.0)]


def profile(**changes: Any) -> Profile:
    defaults: dict[str, Any] = {
        "name": "test",
        "settings": (SETTING,),
        "seconds": 1000,
        "rounds": 12,
        "blocks": 3,
        "sample": 0.01,
        "first_call": 10,
        "patience": 60,
        "memory": frozenset([SETTING.key]),
        "dispatch": frozenset([("classification", 2)]),
        "compiling": frozenset([SETTING.key]),
        "goals": (),
    }
    return Profile(**defaults | changes)


def measure(
    methods: list[Method],
    setting: Setting = SETTING,
    seconds: float = 1000,
    pool: Simulation | None = None,
    earlier: list[Cell] | None = None,
    deadline: float = 1e9,
    **changes: Any,
) -> Cell:
    pool, peaks = pool or Simulation(), Peaks(100, 1e10)
    measurer = CellMeasurer(pool, profile(**changes), methods, peaks, 7, lambda _: None)
    return measurer.measure(setting, earlier or [], seconds, deadline)


def reasons(cell: Cell) -> dict[str, tuple[Reason, str]]:
    return {absence.method: (absence.reason, absence.detail) for absence in cell.absences}


# The order of the rounds.


@pytest.mark.parametrize("entries", [1, 2, 5, 6, 13, 14])
def test_positions_and_predecessors_are_balanced(entries: int) -> None:
    block = entries * (1 + entries % 2)
    order = balanced_order(entries, block, seed=3)
    assert all(sorted(row) == list(range(entries)) for row in order)
    for position in zip(*order, strict=True):
        assert set(Counter(position).values()) == {block // entries}
    follows = Counter(pair for row in order for pair in pairwise(row))
    assert len(follows) == entries * (entries - 1)
    assert len(set(follows.values())) <= 1


def test_orders_are_random_by_seed() -> None:
    assert balanced_order(5, 23, 1) == balanced_order(5, 23, 1)
    assert balanced_order(5, 23, 1) != balanced_order(5, 23, 2)
    assert balanced_order(5, 20, 1)[:10] != balanced_order(5, 20, 1)[10:]
    assert len(balanced_order(4, 7, 0)) == 7


# The numbers.


def test_a_cell_finds_the_times_that_methods_take() -> None:
    cell = measure(PEERS)
    assert not cell.absences
    assert [m.method for m in cell.measurements] == [m.name for m in PEERS]
    for measurement, call in zip(cell.measurements, (2e-5, 3e-5, 2e-4), strict=True):
        seconds = call + 32e-6
        assert measurement.seconds.median == pytest.approx(seconds, rel=0.03)
        assert len(measurement.times[0]) == 12
        assert measurement.passes * 8 * seconds == pytest.approx(0.01, rel=0.1)
        assert measurement.gflops == pytest.approx(cell.flops / measurement.seconds.median / 1e9)
        assert measurement.samples_per_second == pytest.approx(32 / measurement.seconds.median)
        assert measurement.peak_fraction == pytest.approx(measurement.gflops / 100)
        assert measurement.error < 1e-4
        assert measurement.dispatch == pytest.approx(call + 1e-6, rel=0.05)
        assert measurement.peak_rss == 300 * MIB
        assert measurement.temporary_bytes == 3 * MIB
        assert measurement.notes == []
    manual, optax, torch = cell.measurements
    assert cell.best_peer == "optax"
    assert optax.ratio is None
    assert manual.ratio is not None
    assert manual.ratio.median == pytest.approx(52 / 62, rel=0.03)
    assert manual.ratio.excludes(1)
    assert (manual.trace, manual.compile) == pytest.approx((0.05, 0.15))
    assert manual.first_call == pytest.approx(0.2 + 8 * 52e-6, rel=0.01)
    assert torch.first_call == pytest.approx(8 * 232e-6, rel=0.1)


def test_the_null_is_a_second_instance_of_the_first_of_ours() -> None:
    pool = Simulation()
    cell = measure([SLOWER, OURS], pool=pool)
    assert cell.null_method == OURS.name
    assert cell.null is not None
    assert cell.null.median == pytest.approx(1, abs=0.03)
    assert not cell.null.excludes(1)
    assert 0 < cell.floor < 0.1
    built = [name for _, command, name in pool.calls if command == "build"]
    assert built[:3] == [SLOWER.name, OURS.name, f"{OURS.name}, again"]
    assert measure([SLOWER]).null_method == SLOWER.name


def test_every_framework_is_imported_before_one_is_used() -> None:
    pool = Simulation()
    measure([SLOWER, OURS], pool=pool)
    assert [command for _, command, _ in pool.calls][:3] == ["load", "load", "build"]


def test_every_method_is_sampled_once_a_round() -> None:
    pool = Simulation()
    measure(PEERS, pool=pool, dispatch=frozenset())
    names = [name for _, command, name in pool.calls if command == "sample"]
    rounds = [names[i : i + 4] for i in range(0, len(names), 4)]
    assert len(rounds) == 12
    assert all(len(set(row)) == 4 for row in rounds)
    assert len({tuple(row) for row in rounds}) > 6


def test_pairing_by_round_takes_out_what_slows_a_whole_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call, load = Simulation.call, np.random.default_rng(0).lognormal(0, 0.5, 100)

    def loaded(self: Simulation, process: str, function: Any, *args: Any) -> Any:
        found = call(self, process, function, *args)
        return found * load[(self.samples - 1) // 4] if function is Worker.sample else found

    quiet = measure(PEERS, dispatch=frozenset()).measurements[0]
    monkeypatch.setattr(Simulation, "call", loaded)
    manual = measure(PEERS, dispatch=frozenset()).measurements[0]
    assert manual.seconds.high - manual.seconds.low > 0.3 * manual.seconds.median
    for name in ("low", "median", "high"):
        assert getattr(manual.ratio, name) == pytest.approx(getattr(quiet.ratio, name))


def alternated(pool: Simulation, *methods: Method) -> list[tuple[str, str]]:
    """Samples "old" and "new" methods in six rounds; returns the turns."""
    sampler = Sampler(pool, profile(), SETTING, methods, 7, math.inf, lambda _: None, twice=False)
    pairs = [("old a", "new a"), ("old b", "new b")]
    found = sampler.repeat({method.name: 3 for method in methods}, 6, pairs)
    names = [name for _, command, name in pool.calls if command == "sample"]
    for instance in found:
        assert len(instance.times) == names.count(instance.name)
    return list(zip(names[::2], names[1::2], strict=True))


def test_the_methods_of_a_pair_alternate_and_each_is_the_first_as_often() -> None:
    turns = alternated(
        Simulation(), method("old a"), method("new a"), method("old b"), method("new b")
    )
    rounds = [turns[i : i + 2 * TURNS] for i in range(0, len(turns), 2 * TURNS)]
    assert len(rounds) == 6
    for row in rounds:
        for together in (row[:TURNS], row[TURNS:]):
            assert len({frozenset(turn) for turn in together}) == 1
            assert all(one == two[::-1] for one, two in pairwise(together))
        assert {row[0][0][-1], row[-1][0][-1]} == {"a", "b"}
    assert {row[0][0][-1] for row in rounds} == {"a", "b"}
    assert {one[0] for row in rounds for one in (row[0], row[TURNS])} == {*turns[0], *turns[TURNS]}
    assert set(Counter(first for first, _ in turns).values()) == {6 * TURNS // 2}


def test_only_the_first_turn_has_a_long_warm_up() -> None:
    turns = alternated(Simulation(), *(method(f"{side} a", compiling=0) for side in ("old", "new")))
    call = 3 * 8 * (1e-4 + 32e-6)  # of three passes: a warm-up ends with one
    warm = 2 * 6 * (WARM_UP + (TURNS - 1) * AWAKE)
    assert warm < TIME.now - 2 * len(turns) * call < warm + 2 * len(turns) * 1.1 * call


def test_what_has_no_partner_is_not_timed() -> None:
    methods = method("old a", fails="build"), method("new a"), method("old b"), method("new b")
    turns = alternated(Simulation(), *methods)
    assert {name for turn in turns for name in turn} == {"old b", "new b"}


def test_a_run_can_be_repeated_to_the_digit() -> None:
    assert measure(PEERS) == measure(PEERS)


# Methods that are not timed, and the reasons.


def test_a_wrong_gradient_is_refused() -> None:
    wrong = method("wrong", gradient=1.01)
    cell = measure([OURS, wrong])
    reason, detail = reasons(cell)["wrong"]
    assert reason is Reason.WRONG
    assert "of how far it moves in float64, bound" in detail
    assert [m.method for m in cell.measurements] == [OURS.name]
    assert reasons(measure([OURS, method("right", gradient=1.0001)])) == {}


def test_a_method_that_raises_fails_alone() -> None:
    pool = Simulation()
    cell = measure([OURS, method("broken", fails="build"), SLOWER], pool=pool)
    assert reasons(cell) == {"broken": (Reason.FAILED, "RuntimeError: the compiler gave up")}
    assert [m.method for m in cell.measurements] == [OURS.name, SLOWER.name]
    built = Counter(name for _, command, name in pool.calls if command == "build")
    assert built[OURS.name] == 1


def test_a_process_that_ends_is_started_again_without_the_method() -> None:
    cell = measure([OURS, method("crashing", fails="sample"), SLOWER])
    assert reasons(cell) == {"crashing": (Reason.FAILED, "its process ended by SIGSEGV")}
    assert all(len(m.times[0]) == 12 for m in cell.measurements)
    assert [m.method for m in cell.measurements] == [OURS.name, SLOWER.name]


def test_training_that_diverges_while_it_is_timed_has_failed() -> None:
    cell = measure([OURS, method("diverging", fails="diverge")])
    reason, detail = reasons(cell)["diverging"]
    assert reason is Reason.FAILED
    assert "the training diverged while it was timed" in detail
    assert [m.method for m in cell.measurements] == [OURS.name]  # it is not in the rounds
    assert len(cell.absences) == 1


def test_what_does_not_fit_into_the_time_is_skipped() -> None:
    cell = measure([OURS, method("slow", call=0.5), SLOWER], seconds=20)
    reason, detail = reasons(cell)["slow"]
    assert reason is Reason.TOO_SLOW
    assert "s: 4 rounds do not fit into this cell's share of the run's time limit" in detail
    assert all(len(m.times[0]) == 12 for m in cell.measurements)


def test_a_short_time_has_fewer_rounds() -> None:
    cell = measure(PEERS, seconds=2.0, dispatch=frozenset())
    assert not cell.absences
    assert 4 <= len(cell.measurements[0].times[0]) < 12
    assert TIME.now < 2.2


def test_nothing_is_begun_after_the_deadline() -> None:
    slow = [method(name, compiling=10) for name in "abcd"]
    cell = measure([OURS, *slow], deadline=50)  # at 60 c is built
    assert reasons(cell)["d"] == (Reason.OUT_OF_TIME, OUT_OF_TIME)
    assert [absence.reason for absence in cell.absences] == 5 * [Reason.OUT_OF_TIME]
    assert cell.out_of_time
    assert TIME.now < 61


def test_the_deadline_may_be_in_the_middle_of_a_cell() -> None:
    cell = measure(PEERS, deadline=2.3)
    manual, *peers = cell.measurements
    assert manual.dispatch is not None
    for measurement in peers:
        assert measurement.notes == [f"dispatch: {OUT_OF_TIME}"]
    assert cell.notes == [f"peak memory: {OUT_OF_TIME}"]
    assert not cell.out_of_time


def test_methods_without_a_place_in_the_cell() -> None:
    only_xor, slow = method("only xor", workloads=("xor",)), method("slow", slow_to_compile=True)
    cell = measure([OURS, only_xor, slow], compiling=frozenset(["another"]))
    assert reasons(cell) == {
        "only xor": (Reason.UNSUITABLE, "it cannot train classification"),
        "slow": (
            Reason.SLOW_TO_COMPILE,
            "it compiles for several seconds: a test run does so in 1 cell",
        ),
    }


POPULATION = Setting("xor", (2, 2, 1), 4, networks=100)
MANY = method("jaxpercep population", 1e-7, 0.0, ours=True, populations=True)
VMAP = method("vmap(grad)", 4e-7, 0.0, populations=True)
LOOP = method("torch, one by one", 2e-4, 0.0, populations=True, one_by_one=True)


def test_times_of_a_population_are_per_network_and_step() -> None:
    cell = measure([MANY, VMAP, LOOP], POPULATION)
    assert cell.absences == []
    seconds = [m.seconds.median for m in cell.measurements]
    assert seconds == pytest.approx([1e-7, 4e-7, 2e-4], rel=0.05)
    assert [m.notes for m in cell.measurements] == [
        [],
        [],
        ["timed on 3 of 100 networks, and scaled"],
    ]
    assert cell.best_peer == VMAP.name
    assert (ratio := cell.measurements[0].ratio) is not None
    assert ratio.median == pytest.approx(0.25, rel=0.05)


def test_methods_of_the_other_kind_leave_no_trace_in_a_cell() -> None:
    for setting, there, other in ((SETTING, OURS, MANY), (POPULATION, MANY, OURS)):
        cell = measure([there, other], setting)
        assert [m.method for m in cell.measurements] == [there.name]
        assert cell.absences == []


def test_a_population_with_a_wrong_gradient_is_refused() -> None:
    wrong = method("wrong", gradient=1.01, populations=True)
    assert reasons(measure([MANY, wrong], POPULATION))["wrong"][0] is Reason.WRONG


def test_a_cell_without_any_method() -> None:
    cell = measure([method("broken", fails="build")])
    assert (cell.measurements, cell.best_peer, cell.null) == ([], None, None)
    assert cell.floor == 0


def test_what_is_measured_elsewhere_is_noted() -> None:
    cell = measure(PEERS, memory=frozenset(), dispatch=frozenset())
    assert cell.notes == [
        "dispatch: a test run does not measure it in this cell",
        "peak memory: a test run does not measure it in this cell",
    ]
    for measurement in cell.measurements:
        assert measurement.notes == []
        assert (measurement.dispatch, measurement.peak_rss) == (None, None)


# Expectations from earlier cells.


def at_depth(depth: int) -> Setting:
    return Setting("classification", (8, *(16,) * depth, 4), 32)


def test_first_calls_that_would_take_too_long_are_not_tried() -> None:
    slow = method("unrolled", compiling=1.0)
    earlier = [measure([OURS, slow], at_depth(depth)) for depth in (1, 2, 4)]
    assert expected_first_call(earlier, "unrolled", at_depth(9)) == pytest.approx(9, abs=0.1)
    assert expected_first_call(earlier, "unrolled", at_depth(1)) == 0
    assert expected_first_call(earlier[:1], "unrolled", at_depth(9)) == pytest.approx(1, abs=0.1)
    assert expected_first_call(earlier, "other", at_depth(9)) == 0
    cell = measure([OURS, slow], at_depth(11), earlier=earlier)
    reason, detail = reasons(cell)["unrolled"]
    assert reason is Reason.LONG_FIRST_CALL
    assert "its first call would take about 11 s; a test run allows 10 s" in detail
    assert reasons(measure([OURS, slow], at_depth(9), earlier=earlier)) == {}


def test_dispatch_is_measured_once_for_each_depth() -> None:
    first, pool = measure([OURS]), Simulation()
    again = measure([OURS], pool=pool, earlier=[first])
    assert again.measurements[0].dispatch == first.measurements[0].dispatch
    assert not any("dispatch" in name for _, _, name in pool.calls)
    pool = Simulation()
    measure([OURS], at_depth(3), pool=pool, earlier=[first], dispatch={("classification", 3)})
    assert any("dispatch" in name for _, _, name in pool.calls)
    other = measure([SLOWER], earlier=[first]).measurements[0]
    assert other.dispatch == pytest.approx(3e-5 + 1e-6, rel=0.05)


# Derived numbers.


@pytest.mark.parametrize(
    ("first_call", "call", "steps"),
    [
        (0.2, 2e-5, 0),  # no slower from the start
        (0.3, 2e-5, 10_000),  # 0.1 s later, 10 us a step faster
        (0.3, 3e-5, None),  # later, and no faster
        (0.3, 4e-5, None),
    ],
)
def test_break_even(first_call: float, call: float, steps: int | None) -> None:
    cell = measure([OURS, method("peer")], memory=frozenset(), dispatch=frozenset())
    ours, peer = cell.measurements
    for measurement, first, seconds in ((ours, first_call, call), (peer, 0.2, 3e-5)):
        measurement.first_call, measurement.seconds = first, Interval(seconds, seconds, seconds)
    found = steps_to_break_even(ours, peer)
    assert found == (steps if steps is None else pytest.approx(steps, abs=1))
    if found:
        assert ours.first_call + found * call <= peer.first_call + found * 3e-5 + 1e-9
        before = found - 2
        assert ours.first_call + before * call > peer.first_call + before * 3e-5


@pytest.mark.parametrize(
    ("flops", "moved", "dispatch", "expected"),
    [
        (1e9, 1e6, 1e-5, "compute"),  # 10 ms against 0.1 ms
        (1e6, 1e8, 1e-5, "memory"),
        (1e6, 1e4, 1e-3, "overhead"),
        (1e6, 1e4, None, "compute"),
    ],
)
def test_bound(flops: float, moved: float, dispatch: float | None, expected: str) -> None:
    assert bound(flops, moved, dispatch, Peaks(100, 1e10)) == expected
