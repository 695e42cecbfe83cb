"""Checks the compiler: compiled code against the same operations run one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation.function import ValueAndGradient
from jaxpercep.compare.evaluation.native import Native
from jaxpercep.compare.evaluation.rounding import SAFETY
from jaxpercep.compare.evaluation.sides import Sides
from jaxpercep.compare.evaluation.trees import distance, largest
from jaxpercep.compare.program.graph import Graph, OneByOne, run
from jaxpercep.compare.program.jaxprs import bits


def miscompilation(
    native: Native,
    wide: Sides,
    spreads: Mapping[str, ValueAndGradient[float]],
    names: Sequence[str],
    *,
    agree: bool,
) -> str | None:
    """Describes how the compiled function differs from its operations one by one, if it does.

    If both sides and both types agree, the compiler is right; running the operations one by one
    takes as long as the rest of the comparison.

    Args:
        native: both sides in the caller's dtype.
        wide: both sides in float64.
        spreads: by dtype, what rounding does to value and gradient.
        names: of the leaves to differentiate by.
        agree: True if the two sides agree in float64.
    """
    own = native.sides
    # Compiled, 16-bit types keep more digits between operations, those inside a function as well.
    traced = own.function.traced
    inside = native.dtype if traced is None else traced.narrowest()
    narrow = min(bits(native.dtype), bits(inside)) < 32
    moved = _apart(own.autodiff, wide.autodiff, spreads[native.dtype], native.dtype)
    jumps = not narrow and any(moved)
    if agree and not jumps:
        return None
    suspect = _miscompiled(wide, spreads["float64"], "float64", names)
    if narrow or not (jumps or suspect):
        return suspect
    with jax.enable_x64(native.x64):
        return _miscompiled(own, spreads[native.dtype], native.dtype, names) or suspect


def _miscompiled(
    sides: Sides, spreads: ValueAndGradient[float], dtype: str, names: Sequence[str]
) -> str | None:
    """Describes how the compiled function differs from its operations one by one, if it does."""
    function, compiled = sides.function, sides.autodiff
    if function.graph is None or function.narrow:
        return None
    plain = replace(function, call=partial(_one_by_one, function.graph))
    try:
        others = plain.value_and_gradient(sides.values, compiled=False)
    except Exception:  # anything: rules written in Python may only work in compiled programs
        return None
    every = ["the value", *(f"dL/d{name}" for name in names)]
    apart = _apart(compiled, others, spreads, dtype)
    results = zip(every, compiled.every(), others.every(), apart, strict=True)
    for name, one, other, differs in results:
        if differs:
            return (
                f"compiled, {name} differs by {distance(one, other):.1e} from the same operations "
                f"run one by one in {dtype}, beyond rounding"
            )
    return None


def _apart(
    some: ValueAndGradient[np.ndarray],
    others: ValueAndGradient[np.ndarray],
    spreads: ValueAndGradient[float],
    dtype: str,
) -> list[bool]:
    """Tells for the value, then each leaf, if two runs differ by more than rounding explains."""
    eps = float(jnp.finfo(dtype).eps)
    return [
        distance(one, other) > SAFETY * max(spread, eps * largest(other))
        and not np.array_equal(one, other, equal_nan=True)
        for one, other, spread in zip(some.every(), others.every(), spreads.every(), strict=True)
    ]


def _one_by_one(graph: Graph, values: Sequence[Any]) -> Any:
    (value,) = run(graph, values, OneByOne())
    return value
