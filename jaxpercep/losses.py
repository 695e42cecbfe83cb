"""Losses: a scalar of (prediction, target), each beside its hand-written gradient.

Values and gradients are computed in float32 at least; the value keeps that type, the gradient has
the prediction's. Targets are not differentiated and may be of any real dtype; where a loss takes
numbers, they are converted to the type of the computation.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxpercep._calls import value_of
from jaxpercep._checks import check_bool, check_callable, check_choice, check_hashable, check_real
from jaxpercep.layer import Residuals, accumulator, as_array, check_input


@runtime_checkable
class Loss(Protocol):
    """L = loss(prediction, target), a scalar; implementations are frozen dataclasses."""

    @property
    def takes_logits(self) -> bool:
        """True if predictions are logits, so that a model must not end in `sigmoid`."""
        ...

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Raises a `ValueError` if the loss is not defined for a value of the target."""
        ...

    def apply(self, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
        """Returns L: what autodiff differentiates."""
        ...

    def forward(self, prediction: ArrayLike, target: ArrayLike) -> tuple[jax.Array, Residuals]:
        """Returns L, and what `backward` needs."""
        ...

    def backward(self, residuals: Residuals) -> jax.Array:
        """Returns dL/dprediction, with the shape and dtype of the prediction."""
        ...


class Elementwise(ABC):
    """L = sum of l(p, t) / count over elements p, t; so dL/dp = l'(p, t) / count.

    Subclasses give l as `value`, l' as `slope` and, unless it is the number of elements, `count`.
    One that takes logits says so, and one that is not defined for every target refuses the others
    in `check`, which `fit` and the comparisons call before anything is computed.
    """

    @property
    def takes_logits(self) -> bool:
        """False: a subclass that takes logits overrides it."""
        return False

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Accepts every target."""
        del prediction_shape, target

    @abstractmethod
    def value(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns l, elementwise."""

    @abstractmethod
    def slope(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns dl/dp, elementwise."""

    def count(self, p: jax.Array) -> float:
        """Returns the divisor of the sum."""
        return p.size

    def apply(self, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
        """Returns L."""
        p, t = _numbers(self, prediction, target)
        return jnp.sum(self.value(_widened(p), t)) / self.count(p)

    def forward(
        self, prediction: ArrayLike, target: ArrayLike
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Returns L, and (prediction, target)."""
        p, t = _numbers(self, prediction, target)
        return self.apply(p, t), (p, t)

    def backward(self, residuals: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Returns l'(p, t) / count."""
        p, t = residuals
        return (self.slope(_widened(p), t) / self.count(p)).astype(p.dtype)


@dataclass(frozen=True)
class SquaredError(Elementwise):
    """L = scale * sum (p - t)^2 / count, so dL/dp = 2 scale (p - t) / count.

    Prediction and target are `[..., features]`. `count` is the number of elements for
    `reduction="mean"`, the number of samples (all axes but the last) for `"batch_mean"`, 1 for
    `"sum"`. `SquaredError(0.5, "sum")` is the textbook's 1/2 sum (p - t)^2 with delta p - t.

    Raises:
        ValueError: The reduction is unknown, the target does not have the prediction's shape, or
            there are no data.
        TypeError: `scale` is not a number, or the prediction is not floating point.
    """

    scale: float = 1.0
    reduction: Literal["mean", "batch_mean", "sum"] = "mean"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", check_real("scale", self.scale))
        check_choice("reduction", self.reduction, ("mean", "batch_mean", "sum"))

    def value(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns scale (p - t)^2."""
        return self.scale * jnp.square(p - t)

    def slope(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns 2 scale (p - t)."""
        return 2 * self.scale * (p - t)

    def count(self, p: jax.Array) -> float:
        """Returns elements, samples or 1."""
        features = p.shape[-1] if p.ndim else 1
        return {"mean": p.size, "batch_mean": p.size // features, "sum": 1}[self.reduction]


@dataclass(frozen=True)
class BinaryCrossEntropy(Elementwise):
    """Mean over all elements of l = -t log q - (1 - t) log(1 - q), targets t in [0, 1].

    From logits, q = sigmoid(p), and

        dl/dp = (1 - t) sigmoid(p) - t sigmoid(-p)

    which is sigmoid(p) - t without its cancellation. From probabilities, q = p, both logarithms are
    clamped from below at -100, and the gradient is that of the clamped function,

        dl/dp = -t [log p > -100] / p + (1 - t) [log(1 - p) > -100] / (1 - p)

    with [.] = 1 where true, else 0: at exactly p = 0 and p = 1 the clamped logarithm is constant,
    so its derivative is 0, and everything is finite. PyTorch clamps the same way, but its gradient
    there divides by max(p (1 - p), 1e-12).

    Attributes:
        from_logits: True if predictions are logits, False if they are probabilities.

    Raises:
        ValueError: The target does not have the prediction's shape, or there are no data.
        TypeError: `from_logits` is not a bool, or the prediction is not floating point.

    Source: Goodfellow, Bengio & Courville, Deep Learning (2016), section 6.2.2.2.
    """

    from_logits: bool = True

    def __post_init__(self) -> None:
        check_bool("from_logits", self.from_logits)

    @property
    def takes_logits(self) -> bool:
        """`from_logits`."""
        return self.from_logits

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Raises a `ValueError` for a target outside [0, 1]."""
        del prediction_shape
        refuse(self, target, (target < 0) | (target > 1), "targets in [0, 1]")

    def value(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns the cross entropy of each element."""
        if self.from_logits:
            return optax.losses.sigmoid_binary_cross_entropy(p, t)
        log_p, log_q = _clamped_logs(p)
        return -t * log_p - (1 - t) * log_q

    def forward(
        self, prediction: ArrayLike, target: ArrayLike
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Returns L, and (prediction, target).

        From logits, l = (1 - t) max(p, 0) + t max(-p, 0) + log(1 + e^-|p|): the exponential is the
        one of the slope, so that a step computes it once. `apply` keeps to the textbook's two
        logarithms, which autodiff can differentiate twice at p = 0 too.
        """
        if not self.from_logits:
            return super().forward(prediction, target)
        p, t = _numbers(self, prediction, target)
        wide = _widened(p)
        linear = (1 - t) * jnp.maximum(wide, 0) + t * jnp.maximum(-wide, 0)
        return jnp.sum(linear + jnp.log1p(_tail(wide))) / self.count(p), (p, t)

    def slope(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns the derivative of each element's cross entropy."""
        if self.from_logits:
            # sigmoid(p) = e^min(p, 0) / (1 + e^-|p|), and sigmoid(-p) likewise.
            weighted = (1 - t) * jnp.exp(jnp.minimum(p, 0)) - t * jnp.exp(jnp.minimum(-p, 0))
            return weighted / (1 + _tail(p))
        log_p, log_q = _clamped_logs(p)
        toward_one = jnp.where(log_p > -100, 1 / p, 0)
        toward_zero = jnp.where(log_q > -100, 1 / (1 - p), 0)
        return (1 - t) * toward_zero - t * toward_one


def _tail(p: jax.Array) -> jax.Array:
    """Returns e^-|p|, whose derivative is taken as 0 at p = 0, halfway between its two slopes."""
    return jnp.exp(-jnp.maximum(p, -p))


@dataclass(frozen=True)
class Hinge(Elementwise):
    """Mean over all elements of l = max(0, 1 - p t), targets t = -1 or +1; dl/dp = -t or 0.

    Kink: at p t = 1 the derivative is -t / 2, halfway, as JAX has it for `maximum`.

    Raises:
        ValueError: The target does not have the prediction's shape, or there are no data.
        TypeError: The prediction is not floating point.

    Source: Cortes & Vapnik, "Support-vector networks" (1995).
    """

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Raises a `ValueError` for a target other than -1 and +1."""
        del prediction_shape
        _check_signs(self, target)

    def value(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns max(0, 1 - p t)."""
        return optax.losses.hinge_loss(p, t)

    def slope(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns -t where p t < 1, -t / 2 at the kink, else 0."""
        return -t * jnp.heaviside(1 - p * t, 0.5)


@dataclass(frozen=True)
class PerceptronLoss(Elementwise):
    """Mean over all elements of l = max(0, -p t), targets t = -1 or +1; dl/dp = -t or 0.

    Its subgradient steps are Rosenblatt's rule, averaged over the batch.

    Kink: at p = 0 the derivative is -t / 2, halfway, as JAX has it for `maximum`; so training can
    leave zero weights.

    Raises:
        ValueError: The target does not have the prediction's shape, or there are no data.
        TypeError: The prediction is not floating point.

    Source: Rosenblatt (1958); Bishop, Pattern Recognition and Machine Learning (2006), 4.1.7.
    """

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Raises a `ValueError` for a target other than -1 and +1."""
        del prediction_shape
        _check_signs(self, target)

    def value(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns max(0, -p t)."""
        return optax.losses.perceptron_loss(p, t)

    def slope(self, p: jax.Array, t: jax.Array) -> jax.Array:
        """Returns -t where p t < 0, -t / 2 at the kink, else 0."""
        return -t * jnp.heaviside(-p * t, 0.5)


@dataclass(frozen=True)
class SoftmaxCrossEntropy:
    """Mean over the samples of l = -sum_k t_k log softmax(p)_k, predictions p `[..., classes]`.

    Targets are integer labels `[...]`, or one-hot or probability vectors `[..., classes]`;

        dl/dp_k = softmax(p)_k sum_j t_j - t_k.

    Values come from shifted log-probabilities: with a difference of logsumexp and a logit, equal
    logits of 1e4 would cost four of float32's seven digits.

    Raises:
        ValueError: The target has neither form, or there are no data.
        TypeError: The prediction is not floating point, or labels are not integers.

    Source: Goodfellow, Bengio & Courville, Deep Learning (2016), section 6.2.2.3.
    """

    @property
    def takes_logits(self) -> bool:
        """True."""
        return True

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Raises a `ValueError` for a label that has no output, or a negative probability."""
        classes = prediction_shape[-1]
        if target.ndim < len(prediction_shape):
            expected = f"labels 0 to {classes - 1}, for {classes} outputs"
            refuse(self, target, (target < 0) | (target >= classes), expected)
        else:
            refuse(self, target, target < 0, "probabilities, not below 0")

    def apply(self, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
        """Returns L."""
        return self.forward(prediction, target)[0]

    def forward(
        self, prediction: ArrayLike, target: ArrayLike
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Returns L, and (prediction, target)."""
        p = check_input(self, prediction, argument="prediction")
        t = self._checked(p, as_array("target", target))
        log_q = jax.nn.log_softmax(_widened(p))
        if t.ndim == p.ndim:
            total = -jnp.sum(t.astype(log_q.dtype) * log_q)
        else:
            # A gather would be a kernel of its own. Labels without an output give NaN.
            chosen = _one_hot(t, p)
            picked = jnp.sum(jnp.where(chosen, log_q, 0), axis=-1)
            total = -jnp.sum(jnp.where(jnp.any(chosen, axis=-1), picked, jnp.nan))
        return total / (p.size // p.shape[-1]), (p, t)

    def backward(self, residuals: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Returns (softmax(p) sum t - t) / samples."""
        p, t = residuals
        q = jax.nn.softmax(_widened(p))
        t = (t if t.ndim == p.ndim else _one_hot(t, p)).astype(q.dtype)
        d = q * jnp.sum(t, axis=-1, keepdims=True) - t
        return (d / (p.size // p.shape[-1])).astype(p.dtype)

    def _checked(self, p: jax.Array, t: jax.Array) -> jax.Array:
        if p.ndim and t.shape == p.shape:
            return t
        if p.ndim and t.shape == p.shape[:-1]:
            if jnp.issubdtype(t.dtype, jnp.integer):
                return t
            raise TypeError(
                f"{self!r}: labels are {t.dtype}, expected integers; use target.astype(jnp.int32)."
            )
        raise ValueError(
            f"{self!r}: target has shape {list(t.shape)} and prediction {list(p.shape)}; expected "
            f"labels of shape {list(p.shape[:-1])} or one-hot vectors of shape {list(p.shape)}."
        )


@dataclass(frozen=True, repr=False)
class AutodiffLoss:
    """L = fun(prediction, target), differentiated by JAX: the twin of `AutodiffLayer`.

    The residuals are prediction and target; `backward` runs `fun` again under `jax.grad`.

    Attributes:
        fun: `(prediction, target) -> scalar`, differentiable by JAX. Of a loss that returns a value
            for each sample, as those of optax do, take the mean.

    Raises:
        TypeError: `fun` is not a function of two arguments or has no hash, JAX cannot trace it, or
            it returns something else than floating point; or the prediction is not floating point.
        ValueError: `fun` returns an array that is not a scalar, or there are no data.
    """

    fun: Callable[[jax.Array, jax.Array], jax.Array]

    def __post_init__(self) -> None:
        check_callable("fun", self.fun, "(prediction, target) -> scalar", 2)
        check_hashable("fun", self.fun, "pass a plain function")

    def __repr__(self) -> str:
        return f"AutodiffLoss({getattr(self.fun, '__qualname__', repr(self.fun))})"

    @property
    def takes_logits(self) -> bool:
        """False: what `fun` takes is not known."""
        return False

    def check(self, prediction_shape: tuple[int, ...], target: NDArray[Any]) -> None:
        """Accepts every target."""
        del prediction_shape, target

    def apply(self, prediction: ArrayLike, target: ArrayLike) -> jax.Array:
        """Returns fun(prediction, target)."""
        p = check_input(self, prediction, argument="prediction")
        name = f"{self!r}: fun"
        value = value_of(name, self.fun, p, as_array("target", target))
        if not jnp.issubdtype(dtype := getattr(value, "dtype", type(value)), jnp.floating):
            raise TypeError(
                f"{name} returned {jnp.dtype(dtype)}, which has no gradient, expected floating "
                "point."
            )
        if jnp.shape(value):
            raise ValueError(
                f"{name} returned shape {list(jnp.shape(value))}, expected a scalar; take "
                "its mean: AutodiffLoss(lambda p, t: fun(p, t).mean())."
            )
        return value

    def forward(
        self, prediction: ArrayLike, target: ArrayLike
    ) -> tuple[jax.Array, tuple[ArrayLike, ArrayLike]]:
        """Returns L, and (prediction, target)."""
        return self.apply(prediction, target), (prediction, target)

    def backward(self, residuals: tuple[jax.Array, jax.Array]) -> jax.Array:
        """Returns dL/dprediction by `jax.grad`."""
        return jax.grad(self.apply)(*residuals)


def refuse(loss: Loss, target: NDArray[Any], wrong: NDArray[Any], expected: str) -> None:
    """Raises a `ValueError` that quotes the first target where `wrong` is True, if there is one."""
    if wrong.any():
        raise ValueError(f"{loss!r}: target has the value {target[wrong][0]}, expected {expected}.")


def _one_hot(labels: jax.Array, p: jax.Array) -> jax.Array:
    """Returns for each class whether it is the label."""
    classes = lax.broadcasted_iota(jnp.int32, p.shape, p.ndim - 1)
    return labels[..., None].astype(jnp.int32) == classes


def _check_signs(loss: Loss, target: NDArray[Any]) -> None:
    expected = "targets -1 and +1 (2 * y - 1 makes them from 0 and 1)"
    refuse(loss, target, abs(target) != 1, expected)


def _numbers(loss: Any, prediction: ArrayLike, target: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Returns both as arrays of one shape, the target in the type of the computation."""
    p = check_input(loss, prediction, argument="prediction")
    t = as_array("target", target)
    if p.shape != t.shape:
        # Broadcasting [n, 1] against [n] would compare every sample with every other.
        fix = " Use target.reshape(prediction.shape)." if p.size == t.size else ""
        raise ValueError(
            f"{loss!r}: target has shape {list(t.shape)}, expected the prediction's shape "
            f"{list(p.shape)}.{fix}"
        )
    return p, t.astype(accumulator(p.dtype))


def _widened(p: jax.Array) -> jax.Array:
    return p.astype(accumulator(p.dtype))


def _clamped_logs(p: jax.Array) -> tuple[jax.Array, jax.Array]:
    """max(log p, -100) and max(log(1 - p), -100), with derivative 0 where a logarithm is -inf.

    The inner `where` keeps autodiff from multiplying the 0 of the clamp by the infinite slope.
    """
    log_p = jnp.log(jnp.where(p == 0, 1, p))
    log_q = jnp.log1p(-jnp.where(p == 1, 0, p))
    return (
        jnp.where(p == 0, -100, jnp.maximum(log_p, -100)),
        jnp.where(p == 1, -100, jnp.maximum(log_q, -100)),
    )
