"""Combinators: layers made of layers. The chain rule is their `backward`."""

import itertools
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from jaxpercep._checks import check_bool, check_positive_int, shown
from jaxpercep.activations import Activation, LayerLike, as_layer, identity, sigmoid
from jaxpercep.dense import Dense
from jaxpercep.layer import (
    Described,
    Layer,
    Params,
    as_array,
    check_cotangent,
    check_input,
    check_key,
    check_not_state,
)
from jaxpercep.residuals import StoredOnce, store_once


@dataclass(frozen=True, init=False, repr=False)
class Serial(Described):
    """y = f_n(... f_2(f_1(x))), one layer after the other.

    With h_0 = x, h_k = f_k(params_k, h_k-1), y = h_n and dh_n = dy, the chain rule goes backwards:

        (dparams_k, dh_k-1) = backward_k(params_k, residuals_k, dh_k),   k = n, ..., 1

    Parameters and their gradients are a tuple with one entry per layer. An activation h_k that both
    layer k and layer k+1 keep is stored once.

    Attributes:
        layers: the layers, first to last; a function of one array, such as `jnp.sin`, becomes a
            layer without parameters, and `jnp.tanh` and its like the activation of that value.

    Raises:
        TypeError: An argument is neither a layer nor a function.
        ValueError: There is no layer, two dense layers in a row do not fit, or the parameters are
            for another number of layers.

    Source: Goodfellow, Bengio & Courville, Deep Learning (2016), algorithm 6.4.
    """

    layers: tuple[Layer, ...]

    def __init__(self, *layers: LayerLike) -> None:
        if not layers:
            raise ValueError("layers=(): Serial needs at least one layer; `identity` does nothing.")
        parts = tuple(as_layer(f"layers[{i}]", layer) for i, layer in enumerate(layers))
        _check_sizes(parts)
        object.__setattr__(self, "layers", parts)

    def __repr__(self) -> str:
        return f"Serial({', '.join(map(repr, self.layers))})"

    @property
    def last(self) -> Layer:
        """The last layer that does something."""
        return next((f for f in reversed(self.layers) if f != identity), identity)

    def init(self, key: jax.Array) -> tuple[Params, ...]:
        """Draws every layer's parameters from a key of its own."""
        check_key(key)
        keys = jax.random.split(key, len(self.layers))
        return tuple(layer.init(k) for layer, k in zip(self.layers, keys, strict=True))

    def apply(self, params: tuple[Params, ...], x: ArrayLike) -> jax.Array:
        """Returns f_n(... f_1(x))."""
        h = check_input(self, x)
        for i, (layer, p) in enumerate(self._pairs(params)):
            # The scope is what profiles and gradient comparisons call the layer.
            with jax.named_scope(f"layers[{i}]: {_name(layer)}"):
                h = layer.apply(p, h)
        return h

    def forward(self, params: tuple[Params, ...], x: ArrayLike) -> tuple[jax.Array, StoredOnce]:
        """Returns y, and the residuals of every layer with each array stored once."""
        h = check_input(self, x)
        collected = []
        for layer, p in self._pairs(params):
            h, residuals = layer.forward(p, h)
            collected.append(residuals)
        return h, store_once(collected)

    def backward(
        self, params: tuple[Params, ...], residuals: StoredOnce, dy: jax.Array
    ) -> tuple[tuple[Params, ...], jax.Array]:
        """Returns the gradients of every layer's parameters, and dx."""
        grads = []
        for (layer, p), r in reversed(
            list(zip(self._pairs(params), residuals.restore(), strict=True))
        ):
            dparams, dy = layer.backward(p, r, dy)
            grads.append(dparams)
        return tuple(reversed(grads)), dy

    def _pairs(self, params: tuple[Params, ...]) -> list[tuple[Layer, Params]]:
        check_not_state(f"{self!r}: params", params)
        if not isinstance(params, tuple) or len(params) != len(self.layers):
            kind = type(params).__name__
            came = f"{kind} of {len(params)}" if isinstance(params, (tuple, list)) else kind
            raise ValueError(
                f"{self!r}: params is a {came}, expected a tuple with one entry per layer "
                f"({len(self.layers)}); draw them with this model's init(key)."
            )
        return list(zip(self.layers, params, strict=True))


def _check_sizes(layers: tuple[Layer, ...]) -> None:
    """Raises a `ValueError` if dense layers with only activations between them do not fit."""
    wide = [(i, layer) for i, layer in enumerate(layers) if not isinstance(layer, Activation)]
    for (i, first), (j, then) in itertools.pairwise(wide):
        if not (isinstance(first, Dense) and isinstance(then, Dense)):
            continue
        if first.out_features != then.in_features:
            raise ValueError(
                f"layers[{j}]={then!r} takes {then.in_features} features, but layers[{i}]="
                f"{first!r} returns {first.out_features}; make the two numbers equal."
            )


@dataclass(frozen=True, repr=False)
class Repeat(Described):
    """y = f(p_n, ... f(p_2, f(p_1, x))): one layer `times` times, with parameters of its own each.

    Parameters are those of the layer, stacked on axis 0. Forward and backward are `lax.scan`s, so
    the compiled program does not grow with the depth. With h_0 = x, h_k = f(p_k, h_k-1), y = h_n,
    each h_k is stored once, whatever the layer keeps of its input and output: the backward scan
    carries h_k from where it was an input to where it was the output. h_0 and h_n are the very
    arrays that came in and go out, which the layers before and after may keep as well.

    Attributes:
        layer: a layer whose output has the shape and dtype of its input, which is widened if the
            layer's output is wider.
        times: how often, at least 1.

    Raises:
        TypeError: `layer` is not a layer, or `times` is not an integer.
        ValueError: `times` is below 1, the layer changes the shape or narrows the dtype, or the
            parameters are not stacked `times` times.
    """

    layer: Layer
    times: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", as_layer("layer", self.layer))
        object.__setattr__(self, "times", check_positive_int("times", self.times))

    def __repr__(self) -> str:
        return f"Repeat({self.layer!r}, {self.times})"

    @property
    def last(self) -> Layer:
        """The layer that is repeated."""
        return self.layer

    def init(self, key: jax.Array) -> Params:
        """Draws `times` sets of parameters, stacked on axis 0."""
        check_key(key)
        return jax.vmap(self.layer.init)(jax.random.split(key, self.times))

    def apply(self, params: Params, x: ArrayLike) -> jax.Array:
        """Returns f(p_n, ... f(p_1, x))."""

        def body(h: jax.Array, p: Params) -> tuple[jax.Array, None]:
            return _same_form(self, h, self.layer.apply(p, h)), None

        x, params = self._checked(params, x)
        return lax.scan(body, self._widened(params, x), params, length=self.times)[0]

    def forward(self, params: Params, x: ArrayLike) -> tuple[jax.Array, Any]:
        """Returns y, and (h_0, the stack of h_1 to h_n-1, h_n, the other residuals stacked)."""
        x, params = self._checked(params, x)
        first = self._widened(params, x)
        between = jnp.zeros((self.times - 1, *x.shape), first.dtype)

        def body(carry: Any, step: Any) -> tuple[Any, StoredOnce]:
            h, between = carry
            i, p = step
            y, residuals = self.layer.forward(p, h)
            if self.times > 1:  # i = 0 writes to the last row, which i = n-1 writes again
                between = lax.dynamic_update_index_in_dim(between, h, i - 1, axis=0)
            return (_same_form(self, h, y), between), store_once(residuals, h, y)

        steps = (jnp.arange(self.times), params)
        (y, between), others = lax.scan(body, (first, between), steps, length=self.times)
        return y, (x, between, y, others)

    def backward(self, params: Params, residuals: Any, dy: jax.Array) -> tuple[Params, jax.Array]:
        """Returns the stacked gradients, and dx."""
        x, between, y, others = residuals
        first = x.astype(y.dtype)

        def body(carry: Any, step: Any) -> tuple[Any, Params]:
            dh, output = carry
            i, p, stored = step
            h = first
            if self.times > 1:
                before = lax.dynamic_index_in_dim(between, i - 1, keepdims=False)
                h = jnp.where(i > 0, before, first)
            dparams, dh = self.layer.backward(p, stored.restore(h, output), dh)
            return (dh, h), dparams

        steps = (jnp.arange(self.times), self._stacked(params), others)
        carry = check_cotangent(self, dy, y.shape), y
        (dx, _), grads = lax.scan(body, carry, steps, length=self.times, reverse=True)
        return grads, dx.astype(x.dtype)

    def _widened(self, params: Params, x: jax.Array) -> jax.Array:
        """Returns x in the dtype of the first output, if that one holds all of its digits."""
        if all(leaf.dtype == x.dtype for leaf in jax.tree.leaves(params)):
            return x
        first = jax.tree.map(operator.itemgetter(0), params)
        return _widened(x, jax.eval_shape(self.layer.apply, first, x).dtype)

    def _checked(self, params: Params, x: ArrayLike) -> tuple[jax.Array, Params]:
        return check_input(self, x), self._stacked(params)

    def _stacked(self, params: Params) -> Params:
        def check(path: Any, leaf: Any) -> jax.Array:
            array = as_array(name := f"{self!r}: params{jax.tree_util.keystr(path)}", leaf)
            if array.ndim == 0 or len(array) != self.times:
                raise ValueError(
                    f"{name} has shape {list(array.shape)}, expected {self.times} sets stacked on "
                    "axis 0; draw them with this layer's init(key)."
                )
            return array

        return jax.tree.map_with_path(check, params)


@dataclass(frozen=True, repr=False)
class Residual(Described):
    """y = x + f(x), so dx = dy + f.backward(dy): the gradient takes both paths.

    Parameters and residuals are those of the layer.

    Attributes:
        layer: a layer whose output has the shape and dtype of its input, which is widened if the
            layer's output is wider.

    Raises:
        TypeError: `layer` is not a layer.
        ValueError: The layer changes the shape or narrows the dtype.

    Source: He, Zhang, Ren & Sun, "Deep residual learning for image recognition" (2016).
    """

    layer: Layer

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", as_layer("layer", self.layer))

    def __repr__(self) -> str:
        return f"Residual({self.layer!r})"

    def init(self, key: jax.Array) -> Params:
        """Draws the layer's parameters."""
        return self.layer.init(key)

    def apply(self, params: Params, x: ArrayLike) -> jax.Array:
        """Returns x + f(x)."""
        x = check_input(self, x)
        return self._sum(x, self.layer.apply(params, x))

    def forward(self, params: Params, x: ArrayLike) -> tuple[jax.Array, Any]:
        """Returns x + f(x), and f's residuals."""
        x = check_input(self, x)
        y, residuals = self.layer.forward(params, x)
        return self._sum(x, y), residuals

    def backward(self, params: Params, residuals: Any, dy: jax.Array) -> tuple[Params, jax.Array]:
        """Returns f's parameter gradients, and dy + f's dx."""
        dy = check_input(self, dy, argument="dy")
        dparams, dx = self.layer.backward(params, residuals, dy)
        if dx.shape != dy.shape:  # broadcasting would hide a mistake
            raise ValueError(
                f"{self!r}: the inner layer's backward returned dx of shape {list(dx.shape)}, "
                f"expected x's shape {list(dy.shape)}."
            )
        return dparams, dy.astype(dx.dtype) + dx

    def _sum(self, x: jax.Array, y: jax.Array) -> jax.Array:
        x = _widened(x, y.dtype)
        return x + _same_form(self, x, y)


def _widened(x: jax.Array, dtype: Any) -> jax.Array:
    """Returns x in this type if it holds all of its digits, and else as it is."""
    return x.astype(dtype) if np.can_cast(x.dtype, dtype) else x


def _same_form(layer: Layer, x: jax.Array, y: jax.Array) -> jax.Array:
    """Returns y, the inner layer's output, if it has the shape and dtype of its input x."""
    if y.shape != x.shape or y.dtype != x.dtype:
        raise ValueError(
            f"{layer!r}: the inner layer maps {x.dtype}{list(x.shape)} to "
            f"{y.dtype}{list(y.shape)}; its output must have its input's shape and dtype."
        )
    return y


def _name(layer: Layer) -> str:
    """A short name: of an activation its own, of another layer that of its class."""
    return repr(layer) if repr(layer).isidentifier() else type(layer).__name__


def perceptron(in_features: int, activation: LayerLike = sigmoid) -> Serial:
    """y = activation(x w + b): one neuron, `Serial(Dense(in_features, 1), activation)`.

    With `step` it is the threshold neuron, with `sigmoid` the differentiable perceptron.

    Source: Rosenblatt, "The perceptron", Psychological Review 65 (1958).
    """
    return Serial(Dense(in_features, 1), as_layer("activation", activation))


def mlp(
    sizes: Iterable[int],
    activation: LayerLike = sigmoid,
    output: LayerLike = identity,
    *,
    scan: bool = False,
    **dense_options: Any,
) -> Serial:
    """Builds a multi-layer perceptron: dense layers with `activation` between, `output` at the end.

    Args:
        sizes: features from input to output; `[2, 2, 1]` is two dense layers.
        activation: the layer after every dense layer but the last, or a function of one array, as
            in `Serial`.
        output: the layer after the last; `identity` adds nothing.
        scan: make equal hidden layers one `Repeat`, which compiles once whatever the depth; their
            parameters are then stacked.
        **dense_options: passed on to every `Dense`; `dtype="bfloat16"` multiplies in that type.

    Raises:
        ValueError: There are fewer than two sizes, or one is below 1.
        TypeError: A size is not an integer, an activation is neither a layer nor a function, or
            `scan` is not a bool.
    """
    if isinstance(sizes, (str, bytes)) or not isinstance(sizes, Iterable):
        raise TypeError(
            f"sizes={shown(sizes)}: expected numbers, [inputs, ..., outputs]. The order is (sizes, "
            "activation, output)."
        )
    sizes = list(sizes)
    if len(sizes) < 2:
        raise ValueError(f"sizes={sizes!r}: expected at least two numbers, [inputs, ..., outputs].")
    sizes = [check_positive_int(f"sizes[{i}]", size) for i, size in enumerate(sizes)]
    activation, output = as_layer("activation", activation), as_layer("output", output)
    check_bool("scan", scan)
    denses = [Dense(n, m, **dense_options) for n, m in itertools.pairwise(sizes)]
    hidden: list[Layer] = []
    for dense, equal in itertools.groupby(denses[:-1]):
        count = len(list(equal))
        repeat = scan and count > 1
        hidden += (
            [Repeat(Serial(dense, activation), count)] if repeat else [dense, activation] * count
        )
    return Serial(*hidden, denses[-1], *([] if output == identity else [output]))
