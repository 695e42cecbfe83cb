"""The loop of a run: steps in calls of about a second, and between them all that is not a step."""

import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

from jaxpercep._interactive import deferred_interrupt, progress_bar
from jaxpercep.keeping import Keeper, Steps
from jaxpercep.validation import History, Watch, wants_to_end

SECONDS_PER_CALL = 1.0  # the target for one call: often enough to show progress
STEPS_PER_CALL = 65536  # at most: the size of the buffer of losses of `fit`


def train(
    state: Any,
    steps: Steps,
    watch: Watch,
    callback: Callable[[Any, np.ndarray], bool | None] | None,
    keeping: AbstractContextManager[Keeper],
) -> tuple[Any, History]:
    """Takes steps, about a second's worth a call, until the run is over, is ended, or diverges.

    Args:
        state: the first.
        steps: takes steps, from where a run began that is gone on with.
        watch: validates.
        callback: ends the run by returning True.
        keeping: yields what keeps the run, and knows where it goes on.
    """
    calls: deque[_Call] = deque(maxlen=2)
    diverged, first, count = None, int(state.step), 1
    with (
        progress_bar(steps.total) as advance,
        deferred_interrupt() as interrupted,
        keeping as keeper,
    ):
        # The call of no steps compiles, if the shapes are known.
        state, losses_of = keeper.restored(steps.take(state, 0)[0], watch)
        done = sum(map(len, losses_of))
        advance(done, "")
        ended = done > 0 and watch.sees(first + done, state, done == steps.total)
        while done != steps.total and not ended and not interrupted():
            left = (steps.total or sys.maxsize) - done
            count = min(count, left, STEPS_PER_CALL, watch.room(first + done))
            before, start = state, time.perf_counter()
            state, losses = steps.take(state, count)
            seconds = time.perf_counter() - start
            if not len(losses):  # the calls before took all, which only now is known
                continue
            calls.append(_Call(before, len(losses)))
            done += len(losses)
            finite = np.isfinite(losses)
            if not finite.all():
                losses = losses[: np.argmin(finite) + 1]
                diverged, state = _step_back(steps, calls, len(losses) - 1)
            losses_of.append(losses)
            advance(len(losses), f"loss {float(losses[-1]):.6g}")
            ended = diverged is not None
            if not ended:
                keeper.sees(state, losses_of, watch, done == steps.total)
                ended = watch.sees(first + done, state, done == steps.total)
            if callback is not None:
                ended |= wants_to_end(callback(state, losses))
            count = max(1, int(count * min(10.0, SECONDS_PER_CALL / max(seconds, 1e-6))))
        if diverged is None:
            keeper.sees(state, losses_of, watch, True)
        state, best = watch.chosen(state)
        return state, History(
            np.concatenate(losses_of or [np.empty(0)]),
            interrupted=done != steps.total and not ended,
            diverged=diverged,
            first=first,
            validation=np.asarray(watch.losses),
            validated=np.asarray(watch.steps, int),
            best=best,
            stopped=first + done if ended and diverged is None and done != steps.total else None,
        )


class _Call(NamedTuple):
    """One call of `take`: the state before it, and the number of steps that it took."""

    before: Any
    count: int


def _step_back(steps: Steps, calls: Sequence[_Call], good: int) -> tuple[int, Any]:
    """Returns the step whose loss is not finite, with a warning, and the last state before it.

    Args:
        steps: took the steps.
        calls: the last call, and the one before if there was one.
        good: the number of finite losses of the last call.

    Raises:
        ValueError: The first loss of all is not finite, for which no update is to blame.
    """
    if not good and len(calls) < 2:
        raise ValueError(
            "the loss is NaN or infinite before the first update: the model's outputs are outside "
            "of what the loss is defined for (BinaryCrossEntropy(from_logits=False) takes "
            "probabilities), or they overflow."
        )
    step = int(calls[-1].before.step) + good
    warnings.warn(
        f"training diverged: at step {step} the loss is NaN or infinite. The state before is "
        "returned, or the best one with early stopping; use a lower learning rate.",
        RuntimeWarning,
        stacklevel=4,
    )
    call = calls[-1] if good else calls[0]
    return step, steps.again(call.before, (good or call.count) - 1)
