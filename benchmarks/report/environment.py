"""The environment of a run as text, one line a fact."""

from collections.abc import Mapping
from typing import Any

from benchmarks.report import words


def flat(environment: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested facts under joined names: `{"versions": {"jax": "0.10.1"}}` as `versions, jax`."""
    found: dict[str, str] = {}
    for name, value in environment.items():
        name = f"{prefix}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}, ")
        else:
            found[name] = _text(value)
    return found


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return words.NOTHING
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
