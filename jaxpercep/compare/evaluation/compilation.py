"""Whether the compiler has been right: compiled code against its operations one by one."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation.native import Native, values_of
from jaxpercep.compare.evaluation.rounding import SAFETY
from jaxpercep.compare.evaluation.sides import Function, flat
from jaxpercep.compare.evaluation.trees import Leaves, distance, largest
from jaxpercep.compare.program.graph import Graph, OneByOne, run
from jaxpercep.compare.program.jaxprs import bits


def miscompilation(
    native: Native,
    function: Function,
    values: list[Any],
    in_float64: list[np.ndarray],
    spreads: Mapping[str, Sequence[float]],
    *,
    agree: bool,
) -> str | None:
    """Says how the compiled function differs from its operations one by one, or None.

    Where both sides and both types agree, the compiler has been right: to run the operations one by
    one takes as long as everything else.
    """
    leaves, dtype = native.leaves, native.dtype
    narrow = bits(dtype) < 32  # compiled, 16-bit types keep more digits between operations
    jumps = not narrow and bool(_apart(native.autodiff, in_float64, spreads[dtype], dtype))
    if agree and not jumps:
        return None
    suspect = _miscompiled(function, leaves, values, in_float64, spreads["float64"], "float64")
    if narrow or not (jumps or suspect):
        return suspect
    with jax.enable_x64(native.x64):
        own = native.function, leaves, values_of(native.args), native.autodiff
        return _miscompiled(*own, spreads[dtype], dtype) or suspect


def _miscompiled(
    function: Function,
    leaves: Leaves,
    values: list[Any],
    compiled: list[np.ndarray],
    spreads: Sequence[float],
    dtype: str,
) -> str | None:
    """Says how the compiled function differs from its operations one by one, beyond rounding."""
    if function.graph is None or function.narrow:
        return None
    plain = Function(partial(_one_by_one, function.graph), function.graph, None)
    others = flat(plain.gradient(leaves.positions, jit=None)(values))
    for i in _apart(compiled, others, spreads, dtype):
        what = f"grad{leaves.paths[i - 1]}" if i else "the value"
        return (
            f"compiled, {what} differs by {distance(compiled[i], others[i]):.1e} from the same "
            f"operations run one by one in {dtype}, beyond rounding"
        )
    return None


def _apart(
    some: Sequence[np.ndarray], others: Sequence[np.ndarray], spreads: Sequence[float], dtype: str
) -> list[int]:
    """Which of two runs' results differ by more than rounding explains."""
    eps = float(jnp.finfo(dtype).eps)
    return [
        i
        for i, (one, other, spread) in enumerate(zip(some, others, spreads, strict=True))
        if distance(one, other) > SAFETY * max(spread, eps * largest(other))
        and not np.array_equal(one, other, equal_nan=True)
    ]


def _one_by_one(graph: Graph, values: Sequence[Any]) -> Any:
    return run(graph, values, OneByOne())[0]
