"""The folder of a trained network: a saved model, and a picture of its loss.

Nothing here imports JAX: arguments are checked before it is.
"""

from pathlib import Path

from jaxpercep._files import saved

CURVE = "loss.png"


def check_replaceable(folder: Path) -> None:
    """Raises a `ValueError` unless a network may be written to `folder` without losing anything."""
    saved.check_replaceable(folder, (CURVE,))
