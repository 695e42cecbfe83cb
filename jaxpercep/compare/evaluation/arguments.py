"""Checks the arguments of a comparison: functions, what they take, and what they return."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep._checks import check_callable
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.program.jaxprs import NEEDS_NUMBERS
from jaxpercep.layer import as_array


def checked(arguments: dict[str, Any]) -> tuple[Any, ...]:
    """Returns the arguments, by their names, with all arrays in this machine's byte order.

    Raises:
        TypeError: A leaf is not an array of numbers, but a string or a masked array, for example.
        ValueError: A leaf holds a number that does not fit the type in which JAX holds it.
    """
    named = arguments.items()
    return tuple(jax.tree.map_with_path(partial(_leaf, name), arg) for name, arg in named)


def numbered(args: Sequence[Any], name: str = "args") -> dict[str, Any]:
    """Names arguments `args[0]`, `args[1]`, ..."""
    return {f"{name}[{i}]": arg for i, arg in enumerate(args)}


def _leaf(argument: str, path: Any, leaf: Any) -> Any:
    """Returns a leaf, in this machine's byte order and a type that JAX knows."""
    name = argument + jax.tree_util.keystr(path)
    if isinstance(leaf, jax.core.Tracer):
        raise TypeError(
            f"{name} is being traced, expected numbers: call the comparison outside of jax.jit, "
            "jax.grad and jax.vmap."
        )
    if isinstance(leaf, jax.Array):
        return leaf
    try:
        as_array(name, np.real(leaf) if np.iscomplexobj(leaf) else leaf)
    except TypeError as error:
        raise TypeError(
            f"{error} Pass arrays of numbers, and bind anything else with functools.partial."
        ) from error
    dtype = getattr(leaf, "dtype", None)
    if dtype is None or (dtype.isnative and dtype.type not in _NARROWED):
        return leaf
    return leaf.astype(_NARROWED.get(dtype.type, dtype.newbyteorder("=")))


_NARROWED: dict[type, type] = {np.longdouble: np.float64, np.clongdouble: np.complex128}


def checked_argnums(argnums: Any, count: int) -> int | tuple[int, ...]:
    """Returns argnums, with plain integers in it.

    Raises:
        TypeError: It does not name arguments.
    """
    several = isinstance(argnums, (tuple, list))
    chosen = argnums if several else (argnums,)
    there_are = "there is 1 argument" if count == 1 else f"there are {count} arguments"
    problem = f"argnums={argnums!r}: {there_are} to differentiate by"
    if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) for n in chosen):
        raise TypeError(f"{problem}; give a position as an integer, or several in a tuple.")
    plain = tuple(map(int, chosen))
    if count == 0:
        raise TypeError(f"{problem}; pass those of fun after the functions.")
    if not plain or not all(-count <= n < count for n in plain):
        raise TypeError(f"{problem}; give positions from 0 to {count - 1}, or from the end.")
    if len({n % count for n in plain}) < len(plain):
        raise TypeError(f"{problem}; give each position once.")
    return plain if several else plain[0]


def refuse_complex(arguments: dict[str, Any]) -> None:
    """Raises a `TypeError` if an argument to differentiate by holds complex numbers."""
    for path, leaf in _named(arguments):
        if trees.is_complex(leaf):
            raise TypeError(
                f"{path} is {jnp.result_type(leaf)}, expected real numbers: pass its real and its "
                "imaginary part, and make it complex inside the function."
            )


def check_data(arguments: dict[str, Any]) -> None:
    """Raises a `TypeError` unless each argument consists of real numbers."""
    refuse_complex(arguments)
    for name, arg in arguments.items():
        for leaf in jax.tree.leaves(arg) or [None]:
            if not _is_numeric(leaf):
                raise TypeError(f"{name} is {_described(leaf)}, expected an array of numbers.")


def returning_reals(argument: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function, which then refuses to return anything but trees of real numbers."""

    @wraps(function)
    def checked_function(*args: Any) -> Any:
        result = function(*args)
        check_result(argument, result)
        return result

    return checked_function


def check_result(argument: str, result: Any) -> None:
    """Raises a `TypeError` if a function has returned anything but a tree of real numbers."""
    for path, leaf in _named({"": result}):
        where = f" at {path}" if path else ""
        if trees.is_complex(leaf):
            raise TypeError(
                f"{argument} returned {jnp.result_type(leaf)}{where}, expected real numbers: the "
                "imaginary part would be lost. Return the real part, if that is what is meant, or "
                "return its real and its imaginary part as two results."
            )
        if isinstance(leaf, np.ma.MaskedArray) or not _is_numeric(leaf):
            raise TypeError(
                f"{argument} returned {_described(leaf)}{where}, expected real numbers: return "
                "arrays, floats, or trees of them."
            )


def shapes_of(fun: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Returns shapes and types of what `fun` returns.

    Raises:
        TypeError: Some of it is not real numbers.
    """
    function = returning_reals("fun", fun)
    try:
        return jax.eval_shape(function, *args)
    except NEEDS_NUMBERS:  # only concrete arguments can tell
        return jax.tree.map(jnp.asarray, function(*trees.copied(args)))


def check_scalar(fun: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Raises a `TypeError` unless `fun` returns one real scalar."""
    shapes = jax.tree.leaves(shapes_of(fun, args))
    if len(shapes) != 1 or shapes[0].shape != ():
        came = ", ".join(str(list(shape.shape)) for shape in shapes)
        raise TypeError(
            f"fun returns arrays of shapes {came or 'none'}, expected one scalar. For a function "
            "whose value is an array, use compare_vjp."
        )
    if not trees.is_floating(shapes[0]):
        raise TypeError(
            f"fun returns {shapes[0].dtype}, expected a floating-point number to differentiate."
        )


def check_finite(args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> None:
    """Raises unless there are numbers to differentiate by, all of them finite."""
    leaves = trees.differentiated(args, argnums)
    flat = jax.tree.leaves(args)
    for position, path in zip(leaves.positions, leaves.paths, strict=True):
        wrong = int(np.sum(~np.isfinite(np.asarray(flat[position], np.float64))))
        if wrong:
            raise ValueError(
                f"the argument at {path or argnums!r} holds {wrong} values that are NaN or "
                "infinite; gradients can only be compared where they exist."
            )


def arguments_of_gradient(
    fun: Any, grad_fun: Any, args: Sequence[Any], argnums: Any
) -> tuple[Callable[..., Any], tuple[Any, ...], int | tuple[int, ...]]:
    """Checks a function and its gradient: returns the gradient, its arguments and argnums.

    Raises:
        TypeError: A function is not callable, or an argument is not a tree of numbers; when it is
            called, if it does not return real numbers.
    """
    check_callable("fun", fun, "of the arguments, with a scalar value")
    check_callable("grad_fun", grad_fun, "of the arguments, which returns the gradient")
    given = checked(numbered(args))
    argnums = checked_argnums(argnums, len(given))
    chosen = (argnums,) if isinstance(argnums, int) else argnums
    refuse_complex({f"args[{n}]": given[n] for n in chosen})
    return returning_reals("grad_fun", grad_fun), given, argnums


def arguments_of_pullback(args: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Returns the arguments, and the positions of those that have a gradient."""
    args = checked(numbered(args))
    refuse_complex(numbered(args))
    chosen = tuple(
        n for n, arg in enumerate(args) if any(map(trees.is_floating, jax.tree.leaves(arg)))
    )
    if not chosen:
        raise TypeError(
            f"args={args!r}: nothing to differentiate by; pass floating-point arrays for fun."
        )
    return args, chosen


def _named(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, arg in arguments.items():
        for path, leaf in jax.tree.leaves_with_path(arg):
            yield name + jax.tree_util.keystr(path), leaf


def _is_numeric(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    if dtype is None:
        return isinstance(leaf, (bool, int, float))
    return jnp.issubdtype(dtype, np.number) or dtype in (np.bool_, jax.dtypes.float0)


def _described(leaf: Any) -> str:
    if leaf is None:
        return "None"
    dtype = getattr(leaf, "dtype", None)
    masked = "a masked array" if isinstance(leaf, np.ma.MaskedArray) else None
    return masked or (f"a {type(leaf).__name__}" if dtype is None else f"an array of {dtype}")
