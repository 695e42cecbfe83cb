"""The dense layer: y = x w + b."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jax.typing import ArrayLike, DTypeLike

from jaxpercep._checks import (
    check_bool,
    check_callable,
    check_choice,
    check_hashable,
    check_positive_int,
    is_function,
    shown,
)
from jaxpercep.layer import (
    Described,
    accumulator,
    as_array,
    check_cotangent,
    check_input,
    check_key,
    check_params,
)
from jaxpercep.products import contract

Initializer: TypeAlias = Callable[..., jax.Array]
"""`(key, shape, dtype) -> array`, as `jax.nn.initializers` and `jax.random.normal` have it."""

W_INITIALIZERS: dict[str, Initializer] = {
    "glorot_normal": initializers.glorot_normal(),
    "glorot_uniform": initializers.glorot_uniform(),
    "he_normal": initializers.he_normal(),
    "he_uniform": initializers.he_uniform(),
    "lecun_normal": initializers.lecun_normal(),
    "lecun_uniform": initializers.lecun_uniform(),
    "normal": initializers.normal(),
    "ones": initializers.ones,
    "orthogonal": initializers.orthogonal(),
    "truncated_normal": initializers.truncated_normal(),
    "uniform": initializers.uniform(),
    "zeros": initializers.zeros,
}
B_INITIALIZERS = {name: W_INITIALIZERS[name] for name in ("normal", "ones", "uniform", "zeros")}


class DenseParams(NamedTuple):
    """Parameters of `Dense`: w `[in, out]`, b `[out]` (None without a bias)."""

    w: jax.Array
    b: jax.Array | None


@dataclass(frozen=True, repr=False)
class Dense(Described):
    """y = x w + b, with x `[..., in]`, w `[in, out]`, b `[out]`, y `[..., out]`.

    Derivation. Sample n's output is y_nj = sum_i x_ni w_ij + b_j. For a scalar L with
    dy_nj = dL/dy_nj the chain rule sums over every path from a variable to L:

        dw_ij = sum_n x_ni dy_nj     ->  dw = x^T dy
        db_j  = sum_n dy_nj          ->  db = sum of dy over the batch axes
        dx_ni = sum_j dy_nj w_ij     ->  dx = dy w^T

    The residual is x alone.

    Precision: y has the parameters' dtype; x may be narrower, for it is widened without a loss, but
    not wider. Products are accumulated in float32 at least. With
    `dtype` the factors of each product are first rounded to that type (bfloat16 is about twice as
    fast), while parameters, sums, y and gradients stay what they are.

    Attributes:
        in_features: number of inputs.
        out_features: number of neurons.
        w_init: `"glorot_uniform"` and the other names of `jax.nn.initializers`; `"torch_linear"`,
            U(-1/sqrt(in), 1/sqrt(in)); or a callable `(key, shape, dtype)`.
        b_init: `"zeros"`, `"ones"`, `"normal"`, `"uniform"`, `"torch_linear"`, or a callable.
        use_bias: whether there is a b.
        dtype: compute type of the products; None is the parameters' own.

    Raises:
        TypeError: The features are not integers, `dtype` is not a floating-point type, x is not
            floating point or (without `dtype`) wider than the parameters, or `key` is not a key.
        ValueError: A number of features is below 1, an initializer is unknown, x is empty or has
            the wrong shape, or the parameters have the wrong shape.

    Source: Goodfellow, Bengio & Courville, Deep Learning (2016), section 6.5.6.
    """

    in_features: int
    out_features: int
    w_init: str | Initializer = "glorot_uniform"
    b_init: str | Initializer = "zeros"
    use_bias: bool = True
    dtype: DTypeLike | None = None

    def __post_init__(self) -> None:
        for name in ("in_features", "out_features"):
            object.__setattr__(self, name, check_positive_int(name, getattr(self, name)))
        check_bool("use_bias", self.use_bias)
        for name, named in (("w_init", W_INITIALIZERS), ("b_init", B_INITIALIZERS)):
            if is_function(init := getattr(self, name)):
                check_callable(name, init, "(key, shape, dtype) -> array", 3)
                check_hashable(name, init, "pass a plain function (key, shape, dtype) -> array")
            else:
                check_choice(name, init, [*named, "torch_linear"])
        if self.dtype is not None:
            object.__setattr__(self, "dtype", _floating(self.dtype))  # equal layers hash equal

    def __repr__(self) -> str:
        options = [
            f"{f.name}={_shown(getattr(self, f.name))}"
            for f in fields(self)
            if f.default is not MISSING and getattr(self, f.name) != f.default
        ]
        return f"Dense({', '.join([str(self.in_features), str(self.out_features), *options])})"

    def init(self, key: jax.Array) -> DenseParams:
        """Draws w and b in the default floating type (float32, float64 under x64)."""
        check_key(key)
        w_key, b_key = jax.random.split(key)
        w = self._drawn("w_init", W_INITIALIZERS, w_key, (self.in_features, self.out_features))
        if not self.use_bias:
            return DenseParams(w, None)
        return DenseParams(w, self._drawn("b_init", B_INITIALIZERS, b_key, (self.out_features,)))

    def apply(self, params: DenseParams, x: ArrayLike) -> jax.Array:
        """Returns x w + b."""
        return self._affine(params, self._checked(params, x))

    def forward(self, params: DenseParams, x: ArrayLike) -> tuple[jax.Array, jax.Array]:
        """Returns x w + b, and x."""
        x = self._checked(params, x)
        return self._affine(params, x), x

    def backward(
        self, params: DenseParams, residuals: jax.Array, dy: jax.Array
    ) -> tuple[DenseParams, jax.Array]:
        """Returns (x^T dy, sum of dy over the batch) and dy w^T."""
        self._check_params(params)
        x, w = residuals, params.w
        dy = check_cotangent(self, dy, (*x.shape[:-1], self.out_features))
        batch = tuple(range(x.ndim - 1))
        dw = self._product(params, x, dy, (batch, batch)).astype(w.dtype)
        dx = self._product(params, dy, w, ((dy.ndim - 1,), (1,))).astype(x.dtype)
        if params.b is None:
            return DenseParams(dw, None), dx
        db = jnp.sum(dy, axis=batch, dtype=accumulator(dy.dtype)).astype(params.b.dtype)
        return DenseParams(dw, db), dx

    def _affine(self, params: DenseParams, x: jax.Array) -> jax.Array:
        y = self._product(params, x, params.w, ((x.ndim - 1,), (0,))).astype(params.w.dtype)
        return y if params.b is None else y + jnp.broadcast_to(params.b, y.shape)

    def _product(
        self,
        params: DenseParams,
        a: jax.Array,
        b: jax.Array,
        contracting: tuple[tuple[int, ...], tuple[int, ...]],
    ) -> jax.Array:
        """Contracts axes of a and b in the compute type; returns sums in float32 at least."""
        factors = params.w.dtype if self.dtype is None else self.dtype
        sums = accumulator(params.w.dtype)
        return contract(a.astype(factors), b.astype(factors), contracting, sums)

    def _checked(self, params: DenseParams, x: ArrayLike) -> jax.Array:
        x = check_input(self, x, self.in_features)
        self._check_params(params)
        if self.dtype is None and not np.can_cast(x.dtype, params.w.dtype):
            raise TypeError(
                f"{self!r}: x is {x.dtype} and the parameters are {params.w.dtype}, so digits of x "
                f"would be lost; convert one of them, x.astype(jnp.{params.w.dtype}) for instance."
            )
        return x

    def _check_params(self, params: Any) -> None:
        b = (self.out_features,) if self.use_bias else None
        check_params(self, params, DenseParams, w=(self.in_features, self.out_features), b=b)

    def _drawn(
        self, name: str, named: dict[str, Initializer], key: jax.Array, shape: tuple[int, ...]
    ) -> jax.Array:
        init = getattr(self, name)
        if isinstance(init, str):
            init = self._torch_linear if init == "torch_linear" else named[init]
        dtype = jnp.zeros(()).dtype
        drawn = as_array(f"{name}(key, {shape}, {dtype})", init(key, shape, dtype))
        if drawn.shape != shape:
            raise ValueError(
                f"{self!r}: {name}(key, {shape}, {dtype}) returned shape {drawn.shape}; it must "
                "return an array of the shape it is given."
            )
        return drawn.astype(dtype)  # a strong type: a weak one would cost a second compilation

    def _torch_linear(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        bound = self.in_features**-0.5
        return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)


def _floating(dtype: Any) -> type:
    """The scalar type, for a NumPy dtype of float64 compares equal to None."""
    try:
        found = jnp.dtype(dtype) if isinstance(dtype, (str, type, np.dtype)) else None
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        raise TypeError(
            f"dtype={shown(dtype)} is not a floating-point type; 'bfloat16' and 'float32' are."
        )
    return found.type


def _shown(value: Any) -> str:
    """Reads like the argument in the call: a function by its name, a dtype by its string."""
    if isinstance(value, type):
        return repr(value.__name__)
    return getattr(value, "__name__", repr(value)) if callable(value) else repr(value)
