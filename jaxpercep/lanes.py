"""`jax.vmap` with the mapped axis last, for functions of small arrays.

`jax.vmap` puts the mapped axis first, and a product of small matrices becomes a library call for
each. Here it stays last: neighbours in memory are the same number of neighbouring networks, and
every operation on them is elementwise, in vector instructions. Since the mapped axis is last, the
others keep their numbers, and most operations are applied as they stand.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from operator import add, mul
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jaxpercep.products import multiplications, multiply_and_sum

_ELEMENTWISE = (
    "abs add add_any and atan2 cbrt ceil clamp convert_element_type copy cos cosh div eq erf "
    "erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le lgamma log log1p logistic lt "
    "max min mul ne neg nextafter not or pow rem round rsqrt select_n sign sin sinh sqrt square "
    "stop_gradient sub tan tanh xor"
)
_ALONG_AXES = (
    "argmax argmin cumsum reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum rev "
    "squeeze"
)
ELEMENTWISE, ALONG_AXES = frozenset(_ELEMENTWISE.split()), frozenset(_ALONG_AXES.split())
CALLS = {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "jit": "jaxpr"}

MOST = 2048  # multiplications of a product, up to which lanes are faster than `jax.vmap`
WRITTEN_OUT = 32  # terms, up to which a sum is written out where that is faster
# JAX 0.10 takes 8 times as long for a sum that is written out, later ones a fifteenth.
_WRITE_OUT = jax.__version_info__ >= (0, 11)


class Lanes(NamedTuple):
    """A value of a function in lanes.

    Attributes:
        array: the value.
        mapped: True if its last axis is the mapped one.
        factors: the two arrays of which it is the product, if it is one.
    """

    array: jax.Array
    mapped: bool
    factors: Sequence[jax.Array] = ()


def in_lanes(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `jax.vmap(fun, (-1, None, ...), out_axes=-1)`: the first argument alone is mapped."""

    def mapped(first: Any, *others: Any) -> Any:
        one = jax.tree.map(_one, first)
        closed, out = jax.make_jaxpr(fun, return_shape=True)(one, *others)
        values = [Lanes(a, True) for a in jax.tree.leaves(first)]
        values += [Lanes(a, False) for a in jax.tree.leaves(others)]
        lanes = values[0].array.shape[-1]
        results = _evaluate(closed, values, lanes)
        return jax.tree.structure(out).unflatten(_widened(value, lanes) for value in results)

    return mapped


def suits_lanes(fun: Callable[..., Any], *args: Any) -> bool:
    """Returns False if `fun` has a product so large that `jax.vmap` is faster, or a loop."""
    return all(
        equation.primitive.name not in ("scan", "while", "conv_general_dilated")
        and _work(equation) <= MOST
        for equation in _equations(jax.make_jaxpr(fun)(*args).jaxpr)
    )


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for equation in jaxpr.eqns:
        if (name := CALLS.get(equation.primitive.name)) is not None:
            yield from _equations(equation.params[name].jaxpr)
        else:
            yield equation


def _work(equation: core.JaxprEqn) -> int:
    """Returns the multiplications of a product, which may be written as one and a sum."""
    if equation.primitive.name == "dot_general":
        a, b = (variable.aval for variable in equation.invars)
        return multiplications(a, b, equation.params["dimension_numbers"][0])
    return math.prod(_form(equation.outvars[0]).shape)


def _evaluate(closed: core.ClosedJaxpr, args: Sequence[Lanes], lanes: int) -> list[Lanes]:
    """Evaluates a program operation by operation."""
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.invars, args, strict=True))
    known |= {v: Lanes(c, False) for v, c in zip(jaxpr.constvars, closed.consts, strict=True)}

    def read(variable: Any) -> Lanes:
        if isinstance(variable, core.Literal):
            return Lanes(variable.val, False)
        return known[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        known |= zip(equation.outvars, _apply(equation, operands, lanes), strict=True)
    return [read(variable) for variable in jaxpr.outvars]


def _apply(equation: core.JaxprEqn, operands: list[Lanes], lanes: int) -> list[Lanes]:
    """Applies one operation to values in lanes."""
    name, params = equation.primitive.name, equation.params
    if name in CALLS:
        return _evaluate(params[CALLS[name]], operands, lanes)
    if not any(operand.mapped for operand in operands):
        arrays = _bind(equation, *(operand.array for operand in operands))
        return [Lanes(array, False) for array in arrays]
    if name == "dot_general" and not any(params["dimension_numbers"][1]):
        axes, dtype = params["dimension_numbers"][0], _form(equation.outvars[0]).dtype
        forms = [_form(variable) for variable in equation.invars]
        product = partial(multiply_and_sum, axes=axes, dtype=dtype)
        return _evaluate(jax.make_jaxpr(product)(*forms), operands, lanes)
    if name in ELEMENTWISE:
        return _apply_elementwise(equation, operands, lanes)
    return [Lanes(array, True) for array in _apply_to_axes(equation, operands, lanes)]


def _apply_elementwise(equation: core.JaxprEqn, operands: list[Lanes], lanes: int) -> list[Lanes]:
    """Applies it as it stands, and notes the factors of a product."""
    shape = _form(equation.outvars[0]).shape
    aligned = [_aligned(operand, shape, lanes) for operand in operands]
    whole = equation.primitive.name == "mul" and all(
        np.ndim(array) == len(shape) + 1 for array in aligned
    )
    return [Lanes(array, True, aligned if whole else ()) for array in _bind(equation, *aligned)]


def _apply_to_axes(
    equation: core.JaxprEqn, operands: list[Lanes], lanes: int
) -> Sequence[jax.Array]:
    """Applies an operation that names axes, by `jax.vmap` if there is no rule here."""
    name, params = equation.primitive.name, equation.params
    arrays = [operand.array for operand in operands]
    if name == "reduce_sum" and _WRITE_OUT:
        return [_sum(operands[0].factors or arrays, params["axes"])]
    if name in RULES and len(operands) == 1:
        return [RULES[name](arrays[0], lanes, **params)]
    if name in ALONG_AXES:
        return _bind(equation, *arrays)
    axes = [-1 if operand.mapped else None for operand in operands]
    return jax.vmap(partial(_bind, equation), axes, out_axes=-1)(*arrays)


def _bind(equation: core.JaxprEqn, *arrays: Any) -> list[jax.Array]:
    out = equation.primitive.bind(*arrays, **equation.params)
    return out if equation.primitive.multiple_results else [out]


def _one(stacked: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(stacked.shape[:-1], stacked.dtype)


def _form(variable: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(variable.aval.shape, variable.aval.dtype)


def _aligned(operand: Lanes, shape: tuple[int, ...], lanes: int) -> jax.Array:
    """Returns an operand of an elementwise operation in the shape of the others, or a scalar."""
    rank = np.ndim(operand.array) - operand.mapped
    if rank or not shape:
        return _widened(operand, lanes)
    if not operand.mapped:
        return operand.array
    return lax.broadcast_in_dim(operand.array, (*shape, lanes), (len(shape),))


def _widened(value: Lanes, lanes: int) -> jax.Array:
    """Returns a value as a mapped one."""
    if value.mapped:
        return value.array
    array = jnp.asarray(value.array)
    return lax.broadcast_in_dim(array, (*array.shape, lanes), tuple(range(array.ndim)))


def _broadcast(array: jax.Array, lanes: int, **params: Any) -> jax.Array:
    shape = params["shape"]
    axes = (*params["broadcast_dimensions"], len(shape))
    return lax.broadcast_in_dim(array, (*shape, lanes), axes)


def _reshape(array: jax.Array, lanes: int, **params: Any) -> jax.Array:
    return array.reshape(*params["new_sizes"], lanes)


def _transpose(array: jax.Array, lanes: int, **params: Any) -> jax.Array:
    del lanes
    return lax.transpose(array, (*params["permutation"], array.ndim - 1))


def _sum(factors: Sequence[jax.Array], axes: Sequence[int]) -> jax.Array:
    """Adds up the slices of one axis after the other, of an array or of a product of two."""
    for axis in sorted(axes, reverse=True):
        if (length := factors[0].shape[axis]) > WRITTEN_OUT:
            total = jnp.sum(reduce(mul, factors), axis)
        else:
            # Slices of the factors: XLA would compute the product anew for each slice of it.
            sliced = [[lax.index_in_dim(f, i, axis, False) for f in factors] for i in range(length)]
            total = reduce(add, (reduce(mul, parts) for parts in sliced))
        factors = [total]
    return reduce(mul, factors)


RULES: dict[str, Callable[..., jax.Array]] = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
}
