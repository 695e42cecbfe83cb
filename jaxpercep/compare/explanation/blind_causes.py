"""Mistakes that only some arguments reveal: how ties are treated.

At other arguments they have no effect, so that no wrong gradient is explained by them there.
"""

import jax.numpy as jnp

from jaxpercep.compare.explanation.flow_causes import FlowCause
from jaxpercep.compare.explanation.pullbacks import Site, Use
from jaxpercep.compare.program.graph import Value


def _shares(operand: int, site: Site) -> Value:
    """Returns the cotangent of ones: by number, the sum of the shares that flow back to it."""
    ones = [jnp.ones_like(cotangent) for cotangent in site.cotangents]
    return site._replace(cotangents=ones).pull_back(operand, {})


def _over_shares(operand: int, site: Site) -> Value:
    """Returns the right cotangent over these sums."""
    right, shares = site.pull_back(operand, {}), _shares(operand, site)
    return jnp.where(shares > 0, right / jnp.where(shares > 0, shares, 1), 0)


def _selects(use: Use) -> bool:
    """Returns True for a maximum or a minimum of several numbers that all get a gradient."""
    if use.operation.name in ("reduce_max", "reduce_min"):
        return True
    return use.operation.name in ("max", "min") and all(use.flow(use.graph, o) for o in use.others)


TIE_COUNTED_TWICE = FlowCause(
    "tie_counted_twice",
    "giving the whole gradient of {operation} to each of several equal numbers",
    _over_shares,
    _selects,
)


BLIND_CAUSES = (TIE_COUNTED_TWICE,)
