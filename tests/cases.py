"""One table of layers and one of losses: they drive the contract tests. And the checker they share.

Every layer case takes x [4, 3], so that the compiled primitives are shared between the cases.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxpercep as jp

BATCH, FEATURES = 4, 3
ROUNDING = 1e-12  # of float64, relative to the largest number of a leaf
ACTIVATIONS = (
    jp.identity,
    jp.step,
    jp.sigmoid,
    jp.tanh,
    jp.relu,
    jp.leaky_relu,
    jp.elu,
    jp.softplus,
    jp.silu,
    jp.gelu,
)


@dataclass(frozen=True)
class Case:
    """A layer, the shape of its input, and how many numbers its residuals may hold."""

    name: str
    layer: Any
    shape: tuple[int, ...]
    kept: int


@dataclass(frozen=True)
class LossCase:
    """A loss, how to draw (prediction, target), and its value written once more in NumPy."""

    name: str
    loss: Any
    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    reference: Callable[[np.ndarray, np.ndarray], float]


def foreign_init(key):
    return {"w": jax.random.normal(key, (FEATURES, FEATURES))}


def foreign_apply(params, x):
    return jnp.sin(x @ params["w"])


def layer_case(name: str, layer: Any, boundaries: float) -> Case:
    """A case for x [4, 3] whose residuals hold `boundaries` arrays of that size."""
    return Case(name, layer, (BATCH, FEATURES), round(boundaries * BATCH * FEATURES))


DENSE = jp.Dense(FEATURES, FEATURES)
DENSE_TANH = jp.Serial(DENSE, jp.tanh)
FOREIGN = jp.AutodiffLayer(foreign_init, foreign_apply)
MEAN_AND_R = 2 / FEATURES  # one number each a sample

LAYERS = (
    *(layer_case(repr(activation), activation, 1) for activation in ACTIVATIONS),
    layer_case("dense", jp.Dense(FEATURES, 2), 1),
    layer_case("dense_without_bias", jp.Dense(FEATURES, 2, use_bias=False), 1),
    layer_case("layer_norm", jp.LayerNorm(FEATURES), 1 + MEAN_AND_R),
    layer_case("layer_norm_epsilon", jp.LayerNorm(FEATURES, epsilon=0.5), 1 + MEAN_AND_R),
    layer_case("autodiff_layer", FOREIGN, 1),
    layer_case("perceptron", jp.perceptron(FEATURES), 1 + 1 / FEATURES),
    layer_case("mlp", jp.mlp([FEATURES, 3, 3, 2], jp.tanh), 3),
    layer_case("mlp_gelu", jp.mlp([FEATURES, 3, 3, 2], jp.gelu), 5),
    layer_case("mlp_output", jp.mlp([FEATURES, 3, 3], jp.relu, jp.sigmoid, use_bias=False), 3),
    layer_case("serial", jp.Serial(DENSE, jp.sigmoid, DENSE, jp.tanh), 3),
    layer_case("serial_of_serial", jp.Serial(DENSE_TANH, jp.Serial(DENSE, jp.sigmoid)), 3),
    layer_case("residual_dense", jp.Residual(DENSE), 1),
    layer_case("residual_of_residual", jp.Residual(jp.Residual(DENSE_TANH)), 2),
    layer_case("serial_of_residuals", jp.Serial(jp.Residual(DENSE_TANH), jp.Residual(DENSE)), 3),
    layer_case("foreign_in_serial", jp.Serial(DENSE_TANH, FOREIGN, jp.sigmoid), 3),
    layer_case("repeat_dense", jp.Repeat(DENSE, 4), 4 + 1),
    layer_case("repeat_dense_tanh", jp.Repeat(DENSE_TANH, 4), 4 + 1),
    layer_case("repeat_once", jp.Repeat(DENSE_TANH, 1), 1 + 1),
    layer_case("repeat_activation", jp.Repeat(jp.tanh, 4), 4 + 1),
    layer_case("repeat_layer_norm", jp.Repeat(jp.LayerNorm(FEATURES), 3), 4 + 3 * MEAN_AND_R),
    layer_case("repeat_in_serial", jp.Serial(DENSE_TANH, jp.Repeat(DENSE_TANH, 3), DENSE), 1 + 4),
    layer_case("repeat_of_repeat", jp.Repeat(jp.Repeat(DENSE_TANH, 2), 2), 4 + 1),
    layer_case(
        "transformer_like",
        jp.Serial(
            DENSE,
            jp.Repeat(jp.Residual(jp.Serial(jp.LayerNorm(FEATURES), DENSE, jp.silu)), 3),
            jp.LayerNorm(FEATURES),
            jp.Dense(FEATURES, 1),
        ),
        # x; each block's mean, r, normalized input, silu's input; boundaries; mean, r, normalized
        1 + 3 * (MEAN_AND_R + 2) + 4 + MEAN_AND_R + 1,
    ),
)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[labels]


def normals_and(target: Callable[..., np.ndarray], *shape: int):
    """Draws standard normal predictions, and targets from `target(rng, shape)`."""

    def draw(rng):
        return rng.normal(size=shape), target(rng, shape)

    return draw


def probabilities_and_bits(rng):
    return rng.uniform(0.05, 0.95, (BATCH, 2)), rng.integers(0, 2, (BATCH, 2))


def reals(rng, shape):
    return rng.normal(size=shape)


def bits(rng, shape):
    return rng.integers(0, 2, shape)


def fractions(rng, shape):
    return rng.uniform(size=shape)


def signs(rng, shape):
    return 2 * rng.integers(0, 2, shape) - 1


def labels(rng, shape):
    return rng.integers(0, shape[-1], shape[:-1])


def one_hots(rng, shape):
    return one_hot(labels(rng, shape), shape[-1])


def soft_targets(rng, shape):
    return rng.uniform(size=shape)  # on purpose not normalized


def cross_entropy(q, t):
    return np.mean(-t * np.log(q) - (1 - t) * np.log(1 - q))


def logistic_cross_entropy(z, t):
    return cross_entropy(1 / (1 + np.exp(-z)), t)


def softmax_cross_entropy(z, t):
    t = one_hot(t, z.shape[-1]) if t.ndim < z.ndim else t
    q = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    return np.mean(-np.sum(t * np.log(q), -1))


SQUARES = normals_and(reals, BATCH, 2)
LOSSES = (
    LossCase("mean", jp.SquaredError(), SQUARES, lambda p, t: np.mean((p - t) ** 2)),
    LossCase(
        "batch_mean",
        jp.SquaredError(reduction="batch_mean"),
        SQUARES,
        lambda p, t: np.mean(np.sum((p - t) ** 2, -1)),
    ),
    LossCase("sum", jp.SquaredError(0.5, "sum"), SQUARES, lambda p, t: np.sum((p - t) ** 2) / 2),
    LossCase(
        "batch_mean_of_sequences",
        jp.SquaredError(3.0, "batch_mean"),
        normals_and(reals, 2, BATCH, 3),
        lambda p, t: 3 * np.mean(np.sum((p - t) ** 2, -1)),
    ),
    LossCase(
        "bce_logits", jp.BinaryCrossEntropy(), normals_and(bits, BATCH, 2), logistic_cross_entropy
    ),
    LossCase(
        "bce_logits_soft",
        jp.BinaryCrossEntropy(),
        normals_and(fractions, BATCH, 2),
        logistic_cross_entropy,
    ),
    LossCase(
        "bce_probabilities",
        jp.BinaryCrossEntropy(from_logits=False),
        probabilities_and_bits,
        cross_entropy,
    ),
    *(
        LossCase(
            f"softmax_{target.__name__}",
            jp.SoftmaxCrossEntropy(),
            normals_and(target, BATCH, 5),
            softmax_cross_entropy,
        )
        for target in (labels, one_hots, soft_targets)
    ),
    LossCase(
        "hinge",
        jp.Hinge(),
        normals_and(signs, BATCH, 2),
        lambda p, t: np.mean(np.maximum(0, 1 - p * t)),
    ),
    LossCase(
        "perceptron_loss",
        jp.PerceptronLoss(),
        normals_and(signs, BATCH, 2),
        lambda p, t: np.mean(np.maximum(0, -p * t)),
    ),
)


def normal_like(tree: Any, rng: np.random.Generator, dtype: Any) -> Any:
    """A tree of the same structure and shapes, filled with standard normal numbers.

    They are numbers of bfloat16 in whatever type, so that every type computes on the same.
    """

    def fill(leaf):
        return rng.normal(size=leaf.shape).astype(jnp.bfloat16).astype(dtype)

    return jax.tree.map(lambda leaf: jnp.asarray(fill(leaf)), tree)


def draw_params(layer: Any, rng: np.random.Generator, dtype: Any = np.float64) -> Any:
    """Parameters that are normal throughout: no bias is 0 and no scale is 1."""
    return normal_like(jax.eval_shape(layer.init, jax.random.key(0)), rng, dtype)


def draw(case: Case, dtype: Any = np.float64, seed: int = 0) -> tuple[Any, jax.Array, jax.Array]:
    """Draws (params, x, dy)."""
    rng = np.random.default_rng(seed)
    params = draw_params(case.layer, rng, dtype)
    x = normal_like(np.empty(case.shape), rng, dtype)
    y = jax.eval_shape(case.layer.apply, params, x)
    return params, x, normal_like(y, rng, dtype)


def pull_back(layer: Any, params: Any, x: jax.Array, dy: jax.Array) -> tuple[Any, jax.Array]:
    """(dparams, dx) by the layer's own rule."""
    _, residuals = layer.forward(params, x)
    return layer.backward(params, residuals, dy)


def autodiff_pull_back(
    layer: Any, params: Any, x: jax.Array, dy: jax.Array
) -> tuple[Any, jax.Array]:
    """(dparams, dx) by `jax.vjp` of apply."""
    return jax.vjp(layer.apply, params, x)[1](dy)


def relative_error(actual: Any, expected: Any) -> float:
    """max |actual - expected| / max |expected|; absolute where all that is expected is 0."""
    actual, expected = (np.asarray(leaf, np.float64) for leaf in (actual, expected))
    scale = np.max(np.abs(expected), initial=0.0)
    return np.max(np.abs(actual - expected), initial=0.0) / (scale or 1.0)


def assert_same_form(actual: Any, expected: Any) -> None:
    """Both trees have one structure, and their leaves one shape and dtype."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, a), e in zip(
        jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    ):
        assert (a.shape, a.dtype) == (e.shape, e.dtype), jax.tree_util.keystr(path)


def assert_same_value(loss: jp.Loss, forwarded: Any, applied: Any, rounding: float) -> None:
    """Asks for the same bits, but of the cross entropy of logits, which is written twice."""
    rtol = rounding if loss == jp.BinaryCrossEntropy() else 0
    np.testing.assert_allclose(forwarded, applied, rtol)


def assert_same_output(actual: Any, expected: Any) -> None:
    """`forward` and `apply` return the same, to 16 units in the last place.

    On some processors XLA fuses, and so rounds, a loop that keeps residuals in another way.
    """
    np.testing.assert_array_max_ulp(np.asarray(actual), np.asarray(expected), 16)


def assert_agree(actual: Any, expected: Any, tolerance: float = ROUNDING) -> None:
    """Both trees have one form, and no leaf is further off than `tolerance`, relative."""
    assert_same_form(actual, expected)
    for (path, a), e in zip(
        jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    ):
        error = relative_error(a, e)
        assert error <= tolerance, f"{jax.tree_util.keystr(path)}: {error}\n{a}\n{e}"


def assert_right_pullback(layer: Any, params: Any, x: jax.Array, dy: jax.Array) -> None:
    """The layer's own rule gives what autodiff gives."""
    assert_agree(pull_back(layer, params, x, dy), autodiff_pull_back(layer, params, x, dy))
