"""Both gradients in float64 and in the caller's dtype, and how much rounding there is to expect."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.jaxprs import bits, narrowest_float

PERTURBATIONS = 4  # runs with every argument moved by one ulp, up or down at random


class Evaluation(NamedTuple):
    """Trees of gradients, as NumPy arrays.

    Attributes:
        autodiff: `jax.grad`, evaluated in float64.
        candidate: the hand-written gradient, evaluated in float64.
        spread: for each leaf the largest change of either side when the arguments move by an ulp
            of `formula`; None where the structures differ.
        autodiff_native: `jax.grad` in the caller's dtype.
        candidate_native: the hand-written gradient in the caller's dtype.
        formula: the narrowest type that either side computes in although it was given float64.
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
    value_and_gradient = jax.value_and_grad(fun, argnums)
    _, autodiff_native = _to_numpy(value_and_gradient(*_copied(args)))

    def candidate(*args: Any) -> Any:
        return _like(autodiff_native, _to_numpy(_without_value(grad_fun(*args), autodiff_native)))

    candidate_native = candidate(*_copied(args))
    with jax.enable_x64(True):
        value, autodiff = _to_numpy(value_and_gradient(*_widened(args)))
        manual = candidate(*_widened(args))
        formula = _formula((value_and_gradient, grad_fun), manual, args)
        spread = None
        if structure_mismatch(autodiff, manual) is None:
            runs = [_widened(args, seed, formula) for seed in range(PERTURBATIONS)]
            moved = [_to_numpy(value_and_gradient(*run)[1]) for run in runs]
            noise = (_changes(autodiff, moved), _changes(manual, [candidate(*r) for r in runs]))
            spread = _spread(noise, formula, [value, autodiff, moved])
    return Evaluation(autodiff, manual, spread, autodiff_native, candidate_native, formula)


def structure_mismatch(expected: Any, candidate: Any) -> str | None:
    """Says which leaves are missing, extra or misshapen; None if there are none."""
    shapes, came = (
        {path: np.shape(leaf) for path, leaf in _by_path(tree).items()}
        for tree in (expected, candidate)
    )
    lines = [f"missing: grad{p}, shape {list(shapes[p])}" for p in shapes if p not in came]
    lines += [f"extra: grad{p}, shape {list(came[p])}" for p in came if p not in shapes]
    lines += [
        f"misshapen: grad{p}, shape {list(came[p])}, expected {list(shapes[p])}"
        for p in shapes
        if p in came and came[p] != shapes[p]
    ]
    return "\n".join(lines) or None


def _by_path(tree: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def _like(expected: Any, tree: Any) -> Any:
    """The tree in the containers of `expected` (a dict for an OrderedDict), if the paths agree."""
    leaves = _by_path(tree)
    if leaves.keys() != (paths := _by_path(expected)).keys():
        return tree
    return jax.tree.unflatten(jax.tree.structure(expected), [leaves[path] for path in paths])


def _without_value(result: Any, expected: Any) -> Any:
    """The grads of a candidate that returns grads or (value, grads)."""
    if isinstance(result, tuple) and len(result) == 2:
        starts_with_a_number = jax.tree.structure(result[0]).num_nodes == 1 and (
            np.shape(result[0]) == ()
        )
        if starts_with_a_number and _by_path(result).keys() != _by_path(expected).keys():
            return result[1]
    return result


def _formula(functions: tuple[Any, ...], manual: Any, args: tuple[Any, ...]) -> str:
    """The narrowest type at work: inside of what can be traced, or in the candidate's result."""
    inside = (narrowest_float(function, _widened(args)) for function in functions)
    returned = (leaf.dtype.name for leaf in jax.tree.leaves(manual) if _is_floating(leaf))
    return min((*filter(None, inside), *returned), key=bits)


def _spread(noise: tuple[Any, Any], formula: str, scales: Any) -> Any:
    """For each leaf the largest change that rounding explains.

    A larger change than eps^(1/4) of everything in sight is a jump: an ulp decided which side of a
    kink or of a discontinuity the arguments are on. That says nothing of rounding.
    """
    size = max((_largest(leaf) for leaf in jax.tree.leaves(scales)), default=0.0)
    jump = float(jnp.finfo(formula).eps) ** 0.25 * size

    def largest(*changes: list[float]) -> float:
        return max((c for side in changes for c in side if c <= jump), default=0.0)

    return jax.tree.map(largest, *noise, is_leaf=lambda node: isinstance(node, _Changes))


class _Changes(list[float]):
    """A leaf's largest change in each perturbed run."""


def _changes(base: Any, runs: list[Any]) -> Any:
    def change(leaf: np.ndarray, *moved: np.ndarray) -> _Changes:
        with np.errstate(invalid="ignore"):  # inf - inf
            return _Changes(_largest(m - leaf) for m in moved)

    return jax.tree.map(change, base, *runs)


def _largest(array: Any) -> float:
    """The largest absolute value; nan if there is one."""
    return float(np.max(np.abs(np.asarray(array, np.float64)), initial=0.0))


def _is_floating(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return isinstance(leaf, float) if dtype is None else jnp.issubdtype(dtype, jnp.floating)


def _copied(args: Any) -> Any:
    """Copies of the arrays, for a candidate may donate, and so delete, what it is given."""

    def copy(leaf: Any) -> Any:
        return leaf.copy() if isinstance(leaf, (jax.Array, np.ndarray)) else leaf

    return jax.tree.map(copy, args)


def _widened(args: Any, seed: int | None = None, formula: str = "float64") -> Any:
    """Floating leaves in float64, others as they are; with a seed, each moved by an ulp."""
    rng = np.random.default_rng(seed)

    def widen(leaf: Any) -> Any:
        if not _is_floating(leaf):
            return leaf
        wide = np.asarray(leaf, np.float64)
        if seed is not None:
            wide = wide * (1 + float(jnp.finfo(formula).eps) * rng.choice([-1.0, 1.0], wide.shape))
        return jnp.array(wide)

    return jax.tree.map(widen, _copied(args))


def _to_numpy(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)
