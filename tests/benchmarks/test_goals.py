"""Time to a loss and an accuracy on digits, in simulated time."""

import numpy as np
import pytest
from simulation import Simulation, method

from benchmarks.measure import goals
from benchmarks.measure.goals import Digits, train_to_goals
from benchmarks.measure.messages import CallError
from benchmarks.plan import goal_setting
from jaxpercep.datasets import digits

STEPS = 1437 // 64
STEP = 1e-4 + 64e-6


def pursue(learning_rate: float = 0.2, fails: str = "") -> list[goals.Goal]:
    learner = method("learner", learns=True, fails=fails)
    return train_to_goals(Simulation(), learner, 64, learning_rate, 0)


def test_an_epoch_visits_every_sample_once_in_an_order_of_its_own() -> None:
    data, workload = digits().train, Digits("digits", "relu", "softmax", "sgd", 0.1)
    epochs = [workload.epoch(data, 32, number, seed=1)[0] for number in (0, 1)]
    for x in epochs:
        assert x.shape == (44, 32, 64)
        rows = {row.tobytes() for row in x.reshape(-1, 64)}
        assert rows <= {row.tobytes() for row in data.x}
        assert len(rows) > 1380  # some digits are drawn twice in the data themselves
    assert not np.array_equal(*epochs)
    x, y = workload.batches(goal_setting(32), 44, seed=1)
    np.testing.assert_array_equal(x, epochs[0])
    found = {(row.tobytes(), label) for row, label in zip(data.x, data.y, strict=True)}
    assert {(a.tobytes(), b) for a, b in zip(x[3], y[3], strict=True)} <= found


def test_time_to_a_goal() -> None:
    accuracy, loss = pursue()
    assert (accuracy.target, loss.target) == ("test accuracy 0.95", "train loss 0.1")
    assert accuracy.reached >= 0.95
    assert loss.reached <= 0.1
    for goal in (accuracy, loss):
        assert (goal.method, goal.batch, goal.learning_rate) == ("learner", 64, 0.2)
        assert goal.steps is not None
        assert goal.steps % STEPS == 0
        assert 3 <= goal.steps / STEPS <= goals.MAX_EPOCHS
        assert goal.seconds == pytest.approx(goal.steps * STEP, rel=0.05)
        assert goal.with_compile == pytest.approx(0.1 + goal.steps * STEP, rel=0.05)


def test_a_goal_that_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goals, "MAX_EPOCHS", 4)
    for goal in pursue(learning_rate=1e-3):
        assert (goal.steps, goal.seconds, goal.with_compile) == (None, None, None)
    assert 0 < goal.reached < 3


def test_training_that_diverges_is_no_goal() -> None:
    with pytest.raises(CallError, match="diverged"):
        pursue(fails="diverge")
