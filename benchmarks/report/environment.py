"""The environment of a run as text, one line a fact."""

from collections.abc import Mapping
from typing import Any

from benchmarks.report import words


def flat(environment: Mapping[str, Any]) -> dict[str, str]:
    """Nested facts under joined names: `{"thread_pools": {"jax": 2}}` as `thread pools, jax`."""
    found: dict[str, str] = {}
    for key, value in environment.items():
        name = key.replace("_", " ")
        if isinstance(value, Mapping):
            found |= {f"{name}, {part}": text for part, text in _parts(value).items()}
        else:
            found[name] = _text(value)
    return found


def _parts(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The same below the first level, where names are those of packages and variables."""
    found: dict[str, str] = {}
    for key, value in facts.items():
        if isinstance(value, Mapping):
            found |= _parts(value, f"{prefix}{key}, ")
        else:
            found[f"{prefix}{key}"] = _text(value)
    return found


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return words.NOTHING
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
