"""A function as a graph of operations on variables, which the rest of the comparison works on.

`jaxprs` makes graphs; nothing else knows the format of a jaxpr.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

Value: TypeAlias = Any
"""An array, or a tracer of one."""

Variable: TypeAlias = Any
"""Something hashable with an `aval`: the shape and dtype of its value."""


_IN_A_HURRY: dict[str, Any] = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 11):  # it then compiles in half the time; newer ones lack the option
    _IN_A_HURRY["xla_cpu_use_fusion_emitters"] = False

RUN_ONCE = partial(jax.jit, compiler_options=_IN_A_HURRY)
"""Compiles like `jax.jit`, but fast, for programs that take longer to compile than to run."""


class Constant(NamedTuple):
    """An operand that is a literal in the program."""

    value: Value


@dataclass(eq=False, frozen=True)
class Operation:
    """One operation, or several that stand on one line or in one call.

    Attributes:
        name: of the primitive, or of the function that is called.
        operands: variables and `Constant`s.
        results: variables.
        kind: `"atom"` is evaluated directly, `"call"` runs its body once, `"scan"` repeats it,
            `"cond"` runs the body that its first operand selects.
        evaluate: of an atom, `evaluate(*values) -> results`.
        bodies: of the others.
        loop: of a scan.
        frames: the user's lines that led here, outermost first.
        chain: all lines, those of libraries included, that led here since its graph was entered.
        location: the layer of a model, as `"layers[1]: sigmoid"`, or None.
        spans: the expression in each of the user's lines, or None where it is not known.
    """

    name: str
    operands: Sequence[Variable | Constant]
    results: Sequence[Variable]
    kind: Literal["atom", "call", "scan", "cond"] = "atom"
    evaluate: Callable[..., Sequence[Value]] | None = None
    bodies: tuple["Graph", ...] = ()
    loop: "Loop | None" = None
    frames: tuple["Frame", ...] = ()
    chain: tuple["Frame", ...] = ()
    location: str | None = None
    spans: tuple["Span | None", ...] = ()

    @property
    def span(self) -> "Span | None":
        """The expression in the innermost of the user's lines, or None."""
        return self.spans[-1] if self.spans else None

    @property
    def point(self) -> tuple[object, ...]:
        """The point in the source, whichever calls led there; loops come back to it."""
        line = self.frames[-1] if self.frames else None
        start = max((i for i, frame in enumerate(self.chain) if frame == line), default=0)
        return self.name, self.kind, line, self.span, self.chain[start:]

    @property
    def source(self) -> str | None:
        """`"file.py:12"`, the innermost of the user's lines, or None without one."""
        return str(self.frames[-1]) if self.frames else None


class Frame(NamedTuple):
    """One line of a program."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file.replace(chr(92), '/').rpartition('/')[2]}:{self.line}"


class Span(NamedTuple):
    """An expression in a program: lines count from 1, columns are bytes and count from 0."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


class Loop(NamedTuple):
    """A scan, whose operands are constants, then the carry, then the arrays scanned over."""

    constants: int
    carried: int
    length: int
    reverse: bool


@dataclass(eq=False, frozen=True)
class Graph:
    """Operations in the order of the program.

    Attributes:
        inputs: variables.
        captured: variable -> array, for the arrays that the program has closed over.
        operations: each after those whose results it takes.
        outputs: variables and `Constant`s.
    """

    inputs: Sequence[Variable]
    captured: Mapping[Variable, Value]
    operations: Sequence[Operation]
    outputs: Sequence[Variable | Constant]

    def walk(self) -> Iterator[Operation]:
        """Yields every operation, each before the operations inside it."""
        for operation in self.operations:
            yield operation
            for body in operation.bodies:
                yield from body.walk()


class Interpreter(Protocol):
    """Evaluates the operations of a graph; `Plain` does so unchanged."""

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns the operation's results."""
        ...

    def result(self, operation: Operation, index: int, value: Value) -> Value:
        """Returns the value to use as result number `index` of a scan's body."""
        ...

    def within(self, iteration: Value) -> "Interpreter":
        """Returns the interpreter of a scan's body."""
        ...


class Plain:
    """Evaluates operations unchanged."""

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns the operation's results."""
        return perform(operation, self, values)

    def result(self, operation: Operation, index: int, value: Value) -> Value:
        """Returns the value."""
        del operation, index
        return value

    def within(self, iteration: Value) -> "Plain":
        """Returns itself, since no iteration is special."""
        del iteration
        return self


class OneByOne(Plain):
    """Evaluates each operation by itself, in loops and branches too."""

    LONGEST = 64  # iterations; longer loops run as one operation

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns the operation's results."""
        if operation.kind == "cond":
            taken = min(max(int(values[0]), 0), len(operation.bodies) - 1)
            return run(operation.bodies[taken], values[1:], self)
        if operation.loop is None or not 0 < operation.loop.length <= self.LONGEST:
            return perform(operation, self, values)
        first, carried, length, reverse = operation.loop
        state = list(values[first : first + carried])
        rows: list[Sequence[Value]] = []
        for i in reversed(range(length)) if reverse else range(length):
            scanned = [xs[i] for xs in values[first + carried :]]
            results = run(operation.bodies[0], [*values[:first], *state, *scanned], self)
            state = results[:carried]
            rows.append(results[carried:])
        if reverse:
            rows.reverse()
        return [*state, *(jnp.stack(column) for column in zip(*rows, strict=True))]


def run(graph: Graph, values: Sequence[Value], interpreter: Interpreter) -> list[Value]:
    """Returns the graph's outputs for the values of its inputs."""
    known = {**graph.captured, **dict(zip(graph.inputs, values, strict=True))}

    def read(operand: Variable | Constant) -> Value:
        return operand.value if isinstance(operand, Constant) else known[operand]

    for operation in graph.operations:
        results = interpreter.apply(operation, [read(o) for o in operation.operands])
        known.update(zip(operation.results, results, strict=True))
    return [read(output) for output in graph.outputs]


def perform(
    operation: Operation, interpreter: Interpreter, values: Sequence[Value]
) -> Sequence[Value]:
    """Evaluates one operation; the interpreter evaluates the operations inside it."""
    if operation.kind == "atom":
        assert operation.evaluate is not None
        return operation.evaluate(*values)
    if operation.kind == "call":
        return run(operation.bodies[0], values, interpreter)
    if operation.kind == "cond":
        branches = [partial(_branch, body, interpreter) for body in operation.bodies]
        return lax.switch(values[0], branches, *values[1:])
    return _scan(operation, interpreter, values)


def _branch(body: Graph, interpreter: Interpreter, *values: Value) -> list[Value]:
    return run(body, values, interpreter)


def _scan(
    operation: Operation, interpreter: Interpreter, values: Sequence[Value]
) -> Sequence[Value]:
    assert operation.loop is not None
    first, carried, length, reverse = operation.loop
    constants = values[:first]
    carry, scanned = values[first : first + carried], values[first + carried :]

    def body(state: tuple[Value, list[Value]], xs: list[Value]) -> Any:
        iteration, carry = state
        inner = interpreter.within(iteration)
        results = run(operation.bodies[0], [*constants, *carry, *xs], inner)
        results = [inner.result(operation, i, value) for i, value in enumerate(results)]
        return (iteration + 1, results[:carried]), results[carried:]

    start = jnp.zeros((), jnp.int32), list(carry)
    (_, carry), ys = lax.scan(body, start, list(scanned), length=length, reverse=reverse)
    return [*carry, *ys]


def is_floating(variable: Variable | Constant) -> bool:
    """Returns True if a derivative can flow through a variable."""
    dtype = getattr(getattr(variable, "aval", None), "dtype", None)
    return dtype is not None and jax.dtypes.issubdtype(dtype, jnp.floating)
