"""Turns a function into a `Graph`; no other file knows the format of a jaxpr."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from jaxpercep.compare.program.graph import Constant, Graph, Loop, Operation, Plain, Value, run
from jaxpercep.compare.program.places import Place, chain

NEEDS_NUMBERS = (jax.errors.JAXTypeError, jax.errors.JAXIndexError)
"""The errors of a function that cannot be traced with abstract arguments."""

CALLS = {"jit": "jaxpr", "remat2": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}
RULES = {"custom_vjp_call": "call_jaxpr"}


class Traced(NamedTuple):
    """A function as traced by JAX.

    Attributes:
        closed: the jaxpr, whose inputs are the leaves of the arguments.
        structure: of the function's result.
        captures_numpy: True if the function has captured NumPy arrays that JAX may have narrowed.
    """

    closed: Any
    structure: Any
    captures_numpy: bool

    def narrowest(self) -> str:
        """Returns the narrowest floating type that the function computes in."""
        dtypes = {
            variable.aval.dtype
            for equation in _equations(self.closed.jaxpr)
            for variable in equation.outvars
            if hasattr(variable.aval, "dtype")
        }
        floating = (dtype.name for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating))
        return min(floating, key=bits, default="float64")

    def has_rules(self) -> bool:
        """Returns True if the function calls one with a `jax.custom_vjp` rule."""
        return any(e.primitive.name in RULES for e in _equations(self.closed.jaxpr))

    def graph(self, *, widen: bool = False) -> Graph:
        """Returns the operations; with `widen`, every floating type in them becomes float64."""
        return _Reader(widen).graph(self.closed.jaxpr, self.closed.consts)

    def with_moved_constants(self) -> Graph | None:
        """Widens the graph, and moves each constant of a narrower type by half an ulp of that type.

        Returns None if there is no such constant.
        """
        reader = _Reader(True, np.random.default_rng(0))
        graph = reader.graph(self.closed.jaxpr, self.closed.consts)
        return graph if reader.has_narrow_constants else None


def trace(fun: Callable[..., Any], args: tuple[Any, ...]) -> Traced:
    """Traces `fun` with abstract arguments of the shapes and types of `args`.

    Raises:
        TypeError: `fun` needs concrete numbers, as plain NumPy does, or mixes types.
    """
    closed, shapes = jax.make_jaxpr(fun, return_shape=True)(*args)
    captured = [closed.consts, *(consts for _, consts in _inner(closed.jaxpr))]
    narrowed = any(
        isinstance(value, np.ndarray) and value.dtype.itemsize == 4
        for consts in captured
        for value in consts
    )
    # JAX caches its conversion of a NumPy array for as long as a jaxpr holds the array.
    own = _with_arrays(closed) if narrowed else closed
    return Traced(own, jax.tree.structure(shapes), narrowed)


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
        if isinstance(value, (tuple, list)):
            return type(value)(map(renewed, value)) if any(map(_is_jaxpr, value)) else value
        return _with_arrays(value) if _is_jaxpr(value) else value

    opened, consts = _opened(jaxpr)
    equations = [
        equation.replace(params={key: renewed(value) for key, value in equation.params.items()})
        for equation in opened.eqns
    ]
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

    def primal(*args: Any) -> Any:
        traced = trace(fun, args)
        reader = _Reader(False)
        reader.calls = CALLS | RULES
        graph = reader.graph(traced.closed.jaxpr, traced.closed.consts)
        return jax.tree.unflatten(traced.structure, run(graph, jax.tree.leaves(args), Plain()))

    return primal


def bits(dtype: str) -> int:
    """Returns the width of a floating type."""
    return jnp.finfo(dtype).bits


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Yields the equations of a jaxpr and of all jaxprs inside it."""
    yield from jaxpr.eqns
    for inner, _ in _inner(jaxpr):
        yield from inner.eqns


def _inner(jaxpr: Any) -> Iterator[tuple[Any, Sequence[Value]]]:
    """Yields all jaxprs inside a jaxpr, with the constants they are closed over."""
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                if _is_jaxpr(inner):
                    opened = _opened(inner)
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
        if primitive in self.calls:
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
        if self.widen:
            return build(evaluate=self.widened(equation))
        return build(evaluate=_evaluator(equation, results))

    def operand(self, atom: Any) -> Any:
        """Returns a variable unchanged, a literal as a `Constant`."""
        return Constant(self.value(atom.val)) if isinstance(atom, core.Literal) else atom

    def value(self, value: Value) -> Value:
        """Returns a captured value, in float64 if the graph is widened."""
        dtype = jnp.result_type(value)
        if not self.widen or not jnp.issubdtype(dtype, jnp.floating):
            return value
        return jnp.asarray(self.wide(value, dtype))

    def wide(self, value: Value, dtype: Any) -> np.ndarray:
        """Returns a captured value or a literal in float64, moved if constants are to be."""
        wide = np.asarray(value, np.float64)
        if self.rng is not None and bits(str(dtype)) < 64 and not _is_exact(wide):
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
        if name == "bitcast_convert_type":
            return _in_its_types(equation)
        wide = {key: _wide(value) for key, value in params.items()}
        results = [v for v in equation.outvars if not isinstance(v, core.DropVar)]
        operands = [self.wide_literal(v) for v in equation.invars]
        return _evaluator(equation.replace(params=wide, invars=operands), results)

    def wide_literal(self, atom: Any) -> Any:
        """Returns a variable unchanged, a floating literal in float64."""
        if not isinstance(atom, core.Literal) or not jnp.issubdtype(atom.val.dtype, jnp.floating):
            return atom
        wide = np.asarray(self.wide(atom.val, atom.val.dtype))
        return core.Literal(wide, jax.typeof(wide))

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


def _is_exact(value: np.ndarray) -> bool:
    """Returns True for numbers that rounding has not changed: small multiples of 1/256, as 0.5."""
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
