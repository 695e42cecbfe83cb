"""Rosenblatt's perceptron as an estimator."""

import warnings
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from jaxpercep.estimators.base import set_parameters
from jaxpercep.estimators.checks import check_classes, check_parameters, class_weights
from jaxpercep.estimators.samples import dense, precision, validated
from jaxpercep.rosenblatt import append_bias, learn_from

_learn_all = jax.jit(jax.vmap(learn_from, (0, None, 0, None)))


class Perceptron(ClassifierMixin, BaseEstimator):
    """Rosenblatt's rule: `w += label * x` wherever `label * <w, x> <= 0`, from w = 0.

    One neuron tells two classes apart; for more, each class has one that tells it from all others,
    and the largest output wins. `fit` ends after the first epoch without a mistake. Where no
    hyperplane separates the classes there is none (`jaxpercep.certify` says whether one does): it
    ends after `max_iter` epochs, with a `ConvergenceWarning` and the weights it has then.

    scikit-learn's `Perceptron` stops once its loss does not decrease by `tol`, mistakes or not.
    This one has the parameters of the rule alone, with scikit-learn's names and defaults: no
    `penalty`, no `tol`, no `early_stopping`, no `eta0` (from w = 0 it changes no prediction). There
    is no `sample_weight`: a sample that is there twice is corrected for the second time only if the
    first time did not suffice, which is not what twice the weight does.

    Args:
        fit_intercept: learn a bias, as the weight of a feature that is always 1.
        max_iter: the most epochs.
        shuffle: visit the samples in a random order, the same in every epoch, and not as they come.
        random_state: a seed or a `RandomState`, for the order.
        class_weight: factors of a correction by the class of the sample: None, `"balanced"`, or a
            dict of class and weight, above 0.
        warm_start: let `fit` go on from the weights of the last one.

    Attributes:
        classes_: the labels, sorted.
        coef_: the weights, `[1, features]` for two classes, `[classes, features]` for more.
        intercept_: the biases, `[1]` or `[classes]`.
        n_iter_: the number of epochs of the last call, the most of any neuron.
        mistakes_: the number of corrections of each neuron in the last call.
        converged_: whether the last epoch of each neuron was without a mistake.
        n_features_in_: the number of features.
        feature_names_in_: their names, if X had names that are strings.

    Source: Rosenblatt, "The perceptron", Psychological Review 65 (1958).
    """

    fit_intercept: bool
    max_iter: int
    shuffle: bool
    random_state: Any
    class_weight: Any
    warm_start: bool

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        max_iter: int = 1000,
        shuffle: bool = True,
        random_state: Any = 0,
        class_weight: Any = None,
        warm_start: bool = False,
    ) -> None:
        set_parameters(self, locals())

    def fit(self, X: Any, y: Any) -> "Perceptron":
        """Learns from samples until an epoch is without a mistake.

        Args:
            X: `[samples, features]`, dense or sparse. A sparse matrix is made dense.
            y: labels of two classes or more, `[samples]`.

        Raises:
            ValueError: A parameter or the data have no meaning, or there is one class only.
            TypeError: A parameter is of the wrong kind.
        """
        check_parameters(self.get_params())
        first = not (self.warm_start and hasattr(self, "coef_"))
        X, y = self._data(X, y, first)
        if first:
            self._forget(np.unique(y))
        self._learn(X, y, self.max_iter, once=False)
        if not self.converged_.all():
            warnings.warn(
                f"max_iter={self.max_iter} epochs did not end the mistakes; jaxpercep.certify says "
                "whether a hyperplane separates a class from the others at all.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> "Perceptron":
        """Visits the samples once, from where the last call ended.

        Args:
            X: `[samples, features]`.
            y: labels, `[samples]`.
            classes: all labels there are, needed in the first call.

        Raises:
            ValueError: `classes` is missing, or another than before; or as in `fit`.
        """
        check_parameters(self.get_params())
        first = not hasattr(self, "coef_")
        check_classes(classes, None if first else self.classes_)
        X, y = self._data(X, y, first)
        if first:
            self._forget(np.unique(classes))
        self._learn(X, y, 1, once=True)
        return self

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Returns `[samples]`, above 0 for the second class of two, or `[samples, classes]`."""
        check_is_fitted(self)
        X = validated(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        found = X @ self.coef_.T + self.intercept_
        return found.ravel() if len(self.coef_) == 1 else found

    def predict(self, X: Any) -> NDArray[Any]:
        """Returns the label of each sample."""
        found = self.decision_function(X)
        return self.classes_[(found > 0).astype(int) if found.ndim == 1 else found.argmax(axis=1)]

    def _data(self, X: Any, y: Any, first: bool) -> tuple[NDArray[Any], NDArray[Any]]:
        X, y = validated(self, X, y, accept_sparse="csr", dtype=np.float64, reset=first)
        check_classification_targets(y)
        return dense(X), y

    def _forget(self, classes: NDArray[Any]) -> None:
        if len(classes) < 2:
            only = classes.tolist()[0]
            raise ValueError(f"y has only one class, {only!r}; expected two or more.")
        neurons = 1 if len(classes) == 2 else len(classes)
        self.classes_ = classes
        self.coef_ = np.zeros((neurons, self.n_features_in_))
        self.intercept_ = np.zeros(neurons)

    def _learn(self, X: NDArray[Any], y: NDArray[Any], epochs: int, *, once: bool) -> None:
        if unknown := set(y.tolist()) - set(self.classes_.tolist()):
            raise ValueError(f"y has the classes {sorted(unknown)}, not among {self.classes_}.")
        labels = self._labels(y) * class_weights(self.class_weight, y, once=once)
        if not np.all(labels):
            raise ValueError(f"class_weight={self.class_weight}: the weights must be above 0.")
        order = np.arange(len(X))
        if self.shuffle:
            check_random_state(self.random_state).shuffle(order)
        points = append_bias(X) if self.fit_intercept else X
        weights = np.column_stack([self.coef_, self.intercept_])[:, : points.shape[1]]
        with precision(np.float64):
            found = _learn_all(weights, points[order], labels[:, order], epochs)
        learned = np.array(found.weights)
        self.coef_ = learned[:, : X.shape[1]]
        if self.fit_intercept:
            self.intercept_ = learned[:, -1]
        self.mistakes_, self.converged_ = np.array(found.mistakes), np.array(found.converged)
        self.n_iter_ = int(np.array(found.epochs).max())

    def _labels(self, y: NDArray[Any]) -> NDArray[Any]:
        """Returns +1 for each neuron's class and -1 for the others, `[neurons, samples]`."""
        own = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        return np.where(y == own[:, None], 1.0, -1.0)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
