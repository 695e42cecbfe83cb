"""Rosenblatt's perceptron learning rule. `certificates.py` says whether it can succeed."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxpercep._checks import as_numbers, check_finite, check_positive_int
from jaxpercep.layer import as_array

Array = jax.Array | NDArray[Any]


class PerceptronResult(NamedTuple):
    """The result of `perceptron_rule`.

    Attributes:
        weights: [features], in x's dtype (float32 where x is narrower).
        mistakes: the number of updates, over all epochs.
        epochs: the number of epochs, including the one without a mistake.
        converged: True if the last epoch had no mistake; False when `max_epochs` ran out.
    """

    weights: jax.Array
    mistakes: jax.Array
    epochs: jax.Array
    converged: jax.Array


def append_bias(x: ArrayLike) -> Array:
    """Returns `[x, 1]`: x with a column of ones, whose weight acts as the bias.

    Args:
        x: floating, [samples, features]. A JAX array gives a JAX array; anything else gives a
            NumPy array, so that float64 points keep their digits.

    Returns:
        [samples, features + 1], in x's dtype.

    Raises:
        TypeError: x is not floating.
        ValueError: x is not [samples, features], is empty, or holds NaN or infinite values.
    """
    x = _as_array("x", x)
    check_points(x)
    numpy = jnp if isinstance(x, jax.Array) else np
    return numpy.concatenate([x, numpy.ones((len(x), 1), x.dtype)], axis=1)


def perceptron_rule(x: ArrayLike, labels: ArrayLike, *, max_epochs: int = 1000) -> PerceptronResult:
    """Learns weights by `w += label * x` wherever `label * <w, x> <= 0`, from w = 0.

    An epoch visits the samples in order; the first epoch without a mistake is the last. A product
    of 0 is a mistake, and so is one that overflows. There is no bias: see `append_bias`. On
    separable points the rule makes at most (R / gamma)^2 mistakes and so ends within one epoch more
    (see `certify`); on others, XOR among them, it never ends (Minsky and Papert, Perceptrons,
    1969).

    A pure function for `jax.jit` (`static_argnames="max_epochs"`) and `jax.vmap`:
    `jax.vmap(perceptron_rule, in_axes=(None, 0))(x, all_labels)` learns many labellings at once
    (bind max_epochs by `functools.partial`).

    Args:
        x: floating, [samples, features]. Weights are float32 at least.
        labels: -1 or +1, [samples], floating or signed integer.
        max_epochs: the most epochs to run.

    Returns:
        `PerceptronResult(weights, mistakes, epochs, converged)`.

    Raises:
        TypeError: x is not floating, labels are neither floating nor signed integer, or max_epochs
            is not an integer.
        ValueError: A shape is wrong, x is empty, or max_epochs is below 1 or too large to count the
            mistakes; or, where values are known (not traced), a label is neither -1 nor +1, or x
            holds NaN or infinite values.

    Source: Rosenblatt, The perceptron, Psychological Review 65 (1958).
    """
    x, labels = jnp.asarray(_as_array("x", x)), _as_array("labels", labels)
    check_points(x)
    check_labels(labels, len(x))
    _check_epochs(max_epochs, len(x))
    # NumPy's promotion, as JAX's refuses two floating types where promotion is strict.
    x = x.astype(np.promote_types(x.dtype, np.float32))
    return _learn(jnp.zeros(x.shape[1], x.dtype), x, jnp.asarray(labels, x.dtype), max_epochs)


def learn_from(
    weights: jax.Array, x: jax.Array, labels: jax.Array, max_epochs: int | jax.Array
) -> PerceptronResult:
    """Learns as `perceptron_rule` does, from other weights than 0; nothing is checked.

    A label may be another number than -1 or +1, but not 0: it is what the point is multiplied by
    when it is added, so that the points of one class can count for more.
    """

    def visit(
        carry: tuple[jax.Array, jax.Array], sample: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        (weights, mistakes), (point, label) = carry, sample
        # Not a dot product: accelerators round the factors of those.
        product = label * jnp.sum(weights * point)
        # A product that overflowed says nothing; it must not pass for a point classified.
        mistaken = ~((product > 0) & jnp.isfinite(product))
        weights = weights + jnp.where(mistaken, label * point, 0)
        return (weights, mistakes + mistaken.astype(mistakes.dtype)), None

    def epoch(state: PerceptronResult) -> PerceptronResult:
        carry = state.weights, state.mistakes
        (weights, mistakes), _ = lax.scan(visit, carry, (x, labels))
        return PerceptronResult(weights, mistakes, state.epochs + 1, mistakes == state.mistakes)

    def unfinished(state: PerceptronResult) -> jax.Array:
        return ~state.converged & (state.epochs < max_epochs)

    zero = jnp.zeros((), int)
    start = PerceptronResult(weights, zero, zero, jnp.asarray(False))
    return lax.while_loop(unfinished, epoch, start)


_learn = jax.jit(learn_from)


def _as_array(argument: str, value: ArrayLike) -> Array:
    return (as_array if isinstance(value, jax.Array) else as_numbers)(argument, value)


def check_points(x: Array) -> None:
    """Raises unless x is floating [samples, features], not empty, and finite where it is known."""
    if x.size == 0:
        raise ValueError(f"x of shape {x.shape} is empty; it needs a sample and a feature.")
    if x.ndim != 2:
        raise ValueError(
            f"x has shape {x.shape}, but must be [samples, features]; use x[:, None] for a single "
            "feature, x[None, :] for a single sample."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x has dtype {x.dtype}, but must be floating; use x.astype(float).")
    if not isinstance(x, jax.core.Tracer):
        check_finite("x", x)


def check_labels(labels: Array, samples: int) -> None:
    """Raises unless labels are [samples], floating or signed, and -1 or +1 where they are known."""
    if labels.shape == (samples, 1):
        raise ValueError(
            f"labels has shape {labels.shape}, but must be ({samples},); use labels[:, 0]."
        )
    if labels.shape != (samples,):
        raise ValueError(
            f"labels has shape {labels.shape}, but x has {samples} samples; labels must be "
            f"({samples},), one -1 or +1 per row of x."
        )
    if not any(jnp.issubdtype(labels.dtype, kind) for kind in (jnp.floating, jnp.signedinteger)):
        raise TypeError(
            f"labels has dtype {labels.dtype}, but must be floating or signed integer, -1 or +1; "
            "convert 0/1 labels with 2 * labels.astype(int) - 1."
        )
    if not isinstance(labels, jax.core.Tracer):
        _check_label_values(np.asarray(labels).astype(np.float64))


def _check_label_values(labels: NDArray[np.floating]) -> None:
    wrong = np.abs(labels) != 1
    if wrong.any() and np.isin(labels, (0, 1)).all():
        raise ValueError("labels are 0 and 1, but must be -1 and +1; use 2 * labels - 1.")
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"labels must be -1 or +1, but {wrong.sum()} of them are not (the first, "
            f"{labels[first]:g}, at index {first}); map the two classes to -1 and +1."
        )


def _check_epochs(max_epochs: int, samples: int) -> None:
    check_positive_int("max_epochs", max_epochs)
    counter = jnp.iinfo(jnp.zeros((), int).dtype)
    if max_epochs * samples > counter.max:
        raise ValueError(
            f"max_epochs={max_epochs} times {samples} samples may be more mistakes than "
            f"{counter.dtype} can count; use at most {counter.max // samples} epochs."
        )
