"""Both gradients in float64 and in the caller's dtype, and how much rounding there is to expect."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare import trees
from jaxpercep.compare.graph import Graph, Plain, run
from jaxpercep.compare.jaxprs import Traced, bits, trace
from jaxpercep.compare.trees import Answer, Leaves, as_numpy, distance, largest

PERTURBATIONS = 4  # runs with every argument moved by one ulp, up or down at random

# Rounding comes to a few spreads. In float64 a wrong formula is off by a million of them, which
# leaves room for caution; in a narrower type it does not.
SAFETY = 32
SAFETY_IF_NARROW = 8

# What code says that cannot compute in float64, or not with abstract arguments.
UNFIT = (TypeError, jax.errors.JAXTypeError, jax.dtypes.TypePromotionError)

Gradient: TypeAlias = Callable[[Sequence[Any]], tuple[Any, Sequence[Any]]]
"""All leaves of the arguments -> value, gradient by each leaf to differentiate by."""


@dataclass(frozen=True)
class Evaluation:
    """Both gradients, leaf by leaf, and what is needed to find out more about them.

    Attributes:
        leaves: what is differentiated.
        autodiff: `jax.grad`, evaluated in float64.
        candidate: the gradient in question, evaluated in float64 where it can be.
        floor: how far apart two right formulas may be, absolute, by leaf.
        autodiff_native: `jax.grad` in the caller's dtype.
        candidate_native: the gradient in question in the caller's dtype.
        formula: the narrowest type that the candidate computes in although it was given float64.
        function: all leaves of the arguments -> value, in float64.
        values: of these leaves, in float64.
        graph: of the function, or None if it cannot be traced with abstract arguments.
        miscompiled: how the compiled function differs from its operations one by one, or None.
    """

    leaves: Leaves
    autodiff: list[np.ndarray]
    candidate: Answer
    floor: list[float]
    autodiff_native: list[np.ndarray]
    candidate_native: Answer
    formula: str
    function: Callable[[Sequence[Any]], Any]
    values: list[Any]
    graph: Graph | None
    miscompiled: str | None


class Function(NamedTuple):
    """A scalar function of all leaves of its arguments.

    Attributes:
        call: `call(leaves) -> value`.
        graph: None if it needs concrete arguments, and so cannot be compiled.
        traced: likewise.
        narrow: whether it narrows inside; `call` then computes in float64 all the same.
    """

    call: Callable[[Sequence[Any]], Any]
    graph: Graph | None
    traced: Traced | None
    narrow: bool = False

    def gradient(self, positions: Sequence[int], *, compiled: bool = True) -> Gradient:
        """Its value and gradient by the leaves at these positions."""

        def by_leaf(chosen: Sequence[Any], values: Sequence[Any]) -> Any:
            given = list(values)
            for position, leaf in zip(positions, chosen, strict=True):
                given[position] = leaf
            return self.call(given)

        gradient = jax.value_and_grad(by_leaf)
        if compiled and self.graph is not None:
            gradient = jax.jit(gradient)
        return lambda values: gradient([values[i] for i in positions], values)


def evaluate(
    fun: Callable[..., Any],
    grad_fun: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | tuple[int, ...],
    rate: float | None = None,
) -> Evaluation:
    """Evaluates both gradients at args, in float64 also at args moved by an ulp.

    With a rate, the candidate is what a step of that learning rate implies; then an ulp of the
    parameters is eps / rate of a gradient.
    """
    leaves = trees.differentiated(args, argnums)
    native = _function(fun, args)
    gradient = native.gradient(leaves.positions)
    autodiff_native = as_numpy(gradient(jax.tree.leaves(trees.copied(args)))[1])
    candidate_native = trees.answer(grad_fun(*trees.copied(args)), leaves)
    suspect = _miscompiled(native, gradient, leaves, args, _narrowest(args))
    with jax.enable_x64(True):
        wide = trees.cast(args, "float64")
        values = jax.tree.leaves(wide)
        function = _in_float64(fun, args, wide)
        gradient = function.gradient(leaves.positions)
        autodiff = as_numpy(gradient(values)[1])
        side = _Candidate(grad_fun, wide, leaves, candidate_native)
        noise = [_spread(gradient, args, side, autodiff)]
        if function.narrow or side.formula != "float64":
            noise.append(_distances(autodiff_native, autodiff))
        safety = SAFETY if side.formula == "float64" else SAFETY_IF_NARROW
        eps = float(jnp.finfo(side.formula).eps)
        floor = [
            safety * max(*spreads, eps * scale if np.isfinite(scale) else 0.0)
            for *spreads, scale in zip(*noise, map(largest, autodiff), strict=True)
        ]
        constants = _constant_noise(function, side, leaves, values)
        floor = [f + 2 * c for f, c in zip(floor, constants, strict=True)]
        if rate is not None:
            sizes = (largest(values[i]) for i in leaves.positions)
            floor = [f + 4 * eps * size / rate for f, size in zip(floor, sizes, strict=True)]
        suspect = suspect or _miscompiled(function, gradient, leaves, wide, "float64")
    return Evaluation(
        leaves=leaves,
        autodiff=autodiff,
        candidate=side.answer,
        floor=floor,
        autodiff_native=autodiff_native,
        candidate_native=candidate_native,
        formula=side.formula,
        function=function.call,
        values=values,
        graph=function.graph,
        miscompiled=suspect,
    )


def _function(fun: Callable[..., Any], args: tuple[Any, ...]) -> Function:
    """The function as it is; of its graph only where that can be had."""
    structure = jax.tree.structure(args)

    def call(values: Sequence[Any]) -> Any:
        return fun(*jax.tree.unflatten(structure, values))

    try:
        traced = trace(fun, args)
    except jax.errors.ConcretizationTypeError:
        return Function(call, None, None)
    return Function(call, traced.graph(), traced)


def _in_float64(fun: Callable[..., Any], args: tuple[Any, ...], wide: tuple[Any, ...]) -> Function:
    """The function in float64: where it narrows, or refuses float64, its graph widened."""
    try:
        function = _function(fun, wide)
    except UNFIT:
        with jax.enable_x64(False):
            traced = trace(fun, args)
    else:
        if function.traced is None or function.traced.narrowest() == "float64":
            return function
        traced = function.traced
    graph = traced.graph(widen=True)
    return Function(partial(_value_of, graph), graph, traced, narrow=True)


class _Candidate:
    """The hand-written gradient, evaluated in float64 where it can be.

    Attributes:
        answer: at the arguments.
        formula: the narrowest type at work: inside, if it can be traced, or in the result.
    """

    def __init__(
        self,
        grad_fun: Callable[..., Any],
        wide: tuple[Any, ...],
        leaves: Leaves,
        native: Answer,
    ) -> None:
        self.grad_fun, self.leaves, self.traced = grad_fun, leaves, None
        try:
            self.answer = self(wide)
        except UNFIT:
            self.answer, self.fits = native, False
            self.formula = _narrowest_of(native)
            return
        self.fits = True
        returned = _narrowest_of(self.answer)
        try:
            self.traced = trace(grad_fun, wide)
        except UNFIT:
            self.formula = returned
        else:
            self.formula = min((self.traced.narrowest(), returned), key=bits)

    def __call__(self, args: tuple[Any, ...]) -> Answer:
        return trees.answer(self.grad_fun(*trees.copied(args)), self.leaves)

    def moved(self, nudge: tuple[Any, ...]) -> Answer:
        """The answer at other arguments; the same if it takes none in float64."""
        return self(nudge) if self.fits else self.answer


def _narrowest(args: Any) -> str:
    """The narrowest floating type among the leaves of arguments; that of Python floats."""
    types = [jnp.result_type(leaf) for leaf in jax.tree.leaves(args) if trees.is_floating(leaf)]
    return min((dtype.name for dtype in types), key=bits)


def _narrowest_of(answer: Answer) -> str:
    types = (leaf.dtype for leaf in answer.leaves if leaf is not None)
    floating = (dtype.name for dtype in types if jnp.issubdtype(dtype, jnp.floating))
    return min(floating, key=bits, default="float64")


def _spread(
    gradient: Gradient,
    args: tuple[Any, ...],
    side: _Candidate,
    autodiff: list[np.ndarray],
) -> list[float]:
    """For each leaf the largest change of either side when the arguments move by an ulp.

    A larger change than eps^(1/4) of everything in sight is a jump: an ulp decided which side of a
    kink or of a discontinuity the arguments are on. That says nothing of rounding.
    """
    runs = [trees.nudged(args, side.formula, seed) for seed in range(PERTURBATIONS)]
    moved = [gradient(jax.tree.leaves(run)) for run in runs]
    answers = [side.moved(run) for run in runs]
    size = max(largest(leaf) for leaf in (*autodiff, *(value for value, _ in moved)))
    jump = float(jnp.finfo(side.formula).eps) ** 0.25 * size
    spreads = []
    for i, (right, came) in enumerate(zip(autodiff, side.answer.leaves, strict=True)):
        changes = [distance(grads[i], right) for _, grads in moved]
        if came is not None:
            changes += [distance(answer.leaves[i], came) for answer in answers]
        spreads.append(max((change for change in changes if change <= jump), default=0.0))
    return spreads


def _constant_noise(
    function: Function, side: _Candidate, leaves: Leaves, values: list[Any]
) -> list[float]:
    """How far half an ulp in constants of a narrow type may move the two sides apart."""
    noise = [0.0] * len(leaves.positions)
    for seed in range(2):
        moved = function.traced.nudged(seed) if function.traced else None
        if function.traced and moved:
            pair = [
                Function(partial(_value_of, graph), graph, None).gradient(leaves.positions)(values)
                for graph in (function.traced.graph(widen=True), moved)
            ]
            noise = _larger(noise, _distances(*(gradient for _, gradient in pair)))
        moved = side.traced.nudged(seed) if side.traced else None
        if side.traced and moved:
            pair = [run(graph, values, Plain()) for graph in (side.traced.graph(widen=True), moved)]
            answers = [
                trees.answer(jax.tree.unflatten(side.traced.structure, outputs), leaves).leaves
                for outputs in pair
            ]
            noise = _larger(noise, _distances(*answers))
    return [change if np.isfinite(change) else 0.0 for change in noise]


def _value_of(graph: Graph, values: Sequence[Any]) -> Any:
    return run(graph, values, Plain())[0]


def _distances(some: Iterable[Any], others: Iterable[Any]) -> list[float]:
    return [
        0.0 if a is None or b is None else distance(a, b) for a, b in zip(some, others, strict=True)
    ]


def _larger(some: Iterable[float], others: Iterable[float]) -> list[float]:
    return [max(pair) for pair in zip(some, others, strict=True)]


def _miscompiled(
    function: Function, gradient: Gradient, leaves: Leaves, args: tuple[Any, ...], dtype: str
) -> str | None:
    """Says how the compiled function differs from its operations run one by one, beyond rounding.

    What rounding amounts to is measured by moving the arguments by an ulp. The 16-bit types are
    left out: compiled, they keep more digits between operations than one by one.
    """
    if function.graph is None or bits(dtype) < 32 or function.narrow:
        return None
    plain = Function(partial(_value_of, function.graph), function.graph, None)
    values = [jnp.asarray(leaf) for leaf in jax.tree.leaves(trees.copied(args))]
    jitted = _flat(gradient(values))
    eager = _flat(plain.gradient(leaves.positions, compiled=False)(values))
    runs = [trees.nudged(args, dtype, seed) for seed in range(PERTURBATIONS)]
    moved = [
        _flat(gradient([jnp.asarray(new, old.dtype) for new, old in zip(run, values, strict=True)]))
        for run in map(jax.tree.leaves, runs)
    ]
    eps = float(jnp.finfo(dtype).eps)
    for i, (one, other) in enumerate(zip(jitted, eager, strict=True)):
        spread = max(distance(run[i], one) for run in moved)
        if not np.isfinite(spread):  # where rounding decides what is a number, nothing is certain
            continue
        apart, floor = distance(one, other), SAFETY * max(spread, eps * largest(one))
        if apart > floor and not np.array_equal(one, other, equal_nan=True):
            what = f"grad{leaves.paths[i - 1]}" if i else "the value"
            return (
                f"compiled, {what} differs by {apart:.1e} from the same operations run one by one "
                f"in {dtype}, where rounding explains {floor:.1e}"
            )
    return None


def _flat(result: tuple[Any, Sequence[Any]]) -> list[np.ndarray]:
    value, grads = result
    return as_numpy([value, *grads])
