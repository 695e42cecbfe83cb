"""One gradient, two methods: `jax.grad` of the functions, or the layers' own chain rule."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxpercep._checks import check_choice, check_finite
from jaxpercep.activations import sigmoid
from jaxpercep.layer import Layer, Params, Residuals, check_layer
from jaxpercep.losses import Loss

Method: TypeAlias = Literal["autodiff", "manual"]
ValueAndGrad: TypeAlias = Callable[[Params, ArrayLike, ArrayLike], tuple[jax.Array, Params]]


def value_and_grad(model: Layer, loss: Loss, method: Method = "autodiff") -> ValueAndGrad:
    """Returns f(params, x, y) -> (L, dL/dparams), with L = loss(model(params, x), y).

    `"autodiff"` is `jax.value_and_grad` of `apply`. `"manual"` goes forward through the layers,
    takes the loss's own dL/dprediction, and propagates it through their `backward`: the chain rule
    dL/dparams = (dprediction/dparams)^T dL/dprediction. Both return trees of one structure.

    Args:
        model: a layer.
        loss: a loss.
        method: `"autodiff"` or `"manual"`.

    Raises:
        ValueError: The method is unknown, or the model ends in `sigmoid` and the loss takes logits.
        TypeError: `model` is not a layer, or `loss` is not a loss.
    """
    check_pair(model, loss)
    check_choice("method", method, ("autodiff", "manual"))

    def objective(params: Params, x: ArrayLike, y: ArrayLike) -> jax.Array:
        return loss.apply(model.apply(params, x), y)

    def chain_rule(params: Params, x: ArrayLike, y: ArrayLike) -> tuple[jax.Array, Params]:
        prediction, residuals = model.forward(params, x)
        value, loss_residuals = loss.forward(prediction, y)
        grads, _ = model.backward(params, residuals, loss.backward(loss_residuals))
        return value, grads

    return chain_rule if method == "manual" else jax.value_and_grad(objective)


def with_manual_backward(model: Layer) -> Callable[[Params, jax.Array], jax.Array]:
    """Returns `model.apply` with the hand-written rule attached as its `jax.custom_vjp`.

    For use inside foreign code: whoever differentiates the returned function by `jax.grad` runs
    `model.backward`. Reverse mode only, as with every `custom_vjp`.

    Raises:
        TypeError: `model` is not a layer.
    """
    check_layer("model", model)

    @jax.custom_vjp
    def apply(params: Params, x: jax.Array) -> jax.Array:
        return model.apply(params, x)

    def forward(params: Params, x: jax.Array) -> tuple[jax.Array, tuple[Params, Residuals]]:
        y, residuals = model.forward(params, x)
        return y, (params, residuals)

    def backward(saved: tuple[Params, Residuals], dy: jax.Array) -> tuple[Params, jax.Array]:
        return model.backward(*saved, dy)

    apply.defvjp(forward, backward)
    return apply


def check_pair(model: Any, loss: Any) -> None:
    """Raises unless `model` is a layer and `loss` a loss that takes what the model returns."""
    check_layer("model", model)
    if isinstance(loss, type) or not isinstance(loss, Loss):
        raise TypeError(
            f"loss={loss!r} is not a loss (an object with apply, forward, backward, check and "
            "takes_logits). SquaredError() and SoftmaxCrossEntropy() are losses; write one of your "
            "own as a subclass of jaxpercep.losses.Elementwise."
        )
    if loss.takes_logits and _ends_in_sigmoid(model):
        raise ValueError(
            f"model={model!r} ends in sigmoid, and loss={loss!r} expects logits: it would squash "
            "the outputs twice. Either drop the model's last sigmoid, or use a loss on "
            "probabilities, such as BinaryCrossEntropy(from_logits=False) or SquaredError()."
        )


def check_values(model: Layer, loss: Loss, params: Params, x: ArrayLike, y: ArrayLike) -> None:
    """Raises a `ValueError` if the data hold NaN, infinity, or a target that the loss refuses."""
    check_finite("x", x)
    check_finite("y", y)
    prediction = jax.eval_shape(model.apply, params, x)
    loss.check(prediction.shape, np.asarray(y))


def _ends_in_sigmoid(model: Layer) -> bool:
    while (last := getattr(model, "last", model)) is not model:
        model = last
    return model == sigmoid
