"""What the estimators of multi-layer perceptrons share: parameters, data, and how they are fitted.

Random numbers are drawn from `random_state` as scikit-learn draws them, so that the same seed gives
the same first weights, the same batches and, to rounding, the same network.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted

from jaxpercep._networks import ACTIVATIONS, layered
from jaxpercep.compose import Serial, mlp
from jaxpercep.estimators.checks import check_parameters, checked_weights, hidden_sizes
from jaxpercep.estimators.descent import descend
from jaxpercep.estimators.lbfgs import minimize
from jaxpercep.estimators.losses import Poisson
from jaxpercep.estimators.program import outputs
from jaxpercep.estimators.samples import Data, dense, precision, validated
from jaxpercep.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy, SquaredError

LINKS: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "identity": lambda logits: logits,
    "logistic": expit,
    "softmax": partial(softmax, axis=1),
}
LOSSES: dict[str, Loss] = {
    "exp": Poisson(),
    "identity": SquaredError(0.5),
    "logistic": BinaryCrossEntropy(),
    "softmax": SoftmaxCrossEntropy(),
}
SUMMED = ("exp", "logistic")  # over the outputs; the squared error is their mean


class BaseMLP(BaseEstimator, ABC):
    """A multi-layer perceptron as an estimator: see `MLPClassifier` and `MLPRegressor`."""

    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    batch_size: int | str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: Any
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    loss_: float

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fits the network to samples.

        Args:
            X: `[samples, features]`, dense or sparse. A sparse matrix is made dense.
            y: targets, `[samples]` or `[samples, outputs]`.
            sample_weight: `[samples]`, 0 or more: a sample of weight 2 counts as two in its batch,
                one of weight 0 is absent. None gives every sample the weight 1.

        Raises:
            ValueError: A parameter or the data have no meaning, or training diverged.
            TypeError: A parameter is of the wrong kind.
        """
        return self._fit(X, y, sample_weight)

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, once: bool = False) -> Self:
        check_parameters(self.get_params())
        first = not hasattr(self, "coefs_") or not (once or self.warm_start)
        data = self._data(X, y, sample_weight, first=first, once=once)
        random = check_random_state(self.random_state)
        sizes = [data.x.shape[1], *hidden_sizes(self.hidden_layer_sizes), data.target.shape[1]]
        if first:
            self._start(sizes, random, data.x.dtype)
        self._check_sizes(sizes)
        with precision(data.x.dtype):
            if self.solver == "lbfgs":
                minimize(self, data)
            else:
                descend(self, data, random, once=once)
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "training led to weights that are not finite; scale X (StandardScaler), or lower "
                "learning_rate_init."
            )
        return self

    def _data(self, X: Any, y: Any, sample_weight: Any, *, first: bool, once: bool) -> Data:
        """Returns the samples of a weight above 0, in one floating type."""
        X, y = validated(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=self._numeric_targets,
            dtype=(np.float64, np.float32),
            reset=first,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        dtype = X.dtype if first else self.coefs_[0].dtype
        target, factor = self._targets(y, first=first, once=once)
        weight = checked_weights(sample_weight, factor, X.shape[0], dtype)
        everything = Data(dense(X).astype(dtype, copy=False), target.astype(dtype), weight)
        return everything if weight.all() else everything.taken(weight > 0)

    def _start(self, sizes: list[int], random: np.random.RandomState, dtype: Any) -> None:
        """Draws weights and biases from Glorot's uniform distribution, and forgets the past."""
        self.coefs_: list[NDArray[Any]] = []
        self.intercepts_: list[NDArray[Any]] = []
        for n, m in pairwise(sizes):
            bound = np.sqrt((2 if self.activation == "logistic" else 6) / (n + m))
            self.coefs_.append(random.uniform(-bound, bound, (n, m)).astype(dtype))
            self.intercepts_.append(random.uniform(-bound, bound, m).astype(dtype))
        self.n_layers_, self.n_outputs_ = len(sizes), sizes[-1]
        self.out_activation_ = self._out_activation()
        self.n_iter_ = self.t_ = self._idle = 0
        self.loss_curve_: list[float] = []
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_: Any = list[float]() if self.early_stopping else None
        self.best_validation_score_: Any = -np.inf if self.early_stopping else None
        self._resumable: Any = None

    def _check_sizes(self, sizes: list[int]) -> None:
        now = [*map(len, self.coefs_), self.n_outputs_]
        if now != sizes:
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes} and the data ask for layers of "
                f"{sizes}, and the network fitted before has {now}; fit with warm_start=False."
            )

    def _network(self) -> tuple[Serial, Any]:
        """Returns the model, whose outputs are logits, and its parameters."""
        sizes = [*map(len, self.coefs_), len(self.intercepts_[-1])]
        return mlp(sizes, ACTIVATIONS[self.activation]), layered(self.coefs_, self.intercepts_)

    def _loss(self) -> tuple[Loss, float]:
        """Returns the loss of one sample, and a factor of it."""
        scale = float(self.n_outputs_) if self.out_activation_ in SUMMED else 1.0
        return LOSSES[self.out_activation_], scale

    def _outputs(self, X: Any) -> NDArray[Any]:
        """Returns probabilities, or what a regressor predicts, `[samples, outputs]`."""
        check_is_fitted(self)
        formats, types = ["csr", "csc"], (np.float64, np.float32)
        X = validated(self, X, accept_sparse=formats, dtype=types, reset=False)
        return self._linked(X)

    def _linked(self, x: Any) -> NDArray[Any]:
        with precision(self.coefs_[0].dtype):
            logits = outputs(*self._network(), x)
        return LINKS[self.out_activation_](logits)

    def _validation_score(self, data: Data) -> float:
        """Returns the score of held-out samples, or NaN where an output is not finite."""
        found = self._linked(data.x)
        if not np.isfinite(found).all():
            return np.nan
        truth, told = self._decoded(data.target), self._decoded(found)
        return float(self._metric(truth, told, sample_weight=data.weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    _numeric_targets: bool
    _metric: Callable[..., Any]

    @abstractmethod
    def _targets(self, y: Any, *, first: bool, once: bool) -> tuple[NDArray[Any], Any]:
        """Returns targets `[samples, outputs]`, and a factor of the samples' weights."""

    @abstractmethod
    def _out_activation(self) -> str:
        """Returns the name of the function of the logits that the outputs are."""

    @abstractmethod
    def _decoded(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Returns what `predict` does, from the outputs, or from targets."""


def has_steps(estimator: BaseMLP) -> bool:
    """Tells that there is a `partial_fit`.

    Raises:
        AttributeError: The solver, L-BFGS, takes all samples at once.
    """
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs solver='adam' or 'sgd': L-BFGS takes no steps.")
    return True


def set_parameters(estimator: BaseEstimator, given: dict[str, Any]) -> None:
    """Sets the arguments of `__init__`, its `locals()`, as attributes."""
    for name, value in given.items():
        if name != "self":
            setattr(estimator, name, value)
