"""The values of a graph across its calls: what makes each, what uses it, and its name."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

from jaxpercep.compare.program import words
from jaxpercep.compare.program.flow import Flow
from jaxpercep.compare.program.graph import Constant, Graph, Operation, Variable

SILENT = {
    "broadcast_in_dim",
    "convert_element_type",
    "copy",
    "expand_dims",
    "reshape",
    "squeeze",
    "stop_gradient",
    "transpose",
}
"""These do nothing that somebody would call an operation."""

SPOKEN = {
    "add": "the sum",
    "div": "the division",
    "dot_general": "the product",
    "exp": "the exponential",
    "integer_pow": "the power",
    "log": "the logarithm",
    "logistic": "the sigmoid",
    "mul": "the product",
    "neg": "the sign",
    "pow": "the power",
    "reduce_max": "the maximum",
    "reduce_sum": "the sum",
    "rsqrt": "the inverse of the root",
    "select_n": "the choice",
    "sqrt": "the root",
    "square": "the square",
    "sub": "the difference",
}


class Value(NamedTuple):
    """A variable of a graph; functions called twice share variables, but not graphs."""

    graph: Graph
    variable: Variable


class Values:
    """The values of a graph, where the inside of a call is a part of what is around it."""

    def __init__(self, graph: Graph, flow: Flow, names: Sequence[str]) -> None:
        """Reads a graph whose inputs have these names."""
        self.flow = flow
        self.names = {Value(graph, v): name for v, name in zip(graph.inputs, names, strict=True)}
        self.same: dict[Value, Value] = {}
        self.home: dict[Operation, Graph] = {}
        self.maker: dict[Value, Operation] = {}
        self.users: dict[Value, list[Operation | None]] = defaultdict(list)
        self.atoms: dict[object, list[Operation]] = defaultdict(list)
        self._read(graph)

    def _read(self, graph: Graph) -> None:
        for operation in graph.operations:
            self.home[operation] = graph
            for body in operation.bodies:
                if operation.kind == "call":
                    self._join(graph, operation.operands, body, body.inputs)
                self._read(body)
            if operation.kind == "call":
                (body,) = operation.bodies
                self._join(body, body.outputs, graph, operation.results)
                continue
            if operation.kind == "atom" and operation.name not in SILENT:
                self.atoms[operation.frames, operation.spans].append(operation)
            for operand in operation.operands:
                if not isinstance(operand, Constant):
                    self.users[self.of(graph, operand)].append(operation)
            self.maker.update({Value(graph, result): operation for result in operation.results})
        for output in graph.outputs:
            if not isinstance(output, Constant):
                self.users[self.of(graph, output)].append(None)

    def _join(
        self,
        graph: Graph,
        variables: Sequence[Variable | Constant],
        other: Graph,
        others: Sequence[Variable],
    ) -> None:
        """Makes the values of one graph those of another."""
        for variable, same in zip(variables, others, strict=True):
            if not isinstance(variable, Constant):
                self.same[Value(other, same)] = self.of(graph, variable)

    def of(self, graph: Graph, variable: Variable) -> Value:
        """Returns the value of a variable: outside of the call, or inside, where it is made."""
        value = Value(graph, variable)
        while value in self.same:
            value = self.same[value]
        return value

    def expression(self, operation: Operation) -> words.Expression | None:
        """Returns the expression in the source that an operation is, or is a part of."""
        return words.expression_around(operation.span) if operation.span else None

    def described(self, operation: Operation) -> str:
        """Quotes the source of an operation, and says which of several it is."""
        quoted, expression = self.quoted(operation), self.expression(operation)
        if expression is None or operation.name == "expression":
            return quoted
        spoken = SPOKEN.get(operation.name, operation.name.strip("_"))
        together = {atom.name for atom in self.atoms[operation.frames, operation.spans]}
        is_one_of_several = operation.kind == "atom" and bool(together - {operation.name})
        is_unsaid = expression.is_call and spoken.rpartition(" ")[2] not in quoted
        return f"{spoken} in {quoted}" if is_one_of_several or is_unsaid else quoted

    def quoted(self, operation: Operation) -> str:
        """Quotes the source of an operation."""
        expression = self.expression(operation)
        return operation.name if expression is None else f"`{expression.brief}`"

    def plain(self, value: Value) -> Value:
        """Returns the value whose numbers another one has, in another shape or type."""
        while (maker := self.maker.get(value)) is not None and maker.name in SILENT:
            operand = maker.operands[0]
            if isinstance(operand, Constant):
                break
            value = self.of(self.home[maker], operand)
        return value

    def name(self, value: Value) -> str | None:
        """Returns the name of a value in the source, or its expression, or None."""
        value = self.plain(value)
        if value in self.names:
            return f"`{self.names[value]}`"
        maker = self.maker.get(value)
        expression = self.expression(maker) if maker else None
        if maker is None or expression is None:
            return None
        if not self.is_last(maker):
            return f"a value in `{expression.brief}`"
        return f"`{expression.variable or expression.brief}`"

    def is_assigned(self, value: Value) -> bool:
        """Returns True if a value is that of a variable in the source."""
        maker = self.maker.get(value)
        expression = self.expression(maker) if maker else None
        return bool(maker and expression and expression.variable and self.is_last(maker))

    def is_last(self, operation: Operation) -> bool:
        """Returns True unless it is followed by others that the same expression consists of."""
        last = self.atoms[operation.frames, operation.spans][-1:]
        return all((o.name, o.chain) == (operation.name, operation.chain) for o in last)

    def held(self, operation: Operation, operand: int) -> Value | None:
        """Returns the value that is constant where nothing flows through one use of another.

        That is a value which is used there alone, or a smaller one that only this use leads to.
        """
        graph = self.home[operation]
        used = self.plain(self.of(graph, operation.operands[operand]))
        if (only := self.only(operation)) is None:
            if len(self.users[used]) != 1:
                return None
            return next(filter(self.is_assigned, self.before(used)), used)
        path = [used, only, *self.after(only)]
        sizes = [prod(value.variable.aval.shape) for value in path]
        start = next((i for i in range(1, len(path)) if sizes[i] < sizes[i - 1]), None)
        if start is None:
            return None
        return next(filter(self.is_assigned, path[start:]), path[-1])

    def only(self, operation: Operation) -> Value | None:
        """Returns the result of an atom to which a gradient flows from there to one operand."""
        graph = self.home[operation]
        flowing = [o for o in operation.operands if self.flow(graph, o)]
        if operation.kind != "atom" or len(operation.results) != 1 or len(flowing) != 1:
            return None
        return self.of(graph, operation.results[0])

    def after(self, value: Value) -> Iterator[Value]:
        """Yields the values that are computed from this one alone, each used once."""
        while len(self.users[value]) == 1 and (user := self.users[value][0]) is not None:
            if (following := self.only(user)) is None:
                return
            yield (value := following)

    def before(self, value: Value) -> list[Value]:
        """Lists the values that lead to this one alone, each used once, and this one."""
        path = [value]
        while (maker := self.maker.get(value)) is not None and self.only(maker) is not None:
            graph = self.home[maker]
            (operand,) = (o for o in maker.operands if self.flow(graph, o))
            value = self.of(graph, operand)
            if len(self.users[value]) != 1:
                break
            path.insert(0, value)
        return path
