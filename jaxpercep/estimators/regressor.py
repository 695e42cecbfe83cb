"""A multi-layer perceptron that predicts numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from jaxpercep.estimators.base import BaseMLP, has_steps, set_parameters


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron that minimizes the squared error, and the squares of its weights.

    In each batch, with the weights w_n of its samples and all weight matrices W of the network,

        L = sum_n w_n l(p_n, y_n) / sum_n w_n + alpha / 2 sum |W|^2 / sum_n w_n

    where l is half the squared error, its mean over the outputs, or for `loss="poisson"` half the
    Poisson deviance of e^p, its sum over the outputs.

    Parameters have the names, defaults and meaning of scikit-learn's `MLPRegressor`, and for one
    output the same `random_state` leads to the same network, to rounding. What differs:

    - For several outputs scikit-learn follows a gradient of the squared error that is `n_outputs`
      times that of its loss (its issue 8349). Here it is the gradient of the loss.
    - `loss="poisson"` is there with scikit-learn 1.6 too, whose own estimator lacks it.
    - Samples of weight 0 count as absent: in batches and in the validation set of `early_stopping`
      too. The loss of an epoch weights its batches by the weights of their samples.
    - It computes in the type of the first X, float32 or float64, and keeps it.
    - Sparse X is made dense: at once in `fit`, 4,096 rows at a time in `predict`.

    Args:
        loss: `"squared_error"`, or `"poisson"` for targets that are 0 or more.
        hidden_layer_sizes: the numbers of hidden neurons, layer by layer.
        activation: of the hidden layers: `"identity"`, `"logistic"`, `"tanh"` or `"relu"`.
        solver: `"adam"`, `"sgd"`, or `"lbfgs"`, which takes all samples at once.
        alpha: the strength of the penalty on the weights.
        batch_size: samples a step; `"auto"` is 200, or all if there are fewer.
        learning_rate: of `"sgd"`: `"constant"`; `"invscaling"`, divided by the number of samples
            seen, to the power of `power_t`; or `"adaptive"`, divided by 5 instead of stopping.
        learning_rate_init: the first learning rate.
        power_t: the power of `"invscaling"`.
        max_iter: the most epochs, or iterations of `"lbfgs"`.
        shuffle: visit the samples in another order in each epoch.
        random_state: a seed or a `RandomState`, for weights, order and validation set.
        tol: what counts as an improvement of the loss, or of the validation score.
        verbose: print the loss of every epoch.
        warm_start: let `fit` go on from the weights of the last one.
        momentum: of `"sgd"`.
        nesterovs_momentum: use Nesterov's momentum.
        early_stopping: hold samples out, stop when their R^2 does not improve, and return to the
            weights with the best one.
        validation_fraction: the share that is held out.
        beta_1: the decay of `"adam"`'s first moment.
        beta_2: the decay of its second moment.
        epsilon: added to the root of the second moment.
        n_iter_no_change: stop after more than so many epochs in a row without an improvement.
        max_fun: the most evaluations of the loss by `"lbfgs"`.

    Attributes:
        coefs_: the weights of each layer, `[inputs, outputs]`.
        intercepts_: the biases of each layer.
        loss_: the loss of the last epoch.
        loss_curve_: the loss of every epoch.
        best_loss_: the least of them, or None with `early_stopping`.
        validation_scores_: R^2 after every epoch, with `early_stopping`, else None.
        best_validation_score_: the best of them, or None.
        n_iter_: the number of epochs of the last call.
        t_: the number of samples seen, over all epochs.
        n_features_in_: the number of features.
        feature_names_in_: their names, if X had names that are strings.
        n_layers_, n_outputs_: the numbers of layers, the input included, and of outputs.
        out_activation_: `"identity"`, or `"exp"` for Poisson's loss.
    """

    loss: str
    _numeric_targets = True
    _metric = staticmethod(r2_score)

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
    ) -> None:
        set_parameters(self, locals())

    @available_if(has_steps)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> "MLPRegressor":
        """Trains for one epoch over these samples, from where the last call ended.

        Args:
            X: `[samples, features]`.
            y: targets, `[samples]` or `[samples, outputs]`.
            sample_weight: as in `fit`.

        Raises:
            ValueError: As in `fit`.
        """
        return self._fit(X, y, sample_weight, once=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Returns predictions, `[samples]` or `[samples, outputs]`."""
        return self._decoded(self._outputs(X))

    def _targets(self, y: Any, *, first: bool, once: bool) -> tuple[NDArray[Any], Any]:
        del first, once
        if self.loss == "poisson" and np.any(y < 0):
            raise ValueError(f"y holds {np.min(y):g}; loss='poisson' takes counts, 0 or more.")
        return (y[:, None] if y.ndim == 1 else y), 1

    def _out_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _decoded(self, outputs: NDArray[Any]) -> NDArray[Any]:
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
