"""Turns a function into a `Graph`; no other file knows the format of a jaxpr."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxpercep.compare.program.graph import Constant, Graph, Loop, Operation, Plain, Value, run
from jaxpercep.compare.program.loops import Evaluate, While, reversible
from jaxpercep.compare.program.params import parts, rebuilt
from jaxpercep.compare.program.places import Place, chain

NEEDS_NUMBERS = (jax.errors.JAXTypeError, jax.errors.JAXIndexError)
"""The errors of a function that cannot be traced with abstract arguments."""

CALLS = {"jit": "jaxpr", "remat2": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}
RULES = {"custom_vjp_call": "call_jaxpr"}
JAX = Path(jax.__file__).parent
FORWARD_RULES = {"custom_jvp_call": "call_jaxpr"}
CALLBACKS = {"pure_callback", "io_callback", "debug_callback"}


class Traced(NamedTuple):
    """A function as traced by JAX.

    Attributes:
        closed: the jaxpr, whose inputs are the leaves of the arguments.
        structure: of the function's result.
        captures_numpy: True if the function has captured NumPy arrays that JAX has narrowed.
    """

    closed: Any
    structure: Any
    captures_numpy: bool

    def narrowest(self) -> str:
        """Returns the narrowest floating type that the function computes in."""
        return narrowest(_result_types(_equations(self.closed.jaxpr))) or "float64"

    def callbacks(self) -> str | None:
        """Returns the narrowest floating type that a Python function called by it returns.

        That type is part of the call, so that such a function cannot be widened.
        """
        equations = _equations(self.closed.jaxpr)
        return narrowest(_result_types(e for e in equations if e.primitive.name in CALLBACKS))

    def has_rules(self, kinds: Mapping[str, str] = RULES) -> bool:
        """Returns True if the function calls one with a `jax.custom_vjp` rule, or another kind."""
        return any(_is_rule(e, kinds) for e in _equations(self.closed.jaxpr))

    def graph(self, *, widen: bool = False, reverse: bool = True) -> Graph:
        """Returns the operations.

        Args:
            widen: True to make every floating type in them float64.
            reverse: False if forward mode is enough; then `while` loops are left as they are.
        """
        reader = _Reader(widen)
        reader.reverse = reverse
        return reader.graph(self.closed.jaxpr, self.closed.consts)

    def with_moved_constants(self) -> Graph | None:
        """Widens the graph, and moves each constant of a narrower type by half an ulp of that type.

        Returns None if there is no such constant.
        """
        reader = _Reader(True, np.random.default_rng(0))
        graph = reader.graph(self.closed.jaxpr, self.closed.consts)
        return graph if reader.has_narrow_constants else None

    def with_further_passes(self, count: int) -> Graph | None:
        """Runs the loops that end when they have converged further; None without such loops."""
        reader = _Reader(self.narrowest() != "float64")
        reader.further = count
        graph = reader.graph(self.closed.jaxpr, self.closed.consts)
        return graph if reader.converges else None


def trace(fun: Callable[..., Any], args: tuple[Any, ...]) -> Traced:
    """Traces `fun` with abstract arguments of the shapes and types of `args`.

    Raises:
        TypeError: `fun` needs concrete numbers, as plain NumPy does, or mixes types.
    """
    closed, shapes = jax.make_jaxpr(fun, return_shape=True)(*args)
    every = [closed.consts, *(consts for _, consts in _inner(closed.jaxpr))]
    captured = [value for consts in every for value in consts if isinstance(value, np.ndarray)]
    narrowed = any(_is_narrowed_copy(value) for value in captured)
    # JAX caches its conversion of a NumPy array for as long as a jaxpr holds the array.
    own = _with_arrays(closed) if captured else closed
    return Traced(own, jax.tree.structure(shapes), narrowed)


def _is_narrowed_copy(value: np.ndarray) -> bool:
    """Returns True for an array that JAX has narrowed from 64 bits, or 128 of a complex one.

    That is a copy which nothing else holds; arrays of other types it shares with the user.
    """
    own = value.base
    if own is None or own.base is not None:
        return False
    return value.dtype.itemsize in (4, 8) and sys.getrefcount(own) <= 3  # value, own, argument


def tracing(values: Any) -> Any:
    """Returns the trace that the first abstract value among the leaves of a tree belongs to."""
    tracers = (leaf for leaf in jax.tree.leaves(values) if isinstance(leaf, jax.core.Tracer))
    return next(tracers)._trace


def outline(fun: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Traces a function and describes its operations: two with the same text compute the same."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(jax.make_jaxpr(fun)(*args)))


def _with_arrays(jaxpr: Any) -> Any:
    """Replaces the NumPy arrays that a jaxpr has captured by JAX arrays."""

    def renewed(value: Any) -> Any:
        return _with_arrays(value) if _is_jaxpr(value) else value

    opened, consts = _opened(jaxpr)
    equations = [e.replace(params=rebuilt(renewed, e.params)) for e in opened.eqns]
    opened = opened.replace(eqns=equations)
    if not isinstance(jaxpr, core.ClosedJaxpr):
        return opened
    arrays = [jnp.asarray(c) if isinstance(c, np.ndarray) else c for c in consts]
    return jaxpr.replace(jaxpr=opened, consts=arrays)


def without_rules(fun: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
    """Replaces every `jax.custom_vjp` in `fun` by the function it belongs to.

    Raises:
        ValueError: `fun` calls no function with such a rule.
    """
    if not trace(fun, args).has_rules():
        raise ValueError(
            f"fun={fun!r} calls no function with a jax.custom_vjp rule; for a gradient that is "
            "not such a rule, use compare_gradients or compare_vjp."
        )
    return _inlined(fun, RULES)


def without_forward_rules(fun: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
    """Replaces every `jax.custom_jvp` in `fun`, but those of JAX, by the function it belongs to.

    Raises:
        ValueError: `fun` calls no function with such a rule.
    """
    if not trace(fun, args).has_rules(FORWARD_RULES):
        raise ValueError(
            f"fun={fun!r} calls no function with a jax.custom_jvp rule, apart from those of JAX; "
            "for a derivative that is not such a rule, use compare_jvp."
        )
    return _inlined(fun, FORWARD_RULES)


def _inlined(fun: Callable[..., Any], rules: Mapping[str, str]) -> Callable[..., Any]:
    """Replaces the functions that have rules of these kinds by their bodies."""

    def primal(*args: Any) -> Any:
        traced = trace(fun, args)
        reader = _Reader(False)
        reader.calls, reader.reverse = {**CALLS, **rules}, False
        graph = reader.graph(traced.closed.jaxpr, traced.closed.consts)
        return jax.tree.unflatten(traced.structure, run(graph, jax.tree.leaves(args), Plain()))

    return primal


def _is_rule(equation: Any, kinds: Mapping[str, str]) -> bool:
    """Returns True for calls of functions with rules of these kinds; JAX keeps its own."""
    name = equation.primitive.name
    if name not in kinds or name not in FORWARD_RULES:
        return name in kinds
    function = _opened(equation.params[kinds[name]])[0]
    rule = equation.params["jvp_jaxpr_fun"]
    return not (_is_of_jax(function.debug_info) and _is_of_jax(rule.debug_info))


def _is_of_jax(debug: Any) -> bool:
    """Returns True for a function that JAX itself defines."""
    return Path(getattr(debug, "func_filename", None) or "").is_relative_to(JAX)


def bits(dtype: str) -> int:
    """Returns the width of a floating type."""
    return jnp.finfo(dtype).bits


def narrowest(dtypes: Iterable[Any]) -> str | None:
    """Returns the narrowest of the floating types, or None if there are none."""
    floating = {dtype.name for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)}
    return min(floating, key=bits, default=None)


def _result_types(equations: Iterable[Any]) -> Iterator[Any]:
    """Yields the types of what equations compute."""
    for equation in equations:
        for variable in equation.outvars:
            if hasattr(variable.aval, "dtype"):
                yield variable.aval.dtype


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Yields the equations of a jaxpr and of all jaxprs inside it."""
    yield from jaxpr.eqns
    for inner, _ in _inner(jaxpr):
        yield from inner.eqns


def _inner(jaxpr: Any) -> Iterator[tuple[Any, Sequence[Value]]]:
    """Yields all jaxprs inside a jaxpr, with the constants they are closed over."""
    for equation in jaxpr.eqns:
        for part in parts(equation.params):
            if _is_jaxpr(part):
                opened = _opened(part)
                yield opened
                yield from _inner(opened[0])


def _is_jaxpr(value: Any) -> bool:
    return isinstance(value, (core.ClosedJaxpr, core.Jaxpr))


def _opened(jaxpr: Any) -> tuple[Any, Sequence[Value]]:
    """Returns a jaxpr and the constants it is closed over; newer versions keep both in one."""
    return getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ())


class _Reader:
    """Reads jaxprs, with floating types as they are or widened to float64."""

    def __init__(self, widen: bool, rng: np.random.Generator | None = None) -> None:
        self.widen, self.rng, self.has_narrow_constants = widen, rng, False
        # A rule for another type does not apply to the widened function, which is differentiated.
        self.calls = CALLS | RULES if widen else CALLS
        # Inside a loop, and in what will be traced again, forward mode is enough.
        self.reverse = True
        self.further, self.converges = 0, False

    def graph(self, jaxpr: Any, consts: Sequence[Value], outer: Place | None = None) -> Graph:
        """Reads a jaxpr that is called from `outer`."""
        outer = outer or Place((), ())
        operations = [self.operation(equation, outer) for equation in jaxpr.eqns]
        captured = dict(zip(jaxpr.constvars, map(self.value, consts), strict=True))
        return Graph(jaxpr.invars, captured, operations, [self.operand(v) for v in jaxpr.outvars])

    def operation(self, equation: Any, outer: Place) -> Operation:
        """Reads one equation of a jaxpr that is called from `outer`."""
        primitive, params = equation.primitive.name, equation.params
        results = [v for v in equation.outvars if not isinstance(v, core.DropVar)]
        place = outer.then(equation.source_info)
        build = partial(
            Operation,
            name=primitive,
            operands=[self.operand(v) for v in equation.invars],
            results=results,
            frames=place.frames,
            chain=chain(equation.source_info.traceback),
            location=" / ".join(place.scopes) or None,
            spans=place.spans,
        )
        if _is_rule(equation, self.calls):
            body = self.graph(*_opened(params[self.calls[primitive]]), place)
            name = params.get("name", primitive)
            return build(name=name, kind="call", bodies=(_without(body, equation),))
        if primitive == "scan":
            body = self.graph(*_opened(params["jaxpr"]), place)
            loop = Loop(*_scan_split(params), params["length"], params["reverse"])
            return build(kind="scan", bodies=(body,), loop=loop, results=equation.outvars)
        if primitive == "cond":
            bodies = tuple(self.graph(*_opened(b), place) for b in params["branches"])
            return build(kind="cond", bodies=bodies, results=equation.outvars)
        if primitive in ("custom_jvp_call", "custom_vjp_call"):
            build = partial(build, name=_rule_name(params))
        if primitive == "while":
            return build(evaluate=self.loop(equation, results, place))
        if self.widen:
            return build(evaluate=self.widened(equation))
        return build(evaluate=_evaluator(equation, results))

    def loop(self, equation: Any, results: Sequence[Any], place: Place) -> Evaluate:
        """Evaluates a `while` loop, as it is where neither its types nor its passes change."""
        outer, self.reverse = self.reverse, False
        params = equation.params
        condition, body = (
            self.graph(*_opened(params[name]), place) for name in ("cond_jaxpr", "body_jaxpr")
        )
        self.reverse = outer
        counts = params["cond_nconsts"], params["body_nconsts"]
        loop = While(condition, body, counts, self.further)
        self.converges |= loop.converges
        changed = self.widen or self.further
        read = [not isinstance(v, core.DropVar) for v in equation.outvars]
        evaluate = partial(_some, loop, read) if changed else _evaluator(equation, results)
        return reversible(evaluate) if self.reverse else evaluate

    def operand(self, atom: Any) -> Any:
        """Returns a variable unchanged, a literal as a `Constant`."""
        if not isinstance(atom, core.Literal):
            return atom
        literal = self.wide_literal(atom) if self.widen else atom
        return Constant(literal.val)

    def value(self, value: Value) -> Value:
        """Returns a captured value as JAX's own, in float64 if the graph is widened."""
        dtype = jnp.result_type(value)
        if not self.widen or not jnp.issubdtype(dtype, jnp.inexact):
            # A rule may index it with a tracer, which NumPy's arrays refuse.
            return value if isinstance(value, jax.Array) else jnp.array(np.asarray(value))
        return jnp.asarray(self.wide(value, dtype))

    def wide(self, value: Value, dtype: Any) -> np.ndarray:
        """Returns a captured value or a literal in float64, moved if constants are to be."""
        wide = np.asarray(value, _wide(np.dtype(dtype)))
        if self.rng is not None and bits(str(dtype)) < 64 and not _is_exact(wide, dtype):
            self.has_narrow_constants = True
            half_ulp = float(jnp.finfo(dtype).eps) / 2
            wide = wide * (1 + half_ulp * self.rng.choice([-1.0, 1.0], wide.shape))
        return wide

    def widened(self, equation: Any) -> Callable[..., Sequence[Value]]:
        """Evaluates an atom in float64."""
        name, params = equation.primitive.name, equation.params
        if name == "custom_jvp_call":
            return self.widened_rule(params)
        if name == "reduce_precision":
            return _unchanged
        if name == "bitcast_convert_type" or name in CALLBACKS:
            return _in_its_types(equation)
        wide = rebuilt(self.wide_part, params)
        results = [v for v in equation.outvars if not isinstance(v, core.DropVar)]
        operands = [self.wide_literal(v) for v in equation.invars]
        return _evaluator(equation.replace(params=wide, invars=operands), results)

    def wide_literal(self, atom: Any) -> Any:
        """Returns a variable unchanged, a floating literal in float64."""
        dtype: Any = getattr(atom.aval, "dtype", None)  # the value of a boolean has none
        if not isinstance(atom, core.Literal) or not jnp.issubdtype(dtype, jnp.inexact):
            return atom
        wide = np.asarray(self.wide(atom.val, dtype))
        return core.Literal(wide, jax.typeof(wide))

    def wide_part(self, part: Any) -> Any:
        """Widens a type or a jaxpr among the parameters of an equation."""
        if isinstance(part, jax.core.ShapedArray) and jnp.issubdtype(part.dtype, jnp.inexact):
            return part.update(dtype=_wide(part.dtype))
        return self.wide_jaxpr(part) if _is_jaxpr(part) else _wide(part)

    def wide_jaxpr(self, jaxpr: Any) -> Any:
        """Widens the body of a loop, or of another operation."""
        opened, consts = _opened(jaxpr)
        if len(opened.constvars) > len(consts):
            return jaxpr  # a library's, which keeps the constants elsewhere
        body = partial(_run_plainly, self.graph(opened, consts))
        closed = jax.make_jaxpr(body)(*(self.wide_part(v.aval) for v in opened.invars))
        return closed if isinstance(jaxpr, core.ClosedJaxpr) else _opened(closed)[0]

    def widened_rule(self, params: Any) -> Callable[..., Sequence[Value]]:
        """Evaluates a function and its custom derivative in float64."""
        body = self.graph(*_opened(params["call_jaxpr"]))

        @jax.custom_jvp
        def function(*values: Value) -> list[Value]:
            return run(body, values, Plain())

        @function.defjvp
        def rule(primals: Any, tangents: Any) -> Any:
            jaxpr, consts, zeros = params["jvp_jaxpr_fun"].call_wrapped(*[False] * len(primals))
            outs = run(self.graph(jaxpr, consts), [*primals, *tangents], Plain())
            values, moved = outs[: len(zeros)], iter(outs[len(zeros) :])
            pairs = zip(values, zeros, strict=True)
            return values, [jnp.zeros_like(v) if zero else next(moved) for v, zero in pairs]

        return function


def _run_plainly(graph: Graph, *values: Value) -> list[Value]:
    return run(graph, values, Plain())


def _is_exact(value: np.ndarray, dtype: Any) -> bool:
    """Returns True for numbers that rounding to a type has not changed, as far as they show.

    In float32 these are small multiples of 1/256, as 0.5; in 16 bits, whose numbers are all short,
    those with zeros in half of their digits.
    """
    if bits(str(dtype)) < 32:
        digits = np.frexp(value)[0] * 2 ** ((jnp.finfo(dtype).nmant + 1) // 2)
        return bool(np.all(digits == np.round(digits)))
    return bool(np.all(value * 256 == np.round(value * 256)) and np.all(np.abs(value) < 2**16))


def _in_its_types(equation: Any) -> Callable[..., Sequence[Value]]:
    """Evaluates one equation in the types it was traced with, the only ones its bits fit."""
    evaluate = _evaluator(equation, equation.outvars)

    def narrowed(*values: Value) -> Sequence[Value]:
        pairs = zip(values, equation.invars, strict=True)
        results = evaluate(*(jnp.asarray(value, v.aval.dtype) for value, v in pairs))
        floating = [jnp.issubdtype(result.dtype, jnp.floating) for result in results]
        return [r.astype(jnp.float64) if f else r for r, f in zip(results, floating, strict=True)]

    return narrowed


def _unchanged(value: Value) -> list[Value]:
    return [value]


def _wide(value: Any) -> Any:
    """Replaces a floating or complex type among the parameters of a primitive by the widest."""
    if isinstance(value, np.dtype) and jnp.issubdtype(value, jnp.complexfloating):
        return np.dtype(np.complex128)
    is_type = isinstance(value, np.dtype) and jnp.issubdtype(value, jnp.floating)
    return np.dtype(np.float64) if is_type else value


def _evaluator(equation: Any, results: Sequence[Any]) -> Callable[..., Sequence[Value]]:
    """Returns a function that evaluates one equation, given the values of all its operands."""
    literals = [isinstance(v, core.Literal) for v in equation.invars]
    variables = [v for v in equation.invars if not isinstance(v, core.Literal)]
    if len(set(variables)) < len(variables):  # x * x: give each use a variable of its own
        shapes = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in variables]
        variables = jax.make_jaxpr(_nothing)(*shapes).jaxpr.invars
        fresh = iter(variables)
        operands = [v if isinstance(v, core.Literal) else next(fresh) for v in equation.invars]
        equation = equation.replace(invars=operands)
    names = core.DebugInfo("operation", equation.primitive.name, None, None)
    alone = core.Jaxpr((), variables, results, [equation], equation.effects, names)
    function = core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))

    def evaluate(*values: Value) -> Sequence[Value]:
        pairs = zip(values, literals, strict=True)
        return function(*(value for value, literal in pairs if not literal))

    return evaluate


def _some(function: Evaluate, read: Sequence[bool], *values: Value) -> list[Value]:
    """Returns the results that are read."""
    return [result for result, is_read in zip(function(*values), read, strict=True) if is_read]


def _nothing(*values: Value) -> tuple[()]:
    del values
    return ()


def _without(body: Graph, equation: Any) -> Graph:
    """Drops the results of a call's body that are never read."""
    pairs = zip(body.outputs, equation.outvars, strict=True)
    read = [output for output, variable in pairs if not isinstance(variable, core.DropVar)]
    return Graph(body.inputs, body.captured, body.operations, read)


def _scan_split(params: Any) -> tuple[int, int]:
    """Counts the operands of a scan that are constants, and those that are carried."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    constants, carried, _ = map(list, params["ft_in"].unpack())
    return len(constants), len(carried)


def _rule_name(params: Any) -> str:
    """Returns the name of a function with a custom derivative."""
    debug = getattr(_opened(params["call_jaxpr"])[0], "debug_info", None)
    return str(getattr(debug, "func_name", None) or "custom_jvp_call")
