"""Lists everything that may be wrong with the flow of a gradient: each cause at each place."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from jaxpercep.compare.explanation.flow_causes import (
    ALL_BUT_ONE_DROPPED,
    CARRY_DROPPED,
    DROPPED_PATH,
    FLOW_CAUSES,
    HELD_CONSTANT,
    STALE_WEIGHTS,
    FlowCause,
)
from jaxpercep.compare.explanation.pullbacks import Use
from jaxpercep.compare.program.flow import Flow, union, uses
from jaxpercep.compare.program.graph import Graph, Operation
from jaxpercep.compare.program.places import is_checkers
from jaxpercep.compare.program.values import Value, Values

LONGEST_LOOP = 32  # of which single iterations are tried


class Switch(NamedTuple):
    """The pullback of an operation to one operand; -1 - i means output i of a loop's body."""

    operation: Operation
    operand: int


class Iteration(NamedTuple):
    """Iteration `index`, or all others, of the loop at `depth`."""

    depth: int
    index: int
    others: bool


@dataclass(frozen=True)
class Hypothesis:
    """A mistake that a backward pass may contain.

    Attributes:
        cause: the kind of mistake.
        operation: the place.
        switches: the pullbacks that are altered.
        reach: the leaves whose gradients it changes, as a bit set.
        iteration: of a loop, or None for all of them.
        loops: the scans that the place is in, outermost first.
        passes: how often the user's line is run, if the mistake is made on each pass.
        variant: a sentence in place of that of the cause.
        held: the value that is constant if the mistake is made, or None.
    """

    cause: FlowCause
    operation: Operation
    switches: tuple[Switch, ...]
    reach: int
    iteration: Iteration | None = None
    loops: tuple[Operation, ...] = field(default=())
    passes: int = 1
    variant: str = ""
    held: Value | None = None


def hypotheses(graph: Graph, values: Values, *, updates: bool) -> list[Hypothesis]:
    """Lists every hypothesis, simplest first: by cause, then in the order of the program.

    Args:
        graph: the function.
        values: of the graph.
        updates: True if the candidate also updates the weights.
    """
    causes = [cause for cause in FLOW_CAUSES if updates or not cause.after_update]
    found = [
        h for h in _in_graph(graph, values.flow, (), causes) if not is_checkers(h.operation.chain)
    ]
    every = [h for h in found if h.cause is STALE_WEIGHTS]
    if len(every) > 2:
        found.append(_together(every))
    found = list({(h.cause, h.switches, h.iteration): h for h in found}.values())
    found = [_named(one, values) for one in found]
    found += _on_every_pass(found)
    return sorted(found, key=lambda h: (causes.index(h.cause), h.operation.kind == "call"))


def _named(one: Hypothesis, values: Values) -> Hypothesis:
    """Says which value is held constant by a mistake, if any is."""
    if one.cause is not DROPPED_PATH or one.variant or len(one.switches) > 1:
        return one
    operation, operand = one.switches[0]
    held = values.held(operation, operand) if operand >= 0 else None
    return one if held is None else replace(one, held=held, variant=HELD_CONSTANT)


def _in_graph(
    graph: Graph, flow: Flow, loops: tuple[Operation, ...], causes: Sequence[FlowCause]
) -> Iterator[Hypothesis]:
    for operation in graph.operations:
        for i in range(len(operation.operands)):
            use = Use(operation, i, graph, flow)
            for cause in causes if use.reach else ():
                if cause.applies(use):
                    yield from _everywhere_or_once(cause, Switch(operation, i), use.reach, loops)
        inner = (*loops, operation) if operation.kind == "scan" else loops
        for body in operation.bodies:
            yield from _in_graph(body, flow, inner, causes)
    yield from _dropped(graph, flow, loops)
    if loops and graph is loops[-1].bodies[0]:
        yield from _in_loop(graph, flow, loops)


def _everywhere_or_once(
    cause: FlowCause, switch: Switch, reach: int, loops: tuple[Operation, ...]
) -> Iterator[Hypothesis]:
    yield Hypothesis(cause, switch.operation, (switch,), reach, loops=loops)
    for iteration in _iterations(loops):
        yield Hypothesis(cause, switch.operation, (switch,), reach, iteration, loops)


def _iterations(loops: tuple[Operation, ...]) -> Iterator[Iteration]:
    """Yields the single iterations of the innermost loop."""
    if loops and loops[-1].loop and 1 < loops[-1].loop.length <= LONGEST_LOOP:
        for index in range(loops[-1].loop.length):
            yield Iteration(len(loops) - 1, index, others=False)


def _dropped(graph: Graph, flow: Flow, loops: tuple[Operation, ...]) -> Iterator[Hypothesis]:
    """Yields for each of several uses of a value that it contributes nothing, or it alone does."""
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
            yield from _everywhere_or_once(DROPPED_PATH, switch, reach, loops)
        for place, several in found.items():
            if 1 < len(several) < len(users):  # x * x is one use, or two
                yield Hypothesis(DROPPED_PATH, place, tuple(several), reach, loops=loops)
            others = tuple(switch for switch in every if switch not in several)
            if len(users) > 2 and len(others) > 1:
                yield Hypothesis(
                    DROPPED_PATH, place, others, reach, loops=loops, variant=ALL_BUT_ONE_DROPPED
                )


def _drop(user: tuple[Operation | None, int], loops: tuple[Operation, ...]) -> Switch | None:
    """Returns the switch that cuts a use off; an output of a loop's body is cut at the loop."""
    operation, i = user
    if operation is not None:
        return Switch(operation, i)
    return Switch(loops[-1], -1 - i) if loops else None


def _in_loop(graph: Graph, flow: Flow, loops: tuple[Operation, ...]) -> Iterator[Hypothesis]:
    """Yields that some iterations of a loop do not contribute to a shared or carried value."""
    loop = loops[-1].loop
    assert loop is not None
    users = uses(graph)
    for position, variable in enumerate(graph.inputs[: loop.constants + loop.carried]):
        reach = flow(graph, variable)
        switches = tuple(Switch(op, i) for op, i in users.get(variable, ()) if op)
        if not reach or not switches:
            continue
        place = switches[0].operation
        if position >= loop.constants:
            yield Hypothesis(
                DROPPED_PATH, place, switches, reach, None, loops, variant=CARRY_DROPPED
            )
        for one in _iterations(loops):
            yield Hypothesis(DROPPED_PATH, place, switches, reach, one, loops)
            only = one._replace(others=True)
            if position < loop.constants and loop.length > 2:
                yield Hypothesis(
                    DROPPED_PATH, place, switches, reach, only, loops, variant=ALL_BUT_ONE_DROPPED
                )


def _on_every_pass(found: Sequence[Hypothesis]) -> Iterator[Hypothesis]:
    """Yields the mistakes made on every pass through a line, in a Python loop or a helper."""
    lines: dict[tuple[object, ...], list[Hypothesis]] = defaultdict(list)
    for one in found:
        if one.iteration is None and len(one.switches) == 1 and one.operation.frames:
            (switch,) = one.switches
            lines[one.cause, one.operation.point, switch.operand].append(one)
    for several in lines.values():
        if len(several) > 1:
            switches = tuple(switch for one in several for switch in one.switches)
            reach = union(one.reach for one in several)
            first = several[0]
            yield replace(first, switches=switches, reach=reach, passes=len(several))


def _together(several: Sequence[Hypothesis]) -> Hypothesis:
    reach = union(one.reach for one in several)
    switches = tuple(switch for one in several if one.iteration is None for switch in one.switches)
    return Hypothesis(STALE_WEIGHTS, several[-1].operation, switches, reach)
