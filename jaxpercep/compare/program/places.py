"""The origin of an equation: the user's lines, the calls that led there, the named scopes."""

import site
import sysconfig
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from jaxpercep.compare.program.graph import Frame, Span

PACKAGE = Path(__file__).resolve().parents[2]
PROJECTION = PACKAGE / "compare" / "evaluation" / "projection.py"


class Place(NamedTuple):
    """The origin of an equation: the user's lines, the named scopes, the lines' expressions."""

    frames: tuple[Frame, ...]
    scopes: tuple[str, ...]
    spans: tuple[Span | None, ...] = ()

    def then(self, info: Any) -> "Place":
        """Returns the place of an equation in a function called from here."""
        # Scopes of `Serial` only: JAX also names its own parts and its transformations.
        own = tuple(s.name for s in info.name_stack.stack if s.name.startswith("layers["))
        users = tuple(frame for frame in chain(info.traceback) if not is_library(frame.file))
        return Place(self.frames + users, self.scopes + own, self.spans + spans(info.traceback))


def chain(traceback: Any) -> tuple[Frame, ...]:
    """Lists the lines that led to an equation since its jaxpr was entered, outermost first."""
    frames = traceback.frames if traceback else ()
    return tuple(Frame(f.file_name, f.line_num, f.function_name) for f in reversed(frames))


def spans(traceback: Any) -> tuple[Span | None, ...]:
    """Lists the user's expressions that led to an equation, one in each line, outermost first."""
    frames = zip(*traceback.raw_frames(), strict=True) if traceback else ()
    found = [_span(*frame) for frame in frames if not is_library(frame[0].co_filename)]
    return tuple(found[::-1])


@lru_cache(maxsize=4096)
def _span(code: CodeType, instruction: int) -> Span | None:
    """Returns the expression of an instruction, or None if Python does not keep it."""
    positions = next(islice(code.co_positions(), instruction // 2, None), (None,) * 4)
    line, end_line, column, end_column = positions
    if not line or not end_line or column is None or end_column is None:
        return None
    return Span(code.co_filename, line, column, end_line, end_column)


@cache
def is_foreign(file: str) -> bool:
    """Returns True for files of Python's library and of installed packages other than this one."""
    folders = [sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), *site.getsitepackages()]
    path = Path(file).resolve()
    inside = file.startswith("<") or any(path.is_relative_to(Path(f).resolve()) for f in folders)
    return inside and not path.is_relative_to(PACKAGE)


@cache
def is_library(file: str) -> bool:
    """Returns True for files that are not the user's."""
    return is_foreign(file) or Path(file).resolve().is_relative_to(PACKAGE)


def is_checkers(lines: Sequence[Frame]) -> bool:
    """Returns True if these lines led to an operation that only the comparison has added."""
    return any(_is_projection(frame.file) for frame in lines)


@cache
def _is_projection(file: str) -> bool:
    return Path(file).resolve() == PROJECTION
