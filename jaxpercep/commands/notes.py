"""What the commands say to people on standard error."""

import math
import sys

from jaxpercep._checks import counted
from jaxpercep._files.layout import described


def note(text: str) -> None:
    """Prints a line to standard error."""
    print(text, file=sys.stderr)


def note_images(shape: tuple[int, ...]) -> None:
    """Says that examples of this shape are flattened, if they are."""
    if len(shape) > 1:
        note(f"{described(shape)}, flattened to {counted(math.prod(shape), 'feature')}")
