"""The environment of a run as text, one line per fact."""

from collections.abc import Mapping
from typing import Any

from benchmarks.report import words


def flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Joins the names of nested facts: `{"thread_pools": {"jax": 2}}` as `thread pools, jax`.

    Below the first level the names are those of packages and variables, and are kept.
    """
    found: dict[str, str] = {}
    for key, value in facts.items():
        name = prefix + key if prefix else key.replace("_", " ")
        found |= flat(value, f"{name}, ") if isinstance(value, Mapping) else {name: _text(value)}
    return found


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return words.NOTHING
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
