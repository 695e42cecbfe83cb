"""Multi-layer perceptrons of scikit-learn, to and from jaxpercep, bit for bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxpercep._checks import shown
from jaxpercep._extras import needed_by
from jaxpercep._networks import ACTIVATIONS, NAMES, exponential, layered
from jaxpercep.activations import identity, sigmoid
from jaxpercep.compose import Serial, mlp
from jaxpercep.dense import Dense
from jaxpercep.interop.transfer import check_parameter, check_structure
from jaxpercep.layer import Layer, Params, check_layer

OUTPUTS: dict[str, Layer] = {
    "exp": exponential,
    "identity": identity,
    "logistic": sigmoid,
    "softmax": identity,
}


def from_sklearn(estimator: Any) -> tuple[Serial, Params]:
    """Returns the model of a fitted multi-layer perceptron, and its parameters, the very arrays.

    The model's outputs are what `predict` of a regressor returns, or the probabilities of the
    second of two classes, or of each label of a multi-label classifier. For three classes or more
    they are logits, of which `jax.nn.softmax` makes the probabilities.

    scikit-learn's arrays are of float64, unless it was fitted to float32. JAX computes with them
    under `jax.enable_x64(True)`, or after `jax.tree.map(np.float32, params)`.

    Args:
        estimator: a fitted `MLPClassifier` or `MLPRegressor`, of scikit-learn or of
            `jaxpercep.estimators`.

    Raises:
        TypeError: It is something else, or is not fitted.
        ValueError: It has an activation that has no counterpart here.
    """
    needed = ("coefs_", "intercepts_", "activation", "out_activation_")
    if missing := [name for name in needed if not hasattr(estimator, name)]:
        raise TypeError(
            f"estimator={shown(estimator)} has no {missing[0]}; expected a fitted MLPClassifier or "
            "MLPRegressor."
        )
    for name, known in (("activation", ACTIVATIONS), ("out_activation_", OUTPUTS)):
        if getattr(estimator, name) not in known:
            came = getattr(estimator, name)
            raise ValueError(f"estimator.{name}={came!r} is not one of {', '.join(sorted(known))}.")
    coefs, intercepts = estimator.coefs_, estimator.intercepts_
    output = OUTPUTS[estimator.out_activation_]
    sizes = [*map(len, coefs), len(intercepts[-1])]
    model = mlp(sizes, ACTIVATIONS[estimator.activation], output)
    return model, layered(coefs, intercepts) + (() if output == identity else ((),))


def to_sklearn(model: Layer, params: Params, *, classes: Any = None) -> Any:
    """Returns a fitted `MLPClassifier` or `MLPRegressor` of scikit-learn with these parameters.

    It is a classifier if the model ends in `sigmoid` or `classes` are given, else a regressor. A
    model that ends in `sigmoid` has two classes if it has one output, and else a label for each.
    Without `sigmoid` its outputs are logits: of the second of two classes, or of every class.
    `partial_fit`, and `fit` with `warm_start=True`, train on from these parameters.

    Args:
        model: an `mlp`: `Dense` layers with one and the same of `identity`, `relu`, `sigmoid` and
            `tanh` between.
        params: its parameters, of float32 or float64. They are copied, bit for bit.
        classes: the labels of the classes, in the order of the outputs; 0 and 1 if None.

    Raises:
        TypeError: `model` is not a layer, or `params` are not of float32 or float64.
        ValueError: scikit-learn has no such network, `params` are not the model's, or there are
            more or fewer classes than outputs.
    """
    check_layer("model", model)
    _check_params(model, params)
    network = _Network.of(model, params)
    with needed_by("to_sklearn"):
        import sklearn.neural_network  # noqa: F401
    classifies = network.output == sigmoid or classes is not None
    estimator = _classifier(network, classes) if classifies else _regressor(network)
    estimator.coefs_ = [np.array(w) for w, _ in network.arrays]
    estimator.intercepts_ = [np.array(b) for _, b in network.arrays]
    return _forgetful(estimator)


@dataclass(frozen=True)
class _Network:
    """A model taken apart.

    Attributes:
        arrays: the weights and biases of every dense layer.
        activation: scikit-learn's name of what is between them.
        output: the activation after the last one.
    """

    arrays: list[tuple[Any, Any]]
    activation: str
    output: Layer

    @classmethod
    def of(cls, model: Layer, params: Params) -> "_Network":
        flat = list(_flattened(model, params))
        denses, between = flat[0::2], [layer for layer, _ in flat[1::2]]
        output = between.pop() if len(between) == len(denses) else identity
        alike = len(set(between)) <= 1 and all(layer in NAMES for layer in between)
        plain = all(_is_plain(layer) for layer, _ in denses)
        if not (alike and plain and output in OUTPUTS.values()):
            raise ValueError(
                f"model={model!r} has no counterpart in scikit-learn: expected Dense layers with "
                "biases and no dtype, one and the same of identity, relu, sigmoid and tanh between "
                "them, and nothing or sigmoid after the last."
            )
        activation = NAMES[between[0]] if between else "relu"
        return cls([(p.w, p.b) for _, p in denses], activation, output)

    @property
    def outputs(self) -> int:
        """The number of outputs."""
        return len(self.arrays[-1][1])

    def options(self) -> dict[str, Any]:
        """Returns the parameters of the estimator."""
        hidden = tuple(len(b) for _, b in self.arrays[:-1])
        return {"hidden_layer_sizes": hidden, "activation": self.activation}

    def samples(self, count: int) -> Any:
        """Returns samples of zeros in the type of the parameters."""
        w = self.arrays[0][0]
        return np.zeros((count, len(w)), w.dtype)


def _flattened(layer: Layer, params: Params) -> Iterator[tuple[Layer, Any]]:
    if isinstance(layer, Serial):
        for part, own in zip(layer.layers, params, strict=True):
            yield from _flattened(part, own)
    else:
        yield layer, params


def _is_plain(layer: Layer) -> bool:
    return isinstance(layer, Dense) and layer.use_bias and layer.dtype is None


def _check_params(model: Layer, params: Params) -> None:
    expected = jax.eval_shape(model.init, jax.random.key(0))
    check_structure(params, expected)
    named = jax.tree.leaves_with_path(params)
    for (path, leaf), like in zip(named, jax.tree.leaves(expected), strict=True):
        check_parameter(name := f"params{jax.tree_util.keystr(path)}", leaf)
        if leaf.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name} is {leaf.dtype}; convert it to float32, or to float64.")
        if leaf.shape != like.shape:
            came, due = list(leaf.shape), list(like.shape)
            raise ValueError(f"{name} has shape {came}, expected {due}: pass those of this model.")


def _classifier(network: _Network, classes: Any) -> Any:
    """Returns a classifier of these classes, fitted to samples of zeros by one step."""
    from sklearn.neural_network import MLPClassifier

    estimator = MLPClassifier(**network.options(), random_state=0)
    several = network.output == sigmoid and network.outputs > 1
    names = np.arange(network.outputs if several else 2) if classes is None else np.asarray(classes)
    _check_classes(names, network, shown(classes), several)
    # Of a multi-label network a sample for each label, which has that one.
    labels = np.eye(len(names), dtype=int) if several else names
    return estimator.partial_fit(network.samples(len(names)), labels, classes=names)


def _check_classes(names: Any, network: _Network, came: str, several: bool) -> None:
    count = max(2, network.outputs)
    if network.output == exponential or names.shape != (count,):
        raise ValueError(
            f"classes={came}: a model with {network.outputs} outputs, and {network.output!r} after "
            f"them, does not tell them apart; expected {count} classes, and no exponential."
        )
    if several and names.tolist() != list(range(count)):
        raise ValueError(f"classes={came}: those of a multi-label model are 0, 1, ...")
    if len(np.unique(names)) < count or np.any(np.sort(names) != names):
        raise ValueError(f"classes={came} must be different and sorted.")


def _regressor(network: _Network) -> Any:
    """Returns a regressor, fitted to samples of zeros by one step."""
    from sklearn.neural_network import MLPRegressor

    options = network.options()
    if network.output == exponential:
        if "loss" not in MLPRegressor().get_params():
            raise ValueError("model ends in an exponential; scikit-learn 1.7 and newer have that.")
        options["loss"] = "poisson"
    targets = np.zeros((2, network.outputs) if network.outputs > 1 else 2)
    return MLPRegressor(**options, random_state=0).partial_fit(network.samples(2), targets)


def _forgetful(estimator: Any) -> Any:
    """Returns the estimator without a trace of the step that it was fitted by."""
    vars(estimator).pop("_optimizer", None)  # whose moments are of that step
    estimator.loss_curve_ = list[float]()
    estimator.best_loss_ = np.inf
    estimator.n_iter_ = estimator.t_ = estimator._no_improvement_count = 0
    return estimator.set_params(random_state=None)
