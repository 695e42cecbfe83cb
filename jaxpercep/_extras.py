"""Packages of the extras, and what to say where one is missing."""

from collections.abc import Generator
from contextlib import contextmanager

EXTRA_OF = {
    "filelock": "cli",
    "jinja2": "cli",
    "markupsafe": "cli",
    "matplotlib": "cli",
    "msgspec": "cli",
    "platformdirs": "cli",
    "pyarrow": "data",
    "sklearn": "sklearn",
    "tyro": "cli",
}


class MissingExtraError(ModuleNotFoundError):
    """A package is missing that an extra of jaxpercep installs."""


@contextmanager
def needed_by(what: str) -> Generator[None]:
    """Imports packages of an extra for `what`, such as `"moons()"`.

    Raises:
        MissingExtraError: One of them is not installed; the message has the command that does it.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        raise MissingExtraError(
            f"{what} needs the package {package}, which is not installed. Install it with: "
            f'pip install "jaxpercep[{EXTRA_OF[package]}]"',
            name=package,
        ) from error
