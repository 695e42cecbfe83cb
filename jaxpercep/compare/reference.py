"""Both gradients in float64 and in the caller's dtype, and how much rounding there is to expect."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare import trees
from jaxpercep.compare.graph import RUN_ONCE, Graph, OneByOne, Plain, run
from jaxpercep.compare.jaxprs import NEEDS_NUMBERS, Traced, bits, trace
from jaxpercep.compare.noise import RUNS, NoisyProgram, noisy_outputs
from jaxpercep.compare.trees import Answer, Leaves, as_numpy, distance, largest

# Rounding comes to a few spreads. In float64 a wrong formula is off by a million of them, which
# leaves room for caution, as for functions that are off by several ulps; in a narrower type not.
SAFETY = 16
SAFETY_IF_NARROW = 8

# What code says that cannot compute in float64, or not with abstract arguments.
UNFIT = (TypeError, *NEEDS_NUMBERS, jax.dtypes.TypePromotionError)

Noisy: TypeAlias = Callable[[float, int], Sequence[Any]]
"""`(eps, seed) -> results`, with every number moved by a relative eps."""

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
        refused: whether it does not take float64; likewise.
    """

    call: Callable[[Sequence[Any]], Any]
    graph: Graph | None
    traced: Traced | None
    narrow: bool = False
    refused: bool = False

    def gradient(
        self, positions: Sequence[int], jit: Callable[..., Any] | None = jax.jit
    ) -> Gradient:
        """Its value and gradient by the leaves at these positions; with jit=None not compiled."""

        def by_leaf(chosen: Sequence[Any], values: Sequence[Any]) -> Any:
            given = list(values)
            for position, leaf in zip(positions, chosen, strict=True):
                given[position] = leaf
            return self.call(given)

        gradient = jax.value_and_grad(by_leaf)
        if jit is not None and self.graph is not None:
            gradient = jit(gradient)
        return lambda values: gradient([values[i] for i in positions], values)


class Native(NamedTuple):
    """Both gradients in the caller's dtype.

    Attributes:
        fun: the function.
        grad_fun: the gradient in question.
        args: of both.
        leaves: what is differentiated.
        x64: whether the caller computes in double precision.
        dtype: the narrowest floating type among the arguments.
        function: the function, with its graph where it has one.
        autodiff: the value, then its gradient by each leaf to differentiate by.
        candidate: the gradient in question.
    """

    fun: Callable[..., Any]
    grad_fun: Callable[..., Any]
    args: tuple[Any, ...]
    leaves: Leaves
    x64: bool
    dtype: str
    function: Function
    autodiff: list[np.ndarray]
    candidate: "_Candidate"

    @classmethod
    def of(
        cls,
        fun: Callable[..., Any],
        grad_fun: Callable[..., Any],
        args: tuple[Any, ...],
        argnums: int | tuple[int, ...],
    ) -> "Native":
        """Evaluates both gradients at args, as the caller would."""
        leaves = trees.differentiated(args, argnums)
        function = _function(fun, args)
        return cls(
            fun=fun,
            grad_fun=grad_fun,
            args=args,
            leaves=leaves,
            x64=bool(jax.config.read("jax_enable_x64")),
            dtype=_narrowest(args),
            function=function,
            autodiff=_flat(function.gradient(leaves.positions)(_values(args))),
            candidate=_candidate(grad_fun, args, leaves, None),
        )

    @contextmanager
    def double_precision(self) -> Generator[None]:
        """Computes in float64, the NumPy arrays too that the functions have captured.

        JAX keeps what it has once made of a NumPy array, also for other settings than those it was
        made under. So the caches are cleared on the way in, and on the way out: the caller's next
        program must not find arrays in float64.
        """
        traced = (self.function.traced, self.candidate.traced)
        captured = not self.x64 and any(t is not None and t.captures_numpy for t in traced)
        try:
            if captured:
                jax.clear_caches()
            with jax.enable_x64(True):
                yield
        finally:
            if captured:
                jax.clear_caches()


def _values(args: tuple[Any, ...]) -> list[Any]:
    """All leaves of arguments, as arrays of JAX's own."""
    return [jnp.asarray(leaf) for leaf in jax.tree.leaves(trees.copied(args))]


def evaluate(native: Native, rate: float | None = None) -> Evaluation:
    """Evaluates both gradients in double precision, also with every number moved by an ulp.

    With a rate, the candidate is what a step of that learning rate implies; then an ulp of the
    parameters is eps / rate of a gradient.
    """
    leaves = native.leaves
    wide = trees.cast(native.args, "float64")
    values = jax.tree.leaves(wide)
    function = _in_float64(native, wide)
    in_float64 = _flat(function.gradient(leaves.positions)(values))
    autodiff = in_float64[1:]
    side = _candidate_in_float64(native, wide, refused=function.refused)
    noise = _noise(function, leaves, wide)
    spread = _larger(
        _spread(noise, side.formula, in_float64)[1:],
        _spread(_noise_of(side, wide), side.formula, side.answer.leaves),
    )
    if function.narrow or side.formula != "float64":
        spread = _larger(spread, _distances(native.autodiff[1:], autodiff))
    eps = float(jnp.finfo(side.formula).eps)
    safety = SAFETY if side.formula == "float64" else SAFETY_IF_NARROW
    sizes = [size if np.isfinite(size) else 0.0 for size in map(largest, autodiff)]
    floor = [safety * max(s, eps * size) for s, size in zip(spread, sizes, strict=True)]
    constants = _constant_noise(function, autodiff, side, leaves, values)
    floor = [f + 4 * c for f, c in zip(floor, constants, strict=True)]
    if rate is not None:
        weights = (largest(values[i]) for i in leaves.positions)
        floor = [f + 4 * eps * size / rate for f, size in zip(floor, weights, strict=True)]
    apart = _distances(side.answer.leaves, autodiff)
    # Compiled or not, a number within rounding of a kink may be on either side of it.
    dtypes = ("float64", native.dtype)
    spreads = {dtype: _spread(noise, dtype, in_float64, jumps=True) for dtype in dtypes}
    agree = all(distance <= most for distance, most in zip(apart, floor, strict=True))
    return Evaluation(
        leaves=leaves,
        autodiff=autodiff,
        candidate=side.answer,
        floor=floor,
        autodiff_native=native.autodiff[1:],
        candidate_native=native.candidate.answer,
        formula=side.formula,
        function=function.call,
        values=values,
        graph=function.graph,
        miscompiled=_suspect(native, function, values, in_float64, spreads, agree=agree),
    )


def _function(fun: Callable[..., Any], args: tuple[Any, ...]) -> Function:
    """The function as it is; of its graph only where that can be had."""
    structure = jax.tree.structure(args)

    def call(values: Sequence[Any]) -> Any:
        return fun(*jax.tree.unflatten(structure, values))

    try:
        traced = trace(fun, args)
    except NEEDS_NUMBERS:
        return Function(call, None, None)
    return Function(call, traced.graph(), traced)


def _in_float64(native: Native, wide: tuple[Any, ...]) -> Function:
    """The function in float64: where it narrows, or refuses float64, its graph widened."""
    try:
        function = _function(native.fun, wide)
    except UNFIT:
        traced, refused = native.function.traced, True
        if traced is None:
            raise
    else:
        traced, refused = function.traced, False
        if traced is None or traced.narrowest() == "float64":
            return function
    graph = traced.graph(widen=True)
    return Function(partial(_value_of, graph), graph, traced, narrow=True, refused=refused)


class _Candidate(NamedTuple):
    """The hand-written gradient, evaluated in float64 where it can be.

    Attributes:
        at: arguments -> answer.
        answer: at the arguments in question.
        formula: the narrowest type at work: inside, if it can be traced, or in the result.
        traced: None if it cannot be, as plain NumPy.
        noisy: the leaves of its answer with noise in every operation; None likewise.
    """

    at: Callable[[tuple[Any, ...]], Answer]
    answer: Answer
    formula: str
    traced: Traced | None
    noisy: NoisyProgram | None


def _candidate(
    grad_fun: Callable[..., Any], args: tuple[Any, ...], leaves: Leaves, native: Answer | None
) -> _Candidate:
    """The candidate at args; where it does not take them, what it answers in the caller's dtype."""

    def called(args: tuple[Any, ...]) -> Answer:
        return trees.answer(grad_fun(*trees.copied(args)), leaves)

    try:
        traced = trace(grad_fun, args)
    except Exception:  # whatever it is that needs concrete arrays, or is wrong with these as well
        try:
            answer = called(args)
        except UNFIT:
            if native is None:
                raise
            return _Candidate(partial(_always, native), native, _narrowest_of(native), None, None)
        formula = _narrowest_of(answer)
        if native is not None:
            formula = min((formula, _narrowest_felt(called, args, answer)), key=bits)
        return _Candidate(called, answer, formula, None, None)
    return _compiled_candidate(traced, traced.graph(), args, leaves)


def _narrowest_felt(
    called: Callable[[tuple[Any, ...]], Answer], args: tuple[Any, ...], answer: Answer
) -> str:
    """The type that a candidate narrows its arguments to.

    It answers the same when they come rounded to that type, whatever they are.
    """

    def same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
        pair = called(some).leaves, called(others).leaves
        return all(apart == 0 for apart in _distances(*pair))

    generic = [trees.nudged(args, 0.01, seed) for seed in range(2)]
    if all(apart == 0 for apart in _distances(called(generic[0]).leaves, answer.leaves)):
        return "float64"  # its answer is the same everywhere
    for dtype in ("bfloat16", "float16", "float32"):
        if all(
            same(numbers, trees.cast(trees.cast(numbers, dtype), "float64")) for numbers in generic
        ):
            return dtype
    return "float64"


def _candidate_in_float64(native: Native, wide: tuple[Any, ...], *, refused: bool) -> _Candidate:
    """The candidate given float64.

    Where the function refuses float64, the candidate's graph is widened as that of the function is:
    random numbers, say, are then the same in both.
    """
    own = native.candidate
    if refused and own.traced is not None:
        graph = own.traced.graph(widen=True)
        return _compiled_candidate(own.traced, graph, wide, native.leaves, formula="float64")
    return _candidate(native.grad_fun, wide, native.leaves, own.answer)


def _compiled_candidate(
    traced: Traced,
    graph: Graph,
    args: tuple[Any, ...],
    leaves: Leaves,
    formula: str | None = None,
) -> _Candidate:
    """A candidate that can be traced, as one program: compiled sooner than each operation."""
    run_graph = RUN_ONCE(partial(_outputs_of, graph))
    noisy = noisy_outputs(graph)

    def of_outputs(outputs: Sequence[Any]) -> Answer:
        return trees.answer(jax.tree.unflatten(traced.structure, outputs), leaves)

    def compiled(args: tuple[Any, ...]) -> Answer:
        return of_outputs(run_graph(jax.tree.leaves(trees.copied(args))))

    def with_noise(values: Sequence[Any], eps: float, seed: int) -> list[Any]:
        return of_outputs(noisy(values, eps, seed)).leaves

    answer = compiled(args)
    if formula is None:
        formula = min((traced.narrowest(), _narrowest_of(answer)), key=bits)
    return _Candidate(compiled, answer, formula, traced, with_noise)


def _always(answer: Answer, args: tuple[Any, ...]) -> Answer:
    del args
    return answer


def _narrowest(args: Any) -> str:
    """The narrowest floating type among the leaves of arguments; that of Python floats."""
    types = [jnp.result_type(leaf) for leaf in jax.tree.leaves(args) if trees.is_floating(leaf)]
    return min((dtype.name for dtype in types), key=bits)


def _narrowest_of(answer: Answer) -> str:
    types = (leaf.dtype for leaf in answer.leaves if leaf is not None)
    floating = (dtype.name for dtype in types if jnp.issubdtype(dtype, jnp.floating))
    return min(floating, key=bits, default="float64")


def _noise(function: Function, leaves: Leaves, wide: tuple[Any, ...]) -> Noisy:
    """The function's value and gradient with noise: in every operation, or in its arguments."""
    values = jax.tree.leaves(wide)
    if function.graph is None:
        gradient = function.gradient(leaves.positions)
        return lambda eps, seed: _flat(gradient(jax.tree.leaves(trees.nudged(wide, eps, seed))))
    # Operations of the backward pass too: 1 - tanh^2 is one that may lose all digits.
    traced = trace(function.gradient(leaves.positions, jit=None), (values,))
    noisy = noisy_outputs(traced.graph())
    return lambda eps, seed: noisy(values, eps, seed)


def _noise_of(side: _Candidate, wide: tuple[Any, ...]) -> Noisy:
    """The candidate's leaves with noise: in every operation, or in its arguments."""
    if side.noisy is not None:
        return lambda eps, seed: side.noisy(jax.tree.leaves(wide), eps, seed)
    return lambda eps, seed: side.at(trees.nudged(wide, eps, seed)).leaves


def _spread(noisy: Noisy, dtype: str, right: Sequence[Any], *, jumps: bool = False) -> list[float]:
    """For each result how much it changes when every number moves by an ulp of a type.

    Rounding changes a result in proportion to its size. What changes as much by a smaller one is a
    jump: it decided which side of a kink or of a discontinuity a number is on, which says nothing
    of rounding; it is left out, unless jumps are asked for.
    """
    eps = float(jnp.finfo(dtype).eps)
    ulps, further = (16, 16) if eps < 1e-5 else (1, 4)
    spreads = [0.0] * len(right)
    for seed in range(RUNS):
        near, far = noisy(ulps * eps, seed), noisy(further * ulps * eps, seed)
        for i, (one, other, base) in enumerate(zip(near, far, right, strict=True)):
            if base is not None and np.shape(one) == np.shape(base):
                change = distance(one, base) if jumps else _proportional(one, other, base) / ulps
                spreads[i] = max(spreads[i], change)
    return spreads


def _proportional(near: Any, far: Any, base: Any) -> float:
    """The largest change from base to near where that to far is larger in proportion."""
    with np.errstate(invalid="ignore"):
        small, large = (
            np.atleast_1d(np.asarray(moved, np.float64)) - base for moved in (near, far)
        )
        for change in (small, large):
            np.abs(change, out=change)
        large /= 2
        return float(np.max(small, initial=0.0, where=small < large))


def _constant_noise(
    function: Function,
    autodiff: Sequence[Any],
    side: _Candidate,
    leaves: Leaves,
    values: list[Any],
) -> list[float]:
    """How far half an ulp in constants of a narrow type moves the two sides."""
    noise = [0.0] * len(leaves.positions)
    if function.traced and (graph := function.traced.with_moved_constants()):
        moved = Function(partial(_value_of, graph), graph, None)
        _, gradient = moved.gradient(leaves.positions, RUN_ONCE)(values)
        noise = _larger(noise, _distances(gradient, autodiff))
    if side.traced and (graph := side.traced.with_moved_constants()):
        outputs = RUN_ONCE(partial(_outputs_of, graph))(values)
        moved = trees.answer(jax.tree.unflatten(side.traced.structure, outputs), leaves)
        noise = _larger(noise, _distances(moved.leaves, side.answer.leaves))
    return [change if np.isfinite(change) else 0.0 for change in noise]


def _outputs_of(graph: Graph, values: Sequence[Any]) -> list[Any]:
    return run(graph, values, Plain())


def _one_by_one(graph: Graph, values: Sequence[Any]) -> Any:
    return run(graph, values, OneByOne())[0]


def _value_of(graph: Graph, values: Sequence[Any]) -> Any:
    return run(graph, values, Plain())[0]


def _distances(some: Iterable[Any], others: Iterable[Any]) -> list[float]:
    return [
        0.0 if a is None or b is None else distance(a, b) for a, b in zip(some, others, strict=True)
    ]


def _larger(some: Iterable[float], others: Iterable[float]) -> list[float]:
    return [max(pair) for pair in zip(some, others, strict=True)]


def _suspect(
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
        own = native.function, leaves, _values(native.args), native.autodiff, spreads[dtype], dtype
        return _miscompiled(*own) or suspect


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
    others = _flat(plain.gradient(leaves.positions, jit=None)(values))
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


def _flat(result: tuple[Any, Sequence[Any]]) -> list[np.ndarray]:
    value, grads = result
    return as_numpy([value, *grads])
