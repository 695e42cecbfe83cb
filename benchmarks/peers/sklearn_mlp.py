"""scikit-learn: MLPClassifier and MLPRegressor, one `partial_fit` for each batch."""

from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.peers import Trainer
from benchmarks.results import Setting
from benchmarks.workloads import Floats, Parameters, Workload

EPSILON = 1e-8 * 0.001**0.5
"""Adam's epsilon; scikit-learn adds it before it corrects v for its bias, others add 1e-8 after."""

ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}


def build(workload: Workload, setting: Setting, initial: Parameters) -> "SklearnTrainer":
    """Builds the trainer.

    Raises:
        ValueError: The loss is softmax over two classes, for which scikit-learn has one logit.
    """
    if workload.loss == "softmax" and setting.sizes[-1] == 2:
        raise ValueError("scikit-learn has one logit for two classes, not two: it cannot do this.")
    return SklearnTrainer(workload, setting, initial)


class SklearnTrainer(Trainer):
    """Plain gradient descent or Adam, without penalty, momentum or shuffling."""

    def __init__(self, workload: Workload, setting: Setting, initial: Parameters) -> None:
        self._outputs = setting.sizes[-1]
        self._squared = workload.loss == "squared"
        estimator: Any = MLPRegressor if self._squared else MLPClassifier
        self._model: Any = estimator(
            hidden_layer_sizes=setting.sizes[1:-1],
            activation=ACTIVATIONS[workload.activation],
            solver=workload.optimizer,
            learning_rate_init=workload.learning_rate,
            batch_size=setting.batch,
            alpha=0,
            epsilon=EPSILON,
            momentum=0,
            nesterovs_momentum=False,
            shuffle=False,
        )
        self._start(setting, initial)

    def _start(self, setting: Setting, initial: Parameters) -> None:
        """Makes the model allocate its arrays, and then forget what it learned.

        It makes its arrays in the first `partial_fit`, and takes weights in no other way.
        """
        x = np.zeros((setting.batch, setting.sizes[0]), np.float32)
        if self._squared:
            y = np.zeros((setting.batch, self._outputs), np.float32)
            self._model.partial_fit(x, self._targets(y))
        else:
            classes = np.arange(max(self._outputs, 2))
            self._model.partial_fit(x, np.zeros(setting.batch, int), classes=classes)
        del self._model._optimizer  # the next call makes one, whose moments start at zero
        arrays = zip(self._model.coefs_, self._model.intercepts_, initial, strict=True)
        for coef, intercept, (w, b) in arrays:
            coef[...], intercept[...] = w, b

    def place(self, x: Floats, y: np.ndarray) -> Any:
        """Returns a pair of arrays for each step."""
        return [(a, self._targets(b)) for a, b in zip(x, y, strict=True)]

    def _targets(self, y: np.ndarray) -> np.ndarray:
        """Returns a vector for one output, and integer labels for a classifier."""
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        return y if self._squared else y.astype(int)

    def run(self, batches: Any, passes: int) -> list[float]:
        """Takes the steps, without checking the options and the data again each time."""
        losses: list[float] = []
        with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
            for _ in range(passes):
                losses = [self._model.partial_fit(x, y).loss_ for x, y in batches]
        return losses

    def losses(self, result: list[float]) -> np.ndarray:
        """Converts them to an array; scikit-learn reports the mean over outputs, not the sum."""
        return np.array(result) * (self._outputs if self._squared else 1)

    def parameters(self) -> Parameters:
        """Returns copies of them."""
        pairs = zip(self._model.coefs_, self._model.intercepts_, strict=True)
        return [(w.copy(), b.copy()) for w, b in pairs]
