"""Gradients as lists of leaves: those to differentiate by, and those that a candidate returns."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Leaves(NamedTuple):
    """The leaves of the arguments to differentiate by.

    Attributes:
        positions: of the floating-point ones among all leaves of all arguments.
        paths: of the same in the gradient, as `jax.tree_util.keystr` writes them.
        other: path and dtype of the leaves that are not floating point, and have no gradient.
    """

    positions: tuple[int, ...]
    paths: tuple[str, ...]
    other: tuple[tuple[str, str], ...]


class Answer(NamedTuple):
    """A candidate's gradient, laid out on the expected leaves.

    Attributes:
        leaves: an array each, or None for a missing one.
        frozen: the positions of leaves that it returns as None, on purpose.
        extra: path and shape of leaves that no argument has.
    """

    leaves: list[np.ndarray | None]
    frozen: frozenset[int]
    extra: tuple[tuple[str, tuple[int, ...]], ...]


def differentiated(args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> Leaves:
    """Lists the leaves to differentiate by.

    Raises:
        TypeError: None is floating point.
    """
    chosen = (argnums,) if isinstance(argnums, int) else argnums
    chosen = tuple(n % len(args) for n in chosen)
    starts = np.cumsum([0, *(len(jax.tree.leaves(arg)) for arg in args)])
    found: list[tuple[int, str]] = []
    other: list[tuple[str, str]] = []
    for place, n in enumerate(chosen):
        prefix = "" if isinstance(argnums, int) else f"[{place}]"
        for i, (path, leaf) in enumerate(jax.tree.leaves_with_path(args[n])):
            name = prefix + jax.tree_util.keystr(path)
            if is_floating(leaf):
                found.append((int(starts[n]) + i, name))
            else:
                other.append((name, str(jnp.result_type(leaf))))
    if not found:
        what = ", ".join(f"{name or 'the argument'} is {dtype}" for name, dtype in other)
        raise TypeError(
            f"argnums={argnums!r}: nothing to differentiate by ({what or 'no leaves'}); pass "
            "floating-point arrays there."
        )
    positions, paths = zip(*found, strict=True)
    return Leaves(positions, paths, tuple(other))


def answer(result: Any, leaves: Leaves) -> Answer:
    """Lays out a candidate's result, grads or (value, grads), on the expected leaves.

    Names and positions count, not containers: a dict may answer for a dataclass.
    """
    came = _by_name(_without_value(result, leaves))
    expected = {_plain(path): i for i, path in enumerate(leaves.paths)}
    passed = {_plain(path) for path, _ in leaves.other}
    found: list[np.ndarray | None] = [None] * len(leaves.paths)
    frozen: set[int] = set()
    extra: list[tuple[str, tuple[int, ...]]] = []
    for name, (path, leaf) in came.items():
        if name in expected:
            found[expected[name]] = None if leaf is None else np.asarray(leaf)
            if leaf is None:
                frozen.add(expected[name])
        elif name not in passed and leaf is not None:
            extra.append((path, np.shape(leaf)))
    if len(frozen) == len(found):  # nothing at all: a forgotten `return`
        frozen = set()
    return Answer(found, frozenset(frozen), tuple(extra))


def laid_out(result: Any, args: tuple[Any, ...], argnums: tuple[int, ...]) -> tuple[Any, ...]:
    """Lays out a result in the containers of the arguments; None for leaves without a gradient."""
    expected = differentiated(args, argnums)
    came, paths = _by_name(result), dict(zip(expected.positions, expected.paths, strict=True))
    found = (
        came.get(_plain(paths[i]), ("", None))[1] if i in paths else None
        for i in range(len(jax.tree.leaves(args)))
    )
    whole = jax.tree.unflatten(jax.tree.structure(args), found)
    return tuple(whole[n] for n in argnums)


def _without_value(result: Any, leaves: Leaves) -> Any:
    """Returns the grads of a result that is grads or (value, grads)."""
    if isinstance(result, tuple) and len(result) == 2:
        starts_with_a_number = jax.tree.structure(result[0]).num_nodes == 1 and (
            np.shape(result[0]) == ()
        )
        expected = {_plain(path) for path in leaves.paths}
        if starts_with_a_number and expected - {_plain(p) for p, _ in leaves.other} != set(
            _by_name(result)
        ):
            return result[1]
    return result


def _by_name(tree: Any) -> dict[str, tuple[str, Any]]:
    pairs = jax.tree.leaves_with_path(tree, is_leaf=_is_none)
    paths = ((jax.tree_util.keystr(path), leaf) for path, leaf in pairs)
    return {_plain(path): (path, leaf) for path, leaf in paths}


def _is_none(node: Any) -> bool:
    return node is None


def _plain(path: str) -> str:
    """Strips a path of the kind of container: `.w`, `['w']` and `w` are the same name."""
    for mark in ("['", '["', "']", '"]', "[", "]"):
        path = path.replace(mark, ".")
    return ".".join(part for part in path.split(".") if part)


def is_floating(leaf: Any) -> bool:
    """Returns True for leaves with a gradient: floating-point arrays and Python floats."""
    dtype = getattr(leaf, "dtype", None)
    return isinstance(leaf, float) if dtype is None else jnp.issubdtype(dtype, jnp.floating)


def is_complex(leaf: Any) -> bool:
    """Returns True for complex arrays and numbers."""
    dtype = getattr(leaf, "dtype", None)
    return isinstance(leaf, complex) if dtype is None else jnp.issubdtype(dtype, np.complexfloating)


def copied(args: Any) -> Any:
    """Copies the arrays, since a candidate may donate, and so delete, its arguments."""

    def copy(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.device_put(np.array(leaf), leaf.sharding)  # leaf.copy() compiles a program
        return leaf.copy() if isinstance(leaf, (jax.Array, np.ndarray)) else leaf

    return jax.tree.map(copy, args)


def in_numpy(args: Any) -> Any:
    """Copies the arrays as those of NumPy, which compile nothing; keys of JAX stay as they are."""

    def copy(leaf: Any) -> Any:
        is_array = isinstance(leaf, (jax.Array, np.ndarray))
        is_key = is_array and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.array(leaf) if is_array and not is_key else leaf

    return jax.tree.map(copy, args)


def cast(args: Any, dtype: str) -> Any:
    """Converts floating-point leaves to another type, complex ones to the complex type as wide."""

    def convert(leaf: Any) -> Any:
        if is_complex(leaf):
            return jnp.array(leaf, np.complex128 if dtype == "float64" else np.complex64)
        if not is_floating(leaf):
            return leaf
        return jnp.asarray(np.asarray(leaf, np.float64).astype(jnp.dtype(dtype)))

    return jax.tree.map(convert, copied(args))


def nudged(args: Any, eps: float, seed: int) -> Any:
    """Moves each number of the floating-point leaves up or down, by a relative eps / 2 to eps."""
    leaves, structure = jax.tree.flatten(copied(args))

    def move(i: int, leaf: Any) -> Any:
        if not is_floating(leaf):
            return leaf
        wide = np.asarray(leaf, np.float64)
        return jnp.array(wide * (1 + eps * moves((seed, i), wide.size).reshape(wide.shape)))

    return jax.tree.unflatten(structure, [move(i, leaf) for i, leaf in enumerate(leaves)])


def moves(seed: int | tuple[int, ...], count: int) -> np.ndarray:
    """Draws numbers of size 0.5 to 1 and either sign: two of them rarely cancel."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], count) * rng.uniform(0.5, 1, count)


def largest(array: Any) -> float:
    """Returns the largest absolute value, or nan if any number is nan."""
    return float(np.max(np.abs(np.asarray(array, np.float64)), initial=0.0))


def distance(a: Any, b: Any) -> float:
    """max |a - b|; infinite if either is not finite somewhere, or if their shapes differ."""
    if np.shape(a) != np.shape(b):
        return float("inf")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.where(np.isfinite(a) & np.isfinite(b), np.abs(a - b), np.inf)
    return float(np.max(apart, initial=0.0))


def distances(some: Iterable[Any], others: Iterable[Any]) -> list[float]:
    """Returns the `distance` of each pair; 0 where one of the two is None."""
    return [
        0.0 if a is None or b is None else distance(a, b) for a, b in zip(some, others, strict=True)
    ]


def larger(some: Iterable[float], others: Iterable[float]) -> list[float]:
    """Returns the larger of each pair."""
    return [max(pair) for pair in zip(some, others, strict=True)]


def implied_gradient(params: Any, updated: Any, rate: float) -> dict[str, Any]:
    """(params - updated) / rate by the leaves' names; leaves that do not fit stay unchanged."""
    before, after = _by_name(params), _by_name(updated)

    def implied(name: str, leaf: Any) -> Any:
        _, own = before.get(name, (name, None))
        if own is None or leaf is None or np.shape(own) != np.shape(leaf):
            return leaf
        return (_array(own) - _array(leaf)) / rate

    return {name: implied(name, leaf) for name, (_, leaf) in after.items()}


def _array(leaf: Any) -> Any:
    return leaf if isinstance(leaf, (jax.Array, np.ndarray)) else jnp.asarray(leaf)
