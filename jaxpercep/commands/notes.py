"""What the commands say to people on standard error."""

import math
import sys
from collections.abc import Mapping

from jaxpercep._checks import counted
from jaxpercep._files.layout import described


def note(text: str) -> None:
    """Prints a line to standard error."""
    print(text, file=sys.stderr)


def note_images(shape: tuple[int, ...]) -> None:
    """Says that examples of this shape are flattened, if they are."""
    if len(shape) > 1:
        note(f"{described(shape)}, flattened to {counted(math.prod(shape), 'feature')}")


def table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """Returns metrics as one line a part, under their names."""
    widths = {name: max(12, len(name) + 2) for name in next(iter(metrics.values()))}
    lines = [f"{'':5}" + "".join(f"{name:>{width}}" for name, width in widths.items())]
    for part, values in metrics.items():
        cells = {name: f"{values[name]:.5g}" if name in values else "" for name in widths}
        lines.append(f"{part:5}" + "".join(f"{cells[n]:>{width}}" for n, width in widths.items()))
    return "\n".join(lines)
