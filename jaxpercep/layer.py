"""The layer protocol: a pure function beside its hand-written pullback. Read this file first.

A layer is an immutable description of y = f(params, x). It owns no arrays; parameters are a
separate pytree. Four methods say everything there is to know about it:

    init(key)                        -> params         draw parameters
    apply(params, x)                 -> y              the function: what autodiff differentiates
    forward(params, x)               -> y, residuals   the same value, and what backward needs
    backward(params, residuals, dy)  -> dparams, dx    the chain rule, written by hand

With dy = dL/dy for a scalar L, `backward` returns the vector-Jacobian products

    dparams = (dy/dparams)^T dy,    dx = (dy/dx)^T dy,

each with the structure, shape and dtype of what it is the gradient of. `apply` never carries the
manual rule, so that `jax.grad` of it stays an independent oracle.

Source: Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors",
Nature 323 (1986); Goodfellow, Bengio & Courville, Deep Learning (2016), section 6.5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxpercep._checks import as_numbers, check_callable, check_hashable, shown
from jaxpercep._kinds import PARAMETERS, brief, misplaced

Params: TypeAlias = Any
"""A pytree of arrays; each layer documents its own."""

Residuals: TypeAlias = Any
"""A pytree of arrays that `backward` needs: never a parameter, and no array twice."""


@runtime_checkable
class Layer(Protocol):
    """y = f(params, x), with its pullback.

    Implementations are frozen dataclasses that hold hyperparameters only: equal descriptions
    compare and hash equal, so that layers serve as static arguments of `jax.jit`.

    A layer made of layers may also have `last`, the layer whose output is its own, by which a loss
    on logits recognizes a model that ends in `sigmoid`.

    Residuals may contain x or y themselves. A layer should return the very objects (not a copy or
    a cast), for the combinators recognize them by identity and store each of them once.
    """

    def init(self, key: jax.Array) -> Params:
        """Draws parameters from a `jax.random` key."""
        ...

    def apply(self, params: Params, x: ArrayLike) -> jax.Array:
        """Returns y; x is `[..., in]` with batch axes of any rank in front."""
        ...

    def forward(self, params: Params, x: ArrayLike) -> tuple[jax.Array, Residuals]:
        """Returns y, equal to `apply`'s, and what `backward` needs."""
        ...

    def backward(
        self, params: Params, residuals: Residuals, dy: jax.Array
    ) -> tuple[Params, jax.Array]:
        """Returns (dparams, dx) from dy = dL/dy; parameter gradients are summed over the batch."""
        ...


class Described:
    """A description: it answers a call, which is not how a layer is applied, by the fix."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Raises a `TypeError`."""
        raise TypeError(f"{self!r} is a layer, not a function; use its apply(params, x).")


def check_layer(argument: str, value: object) -> None:
    """Raises a `TypeError` that names the argument unless `value` has the four methods."""
    if isinstance(value, type) or not isinstance(value, Layer):
        fix = (
            "Wrap a foreign function as AutodiffLayer(init, apply); the activations are "
            "jaxpercep.relu, jaxpercep.sigmoid and so on."
        )
        if isinstance(value, type):
            fix = f"Call it to make one: {value.__name__}(...)."
        if isinstance(value, (list, tuple)):
            fix = (
                "Layers are put in a row one by one, Serial(*layers), as in "
                "Serial(Dense(2, 8), tanh, Dense(8, 1), sigmoid)."
            )
        if isinstance(value, np.ufunc):
            fix = f"JAX cannot differentiate NumPy's functions: pass jax.numpy.{value.__name__}."
        raise TypeError(
            f"{argument}={brief(value)} is not a layer (an object with init, apply, forward and "
            f"backward).{misplaced(value) or f' {fix}'}"
        )
    check_hashable(argument, value, "declare it @dataclass(frozen=True)")


def check_key(key: Any) -> None:
    """Raises a `TypeError` unless `key` is one `jax.random` key, new style or raw."""
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    typed = dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
    if not (typed and shape == ()) and not (dtype == jnp.uint32 and shape in ((2,), (4,))):
        raise TypeError(
            f"key={brief(key)} is not one random key; make one with jax.random.key(seed)."
            f"{misplaced(key)}"
        )


def as_array(argument: str, value: Any) -> jax.Array:
    """Returns the value as an array of real numbers, in the type in which JAX holds them.

    Raises:
        TypeError: It is not an array of real numbers, or it has a mask, which would be lost.
        ValueError: A number does not fit the type in which JAX holds it.
    """
    if not isinstance(value, jax.Array):
        try:
            value = as_numbers(argument, value)
            _check_kept(argument, value)
        except TypeError as error:
            if not isinstance(error.__cause__, jax.errors.TracerArrayConversionError):
                raise
            parts = [as_array(argument, part) for part in value]
            if len(shapes := {part.shape for part in parts}) > 1:
                came = f"{argument} is a {type(value).__name__}, not an array of numbers"
                raise TypeError(f"{came}: its rows have shapes {shapes}.") from error
            value = jnp.stack(parts)
    array = jnp.asarray(value)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == jnp.bool):
        raise TypeError(f"{argument} is {shown(array)}, not an array of numbers.")
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(
            f"{argument} has dtype {array.dtype}, expected real numbers; use its .real."
        )
    return array


def typed_list(argument: str, value: Any) -> Any:
    """Returns whole numbers in a list, which has no type, as floating point; all else as it is."""
    if not isinstance(value, (list, tuple)):
        return value
    array = as_array(argument, value)
    whole = jnp.issubdtype(array.dtype, jnp.integer)
    return array.astype(jnp.zeros(()).dtype) if whole else array


def as_floating(argument: str, tree: Any) -> Any:
    """Returns a tree of parameters with its leaves as arrays, or raises unless all are floating."""
    check_not_state(argument, tree)

    def convert(path: Any, leaf: Any) -> jax.Array:
        array = as_array(name := argument + jax.tree_util.keystr(path), leaf)
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise TypeError(
                f"{name} has dtype {array.dtype}, expected floating point; "
                "convert it with .astype(jnp.float32)."
            )
        return array

    try:
        return jax.tree.map_with_path(convert, tree)
    except TypeError as error:
        if not (other := misplaced(tree, due=PARAMETERS)):
            raise
        raise TypeError(f"{argument}={brief(tree)} does not hold parameters.{other}") from error


def check_not_state(argument: str, value: Any) -> None:
    """Raises a `TypeError` for a state of training, which holds the parameters."""
    if hasattr(value, "params"):
        came = type(value).__name__
        raise TypeError(f"{argument} is a {came}, which holds the parameters; pass its .params.")


def _check_kept(argument: str, given: np.ndarray) -> None:
    """Raises unless none of these numbers wraps around or overflows in JAX's type."""
    dtype = jax.dtypes.canonicalize_dtype(given.dtype)
    if dtype == given.dtype:
        return
    with np.errstate(over="ignore"):
        kept = given.astype(dtype)
    whole = np.issubdtype(given.dtype, np.integer)
    lost = kept != given if whole else np.isinf(kept) & np.isfinite(given)
    if lost.any():
        raise ValueError(
            f"{argument} holds {given[lost].flat[0]}, which {dtype} cannot hold; scale the "
            "numbers, or call jax.config.update('jax_enable_x64', True) first."
        )


def check_input(
    layer: object, x: ArrayLike, features: int | None = None, argument: str = "x"
) -> jax.Array:
    """Returns x as an array, or raises unless it is a floating, non-empty `[..., features]`.

    Whole numbers in a list are taken as floating point. Shape and dtype are known under `jit` too,
    so the check holds there.
    """
    x = as_array(argument, typed_list(argument, x))
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"{layer!r}: {argument} has dtype {x.dtype}, expected floating point; "
            f"convert it with {argument}.astype(jnp.float32)."
        )
    if features is not None and (x.ndim == 0 or x.shape[-1] != features):
        raise ValueError(
            f"{layer!r}: {argument} has shape {list(x.shape)}, expected [..., {features}]: "
            f"{features} features on the last axis."
        )
    if x.size == 0:
        raise ValueError(f"{layer!r}: {argument} has shape {list(x.shape)}: an empty batch.")
    return x


def check_cotangent(layer: object, dy: Any, shape: tuple[int, ...]) -> jax.Array:
    """Returns dy as an array, or raises unless it is floating and has the shape of y.

    Broadcasting another shape would hide a mistake.
    """
    dy = check_input(layer, dy, argument="dy")
    if dy.shape != shape:
        raise ValueError(
            f"{layer!r}: dy has shape {list(dy.shape)}, expected y's shape {list(shape)}."
        )
    return dy


def check_params(
    layer: object, params: Any, kind: type[tuple[Any, ...]], **shapes: tuple[int, ...] | None
) -> None:
    """Raises unless params is a `kind` of arrays of these shapes (None: no array) and one dtype."""
    fix = "draw them with this layer's init(key)."
    if not isinstance(params, kind):
        came = type(params).__name__
        raise TypeError(f"{layer!r}: params is {came}, expected {kind.__name__}; {fix}")
    found = tuple(getattr(p, "shape", None) for p in params)
    if found != tuple(shapes.values()):
        came = ", ".join(f"{name}={s}" for name, s in zip(shapes, found, strict=False)) or found
        expected = ", ".join(f"{name}={shape}" for name, shape in shapes.items()) or "()"
        raise ValueError(f"{layer!r}: params have shapes {came}, expected {expected}; {fix}")
    dtypes = [p.dtype for p in params if p is not None]
    if len(set(dtypes)) > 1:
        came = " and ".join(map(str, dtypes))
        raise TypeError(f"{layer!r}: params are {came}; convert them to one dtype.")
    for name, p in zip(shapes, params, strict=True):
        if p is not None and as_floating(f"{layer!r}: params.{name}", p).dtype != p.dtype:
            raise TypeError(
                f"{layer!r}: params.{name} has dtype {p.dtype}, which JAX does not hold here; use "
                "jax.tree.map(lambda p: np.asarray(p, np.float32), params)."
            )


def accumulator(dtype: Any) -> jnp.dtype:
    """The type to accumulate sums of `dtype` in: float32 at least."""
    return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)


@dataclass(frozen=True, repr=False)
class AutodiffLayer(Described):
    """Gives any foreign pair of pure functions (a flax module's, say) the layer protocol.

    y = apply(params, x). The residual is x alone; `backward` runs `apply` again under `jax.vjp`,
    so it costs one forward pass more than a hand-written rule.

    Attributes:
        init: `key -> params`.
        apply: `(params, x) -> y`, differentiable by JAX.

    Raises:
        TypeError: one of the two is not a function of these arguments, or x is not floating point.
        ValueError: x is empty.
    """

    init: Callable[[jax.Array], Params]
    apply: Callable[[Params, jax.Array], jax.Array]

    def __post_init__(self) -> None:
        for name, signature, n in (("init", "key -> params", 1), ("apply", "(params, x) -> y", 2)):
            check_callable(name, getattr(self, name), signature, n)
            check_hashable(name, getattr(self, name), "pass a plain function")

    def __repr__(self) -> str:
        names = (getattr(f, "__qualname__", repr(f)) for f in (self.init, self.apply))
        return f"AutodiffLayer({', '.join(names)})"

    def forward(self, params: Params, x: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """Returns apply(params, x), and x."""
        x = check_input(self, x)
        return self.apply(params, x), x

    def backward(
        self, params: Params, residuals: jax.Array, dy: jax.Array
    ) -> tuple[Params, jax.Array]:
        """Recomputes y at x under `jax.vjp` and pulls dy back."""
        y, pullback = jax.vjp(self.apply, params, residuals)
        dparams, dx = pullback(check_cotangent(self, dy, y.shape))
        return dparams, dx
