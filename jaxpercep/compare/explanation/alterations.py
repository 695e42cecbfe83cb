"""The ways in which one operation's pullback can be written wrongly."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpercep.compare.program.graph import Operation, Plain, Value, perform


class Site(NamedTuple):
    """Where a pullback is altered."""

    operation: Operation
    values: Sequence[Value]
    updated: Mapping[int, Value]
    results: Sequence[Value]

    def pull_back(self, operand: int, at: Mapping[int, Value], cotangents: Any) -> Value:
        """The right pullback to one operand, with other values in place of some operands'."""
        given = [at.get(i, value) for i, value in enumerate(self.values)]

        def function(value: Value) -> list[Value]:
            given[operand] = value
            return list(perform(self.operation, Plain(), given))

        return jax.vjp(function, given[operand])[1](cotangents)[0]


def _left_out(operand: int, site: Site, cotangents: Sequence[Value]) -> Value:
    del operand, site
    return cotangents[0]


def _at_output(operand: int, site: Site, cotangents: Sequence[Value]) -> Value:
    return site.pull_back(operand, {operand: site.results[0]}, cotangents)


def _turned(operand: int, site: Site, cotangents: Sequence[Value]) -> Value:
    matrix = 1 - operand
    return site.pull_back(operand, {matrix: site.values[matrix].T}, cotangents)


def _dropped(operand: int, site: Site, cotangents: Sequence[Value]) -> Value:
    del cotangents
    return jnp.zeros_like(site.values[operand])


def _stale(operand: int, site: Site, cotangents: Sequence[Value]) -> Value:
    return site.pull_back(operand, site.updated, cotangents)


ALTERATIONS = {
    "left_out": _left_out,
    "at_output": _at_output,
    "turned": _turned,
    "dropped": _dropped,
    "stale": _stale,
}


@jax.custom_vjp
def cut(gate: Value, value: Value) -> Value:
    """The value; no gradient passes where the gate is on."""
    del gate
    return value


def _cut_forward(gate: Value, value: Value) -> tuple[Value, Value]:
    return value, gate


def _cut_backward(gate: Value, cotangent: Value) -> tuple[None, Value]:
    return None, jnp.where(gate, jnp.zeros_like(cotangent), cotangent)


cut.defvjp(_cut_forward, _cut_backward)
