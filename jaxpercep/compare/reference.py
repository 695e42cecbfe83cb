"""Both gradients in float64 and in the caller's dtype, and how much rounding there is to expect."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

PERTURBATIONS = 4  # runs with every argument moved by one ulp, up or down at random


class Evaluation(NamedTuple):
    """Trees of gradients, as NumPy arrays.

    Attributes:
        autodiff: `jax.grad`, in float64.
        candidate: the hand-written gradient, in float64 where it can.
        spread: for each leaf of `autodiff` the largest change of either side over the
            perturbed runs; None where the structures differ.
        autodiff_native: `jax.grad` in the caller's dtype.
        candidate_native: the hand-written gradient in the caller's dtype.
        formula: the dtype that the two were compared in.
    """

    autodiff: Any
    candidate: Any
    spread: Any
    autodiff_native: Any
    candidate_native: Any
    formula: str


def evaluate(
    fun: Callable[..., Any],
    grad_fun: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | tuple[int, ...],
) -> Evaluation:
    """Evaluates both gradients at args, in float64 also at args moved by an ulp."""
    gradient = jax.grad(fun, argnums)
    autodiff_native = _to_numpy(gradient(*_copied(args)))
    structure = jax.tree.structure(autodiff_native)

    def candidate(*args: Any) -> Any:
        return _to_numpy(_without_value(grad_fun(*args), structure))

    candidate_native = candidate(*_copied(args))
    with jax.enable_x64(True):
        autodiff = _to_numpy(gradient(*_widened(args)))
        manual = candidate(*_widened(args))
        formula = _narrowest(manual)
        if structure_mismatch(autodiff, manual):
            return Evaluation(autodiff, manual, None, autodiff_native, candidate_native, formula)
        if formula == "float64":
            runs = [_widened(args, np.random.default_rng(seed)) for seed in range(PERTURBATIONS)]
            spread = _spread(autodiff, [_to_numpy(gradient(*run)) for run in runs])
            spread = jax.tree.map(
                np.maximum, spread, _spread(manual, [candidate(*r) for r in runs])
            )
        else:
            # The candidate rounds to a narrower type inside; what autodiff loses in the caller's
            # dtype is the rounding to expect of it.
            spread = _spread(autodiff, [autodiff_native])
    return Evaluation(autodiff, manual, spread, autodiff_native, candidate_native, formula)


def structure_mismatch(expected: Any, candidate: Any) -> str | None:
    """Says which leaves are missing, extra or misshapen; None if there are none."""
    shapes, came = (
        {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in leaves}
        for leaves in map(jax.tree.leaves_with_path, (expected, candidate))
    )
    lines = [
        f"missing: grad{path}, shape {list(shapes[path])}" for path in shapes if path not in came
    ]
    lines += [f"extra: grad{path}, shape {list(came[path])}" for path in came if path not in shapes]
    lines += [
        f"misshapen: grad{path}, shape {list(came[path])}, expected {list(shape)}"
        for path, shape in shapes.items()
        if path in came and came[path] != shape
    ]
    return "\n".join(lines) or None


def _without_value(result: Any, structure: Any) -> Any:
    """The grads of a candidate that returns grads or (value, grads)."""
    is_pair = isinstance(result, tuple) and len(result) == 2 and np.shape(result[0]) == ()
    if is_pair and jax.tree.structure(result) != structure:
        return result[1]
    return result


def _is_floating(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return isinstance(leaf, float) if dtype is None else jnp.issubdtype(dtype, jnp.floating)


def _copied(args: Any) -> Any:
    """Copies of the arrays, for a candidate may donate, and so delete, what it is given."""

    def copy(leaf: Any) -> Any:
        return leaf.copy() if isinstance(leaf, (jax.Array, np.ndarray)) else leaf

    return jax.tree.map(copy, args)


def _widened(args: Any, rng: np.random.Generator | None = None) -> Any:
    """Floating leaves in float64, others as they are; with rng, each number moved by an ulp."""

    def widen(leaf: Any) -> Any:
        if not _is_floating(leaf):
            return leaf
        wide = np.asarray(leaf, np.float64)
        if rng is not None:
            wide = np.nextafter(wide, rng.choice([-np.inf, np.inf], wide.shape))
        return jnp.array(wide)

    return jax.tree.map(widen, _copied(args))


def _to_numpy(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


def _narrowest(tree: Any) -> str:
    names = {leaf.dtype.name for leaf in jax.tree.leaves(tree) if _is_floating(leaf)}
    return min(names, key=lambda name: jnp.finfo(name).bits, default="float64")


def _spread(base: Any, others: list[Any]) -> Any:
    def change(leaf: np.ndarray, *moved: np.ndarray) -> np.ndarray:
        return np.max([_largest(np.asarray(m, np.float64) - leaf) for m in moved])

    return jax.tree.map(change, base, *others)


def _largest(array: np.ndarray) -> float:
    return float(np.max(np.abs(array), initial=0.0))
