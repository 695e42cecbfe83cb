"""Draws other arguments of the same shapes and kinds: labels, probabilities, unit vectors."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees

Manner: TypeAlias = Literal["kind", "general", "near"]
"""How far to go: `"kind"` keeps positive numbers positive, `"near"` moves by at most a half."""


def draw(
    values: Sequence[Any], differentiated: Sequence[int], manner: Manner, seed: int
) -> list[Any]:
    """Draws values for all leaves of the arguments.

    Integers stay in their range, rows that are one-hot, or of length 1, or sum to 1, remain so, and
    so do symmetric matrices of data and positive definite ones. Scalars that are not differentiated
    move by up to a half.

    Args:
        values: of the leaves.
        differentiated: the positions of those to differentiate by, which are never labels.
        manner: how far to go.
        seed: of the draw.
    """
    rng = np.random.default_rng((seed, 1009))
    return [_drawn(v, i in differentiated, manner, rng) for i, v in enumerate(values)]


def _drawn(value: Any, differentiated: bool, manner: Manner, rng: np.random.Generator) -> Any:
    if not _is_number(value):
        return value
    given = np.asarray(value)
    if given.dtype == np.bool_:
        return like(value, _booleans(given, manner, rng))
    if not trees.is_floating(value):
        if not given.ndim or manner == "near":
            return value
        whole = _whole(given, rng)
        return like(value, _repeating(whole, rng) if manner == "general" else whole)
    wide = np.asarray(value, np.float64)
    if not wide.size or not np.isfinite(wide).all():
        return value
    return like(value, _floats(wide, differentiated, manner, rng))


def like(value: Any, made: Any) -> Any:
    """Converts numbers to the type and the container of a value."""
    if isinstance(value, jax.Array):
        return jnp.asarray(made, value.dtype)
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(made).astype(value.dtype)
    return type(value)(made)


def _is_number(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return isinstance(value, (bool, int, float))
    if jax.dtypes.issubdtype(dtype, jax.dtypes.extended) or dtype == jax.dtypes.float0:
        return False
    return dtype.kind in "biufV"


def _booleans(given: np.ndarray, manner: Manner, rng: np.random.Generator) -> Any:
    """Shuffles a mask, or draws one that is the same everywhere; it may have a structure."""
    if manner != "general" or not given.ndim:
        return given
    mixed = given.any() and not given.all()
    return rng.permuted(given) if mixed else rng.random(given.shape) < 0.5


def _whole(given: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws whole numbers in the range of those given."""
    if not given.size:
        return given
    low, high = int(given.min()), int(given.max())
    return rng.integers(low, high, given.shape, endpoint=True).astype(given.dtype)


def _repeating(whole: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replaces about half of some numbers by one of them: an index then occurs twice."""
    return np.where(rng.random(whole.shape) < 0.5, whole.ravel()[:1], whole)


def _floats(
    wide: np.ndarray, differentiated: bool, manner: Manner, rng: np.random.Generator
) -> np.ndarray:
    special = _special(wide, differentiated, rng)
    if special is not None:
        return wide if manner == "near" else special
    if manner == "near" or (not differentiated and wide.ndim == 0 and wide.any()):
        return wide * (1 + rng.uniform(-0.5, 0.5, wide.shape))
    if manner == "general":
        return rng.normal(size=wide.shape)
    size = float(np.sqrt(np.mean(wide**2)))
    if not size:  # of data: 0 may be a probability, a label, a coefficient
        return rng.normal(size=wide.shape) if differentiated else rng.uniform(size=wide.shape)
    if np.all(wide > 0) and np.all(wide < 1):
        return rng.uniform(0.05, 0.95, wide.shape)
    if np.all(wide > 0):
        return size * np.exp(0.5 * rng.normal(size=wide.shape))
    return size * rng.normal(size=wide.shape)


def _special(wide: np.ndarray, differentiated: bool, rng: np.random.Generator) -> np.ndarray | None:
    """Draws numbers under the constraint that those given fulfil, or returns None without one."""
    normal = rng.normal(size=wide.shape)
    rows = wide.ndim > 0 and wide.shape[-1] > 1
    sums = rows and bool(np.all(wide >= 0) and np.allclose(wide.sum(-1), 1, atol=1e-4))
    whole = bool(np.all(wide == np.round(wide)))
    if not differentiated and whole and sums:
        return np.eye(wide.shape[-1])[rng.integers(wide.shape[-1], size=wide.shape[:-1])]
    if not differentiated and whole and np.ptp(wide) > 0 and np.abs(wide).max() < 2**31:
        return _whole(wide, rng)
    if sums and not whole:
        powers = np.exp(normal)
        return powers / powers.sum(-1, keepdims=True)
    if rows and not whole and np.allclose(np.linalg.norm(wide, axis=-1), 1, atol=1e-5):
        return normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    return _symmetric(wide, differentiated, normal)


def _symmetric(wide: np.ndarray, differentiated: bool, normal: np.ndarray) -> np.ndarray | None:
    """Draws a symmetric matrix, positive definite where the one given is."""
    square = wide.ndim == 2 and wide.shape[0] == wide.shape[1] > 1
    if not square or not np.array_equal(wide, wide.T) or _is_degenerate(wide):
        return None
    size = float(np.sqrt(np.mean(wide**2)))
    if np.linalg.eigvalsh(wide)[0] > 0:
        return size * (normal @ normal.T / len(wide) + np.eye(len(wide)))
    return None if differentiated else size * (normal + normal.T) / np.sqrt(2)


def _is_degenerate(matrix: np.ndarray) -> bool:
    """Returns True for a diagonal or a constant matrix, which is symmetric by chance."""
    return not np.any(matrix - np.diag(np.diag(matrix))) or np.ptp(matrix) == 0
