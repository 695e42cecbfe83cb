"""Training by Adam or by gradient descent with momentum, until it does not improve any more."""

import itertools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from jaxpercep._networks import layered, unlayered
from jaxpercep.estimators.program import Numbers, Rule, Training, first_state, run_epochs
from jaxpercep.estimators.samples import Data, rounded
from jaxpercep.update import TrainState

if TYPE_CHECKING:
    from jaxpercep.estimators.base import BaseMLP

EPOCHS_PER_CALL, VISITS_PER_CALL = 50, 65536  # at most, of one call of the program
LEAST_RATE = 1e-6  # at which `learning_rate="adaptive"` gives up


def descend(mlp: "BaseMLP", data: Data, random: np.random.RandomState, *, once: bool) -> None:
    """Trains the estimator's network: sets `coefs_`, `intercepts_` and the record of the losses.

    Args:
        mlp: the estimator.
        data: the samples.
        random: for the validation set and the order of the samples.
        once: train for one epoch, from where the optimizer was left, as `partial_fit` does.

    Raises:
        ValueError: The loss is not finite, or there are too few samples to hold some out.
    """
    data, held_out = _split(mlp, data, random, once)
    descent = Descent(mlp, data, random, once=once, alone=once or held_out is not None)
    limit = 1 if once else mlp.max_iter
    mlp.n_iter_, converged = 0, False
    best = mlp.coefs_, mlp.intercepts_
    try:
        while mlp.n_iter_ < limit and not converged:
            descent.advance(limit - mlp.n_iter_)
            if held_out is not None and _judged(mlp, held_out):
                best = mlp.coefs_, mlp.intercepts_
            converged = mlp._idle > mlp.n_iter_no_change and not descent.slowed()
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    if held_out is not None:
        mlp.coefs_, mlp.intercepts_ = best
    descent.keep()
    if mlp.n_iter_ == mlp.max_iter and not (once or converged):
        message = f"max_iter={mlp.max_iter} epochs did not suffice to converge (tol={mlp.tol})."
        warnings.warn(message, ConvergenceWarning, stacklevel=4)


class Descent:
    """The training of one call of `fit`: the compiled program, its samples, where it stands."""

    def __init__(
        self,
        mlp: "BaseMLP",
        data: Data,
        random: np.random.RandomState,
        *,
        once: bool,
        alone: bool,
    ) -> None:
        self.mlp = mlp
        self.samples = n = len(data.x)
        size = _batch_size(mlp.batch_size, n)
        batch, self.batches = (rounded(n), 1) if size == n else (size, -(-n // size))
        self.rows = batch * rounded(self.batches)
        self.table = data.table(self.rows)
        self.epochs = 1 if alone else min(EPOCHS_PER_CALL, max(1, VISITS_PER_CALL // self.rows))
        self.rule, self.numbers = _rule(mlp, batch), _numbers(mlp, data.x.dtype)
        self.orders = _orders(n, self.rows, random if mlp.shuffle else None)
        self.pending: list[NDArray[np.int32]] = []
        self.training = _resumed(mlp, self.rule, self.numbers, once)

    def advance(self, limit: int) -> None:
        """Trains for a call of the program, of up to `limit` epochs, and records the losses."""
        count = min(self.epochs, limit)
        self.pending += itertools.islice(self.orders, max(0, count - len(self.pending)))
        orders = np.zeros((self.epochs, self.rows), np.int32)
        orders[:count] = self.pending[:count]
        counts = np.int32(self.batches), np.int32(count)
        done, self.training, losses = run_epochs(
            self.rule, self.numbers, self.training, self.table, orders, *counts
        )
        del self.pending[: int(done)]
        self._record([float(loss) for loss in np.asarray(losses)[: int(done)]])

    def slowed(self) -> bool:
        """Lowers an adaptive learning rate, and tells whether it did."""
        mlp, rate = self.mlp, np.asarray(self.training.rate)
        if mlp.solver != "sgd" or mlp.learning_rate != "adaptive" or rate <= LEAST_RATE:
            return False
        mlp._idle = 0
        self.training = self.training._replace(rate=rate / 5, idle=np.zeros_like(rate))
        if mlp.verbose:
            print(f"Setting the learning rate to {rate / 5:g}.")
        return True

    def keep(self) -> None:
        """Keeps the optimizer's state in the estimator, as arrays, for `partial_fit`."""
        state = jax.tree.map(np.asarray, self.training.state._replace(params=()))
        self.mlp._resumable = self.mlp.solver, state, np.asarray(self.training.rate)

    def _record(self, losses: list[float]) -> None:
        mlp = self.mlp
        mlp.coefs_, mlp.intercepts_ = unlayered(self.training.state.params)
        mlp.loss_curve_ += losses
        mlp.loss_ = losses[-1]
        mlp.t_ += len(losses) * self.samples
        for i, loss in enumerate(losses if mlp.verbose else (), mlp.n_iter_ + 1):
            print(f"Iteration {i}, loss = {loss:.8f}")
        mlp.n_iter_ += len(losses)
        if not np.isfinite(losses).all():
            raise ValueError(
                f"training diverged: the loss of epoch {mlp.n_iter_} is {losses[-1]}; scale X "
                "(StandardScaler), or lower learning_rate_init."
            )
        if not mlp.early_stopping:
            mlp.best_loss_, mlp._idle = float(self.training.best), int(self.training.idle)


def _split(
    mlp: "BaseMLP", data: Data, random: np.random.RandomState, once: bool
) -> tuple[Data, Data | None]:
    """Returns the samples to train with, and those held out if there is early stopping."""
    if not mlp.early_stopping:
        return data, None
    if once:
        raise ValueError("partial_fit cannot hold samples out; set early_stopping=False.")
    samples, fraction = len(data.x), mlp.validation_fraction
    if (count := int(np.ceil(fraction * samples))) < 2:
        raise ValueError(
            f"validation_fraction={fraction} holds out {count} of {samples} samples, expected 2 or "
            "more; raise it, or add samples."
        )
    labels = mlp.out_activation_ == "logistic" and mlp.n_outputs_ == 1
    train, test = train_test_split(
        np.arange(samples),
        random_state=random,
        test_size=fraction,
        stratify=data.target[:, 0] if labels else None,
    )
    return data.taken(train), data.taken(test)


def _judged(mlp: "BaseMLP", held_out: Data) -> bool:
    """Records the score of the validation set, and tells whether it is the best so far."""
    score = mlp._validation_score(held_out)
    if mlp.validation_scores_ is None:  # a warm start from a fit without early stopping
        mlp.validation_scores_ = list[float]()
        mlp.best_validation_score_ = -np.inf
    mlp.validation_scores_.append(score)
    if mlp.verbose:
        print(f"Validation score: {score:f}")
    mlp._idle = mlp._idle + 1 if score < mlp.best_validation_score_ + mlp.tol else 0
    better = score > mlp.best_validation_score_
    if better:
        mlp.best_validation_score_ = score
    return better


def _rule(mlp: "BaseMLP", batch: int) -> Rule:
    sgd = mlp.solver == "sgd"
    return Rule(
        mlp._network()[0],
        *mlp._loss(),
        mlp.solver,
        nesterov=sgd and mlp.nesterovs_momentum,
        decaying=sgd and mlp.learning_rate == "invscaling",
        batch=batch,
    )


def _numbers(mlp: "BaseMLP", dtype: Any) -> Numbers:
    """Returns the numbers; the program itself never stops where samples are held out."""
    names = [name for name in Numbers._fields if name != "patience"]
    patience = np.inf if mlp.early_stopping else mlp.n_iter_no_change
    values = [*(getattr(mlp, name) for name in names), patience]
    return Numbers(*(np.asarray(value, dtype) for value in values))


def _resumed(mlp: "BaseMLP", rule: Rule, numbers: Numbers, once: bool) -> Training:
    """Returns where to start: with a new optimizer or, `once`, with the one left before."""
    params = layered(mlp.coefs_, mlp.intercepts_)
    dtype = numbers.tol.dtype
    if once and mlp._resumable is not None and mlp._resumable[0] == mlp.solver:
        _, state, rate = mlp._resumable
        state = TrainState(state.step, params, state.opt_state)
    else:
        state = first_state(rule._replace(batch=0), numbers, params)  # one program for all sizes
        rate = numbers.learning_rate_init
    best = np.inf if mlp.best_loss_ is None else mlp.best_loss_
    others = [np.asarray(value, dtype) for value in (rate, mlp.t_, best, mlp._idle)]
    # On the device as what the program returns is, for which it would be looked up once more.
    return jax.device_put(Training(state, *others))


def _batch_size(batch_size: int | str, samples: int) -> int:
    if isinstance(batch_size, str):
        return min(200, samples)
    if batch_size > samples:
        message = f"batch_size={batch_size} is more than the {samples} samples: all are one batch."
        warnings.warn(message, stacklevel=6)
    return min(batch_size, samples)


def _orders(
    samples: int, rows: int, random: np.random.RandomState | None
) -> Iterator[NDArray[np.int32]]:
    """Yields the order of each epoch; with `random` the samples of the last one, shuffled."""
    order = np.arange(rows, dtype=np.int32)
    while True:
        if random is not None:
            places = np.arange(samples)
            random.shuffle(places)
            order = np.concatenate([order[:samples][places], order[samples:]])
        yield order
