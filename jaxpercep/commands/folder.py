"""The folder of a trained network: a saved model, a picture of its loss, checkpoints of its run.

Nothing here imports JAX: arguments are checked before it is.
"""

from pathlib import Path

from jaxpercep._files import saved

CURVE = "loss.png"


def check_replaceable(folder: Path) -> None:
    """Raises a `ValueError` unless a network may be written to `folder` without losing anything."""
    saved.check_replaceable(folder, (CURVE,))


def checkpoints(folder: Path) -> Path:
    """Returns the folder of the checkpoints."""
    return folder / saved.CHECKPOINTS


def has_checkpoints(folder: Path) -> bool:
    """Returns True if there are checkpoints to resume from."""
    inside = checkpoints(folder)
    return inside.is_dir() and any(path.name.isdecimal() for path in inside.iterdir())


def check_checkpoints(folder: Path, resume: bool) -> None:
    """Raises a `ValueError` if there are no checkpoints to resume from, or some to lose."""
    inside, found = checkpoints(folder), has_checkpoints(folder)
    if resume and not found:
        raise ValueError(
            f"--resume: there are no checkpoints in {inside}; a run with --checkpoints "
            "writes the first within a minute, and one when it ends. Start anew with --checkpoints."
        )
    if found and not resume:
        raise ValueError(
            f"{inside} holds the checkpoints of a run; add --resume to go on with it, remove them, "
            "or choose another --out."
        )
