"""What a trained network is worth on data: its outputs, its loss, and the share it gets right."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from jaxpercep._checks import check_finite, check_positive_int, check_real
from jaxpercep.layer import Layer, Params, as_array, as_floating, check_input
from jaxpercep.losses import Loss
from jaxpercep.training import check_untraced, checked_data


def evaluate(
    model: Layer,
    loss: Loss,
    params: Params,
    x: ArrayLike,
    y: ArrayLike,
    *,
    batch_size: int | None = None,
) -> float:
    """Returns L = loss(model(params, x), y) over all of the data.

    Args:
        model: a layer.
        loss: a loss.
        params: parameters of the model.
        x: inputs `[n, ...]`.
        y: targets `[n, ...]`.
        batch_size: samples that go through the model at a time, so that the activations of all of
            them need not fit into memory; the loss is that of all outputs together, whatever it is.

    Raises:
        ValueError: x and y differ in length, hold NaN or infinity, or targets that the loss is not
            defined for; or `batch_size` is below 1.
        TypeError: An argument is of the wrong kind, or `evaluate` is called under `jit` or `vmap`.
    """
    instead = "loss.apply(model.apply(params, x), y)"
    check_untraced("evaluate", params, x, y, instead=instead)
    params = as_floating("params", params)
    x, y = checked_data(model, loss, params, x, y)
    return float(loss.apply(outputs(model, params, x, batch_size), y))


def accuracy(prediction: ArrayLike, target: ArrayLike, *, threshold: float | None = None) -> float:
    """Returns the share of samples that are right.

    With several outputs `[n, classes]` a sample is right if the largest output is that of its label
    (`[n]`, integers) or of the largest number of its row (`[n, classes]`, one-hot). With a single
    output, `[n]` or `[n, 1]` and targets of 0 and 1, it is right if the output is above the
    threshold exactly where the target is 1.

    Args:
        prediction: outputs of a model.
        target: labels, one-hot rows, or zeros and ones.
        threshold: for a single output: 0 for logits, 0.5 for probabilities.

    Raises:
        ValueError: The shapes do not go together, there are no samples, a prediction or a target is
            NaN or infinite, a target is not one of the labels, a single output comes without a
            threshold, or several outputs with one.
        TypeError: `prediction` is not floating point, `target` not numbers, several outputs come
            with targets that are neither labels nor one-hot, or it is called under `jit` or `vmap`.
    """
    instead = "jnp.mean(jnp.argmax(prediction, axis=-1) == labels)"
    check_untraced("accuracy", prediction, target, instead=instead)
    p, t = as_array("prediction", prediction), as_array("target", target)
    if not jnp.issubdtype(p.dtype, jnp.floating):
        raise TypeError(
            f"prediction has dtype {p.dtype}, expected floating-point outputs of a model: "
            "accuracy(prediction, target), in this order."
        )
    single = p.ndim == 1 or (p.ndim == 2 and p.shape[1] == 1)
    if single != (threshold is not None):
        fix = "pass threshold=0 for logits, 0.5 for probabilities" if single else "leave it out"
        raise ValueError(
            f"threshold={threshold} with a prediction of shape {list(p.shape)}: {fix}."
        )
    if not single and (p.ndim != 2 or t.shape not in (p.shape, p.shape[:1])):
        raise ValueError(
            f"target has shape {list(t.shape)} and prediction {list(p.shape)}; expected "
            "predictions [n, classes] with labels [n] or one-hot rows [n, classes]."
        )
    check_input("accuracy", p, argument="prediction")
    check_finite("prediction", p)
    check_finite("target", t)
    if single:
        is_one = _labels(_column(p, t), 2).astype(bool)
        right = (p.reshape(len(p)) > check_real("threshold", threshold)) == is_one
    elif t.ndim == 2:
        right = jnp.argmax(p, axis=1) == jnp.argmax(t, axis=1)
    elif jnp.issubdtype(t.dtype, jnp.integer):
        right = jnp.argmax(p, axis=1) == _labels(t, p.shape[1])
    else:
        raise TypeError(f"target has dtype {t.dtype}, expected integer labels.")
    return int(jnp.sum(right)) / len(right)


def _column(p: jax.Array, t: jax.Array) -> jax.Array:
    """Returns the targets of a single output as `[n]`."""
    if t.size != p.size or t.ndim > 2:
        raise ValueError(
            f"target has shape {list(t.shape)} and prediction {list(p.shape)}; expected a 0 or a 1 "
            "for each."
        )
    return t.reshape(len(p))


def _labels(t: jax.Array, classes: int) -> jax.Array:
    """Returns the targets, or raises unless they are labels of so many classes."""
    wrong = ~np.isin(t, range(classes))
    if wrong.any():
        raise ValueError(
            f"target[{np.argmax(wrong)}] is {t[np.argmax(wrong)].item():g}; expected "
            + ("0 or 1 for each sample." if classes == 2 else f"labels from 0 to {classes - 1}.")
        )
    return t


def outputs(model: Layer, params: Params, x: jax.Array, batch_size: int | None = None) -> jax.Array:
    """Returns model(params, x), of `batch_size` samples at a time."""
    if batch_size is not None:
        check_positive_int("batch_size", batch_size)
    return _outputs(model, params, x, batch_size)


@partial(jax.jit, static_argnums=(0, 3))
def _outputs(model: Layer, params: Params, x: jax.Array, batch_size: int | None) -> jax.Array:
    """Takes the rows where they lie: `lax.map` copies all of them if there is a smaller last batch.

    Here the last batch begins earlier, so that it is of the same size.
    """
    if batch_size is None or batch_size >= len(x):
        return model.apply(params, x)
    last = len(x) - batch_size

    def part(i: jax.Array, found: jax.Array) -> jax.Array:
        start = jnp.minimum(i * batch_size, last)
        rows = lax.dynamic_slice_in_dim(x, start, batch_size)
        return lax.dynamic_update_slice_in_dim(found, model.apply(params, rows), start, 0)

    whole = jax.eval_shape(model.apply, params, x)
    count = -(-len(x) // batch_size)
    return lax.fori_loop(0, count, part, jnp.zeros(whole.shape, whole.dtype))
