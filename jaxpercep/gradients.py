"""One gradient, two methods: `jax.grad` of the functions, or the layers' own chain rule."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxpercep._checks import check_choice, check_finite, check_hashable
from jaxpercep._forms import check_form, naming_the_layer
from jaxpercep._kinds import brief, misplaced
from jaxpercep.activations import sigmoid
from jaxpercep.layer import (
    Layer,
    Params,
    Residuals,
    as_array,
    as_floating,
    check_input,
    check_layer,
    typed_list,
)
from jaxpercep.losses import Loss

Method: TypeAlias = Literal["autodiff", "manual"]
METHODS = get_args(Method)
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
        ValueError: The method is unknown, or the model ends in `sigmoid` and the loss takes logits;
            or, when f is called, a layer's `backward` returns a gradient of another form than that
            of its parameters.
        TypeError: `model` is not a layer, or `loss` is not a loss; or, when f is called, an
            argument does not hold real numbers, in `params` of floating point.
    """
    check_pair(model, loss)
    check_choice("method", method, METHODS)

    def objective(params: Params, x: ArrayLike, y: ArrayLike) -> jax.Array:
        return loss.apply(model.apply(params, x), y)

    def by_hand(params: Params, x: ArrayLike, y: ArrayLike) -> tuple[jax.Array, Params]:
        with naming_the_layer(model, params, x, loss, y):
            value, grads = chain_rule(model, loss)(params, x, y)
            check_form("backward returned dparams", grads, params)
        return value, grads

    chosen = by_hand if method == "manual" else jax.value_and_grad(objective)

    def gradient(params: Params, x: ArrayLike, y: ArrayLike) -> tuple[jax.Array, Params]:
        return chosen(
            as_floating("params", params), as_array("x", typed_list("x", x)), as_array("y", y)
        )

    return gradient


def chain_rule(model: Layer, loss: Loss) -> ValueAndGrad:
    """Returns the manual gradient as the layers' own `backward` gives it, in whatever form."""

    def gradient(params: Params, x: ArrayLike, y: ArrayLike) -> tuple[jax.Array, Params]:
        prediction, residuals = model.forward(params, x)
        value, loss_residuals = loss.forward(prediction, y)
        grads, _ = model.backward(params, residuals, loss.backward(loss_residuals))
        return value, grads

    return gradient


def with_manual_backward(model: Layer) -> Callable[[Params, jax.Array], jax.Array]:
    """Returns `model.apply` with the hand-written rule attached as its `jax.custom_vjp`.

    For use inside foreign code: whoever differentiates the returned function by `jax.grad` runs
    `model.backward`. Reverse mode only, as with every `custom_vjp`: forward mode over the gradient
    (`jax.hessian`) differentiates `backward` itself, forward mode over the function is refused.

    Raises:
        TypeError: `model` is not a layer; or, when the function is called, an argument is not of
            floating-point arrays, or forward mode is asked for.
    """
    check_layer("model", model)

    @jax.custom_vjp
    def with_rule(params: Params, x: jax.Array) -> jax.Array:
        return model.apply(params, x)

    def forward(params: Params, x: jax.Array) -> tuple[jax.Array, tuple[Params, Any, Residuals]]:
        y, residuals = model.forward(params, x)
        no_x = jnp.empty((0, *x.shape), x.dtype)  # the form of x without its numbers
        return y, (params, no_x, residuals)

    def backward(saved: tuple[Params, Any, Residuals], dy: jax.Array) -> tuple[Params, jax.Array]:
        params, no_x, residuals = saved
        x = jax.ShapeDtypeStruct(no_x.shape[1:], no_x.dtype)
        with naming_the_layer(model, params, x):
            gradients = model.backward(params, residuals, dy)
            check_form("backward returned", gradients, (params, x))
        return gradients

    def apply(params: Params, x: ArrayLike) -> jax.Array:
        params, x = as_floating("params", params), check_input(model, x)
        try:
            return with_rule(params, x)
        except (TypeError, NotImplementedError) as error:
            # Forward mode shows only here, and by JAX's message alone: a TypeError or, where it is
            # batched (jax.jacfwd), that the rule of `custom_lin` for batches is not implemented.
            if "forward-mode" not in str(error) and "custom_lin" not in str(error):
                raise
            raise TypeError(
                f"model={model!r} was differentiated in forward mode (jax.jvp, jax.jacfwd), which "
                "a manual backward does not have; use jax.grad or jax.jacrev, or differentiate "
                "model.apply."
            ) from error

    with_rule.defvjp(forward, backward)
    return apply


def check_pair(model: Any, loss: Any) -> None:
    """Raises unless `model` is a layer and `loss` a loss that takes what the model returns."""
    check_layer("model", model)
    if isinstance(loss, type) or not isinstance(loss, Loss):
        fix = "SquaredError() is one"
        if callable(loss) and not isinstance(loss, type):
            fix = "AutodiffLoss(fun) makes one of any scalar function (prediction, target)"
        raise TypeError(
            f"loss={brief(loss)} is not a loss (an object with apply, forward, backward, check and "
            f"takes_logits). {fix}; write one with a rule of its own as a subclass of "
            f"jaxpercep.Elementwise.{misplaced(loss)}"
        )
    check_hashable("loss", loss, "declare it @dataclass(frozen=True)")
    if loss.takes_logits and _ends_in_sigmoid(model):
        raise ValueError(
            f"model={model!r} ends in sigmoid, and loss={loss!r} expects logits: it would squash "
            "the outputs twice. Either drop the model's last sigmoid, or use a loss on "
            "probabilities, such as BinaryCrossEntropy(from_logits=False) or SquaredError()."
        )


def check_values(model: Layer, loss: Loss, params: Params, x: ArrayLike, y: ArrayLike) -> None:
    """Raises a `ValueError` if the data hold NaN, infinity, or a target that the loss refuses."""
    params, x, y = as_floating("params", params), check_input(model, x), as_array("y", y)
    check_finite("x", x)
    check_finite("y", y)
    loss.check(_outputs.eval_shape(model, params, x).shape, np.asarray(y))


@partial(jax.jit, static_argnums=0)
def _outputs(model: Layer, params: Params, x: jax.Array) -> jax.Array:
    """Applies a model; jitted, it is traced once for all calls with these shapes."""
    return model.apply(params, x)


def _ends_in_sigmoid(model: Layer) -> bool:
    while (last := getattr(model, "last", model)) is not model:
        model = last
    return model == sigmoid
