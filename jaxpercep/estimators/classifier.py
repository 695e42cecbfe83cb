"""A multi-layer perceptron that classifies."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from jaxpercep.estimators.base import BaseMLP, has_steps, set_parameters
from jaxpercep.estimators.checks import check_classes, class_weights
from jaxpercep.estimators.samples import dense


class MLPClassifier(ClassifierMixin, BaseMLP):
    """A multi-layer perceptron that minimizes the cross entropy, and the squares of its weights.

    In each batch, with the weights w_n of its samples and all weight matrices W of the network,

        L = sum_n w_n l(logits_n, y_n) / sum_n w_n + alpha / 2 sum |W|^2 / sum_n w_n

    where l is the cross entropy of the softmax for 3 classes or more, and of the sigmoid for 2
    classes or, summed over the labels, for multi-label targets `[samples, labels]` of 0 and 1.

    Parameters have the names, defaults and meaning of scikit-learn's `MLPClassifier`, and the same
    `random_state` leads to the same network, to rounding. What differs:

    - `class_weight` is new: None, `"balanced"`, or a dict of class and weight.
    - Samples of weight 0 count as absent: in batches and in the validation set of `early_stopping`
      too. The loss of an epoch weights its batches by the weights of their samples.
    - It computes in the type of the first X, float32 or float64, and keeps it.
    - Sparse X is made dense: at once in `fit`, 4,096 rows at a time in `predict`.

    Args:
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
        early_stopping: hold samples out, stop when their accuracy does not improve, and return to
            the weights with the best one.
        validation_fraction: the share that is held out.
        beta_1: the decay of `"adam"`'s first moment.
        beta_2: the decay of its second moment.
        epsilon: added to the root of the second moment.
        n_iter_no_change: stop after more than so many epochs in a row without an improvement.
        max_fun: the most evaluations of the loss by `"lbfgs"`.
        class_weight: factors of the samples' weights, by their class.

    Attributes:
        classes_: the labels, sorted.
        coefs_: the weights of each layer, `[inputs, outputs]`.
        intercepts_: the biases of each layer.
        loss_: the loss of the last epoch.
        loss_curve_: the loss of every epoch.
        best_loss_: the least of them, or None with `early_stopping`.
        validation_scores_: the accuracy after every epoch, with `early_stopping`, else None.
        best_validation_score_: the best of them, or None.
        n_iter_: the number of epochs of the last call.
        t_: the number of samples seen, over all epochs.
        n_features_in_: the number of features.
        feature_names_in_: their names, if X had names that are strings.
        n_layers_, n_outputs_: the numbers of layers, the input included, and of outputs.
        out_activation_: `"softmax"` or `"logistic"`.
    """

    class_weight: Any
    _numeric_targets = False
    _metric = staticmethod(accuracy_score)

    def __init__(
        self,
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
        class_weight: Any = None,
    ) -> None:
        set_parameters(self, locals())

    @available_if(has_steps)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> "MLPClassifier":
        """Trains for one epoch over these samples, from where the last call ended.

        Args:
            X: `[samples, features]`.
            y: labels, `[samples]` or `[samples, labels]`.
            sample_weight: as in `fit`.
            classes: all labels there are, needed in the first call.

        Raises:
            ValueError: `classes` is missing, or another than before; or as in `fit`.
        """
        if not hasattr(self, "classes_"):
            check_classes(classes, None)
            self._binarize(y if type_of_target(y).startswith("multilabel") else classes)
        check_classes(classes, self.classes_)
        return self._fit(X, y, sample_weight, once=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Returns the most probable label of each sample, or all labels of a probability > 0.5."""
        return self._decoded(self._outputs(X))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Returns probabilities `[samples, classes]`, in the order of `classes_`."""
        found = self._outputs(X)
        return np.hstack([1 - found, found]) if self.n_outputs_ == 1 else found

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Returns the logarithms of `predict_proba`."""
        return np.log(self.predict_proba(X))

    def _targets(self, y: Any, *, first: bool, once: bool) -> tuple[NDArray[Any], Any]:
        check_classification_targets(y)
        if first and not once:
            self._binarize(y)
        labels = set(unique_labels(y).tolist())
        known = set(self.classes_.tolist())
        if not labels <= known or (labels != known and not once):
            raise ValueError(
                f"y has the classes {sorted(labels)}, and the network was fitted to {sorted(known)}"
                "; fit to all of them, with warm_start=False."
            )
        factor = class_weights(self.class_weight, y, once=once)
        return dense(self._label_binarizer.transform(y)), factor

    def _binarize(self, y: Any) -> None:
        self._label_binarizer = LabelBinarizer().fit(y)
        self.classes_ = self._label_binarizer.classes_

    def _out_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _decoded(self, outputs: NDArray[Any]) -> NDArray[Any]:
        flat = outputs.ravel() if self.n_outputs_ == 1 else outputs
        return self._label_binarizer.inverse_transform(flat)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
