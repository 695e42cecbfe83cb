"""`while` loops, through which JAX takes derivatives in forward mode only.

Autodiff of a loop is the reference for a rule that was written because of the loop: so the loop is
differentiated by its operands one number at a time, and behaves as if it had a pullback.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from jaxpercep.compare.program.graph import Constant, Graph, Plain, Value, is_floating, run

Evaluate: TypeAlias = Callable[..., Sequence[Value]]


class While(NamedTuple):
    """A loop.

    Attributes:
        condition: of the constants it takes, then the state; it goes on while this is true.
        body: of the constants it takes, then the state; returns the next state.
        constants: how many constants these two take.
        further: how often the body is run once more, after the end.
    """

    condition: Graph
    body: Graph
    constants: tuple[int, int]
    further: int = 0

    @property
    def converges(self) -> bool:
        """True if numbers, and not a counter, decide on the end."""
        operands = (o for operation in self.condition.walk() for o in operation.operands)
        return any(
            not isinstance(operand, Constant) and is_floating(operand) for operand in operands
        )

    def __call__(self, *values: Value) -> list[Value]:
        """Runs the loop for the constants of the condition, those of the body, and the state."""
        first, second = self.constants
        of_condition, of_body = values[:first], values[first : first + second]
        state = list(values[first + second :])

        def goes_on(state: list[Value]) -> Value:  # one truth for each example, under `jax.vmap`
            return run(self.condition, [*of_condition, *state], Plain())[0]

        def following(state: list[Value]) -> list[Value]:
            pairs = zip(run(self.body, [*of_body, *state], Plain()), state, strict=True)
            return [jnp.asarray(new, old.dtype) for new, old in pairs]

        def once_more(state: list[Value], _: None) -> tuple[list[Value], None]:
            return following(state), None

        def those_that_go_on(state: list[Value]) -> list[Value]:
            going = goes_on(state)
            pairs = zip(following(state), state, strict=True)
            return [jnp.where(_leading(going, new.ndim), new, old) for new, old in pairs]

        state = lax.while_loop(
            lambda state: jnp.any(goes_on(state)), those_that_go_on, list(map(jnp.asarray, state))
        )
        if not (self.further and self.converges):
            return state
        return lax.scan(once_more, state, None, length=self.further)[0]


def _leading(value: Value, rank: int) -> Value:
    """Returns a value with axes of size 1 behind its own."""
    return value.reshape(value.shape + (1,) * (rank - value.ndim))


def reversible(evaluate: Evaluate) -> Evaluate:
    """Returns a function that has derivatives in forward mode with a pullback made of these."""

    @jax.custom_vjp
    def function(*values: Value) -> Sequence[Value]:
        return evaluate(*values)

    def forward(*values: Value) -> tuple[Sequence[Value], Sequence[Value]]:
        return evaluate(*values), values

    def backward(values: Sequence[Value], cotangents: Sequence[Value]) -> tuple[Value, ...]:
        floating = [i for i, v in enumerate(values) if _is_floating(v)]
        pulled = dict.fromkeys(range(len(values)))
        pulled |= {i: _pulled_back(evaluate, i, values, cotangents) for i in floating}
        return tuple(pulled[i] for i in range(len(values)))

    function.defvjp(forward, backward)
    return function


def _pulled_back(
    evaluate: Evaluate, i: int, values: Sequence[Value], cotangents: Sequence[Value]
) -> Value:
    """Returns the cotangent of one operand, from the derivatives along each of its numbers."""
    value = values[i]

    def of_operand(operand: Value) -> Sequence[Value]:
        return evaluate(*values[:i], operand, *values[i + 1 :])

    def along(number: Value) -> Value:
        tangent = jnp.zeros(value.size, value.dtype).at[number].set(1).reshape(value.shape)
        results, moved = jax.jvp(of_operand, (value,), (tangent,))
        pairs = zip(results, moved, cotangents, strict=True)
        return sum(
            (jnp.vdot(dy, dv).astype(value.dtype) for v, dv, dy in pairs if _is_floating(v)),
            jnp.zeros((), value.dtype),
        )

    return lax.map(along, jnp.arange(value.size)).reshape(value.shape)


def _is_floating(value: Value) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.floating)
