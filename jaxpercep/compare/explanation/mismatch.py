"""Measures how a leaf of the candidate differs from that of a hypothesis."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxpercep.compare.program.graph import Value


class Mismatch(NamedTuple):
    """The difference between a leaf of the candidate and that of a hypothesis.

    Each field holds one number per hypothesis.

    Attributes:
        scale: the larger of the two leaves' largest numbers.
        direct: max |candidate - hypothesis|.
        effect: max |hypothesis - right|.
        factor: the best f in candidate = f * hypothesis.
        scaled: max |candidate - f * hypothesis|.
        transposed: max |candidate - hypothesis^T|, infinite if the leaf is not square.
        coefficient: the best c in candidate = hypothesis + c * weight.
        decayed: max |candidate - hypothesis - c * weight|.
    """

    scale: Value
    direct: Value
    effect: Value
    factor: Value
    scaled: Value
    transposed: Value
    coefficient: Value
    decayed: Value


def mismatches(leaves: Any, right: Any, candidate: Any, weights: Any) -> list[Mismatch]:
    """Measures each leaf of a hypothesis against that of the candidate."""
    return [_mismatch(*leaf) for leaf in zip(leaves, right, candidate, weights, strict=True)]


def _mismatch(leaf: Value, right: Value, candidate: Value, weight: Value) -> Mismatch:
    """Measures one leaf; NaN counts as infinite."""
    factor = _ratio(jnp.vdot(leaf, candidate), jnp.vdot(leaf, leaf))
    difference = candidate - leaf
    coefficient = _ratio(jnp.vdot(weight, difference), jnp.vdot(weight, weight))
    square = leaf.ndim == 2 and leaf.shape[0] == leaf.shape[1] > 1
    return Mismatch(
        scale=jnp.maximum(_largest(leaf), _largest(candidate)),
        direct=_largest(difference),
        effect=_largest(leaf - right),
        factor=factor,
        scaled=_largest(candidate - factor * leaf),
        transposed=_largest(candidate - leaf.T) if square else jnp.inf * jnp.ones(()),
        coefficient=coefficient,
        decayed=_largest(difference - coefficient * weight),
    )


def _ratio(numerator: Value, denominator: Value) -> Value:
    return jnp.where(denominator == 0, 0, numerator / jnp.where(denominator == 0, 1, denominator))


def _largest(array: Value) -> Value:
    largest = jnp.max(jnp.abs(array), initial=0.0)
    return jnp.where(jnp.isnan(largest), jnp.inf, largest)
