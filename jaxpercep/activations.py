"""Activations: y = f(x) elementwise, dx = f'(x) dy, for x of any shape.

Each definition reads: the value f in the decorator (from `jax.nn` where it has one), the derivative
f' in the body, written by hand. f' is a function of what the activation keeps for the backward
pass: its output y where f' can be written in y, since the next layer keeps that array anyway and
it costs no memory; its input x otherwise. At a kink f' is what `jax.nn` has there; each docstring
says which value that is.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxpercep._calls import value_of
from jaxpercep._checks import check_callable, check_choice, nearest_name
from jaxpercep.layer import (
    AutodiffLayer,
    Described,
    Layer,
    check_cotangent,
    check_input,
    check_key,
    check_layer,
    check_params,
)

ScalarFunction: TypeAlias = Callable[[jax.Array], jax.Array]

LayerLike: TypeAlias = Layer | Callable[[jax.Array], jax.Array]
"""A layer, or a function of one array: `as_layer` says which layer that is."""


@dataclass(frozen=True, repr=False)
class Activation(Described):
    """A layer without parameters: y = f(x) elementwise, dx = f'(x) dy.

    Parameters are the empty tuple; the residual is the one array that f' is written in.

    Attributes:
        function: f.
        derivative: f', as a function of what is kept.
        keeps: `"output"` if f' is a function of y, `"input"` if of x.

    Raises:
        TypeError: f or f' is not a function of one argument, or JAX cannot trace it; the parameters
            are not a tuple, or x is not floating point.
        ValueError: `keeps` is neither of the two, the parameters are not empty, or x is.
    """

    function: ScalarFunction
    derivative: ScalarFunction
    keeps: Literal["input", "output"]

    def __post_init__(self) -> None:
        check_callable("function", self.function, "x -> y", 1)
        check_callable("derivative", self.derivative, "of what is kept", 1)
        check_choice("keeps", self.keeps, ("input", "output"))

    def __repr__(self) -> str:
        return self.derivative.__name__

    def __reduce__(self) -> str:
        return repr(self)  # copied and pickled as the one object of that name

    def init(self, key: jax.Array) -> tuple[()]:
        """Returns the empty tuple: there are no parameters."""
        check_key(key)
        return ()

    def apply(self, params: tuple[()], x: ArrayLike) -> jax.Array:
        """Returns f(x)."""
        check_params(self, params, tuple)
        return self._value(check_input(self, x))

    def forward(self, params: tuple[()], x: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """Returns f(x), and the array that f' is written in."""
        check_params(self, params, tuple)
        x = check_input(self, x)
        y = self._value(x)
        return y, y if self.keeps == "output" else x

    def backward(
        self, params: tuple[()], residuals: jax.Array, dy: jax.Array
    ) -> tuple[tuple[()], jax.Array]:
        """Returns () and f' dy."""
        check_params(self, params, tuple)
        slope = value_of(f"the derivative of {self!r}", self.derivative, residuals)
        return (), check_cotangent(self, dy, residuals.shape) * slope

    def _value(self, x: jax.Array) -> jax.Array:
        return value_of(f"the function of {self!r}", self.function, x)


def activation(
    function: ScalarFunction, *, keeps: Literal["input", "output"]
) -> Callable[[ScalarFunction], Activation]:
    """Decorates a derivative f' into the activation whose value is `function`.

    Raises:
        TypeError: `function` is not callable.
        ValueError: `keeps` is neither `"input"` nor `"output"`.
    """
    check_callable("function", function, "x -> y", 1)
    check_choice("keeps", keeps, ("input", "output"))

    def decorate(derivative: ScalarFunction) -> Activation:
        layer = Activation(function, derivative, keeps)
        object.__setattr__(layer, "__doc__", derivative.__doc__)
        object.__setattr__(layer, "__module__", derivative.__module__)
        return layer

    return decorate


def _threshold(x: jax.Array) -> jax.Array:
    return (x > 0).astype(x.dtype)


def _same(x: jax.Array) -> jax.Array:
    return x


@activation(_same, keeps="output")
def identity(y: jax.Array) -> jax.Array:
    """y = x; derivative 1."""
    return jnp.ones_like(y)


@activation(_threshold, keeps="output")
def step(y: jax.Array) -> jax.Array:
    """y = 1 where x > 0, else 0: the threshold neuron.

    Its derivative is 0 wherever it exists, and is taken as 0 at the jump x = 0 too: no gradient
    ever passes, so a network of threshold neurons cannot be trained by backpropagation.
    Rosenblatt's rule (`perceptron_rule`) trains a single one.

    Source: McCulloch & Pitts (1943); Rosenblatt (1958).
    """
    return jnp.zeros_like(y)


@activation(jax.nn.sigmoid, keeps="output")
def sigmoid(y: jax.Array) -> jax.Array:
    """y = 1 / (1 + e^-x); derivative y (1 - y). No kink.

    Once y rounds to 1 (x > 17 in float32) the derivative is 0: the unit is saturated.
    """
    return y * (1 - y)


@activation(jnp.tanh, keeps="output")
def tanh(y: jax.Array) -> jax.Array:
    """y = tanh x; derivative (1 + y) (1 - y). No kink.

    The product keeps the digits that 1 - y^2 loses near saturation.
    """
    return (1 + y) * (1 - y)


@activation(jax.nn.relu, keeps="output")
def relu(y: jax.Array) -> jax.Array:
    """y = max(x, 0); derivative 1 where x > 0, else 0.

    Kink: the derivative at x = 0 is 0. x > 0 exactly where y > 0, so y suffices.
    """
    return (y > 0).astype(y.dtype)


@activation(jax.nn.leaky_relu, keeps="input")
def leaky_relu(x: jax.Array) -> jax.Array:
    """y = x where x >= 0, else 0.01 x; derivative 1 where x >= 0, else 0.01.

    Kink: the derivative at x = 0 is 1. It is written in x because 0.01 x can underflow to 0.
    """
    return jnp.where(x >= 0, 1, 0.01).astype(x.dtype)


@activation(jax.nn.elu, keeps="output")
def elu(y: jax.Array) -> jax.Array:
    """y = x where x > 0, else e^x - 1; derivative 1 where x > 0, else e^x = y + 1.

    No kink: at x = 0 the derivative is 1 from both sides; the second derivative jumps there.
    y + 1 loses the digits of e^x once y is near -1, as `jax.nn.elu` does.

    Source: Clevert, Unterthiner & Hochreiter (2016).
    """
    return jnp.where(y > 0, 1, y + 1)


@activation(jax.nn.softplus, keeps="output")
def softplus(y: jax.Array) -> jax.Array:
    """y = log(1 + e^x); derivative sigmoid(x) = 1 - e^-y. No kink.

    expm1 keeps the digits where y is small, for x far below 0.
    """
    return -jnp.expm1(-y)


@activation(jax.nn.silu, keeps="input")
def silu(x: jax.Array) -> jax.Array:
    """y = x s with s = sigmoid(x); derivative s (1 + x (1 - s)). No kink.

    Source: Elfwing, Uchibe & Doya (2018).
    """
    s = jax.nn.sigmoid(x)
    return s * (1 + x * (1 - s))


@activation(jax.nn.gelu, keeps="input")
def gelu(x: jax.Array) -> jax.Array:
    """y = x (1 + t) / 2 with t = tanh(u), u = sqrt(2/pi) (x + 0.044715 x^3). No kink.

    The tanh form, as `jax.nn.gelu` has it. Derivative (1 + t) / 2 + x (1 + t) (1 - t) u'(x) / 2
    with u'(x) = sqrt(2/pi) (1 + 3 * 0.044715 x^2).

    Source: Hendrycks & Gimpel, "Gaussian error linear units" (2016).
    """
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    t = jnp.tanh(scale * (x + cubic * x**3))
    du = scale * (1 + 3 * cubic * x**2)
    return 0.5 * (1 + t) + 0.5 * x * (1 + t) * (1 - t) * du


_ACTIVATIONS = (identity, step, sigmoid, tanh, relu, leaky_relu, elu, softplus, silu, gelu)
_OF_FUNCTIONS = {layer.function: layer for layer in _ACTIVATIONS}
_OF_FUNCTIONS |= {lax.tanh: tanh, lax.logistic: sigmoid, jax.nn.identity: identity}


def as_layer(argument: str, value: Any) -> Layer:
    """Returns a layer as it is, and a function of one array as a layer without parameters.

    `jnp.tanh`, `jax.nn.relu` and the other functions whose value one of the activations has become
    that activation; any other becomes an `AutodiffLayer`.

    Raises:
        TypeError: It is neither a layer nor a function of one argument.
    """
    if isinstance(value, str):
        names = [repr(layer) for layer in _ACTIVATIONS]
        nearest = nearest_name(value, names) or f" The activations are {', '.join(names)}."
        fix = f" Pass jaxpercep.{value}." if value in names else nearest
        raise TypeError(f"{argument}={value!r} is a string, not a layer or a function.{fix}")
    if inspect.isroutine(value) or isinstance(value, partial) or hasattr(value, "__wrapped__"):
        check_callable(argument, value, "of one array", 1)
        layer: Any = _OF_FUNCTIONS.get(value) or AutodiffLayer(_no_params, _OfOneArray(value))
        return layer
    check_layer(argument, value)
    return value


def _no_params(key: jax.Array) -> tuple[()]:
    check_key(key)
    return ()


@dataclass(frozen=True)
class _OfOneArray:
    """(params, x) -> function(x)."""

    function: Callable[[jax.Array], jax.Array]

    def __call__(self, params: tuple[()], x: jax.Array) -> jax.Array:
        del params
        return value_of(f"the layer {self!r}", self.function, x)

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))
