"""What an argument is that came where another kind is expected, and the order that is meant."""

import sys
from typing import Any

import jax

from jaxpercep._checks import shown

PARAMETERS = "a tree of parameters"
_ATTRIBUTES = {
    "a loss": ("takes_logits", "forward", "backward"),
    "a layer": ("init", "apply", "forward", "backward"),
    "an optimizer": ("init", "update"),
    "a training state": ("params", "opt_state"),
}


def brief(value: Any) -> str:
    """Reads as the argument in the call; a whole state or optimizer by its type."""
    whole = kind_of(value) in ("an optimizer", "a training state")
    return f"a {type(value).__name__}" if whole else shown(value)


def misplaced(value: Any, due: str = "") -> str:
    """Returns in a sentence which other argument than the due one this is, and the order; or ""."""
    if (kind := kind_of(value)) in ("", due):
        return ""
    names = _arguments()
    order = f"; the order is ({', '.join(names)})" if len(names) > 1 else ""
    return f" What came is {kind}{order}."


def kind_of(value: Any) -> str:
    """Returns the name of the kind of argument that this is, or nothing."""
    if isinstance(value, type):
        return ""
    for kind, names in _ATTRIBUTES.items():
        if all(hasattr(value, name) for name in names):
            return kind
    if jax.dtypes.issubdtype(getattr(value, "dtype", None), jax.dtypes.prng_key):
        return "a random key"
    leaves = jax.tree.leaves(value) if isinstance(value, (tuple, dict)) else []
    held = leaves and all(isinstance(leaf, jax.Array) for leaf in leaves)
    return PARAMETERS if held else ""


def _arguments() -> tuple[str, ...]:
    """Returns the positional arguments of the library's function that was called from outside."""
    frame, code = sys._getframe(), sys._getframe().f_code
    while frame is not None and frame.f_globals["__name__"].startswith("jaxpercep."):
        frame, code = frame.f_back, frame.f_code
    names = code.co_varnames[: code.co_argcount]
    return tuple(name for name in names if name not in ("self", "cls"))
