"""What may be wrong with the flow of a gradient: a hypothesis for each way to err at each place."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias, get_args

from jaxpercep.compare.program.flow import Flow, union, uses
from jaxpercep.compare.program.graph import Constant, Graph, Operation, Variable, is_floating

Cause: TypeAlias = Literal[
    "missing_derivative",
    "derivative_at_output",
    "wrong_orientation",
    "dropped_path",
    "stale_weights",
]

Alteration: TypeAlias = Literal["left_out", "at_output", "turned", "dropped", "stale"]
"""What takes the place of the cotangent of one operand."""

# They move numbers and change none: no derivative to leave out.
MOVING = {
    "add",
    "add_any",
    "broadcast_in_dim",
    "concatenate",
    "convert_element_type",
    "copy",
    "cumsum",
    "expand_dims",
    "gather",
    "pad",
    "reduce_sum",
    "reshape",
    "rev",
    "scatter-add",
    "slice",
    "dynamic_slice",
    "dynamic_update_slice",
    "squeeze",
    "transpose",
}
# In each operand they are linear, so that the derivative is the same everywhere.
LINEAR = MOVING | {"conv_general_dilated", "dot_general", "mul", "neg", "select_n", "sub"}
BILINEAR = {"conv_general_dilated", "dot_general", "mul"}

LONGEST_LOOP = 32  # up to which a single iteration may be the mistaken one


class Switch(NamedTuple):
    """One alteration of what an operation's pullback returns for one operand."""

    operation: Operation
    operand: int
    alteration: Alteration


class Iteration(NamedTuple):
    """Where in a loop: in iteration `index`, or in all others, of the loop at `depth`."""

    depth: int
    index: int
    others: bool


@dataclass(frozen=True)
class Hypothesis:
    """A mistake that a backward pass may contain.

    Attributes:
        cause: its code.
        operation: the place.
        switches: what is altered.
        reach: the leaves whose gradients it changes, as a bit set.
        iteration: of a loop, or None for all of them.
        loops: the scans that the place is in, outermost first.
        only: whether this use, or iteration, is the only one that contributes.
        carried: whether what is cut is handed on from one iteration to the next.
        passes: how often the user's line is run, if the mistake is made on each pass.
    """

    cause: Cause
    operation: Operation
    switches: tuple[Switch, ...]
    reach: int
    iteration: Iteration | None = None
    loops: tuple[Operation, ...] = field(default=())
    only: bool = False
    carried: bool = False
    passes: int = 1


def hypotheses(graph: Graph, flow: Flow, *, stale: bool) -> list[Hypothesis]:
    """Every hypothesis, simplest first: by cause, then in the order of the program.

    Args:
        graph: the function.
        flow: which leaves depend on what.
        stale: whether weights may have been updated too early.
    """
    found = list(_in_graph(graph, flow, ()))
    if stale:
        found += _stale(graph, flow, ())
        every = [h for h in found if h.cause == "stale_weights"]
        if len(every) > 2:
            found.append(_together(every))
    found = list({(h.cause, h.switches, h.iteration): h for h in found}.values())
    found += _on_every_pass(found)
    order = get_args(Cause)
    return sorted(found, key=lambda h: (order.index(h.cause), h.operation.kind == "call"))


def _in_graph(graph: Graph, flow: Flow, loops: tuple[Operation, ...]) -> Iterator[Hypothesis]:
    for operation in graph.operations:
        for i, operand in enumerate(operation.operands):
            if reach := flow(graph, operand):
                yield from _at(operation, i, reach, graph, flow, loops)
        inner = (*loops, operation) if operation.kind == "scan" else loops
        for body in operation.bodies:
            yield from _in_graph(body, flow, inner)
    yield from _dropped(graph, flow, loops)
    if loops and graph is loops[-1].bodies[0]:
        yield from _in_loop(graph, flow, loops)


def _at(
    operation: Operation,
    i: int,
    reach: int,
    graph: Graph,
    flow: Flow,
    loops: tuple[Operation, ...],
) -> Iterator[Hypothesis]:
    """What may be wrong with one operand of one operation."""
    same_shape = _is_elementwise(operation, i)
    alone = sum(bool(flow(graph, other)) for other in operation.operands) == 1
    changes = (
        operation.name not in MOVING if operation.kind == "atom" else not _is_wrapper(operation)
    )
    if operation.name == "sub" and i == 0:
        changes = False
    if same_shape and changes:
        yield from _everywhere_or_once(
            "missing_derivative", Switch(operation, i, "left_out"), reach, loops
        )
    if same_shape and alone and changes and not is_linear(operation, i):
        yield from _everywhere_or_once(
            "derivative_at_output", Switch(operation, i, "at_output"), reach, loops
        )
    others = (o for j, o in enumerate(operation.operands) if j != i)
    if any(flow(graph, other) & reach for other in others):  # paths of one value meet again
        switch = Switch(operation, i, "dropped")
        yield from _everywhere_or_once("dropped_path", switch, reach, loops)
    if _has_square_matrix(operation, i):
        yield from _everywhere_or_once(
            "wrong_orientation", Switch(operation, i, "turned"), reach, loops
        )


def _everywhere_or_once(
    cause: Cause, switch: Switch, reach: int, loops: tuple[Operation, ...]
) -> Iterator[Hypothesis]:
    yield Hypothesis(cause, switch.operation, (switch,), reach, loops=loops)
    for iteration in _iterations(loops):
        yield Hypothesis(cause, switch.operation, (switch,), reach, iteration, loops)


def _iterations(loops: tuple[Operation, ...]) -> Iterator[Iteration]:
    """The single iterations of the innermost loop."""
    if loops and loops[-1].loop and 1 < loops[-1].loop.length <= LONGEST_LOOP:
        for index in range(loops[-1].loop.length):
            yield Iteration(len(loops) - 1, index, others=False)


def _dropped(graph: Graph, flow: Flow, loops: tuple[Operation, ...]) -> Iterator[Hypothesis]:
    """Of several uses of a value, one contributes nothing, or one alone contributes."""
    for variable, users in uses(graph).items():
        reach = flow(graph, variable)
        if not reach or len(users) < 2:
            continue
        found: dict[Operation, list[Switch]] = defaultdict(list)
        for user in users:
            if (switch := _drop(user, loops)) is not None:
                found[switch.operation].append(switch)
        every = [switch for several in found.values() for switch in several]
        for switch in every:
            yield from _everywhere_or_once("dropped_path", switch, reach, loops)
        for place, several in found.items():
            if 1 < len(several) < len(users):  # x * x is one use, or two
                yield Hypothesis("dropped_path", place, tuple(several), reach, loops=loops)
            others = tuple(switch for switch in every if switch not in several)
            if len(users) > 2 and len(others) > 1:
                yield Hypothesis("dropped_path", place, others, reach, loops=loops, only=True)


def _drop(user: tuple[Operation | None, int], loops: tuple[Operation, ...]) -> Switch | None:
    """What cuts a use off; an output of a loop's body is cut at the loop."""
    operation, i = user
    if operation is not None:
        return Switch(operation, i, "dropped")
    return Switch(loops[-1], -1 - i, "dropped") if loops else None


def _in_loop(graph: Graph, flow: Flow, loops: tuple[Operation, ...]) -> Iterator[Hypothesis]:
    """Of the iterations of a loop, some do not contribute to what they share, or hand on."""
    loop = loops[-1].loop
    assert loop is not None
    users = uses(graph)
    for position, variable in enumerate(graph.inputs[: loop.constants + loop.carried]):
        reach = flow(graph, variable)
        switches = tuple(Switch(op, i, "dropped") for op, i in users.get(variable, ()) if op)
        if not reach or not switches:
            continue
        place = switches[0].operation
        if position >= loop.constants:
            yield Hypothesis("dropped_path", place, switches, reach, None, loops, carried=True)
        for one in _iterations(loops):
            yield Hypothesis("dropped_path", place, switches, reach, one, loops)
            only = one._replace(others=True)
            if position < loop.constants and loop.length > 2:
                yield Hypothesis("dropped_path", place, switches, reach, only, loops, only=True)


def _stale(graph: Graph, flow: Flow, loops: tuple[Operation, ...]) -> Iterator[Hypothesis]:
    for operation in graph.operations:
        if operation.name in BILINEAR and len(operation.operands) == 2:
            for i, operand in enumerate(operation.operands):
                weight, reach = operation.operands[1 - i], flow(graph, operand)
                if reach and flow.is_weight(graph, weight) and not flow.is_weight(graph, operand):
                    switch = Switch(operation, i, "stale")
                    yield from _everywhere_or_once("stale_weights", switch, reach, loops)
        inner = (*loops, operation) if operation.kind == "scan" else loops
        for body in operation.bodies:
            yield from _stale(body, flow, inner)


def _on_every_pass(found: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
    """One line is run several times, by a loop of Python or a helper: the mistake is in each."""
    lines: dict[tuple[object, ...], list[Hypothesis]] = defaultdict(list)
    for one in found:
        if one.iteration is None and len(one.switches) == 1 and one.operation.frames:
            (switch,) = one.switches
            place = one.operation.frames[-1], one.operation.name, one.operation.kind
            line = *place, switch.operand, switch.alteration
            lines[one.cause, *line].append(one)
    for several in lines.values():
        if len(several) > 1:
            switches = tuple(switch for one in several for switch in one.switches)
            reach = union(one.reach for one in several)
            first = several[0]
            yield replace(first, switches=switches, reach=reach, passes=len(several))


def _together(several: Sequence[Hypothesis]) -> Hypothesis:
    reach = union(one.reach for one in several)
    switches = tuple(switch for one in several if one.iteration is None for switch in one.switches)
    return Hypothesis("stale_weights", several[-1].operation, switches, reach)


def _is_elementwise(operation: Operation, i: int) -> bool:
    """Whether there is one result, of the shape and type of this operand."""
    if len(operation.results) != 1 or not is_floating(operation.results[0]):
        return False
    operand, result = operation.operands[i], operation.results[0].aval
    if isinstance(operand, Constant):
        return False
    return operand.aval.shape == result.shape and operand.aval.dtype == result.dtype


def _is_wrapper(operation: Operation) -> bool:
    """Whether it consists of one operation, and so is the same place."""
    return operation.kind == "call" and len(operation.bodies[0].operations) == 1


def is_linear(operation: Operation, i: int) -> bool:
    """Whether the derivative by an operand is the same wherever that is."""
    return operation.name in LINEAR or (operation.name == "div" and i == 0)


def _has_square_matrix(operation: Operation, i: int) -> bool:
    """Whether the other factor of a product is a square matrix."""
    if operation.name != "dot_general" or isinstance(operation.operands[1 - i], Constant):
        return False
    other: Variable = operation.operands[1 - i]
    return other.aval.ndim == 2 and other.aval.shape[0] == other.aval.shape[1] > 1
