"""Times taken in turn, and how they are told."""

import time

import numpy as np

from benchmarks.in_turn import in_turn, quartiles, wall_and_processor


def test_all_are_called_once_a_round_after_a_warm_up() -> None:
    called: list[str] = []

    def sampler(name: str, factor: float):
        def sample() -> float:
            called.append(name)
            return factor * len(called)

        return sample

    ours, other = in_turn([sampler("ours", 1), sampler("other", 10)], rounds=2)
    assert called == ["ours", "other"] * 3
    assert ours.tolist() == [3, 5]
    assert other.tolist() == [40, 60]


def test_a_sample_may_be_several_numbers() -> None:
    found = in_turn([lambda: (1, 2), lambda: (3, 4)], rounds=5)
    assert found.shape == (2, 5, 2)
    assert found[:, 0].tolist() == [[1, 2], [3, 4]]


def test_sleep_takes_no_time_of_the_processor() -> None:
    wall, processor = wall_and_processor(lambda: time.sleep(0.2))
    assert wall >= 0.2
    assert processor < 0.1


def test_quartiles_are_told_after_the_median() -> None:
    assert quartiles(np.arange(5.0)) == "2.00 (1.00 to 3.00)"
    assert quartiles(np.arange(5.0), " s") == "2.00 s (1.00 to 3.00)"
