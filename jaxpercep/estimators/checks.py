"""Checks of the estimators' parameters, which scikit-learn wants made by `fit`, and of weights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_sample_weight

from jaxpercep._checks import check_choice, check_positive_int, check_real, shown
from jaxpercep._networks import ACTIVATIONS

CHOICES = {
    "activation": ACTIVATIONS,
    "solver": ("adam", "lbfgs", "sgd"),
    "learning_rate": ("adaptive", "constant", "invscaling"),
    "loss": ("poisson", "squared_error"),
}
INTERVALS = {
    "alpha": "[0, inf)",
    "beta_1": "[0, 1)",
    "beta_2": "[0, 1)",
    "epsilon": "(0, inf)",
    "learning_rate_init": "(0, inf)",
    "momentum": "[0, 1]",
    "power_t": "[0, inf)",
    "tol": "[0, inf)",
    "validation_fraction": "[0, 1)",
}
COUNTS = ("batch_size", "max_fun", "max_iter", "n_iter_no_change")
WORDS = {"batch_size": "auto", "n_iter_no_change": np.inf}  # instead of a count
FLAGS = ("early_stopping", "fit_intercept", "nesterovs_momentum", "shuffle", "warm_start")


def check_parameters(parameters: dict[str, Any]) -> None:
    """Raises a `TypeError` or `ValueError` for the first parameter that has no meaning.

    Args:
        parameters: what an estimator's `get_params` returns; those without a rule here are checked
            by what takes them.
    """
    for name, value in parameters.items():
        if name in CHOICES:
            check_choice(name, value, CHOICES[name])
        elif name in INTERVALS:
            _check_interval(name, value, INTERVALS[name])
        elif name in COUNTS and not (isinstance(value, (str, float)) and value == WORDS.get(name)):
            check_positive_int(name, value)
        elif name in FLAGS and not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{name}={shown(value)} must be True or False.")


def hidden_sizes(value: Any) -> list[int]:
    """Returns `hidden_layer_sizes` as a list, or raises unless they are positive integers."""
    sizes = list(value) if np.iterable(value) else [value]
    return [check_positive_int(f"hidden_layer_sizes[{i}]", size) for i, size in enumerate(sizes)]


def checked_weights(given: Any, factor: Any, samples: int, dtype: Any) -> NDArray[Any]:
    """Returns the weight of every sample.

    Args:
        given: `sample_weight`, or None for weights of 1.
        factor: the weights by class.
        samples: the number of samples.
        dtype: the type of the weights.

    Raises:
        ValueError: `sample_weight` is not `[samples]`, or a weight is NaN, infinite or negative, or
            all of them are 0.
    """
    ones = np.ones(samples)
    weights = check_array(ones if given is None else given, ensure_2d=False, dtype=dtype)
    if weights.shape != (samples,):
        came = weights.shape
        raise ValueError(f"sample_weight has shape {came}, expected ({samples},): one for each.")
    weights = np.asarray(weights * factor, dtype)
    if (weights < 0).any():
        raise ValueError(f"a sample has the weight {weights.min():g}; weights are 0 or more.")
    if not weights.any():
        raise ValueError("sample_weight: all weights are zero, which leaves no sample to learn of.")
    return weights


def class_weights(class_weight: Any, y: Any, *, once: bool) -> Any:
    """Returns the weight of every sample by its class, or 1 if there are none.

    Raises:
        ValueError: They are to be balanced, for samples of which these are only a part.
    """
    if class_weight is None:
        return 1
    if once and isinstance(class_weight, str):
        raise ValueError(
            f"class_weight={class_weight!r} needs all samples, and partial_fit has some of them; "
            "pass a dict from sklearn.utils.class_weight.compute_class_weight."
        )
    return compute_sample_weight(class_weight, y)


def check_classes(classes: Any, known: Any) -> None:
    """Raises a `ValueError` unless `partial_fit` knows all classes, and the same as before.

    Args:
        classes: those that were passed, or None.
        known: those of the calls before, or None in the first one.
    """
    if known is None and classes is None:
        raise ValueError("classes=None: the first partial_fit needs all, classes=np.unique(all_y).")
    if known is not None and classes is not None and set(classes) != set(known):
        raise ValueError(f"classes={shown(classes)}, and in the call before they were {known}.")


def _check_interval(name: str, value: Any, interval: str) -> None:
    number = check_real(name, value)
    low, high = map(float, interval[1:-1].split(","))
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    if not (above and below):
        raise ValueError(f"{name}={value} must be in {interval}.")
