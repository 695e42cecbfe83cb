"""How paths on the command line are read: by `as_path`, as those that Python functions take."""

import os
from pathlib import Path

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo


def _as_path(argument: str, words: list[str]) -> Path:
    """Returns a path that was typed; `~` in `--out=~/x` is not the shell's to expand."""
    from jaxpercep._checks import as_path  # which takes NumPy to import

    return as_path(argument, words[0])


def _as_data(words: list[str]) -> str:
    _as_path("DATA", words)
    return os.path.expanduser(words[0])  # noqa: PTH111, the rest stays as it was typed


PATHS = ConstructorRegistry()
"""Reads the arguments that are paths."""


@PATHS.primitive_rule
def _path_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    if info.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: _as_path("PATH", words),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )


DATA = PrimitiveConstructorSpec(
    nargs=1,
    metavar="DATA",
    instance_from_str=_as_data,
    is_instance=lambda value: isinstance(value, str),
    str_from_instance=lambda data: [data],
)
"""Reads DATA, which may be a dataset's name."""
