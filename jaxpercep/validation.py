"""What `fit` measures on data that it does not train on, what ends a run, and its record."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxpercep._checks import check_positive_int, check_real, shown
from jaxpercep.layer import Params

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class EarlyStopping:
    """Ends a run of `fit` whose validation loss no longer falls; the best state is returned.

    Attributes:
        patience: the run ends after so many validations in a row without an improvement.
        min_delta: an improvement is a validation loss that is lower by more than this.

    Raises:
        TypeError: `patience` is not an integer, or `min_delta` not a number.
        ValueError: `patience` is below 1, or `min_delta` below 0 or not finite.

    Source: Prechelt, "Early stopping - but when?" (1998).
    """

    patience: int
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "patience", check_positive_int("patience", self.patience))
        object.__setattr__(self, "min_delta", check_real("min_delta", self.min_delta))
        if self.min_delta < 0:
            raise ValueError(f"min_delta={self.min_delta} must be at least 0.")


def _no_losses() -> np.ndarray:
    return np.empty(0)


def _no_steps() -> np.ndarray:
    return np.empty(0, int)


@dataclass(frozen=True)
class History:
    """The record of a call of `fit` or `fit_batches`.

    Attributes:
        loss: `[steps]`, the loss of each step's batch before that step's update.
        interrupted: True if Ctrl-C ended the run early.
        diverged: the step whose loss was NaN or infinite, which ended the run, or None. That loss
            is the last one in `loss`.
        first: `state.step` at the first loss.
        validation: `[points]`, the losses on the validation data, if there are any.
        validated: `[points]`, `state.step` of the states that these are the losses of.
        best: with early stopping, `state.step` of the state that was returned, or None.
        stopped: `state.step` at which early stopping or the callback ended the run, or None.
    """

    loss: np.ndarray
    interrupted: bool = False
    diverged: int | None = None
    first: int = 0
    validation: np.ndarray = field(default_factory=_no_losses)
    validated: np.ndarray = field(default_factory=_no_steps)
    best: int | None = None
    stopped: int | None = None

    def plot(self) -> "Figure":
        """Draws the losses of training and validation over the steps; returns the figure to save.

        The vertical axis is logarithmic if all losses are above 0.

        Raises:
            ValueError: There is no loss to draw.
        """
        from jaxpercep.plots import loss_curves  # needs matplotlib, which training does not

        curves = {"training": self.loss, "validation": self.validation}
        steps = {"training": self.first + np.arange(len(self.loss)), "validation": self.validated}
        curves = {name: np.asarray(curve) for name, curve in curves.items() if len(curve)}
        if not curves:
            raise ValueError("the history is empty, for the run ended before its first step.")
        return loss_curves(
            {name: np.where(np.isfinite(curve), curve, np.nan) for name, curve in curves.items()},
            title="Training",
            log=all((curve[np.isfinite(curve)] > 0).all() for curve in curves.values()),
            steps={name: steps[name] for name in curves},
        )


class Watch:
    """The validation of one run: its losses, its best state, and whether it is to end.

    Attributes:
        losses: the losses measured so far.
        steps: `state.step` of the states that they are of.
        every: the number of steps between validations.
        data: the inputs and targets, or None.
    """

    def __init__(
        self,
        measure: Callable[[Params], float] | None = None,
        every: int = 1,
        stopping: EarlyStopping | None = None,
        data: tuple[Any, Any] | None = None,
    ) -> None:
        """Takes what returns the loss of parameters (None: nothing is validated), and how often."""
        self.losses: list[float] = []
        self.steps: list[int] = []
        self.every, self.data = every, data
        self._measure, self._stopping = measure, stopping
        self._best: tuple[float, int, Any] | None = None
        self._goal, self._waited = math.inf, 0

    @property
    def best(self) -> Any:
        """The best state, with early stopping and once there is one; else None."""
        return self._best and self._best[2]

    def room(self, step: int) -> int:
        """Returns the number of steps from this one to the next validation."""
        return sys.maxsize if self._measure is None else self.every - step % self.every

    def sees(self, step: int, state: Any, last: bool) -> bool:
        """Validates if it is time, at the last step in any case; returns True to end the run.

        A step that was seen is not validated again.
        """
        due = last or step % self.every == 0
        if self._measure is not None and due and step not in self.steps[-1:]:
            self._note(step, self._measure(state.params), state)
        return self._stopping is not None and self._waited >= self._stopping.patience

    def take_over(self, steps: Sequence[int], losses: Sequence[float], best: Any) -> None:
        """Notes what was measured earlier; `best` is the best state of those, if one is needed."""
        for step, loss in zip(steps, losses, strict=True):
            self._note(step, loss, best)

    def _note(self, step: int, loss: float, state: Any) -> None:
        self.steps.append(step)
        self.losses.append(loss)
        if self._stopping is None:
            return
        loss = loss if math.isfinite(loss) else math.inf
        if self._best is None or loss < self._best[0]:
            self._best = loss, step, state
        self._waited += 1
        if loss < self._goal:
            self._goal, self._waited = loss - self._stopping.min_delta, 0

    def chosen(self, state: Any) -> tuple[Any, int | None]:
        """Returns the best state with its step or, without early stopping, the one reached."""
        return (state, None) if self._best is None else (self._best[2], self._best[1])


def check_stopping(value: Any) -> None:
    """Raises a `TypeError` unless `value` is an `EarlyStopping` or None."""
    if value is not None and not isinstance(value, EarlyStopping):
        raise TypeError(
            f"early_stopping={shown(value)} is not an EarlyStopping; "
            "EarlyStopping(patience=10) is one."
        )


def wants_to_end(answer: Any) -> bool:
    """Returns True if a callback returned True.

    Raises:
        TypeError: It returned neither None nor a bool.
    """
    if answer is None:
        return False
    one_bool = getattr(answer, "dtype", None) == np.bool_ and answer.shape == ()
    if not (isinstance(answer, bool) or one_bool):
        raise TypeError(
            f"callback returned {shown(answer)}, expected None to go on, or True to end the run."
        )
    return bool(answer)
